"""What a child process does for the page: everything that decodes a visitor's file. Paths are the server's own.

Importing this module is cheap: the server names these functions and does not run them.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alanet.errors import InputError, OptionError, ResourceError
from alanet.frames.timing import output_rate
from alanet.restoration.options import EncodeOptions, NetworkOptions, RestoreOptions
from alanet.restoration.summary import closing_rows
from alanet.text import binary, size
from alanet.web import markup
from alanet.web.child import Report
from alanet.web.jobs import RECORD, empty_folder, usage
from alanet.web.options import ServerOptions

if TYPE_CHECKING:
    from alanet.frames.frame import Picture, VideoInfo
    from alanet.restoration.plan import RestorePlan
    from alanet.restoration.progress import RestoreProgress
    from alanet.restoration.restorer import Restorer

__all__ = ["RestoredVideo", "Work", "compare", "estimate", "examine", "load", "restore", "timeline"]

PIXELS = 2**26  # of one picture: 8192 x 8192
DISK_EVERY = 5.0  # seconds between two looks at the disk
REPORT_EVERY = 0.2  # seconds between two reports


@dataclass(frozen=True, slots=True)
class Work:
    """A video, and how it is restored."""

    source: Path
    network: NetworkOptions
    options: RestoreOptions


@dataclass(frozen=True, slots=True)
class RestoredVideo:
    """What a restoration made."""

    result: str  # file name, beside the video
    rows: list[tuple[str, str]]


def examine(path: Path, stream: int | None, telecine: str) -> VideoInfo:
    """What a file is. Raises MediaError where it is no video."""
    from alanet.video.input.probe import Limits, probe

    return probe(path, stream=stream, telecine=telecine, limits=Limits(pixels=PIXELS))


def timeline(info: VideoInfo) -> str:
    """The blur of a video over time, as a picture."""
    from alanet.web.timeline import drawing, look

    return drawing(look(info))


def load(network: NetworkOptions) -> None:
    """Load a network before it is needed."""
    _restorer(network)


def estimate(work: Work) -> str:
    """How long a restoration takes, as HTML."""
    restorer = _restorer(work.network)
    return markup.estimated(restorer.plan(work.source, None, replace(work.options, restart=True)))


def compare(work: Work, info: VideoInfo, at: float) -> markup.Compared:
    """Restore the frame at a time, in seconds from the first frame, and write it and its input.

    Options of the encoder and of the part to restore change nothing: the pictures that are there are kept.
    """
    from alanet.restoration.moment import compare_at

    options = replace(work.options, start=None, end=None, encode=EncodeOptions())
    wanted = (work.network, options, at)
    pictures = [work.source.with_name(f"{name}.png") for name in ("before", "after")]
    before = _compared.get(work.source)
    if before is not None and before[0] == wanted and all(path.is_file() for path in pictures):
        return before[1]
    step = 1 / (output_rate(options.schedule, info.rate) * options.schedule.slow)
    moment = round(Fraction(at) / step) * step
    found = compare_at(_restorer(work.network), info, moment, options)
    for path, picture in zip(pictures, (found.before, found.after), strict=True):
        _save(path, picture)
    digest = zlib.crc32(found.after.tobytes(), zlib.crc32(found.before.tobytes()))
    made = markup.Compared(found.time, found.interpolated, found.unchanged, digest)
    _compared.clear()  # one is enough: that of the page that is used
    _compared[work.source] = (wanted, made)
    return made


def restore(work: Work, server: ServerOptions, jobs: Path, *, report: Report) -> RestoredVideo:
    """Restore a video, beside it, and make copies that browsers play. Reports the progress as HTML.

    Raises InputError where it is longer than the server allows, ResourceError where the disk limit is reached.
    """
    from alanet.web.watch import viewing_copy

    restorer, folder = _restorer(work.network), work.source.parent
    try:
        plan = restorer.plan(work.source, None, work.options)
    except OptionError:  # of another version or machine: its finished segments are of no use
        empty_folder(folder, keep=(RECORD, work.source.name))
        plan = restorer.plan(work.source, None, work.options)
    _check_disk(plan, server, jobs)
    made = restorer.run(plan, on_progress=_watch(plan, server, jobs, report))
    report(markup.finishing())
    viewing_copy(work.source, folder / "watch-input.mp4")
    viewing_copy(made.output, folder / "watch-result.mp4")
    return RestoredVideo(made.output.name, [row for row in closing_rows(made) if row[0] != "result"])


def _watch(plan: RestorePlan, server: ServerOptions, jobs: Path, report: Report) -> Callable[[RestoreProgress], None]:
    """Called after each input frame."""
    looked, reported = [time.monotonic()], [0.0]

    def watch(now: RestoreProgress) -> None:
        if now.position > server.max_length * plan.options.schedule.slow:
            raise InputError(f"the video is longer than it states; the limit is {float(server.max_length):g} s")
        clock = time.monotonic()
        if clock - looked[0] > DISK_EVERY:
            looked[0] = clock
            if usage(jobs) > server.disk:
                raise ResourceError(f"the disk limit of this server ({binary(server.disk)}) is reached")
        if clock - reported[0] > REPORT_EVERY:
            reported[0] = clock
            report(markup.running(now))

    return watch


def _check_disk(plan: RestorePlan, server: ServerOptions, jobs: Path) -> None:
    """Refuse a result that is larger than the space that is left. Raises ResourceError."""
    from alanet.video.output.disk import picture_bytes

    needed = picture_bytes(plan.output) * ((plan.frames_out or 0) - plan.done)
    if usage(jobs) + needed > server.disk:
        raise ResourceError(
            f"the result takes about {size(needed)}, more than the disk limit of this server leaves; choose a "
            "lower frame rate or a higher CRF"
        )


def _save(path: Path, picture: Picture) -> None:
    from PIL import Image

    from alanet.files import atomic_write

    with atomic_write(path) as file:
        Image.fromarray(picture).save(file, format="png", compress_level=1)


_loaded: dict[NetworkOptions, Any] = {}
_compared: dict[Path, tuple[Any, markup.Compared]] = {}


def _restorer(options: NetworkOptions) -> Restorer:
    """A loaded network, kept for the next call."""
    from alanet.restoration.restorer import Restorer

    if options not in _loaded:
        _loaded[options] = Restorer(**asdict(options))
    restorer: Restorer = _loaded[options]
    return restorer
