"""How much room a result takes, asked before hours of work end at a full disk.

    room = the segments that are not made yet + the file that they are joined into, as both are there until it is whole

What an encoder makes of pictures depends on the pictures: a still screen takes a tenth of what is reckoned here, noise
several times as much. So a run is refused only where not even a tenth of it is free, and warned of where all is not.
Sound and the like count for nothing beside the picture.
"""

from __future__ import annotations

import shutil

from alanet.errors import OutputError
from alanet.video.output.codecs import shape_of
from alanet.video.output.format import OutputPlan

__all__ = ["check_room", "picture_bytes"]

SHARE = {  # of the raw picture's bits, at the default crf: twice what the bundled sample, which has little noise,
    "h264": 0.025,  # takes (`scripts/bench disk`, with the software encoders)
    "hevc": 0.015,
    "av1": 0.02,
    "prores": 0.25,
    "ffv1": 0.5,
    "png": 0.5,
}
HALVES = 6.0  # steps of crf that halve the bits
REFUSED = 0.1  # of what is reckoned: less free than that is refused


def _kind(plan: OutputPlan) -> str:
    return plan.codec.standard or plan.codec.name


def picture_bytes(plan: OutputPlan) -> float:
    """Bytes of one encoded frame, reckoned."""
    shape = shape_of(plan.pixel_format)
    planes = 1 + shape.alpha + (0.0 if shape.grey else 2 / 2 ** sum(shape.chroma))
    share = SHARE[_kind(plan)]
    if plan.options.crf is not None and plan.codec.crf is not None:
        share *= 2 ** ((plan.codec.crf - plan.options.crf) / HALVES)
    return min(share, 1.0) * planes * shape.depth / 8 * plan.size[0] * plan.size[1]


def check_room(plan: OutputPlan, frames: int | None, *, done: int = 0) -> str:
    """ "", or a line where `frames` restored frames (None: not known) may not fit on the disk.

    done: of `frames`, those that are there already. Raises OutputError where they surely will not fit.
    """
    if frames is None or _kind(plan) not in SHARE:
        return ""
    try:
        free = shutil.disk_usage(plan.path.parent).free
    except OSError:
        return ""
    copies = max(0, frames - done) + (frames if plan.kind == "video" else 0)
    needed = copies * picture_bytes(plan)
    said = f"about {needed / 1e9:.3g} GB are needed for the result, and {free / 1e9:.3g} GB are free"
    if free < REFUSED * needed:
        hint = " or a higher --crf" if plan.codec.crf is not None else ""
        raise OutputError(f"{plan.path.parent}: {said}; free some space, give another folder with -o{hint}")
    return f"{said}; if the disk fills up the run stops, and goes on once there is room" if free < needed else ""
