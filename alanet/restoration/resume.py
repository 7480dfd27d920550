"""What a restoration's result depends on, as the job that its finished segments are kept for (`video/job.py`).

What was asked for must be the same when a run goes on; what "auto" came to in the first run (precision, tiles) is taken
over, whatever a later run would choose: memory that is free now, a measured speed.
"""

from __future__ import annotations

import hashlib
import os
import platform
from fractions import Fraction
from typing import Any

import av
import torch

from alanet.files import lock_folder, lock_together
from alanet.frames.tiles import Box, Tile
from alanet.frames.timing import Factor, Schedule
from alanet.model.network import Network
from alanet.restoration.job import Job, check_same, describe_input, read_job
from alanet.restoration.options import RestoreOptions, as_plain
from alanet.restoration.plan import SEGMENT
from alanet.version import __version__
from alanet.video.output.destination import STDOUT, work_folder
from alanet.video.output.format import OutputPlan
from alanet.video.output.segments import finished_in, recorded

__all__ = [
    "done_so_far",
    "earlier_job",
    "job_for",
    "rate_text",
    "segment_length",
    "segment_of",
    "tiles_of",
    "weights_digest",
]

WORK = 60.0  # seconds of work: what a kill may cost, and how long Ctrl-C waits
LEAST, LEAST_FRAMES = Fraction(1, 2), 12  # seconds and frames of a segment: key frames cost the result's size


def job_for(
    target: OutputPlan,
    options: RestoreOptions,
    network: dict[str, Any],
    precision: str,
    tiles: tuple[Tile, ...],
    segment: Fraction = SEGMENT,
) -> Job | None:
    """The job of a run; None where nothing is kept: standard input is read once, pictures and y4m are no segments.

    network: what was asked for of it, by the names of its options. segment: its length in seconds.
    """
    info = target.info
    if target.kind != "video" or info.path == STDOUT:
        return None
    asked = {**as_plain(options), **as_plain(target.options), **network}
    asked |= {"--fps": rate_text(options.schedule), "--slow": options.schedule.slow}
    for flag in ("--overwrite", "--restart"):  # the result does not depend on these
        del asked[flag]
    software = {"alanet": __version__, "torch": str(torch.__version__), "av": av.__version__, "cpu": platform.machine()}
    chosen = {"precision": precision, "tiles": [_plain(tile) for tile in tiles], "segment": str(segment)}
    return Job(os.path.abspath(info.path), describe_input(info), asked, software, chosen)


def earlier_job(target: OutputPlan, job: Job | None, *, shared: bool = False) -> tuple[Job, int] | None:
    """What an interrupted run has left for this job: its manifest, and how many restored frames it finished.

    shared: or has finished so far, where several share it. Raises OptionError where it was another job, OutputError
    where it still runs, alone.
    """
    folder = work_folder(target.path)
    if job is None or not folder.is_dir():
        return None
    if shared:
        lock_together(folder, target.path)[0].close()
    else:
        lock_folder(folder, target.path).close()
    earlier = read_job(folder)
    if earlier is None:
        return None
    check_same(earlier, job, target.path)
    kept = finished_in(folder).values() if shared else recorded(folder)
    return earlier, sum(segment.frames for segment in kept)


def done_so_far(target: OutputPlan) -> Fraction:
    """Seconds of the output that are finished and kept."""
    return sum((s.end - s.start for s in finished_in(work_folder(target.path)).values()), Fraction(0))


def tiles_of(job: Job) -> tuple[Tile, ...]:
    """The tiles of the first run."""
    return tuple(Tile(Box(*core), Box(*outer), halo) for core, outer, halo in job.chosen["tiles"])


def segment_of(job: Job) -> Fraction:
    """The length of the first run's segments, in seconds."""
    return Fraction(job.chosen.get("segment", SEGMENT))


def segment_length(rate: Fraction, work: float) -> Fraction:
    """Seconds of the result in a segment: SEGMENT, halved until it takes WORK or less, or has come to the least.

    rate: restored frames a second. work: seconds of work for a second of the result.
    """
    length = SEGMENT
    while length * work > WORK and length / 2 >= max(LEAST, LEAST_FRAMES / rate):
        length /= 2
    return length


def weights_digest(model: Network) -> str:
    """Of the network's kind, config and every value, wherever it was loaded from."""
    digest = hashlib.sha256(f"{type(model).__name__} {model.config}".encode())
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def rate_text(rate: Schedule) -> str:
    """As `parse_rate` reads it."""
    return str(rate) if isinstance(rate, Factor) else str(rate.rate)


def _plain(tile: Tile) -> list[Any]:
    boxes = [[box.top, box.left, box.bottom, box.right] for box in (tile.core, tile.outer)]
    return [*boxes, tile.halo]
