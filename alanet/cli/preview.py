"""`alanet preview`: one moment before and after, as a picture; or some seconds side by side, as a video or animation.

Before is the input frame that a viewer sees at that moment; after is the restored frame shown then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from cyclopts import Parameter

from alanet.cli.options import (
    RESULT,
    NetworkOptions,
    ReadOptions,
    RestoreOptions,
    Source,
    Verbosity,
    flag,
    restorer_of,
    source_path,
)
from alanet.cli.screen import Screen
from alanet.errors import OptionError, OutputError
from alanet.files import atomic_write
from alanet.restoration.values import parse_moment
from alanet.signals import deferred_signals

if TYPE_CHECKING:
    from PIL import Image

    from alanet.frames.frame import Frame, VideoInfo
    from alanet.restoration.restorer import Restorer

__all__ = ["Sheet", "pairs_of", "preview"]

ANIMATED = ".webp"  # what web pages and forums play by themselves
WIDEST = 640  # px of each half of an animation
QUALITY = 70  # of 100
LONGEST_LABEL = "before   input frame at 00000.000 s"  # so that labels of one video have one size
AROUND = 4  # input frames read on either side of the moment: more than any window needs


@Parameter(name="*", group=RESULT)
@dataclass(frozen=True)
class Sheet:
    """What is shown, and where it goes."""

    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="Where to write; by default NAME_preview.png, or .mp4, beside the input. "
            "With --video, a name ending in .webp: an animation without sound.",
            allow_leading_hyphen=True,
        ),
    ] = None
    at: Annotated[
        str | None, Parameter(metavar="TIME", help="The moment; seconds or h:m:s. By default the middle of the video.")
    ] = None
    video: Annotated[bool, flag(["--video"], "A video side by side instead of a picture.")] = False
    seconds: Annotated[float, Parameter(metavar="N", help="How long that video is.")] = 2.0
    gain: Annotated[float, Parameter(metavar="N", help="How much the difference is amplified.")] = 4.0
    overwrite: Annotated[bool, flag(["--overwrite"], "Replace an existing result.")] = False


def preview(
    source: Source = None,
    /,
    *,
    sheet: Sheet = Sheet(),
    reading: ReadOptions = ReadOptions(),
    network: NetworkOptions = NetworkOptions(),
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Write one moment as a picture: before | after | difference; or a short video side by side."""
    from alanet.video.input.probe import probe

    path = source_path(source)
    if str(path) == "-":
        raise OptionError(
            "a preview looks at one place of a video, which standard input cannot be asked for; give a file"
        )
    info = probe(path, input_rate=reading.input_rate, stream=reading.stream, telecine=reading.telecine)
    at = _moment(sheet.at, info)
    folder = Path.cwd() if source is None else path.absolute().parent
    target = sheet.output or folder / f"{path.stem}_preview{'.mp4' if sheet.video else '.png'}"
    _check_target(target, path, sheet)
    screen = Screen(quiet=verbosity.quiet)
    moving = _animation if target.suffix.lower() == ANIMATED else _video
    make = moving if sheet.video else _picture
    with screen.waiting("restoring"):
        rows = make(restorer_of(network), info, at, target, sheet, reading)
    screen.rows([*rows, ("result", str(target.absolute()))])
    if verbosity.json:
        print(json.dumps({"output": str(target.absolute()), "time": float(at)}))
    return 0


def pairs_of(inputs: Iterator[Frame], restored: Iterator[Frame]) -> Iterator[tuple[Frame, Frame]]:
    """Each restored frame with the input frame that is shown when it begins; both in order of time, one pass."""
    before = next(inputs, None)
    after_next = next(inputs, None)
    for after in restored:
        while after_next is not None and after_next.time <= after.time:
            before, after_next = after_next, next(inputs, None)
        if before is not None:
            yield before, after


def _moment(text: str | None, info: VideoInfo) -> Fraction:
    if text is not None:
        return parse_moment(text)
    return (info.duration or Fraction(0)) / 2


def _check_target(target: Path, source: Path, sheet: Sheet) -> None:
    if not sheet.video and target.suffix.lower() != ".png":
        raise OptionError(f"a preview is written as PNG; end the name {target.name} in .png, or ask for --video")
    if not target.parent.is_dir():
        raise OutputError(f"{target.parent} is no folder; make it, or choose another place with -o")
    if target.exists() and source.exists() and target.samefile(source):
        raise OutputError(f"{target} is the input itself; choose another name with -o")
    if target.exists() and not sheet.overwrite:
        raise OutputError(f"{target} exists; give --overwrite to replace it, or another name with -o")


def _pairs(
    restorer: Restorer, info: VideoInfo, start: Fraction, end: Fraction, reading: ReadOptions
) -> Iterator[tuple[Frame, Frame]]:
    from alanet.video.input.decode import decode

    begin = start if start > 0 else None
    options = RestoreOptions(start=begin, end=end, **asdict(reading))
    inputs = decode(info, start=begin, end=end, deinterlace=reading.deinterlace)
    return pairs_of(inputs, restorer.frames(info.path, options))


def _picture(
    restorer: Restorer, info: VideoInfo, at: Fraction, target: Path, sheet: Sheet, reading: ReadOptions
) -> list[tuple[str, str]]:
    """Writes the picture of one moment, whole or not at all."""
    from PIL import Image

    from alanet.cli.sheet import difference, side_by_side
    from alanet.frames.frame import shown_pixels

    margin = AROUND / info.rate
    pair = None
    for before, after in _pairs(restorer, info, at - margin, at + margin, reading):
        if after.time > at:
            break
        pair = before, after
    if pair is None or pair[1].time + pair[1].duration <= at:
        raise OptionError(
            f"there is no frame at {float(at):.3f} s; `alanet info` shows where the video begins and ends"
        )
    before, after = pair
    left, right = shown_pixels(before, info), shown_pixels(after, info)
    what, labels = _kind(before, after), [*_labels(before, after), f"difference x{sheet.gain:g}"]
    picture = side_by_side([left, right, difference(left, right, sheet.gain)], labels)
    _save(target, [Image.fromarray(picture)], format="png")
    return [("moment", f"{what} at {float(after.time):.3f} s, beside the input frame at {float(before.time):.3f} s")]


def _video(
    restorer: Restorer, info: VideoInfo, at: Fraction, target: Path, sheet: Sheet, reading: ReadOptions
) -> list[tuple[str, str]]:
    """Writes some seconds with the input on the left and the result on the right, and their sound."""
    from alanet.notes import Notes
    from alanet.restoration.options import EncodeOptions
    from alanet.restoration.writer import open_writer
    from alanet.video.output.format import plan_output

    end = at + Fraction(sheet.seconds)
    joined = _joined(_pairs(restorer, info, at, end, reading), info)
    opening = next(joined, None) or _nothing(at)
    wide = _plain(info, opening)
    plan = plan_output(wide, target, EncodeOptions(compatible=True, overwrite=sheet.overwrite), Notes())
    with deferred_signals() as safe_place, open_writer(plan, start=at, end=end, notes=Notes()) as writer:
        for frame in chain([opening], joined):
            writer.write(frame)
            last = frame.time + frame.duration
            safe_place()
        writer.finish()
    return [("moment", f"{float(at):.3f} s to {float(min(end, last)):.3f} s")]


def _animation(
    restorer: Restorer, info: VideoInfo, at: Fraction, target: Path, sheet: Sheet, reading: ReadOptions
) -> list[tuple[str, str]]:
    """The same as an animated WebP, without sound; each half `WIDEST` at most."""
    from PIL import Image

    end = at + Fraction(sheet.seconds)
    frames, ends = [], []
    for frame in _joined(_pairs(restorer, info, at, end, reading), info):
        picture = Image.fromarray(frame.pixels)
        picture.thumbnail((2 * WIDEST, picture.height))
        frames.append(picture)
        ends.append(round(1000 * (frame.time + frame.duration - at)))  # whole ms: rounded so that none is lost in sum
    if not frames:
        _nothing(at)
    shown = [max(1, b - a) for a, b in pairwise([0, *ends])]
    _save(target, frames, format="webp", duration=shown, quality=QUALITY, method=6, loop=0)
    return [("moment", f"{float(at):.3f} s to {float(end):.3f} s, {len(frames)} pictures")]


def _joined(pairs: Iterator[tuple[Frame, Frame]], info: VideoInfo) -> Iterator[Frame]:
    """Before and after in one picture, as long as after is shown."""
    from alanet.cli.sheet import side_by_side
    from alanet.frames.frame import Frame, shown_pixels

    for before, after in pairs:
        pictures = [shown_pixels(frame, info) for frame in (before, after)]
        sheet = side_by_side(pictures, _labels(before, after), longest=LONGEST_LABEL, even=True)
        yield Frame(sheet, after.time, after.duration)


def _kind(before: Frame, after: Frame) -> str:
    return "deblurred" if after.time == before.time else "interpolated"


def _labels(before: Frame, after: Frame) -> list[str]:
    """What stands above the two: the kind of each frame and its time."""
    return [
        f"before   input frame at {float(before.time):.3f} s",
        f"after   {_kind(before, after)} at {float(after.time):.3f} s",
    ]


def _nothing(at: Fraction) -> NoReturn:
    raise OptionError(f"there is no frame from {float(at):.3f} s on; `alanet info` shows where the video ends")


def _save(target: Path, pictures: Sequence[Image.Image], **options: Any) -> None:
    """Write one picture, or several as an animation, atomically."""
    more: dict[str, Any] = {"save_all": True, "append_images": pictures[1:]} if len(pictures) > 1 else {}
    with atomic_write(target) as file:
        pictures[0].save(file, **more, **options)


def _plain(info: VideoInfo, frame: Frame) -> VideoInfo:
    """The video that sheets make: of their size, 8-bit, upright, untagged, with the input's time line and sound."""
    from alanet.frames.frame import Color

    height, width = frame.pixels.shape[:2]
    return replace(
        info,
        width=width,
        height=height,
        pixel_format="yuv420p",
        depth=8,
        alpha=False,
        color=Color(),
        rotation=0,
        pixel_aspect=Fraction(1),
        side_data={},
    )
