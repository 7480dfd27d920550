"""`alanet info`: what a video is, what was found in it, and how long restoring it would take."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from alanet.cli.options import (
    NetworkOptions,
    ReadOptions,
    Reporting,
    RestoreOptions,
    Source,
    flag,
    restorer_of,
    source_path,
)
from alanet.cli.progress import Show, progress
from alanet.cli.screen import Paper, Screen, is_plain, page
from alanet.errors import OptionError, OutputError
from alanet.restoration.analysis import Analysis, FrameEstimates, analyse
from alanet.restoration.summary import describe, estimate, exposure_text
from alanet.text import bars, clock, count, marks, rate, ruler, safe, size

if TYPE_CHECKING:
    from alanet.frames.cuts import Scores
    from alanet.frames.frame import Frame, VideoInfo
    from alanet.restoration.analysis import Estimator

__all__ = ["info"]

TRACK = 72  # bars at most
Quick = Annotated[bool, flag(["--quick"], "Read the header only: no cuts, duplicates or blur, no estimate.")]

Plot = Annotated[
    Path | None,
    Parameter(name="--plot", metavar="FILE.png", help="Draw blur, exposure and cuts over time. Needs the extra plots."),
]


def info(
    source: Source = None,
    /,
    *,
    quick: Quick = False,
    plot: Plot = None,
    reading: ReadOptions = ReadOptions(),
    network: NetworkOptions = NetworkOptions(),
    report: Reporting = Reporting(),
) -> int:
    """Show what a video is: rate, colour, streams, cuts, where it is blurry, how long restoring it would take."""
    from alanet.video.input.probe import probe

    if plot is not None and quick:
        raise OptionError("--plot needs every frame, which --quick does not read; leave one of them out")
    path = source_path(source)
    if plot is not None:
        _check_plot(plot)
    video = probe(path, input_rate=reading.input_rate, stream=reading.stream, telecine=reading.telecine)
    found, seconds = None, None
    if not quick:
        screen = Screen(quiet=report.json and not report.verbose)
        with screen.waiting("loading the network"):
            # Planned first: what is too large for the memory is refused before its frames are held.
            seconds = None if str(path) == "-" else _estimate(path, reading, network)
            estimator, every = _estimator(video, network)
        with progress(screen, "looking at frames") as show:
            found = analyse(_counted(_examined(video, reading), video, show), estimator, every)
    if plot is not None and found is not None:
        _draw(video, found, plot)
    if report.json:
        print(json.dumps(_as_json(video, found, seconds)))
    else:
        _show(video, found, seconds)
    return 0


def _check_plot(target: Path) -> None:
    """Refuse a plot that cannot be drawn or written before the video is read."""
    from alanet.evaluation.plots import check_available

    check_available()
    if target.suffix.lower() != ".png":
        raise OutputError(f"{target.name}: plots are written as PNG; give a name that ends in .png")
    if target.exists():
        raise OutputError(f"{target} exists; give another name with --plot")


def _draw(video: VideoInfo, found: Analysis, target: Path) -> None:
    from alanet.evaluation.plots import save, timeline
    from alanet.frames.cuts import blur_track

    blurs = blur_track(found.blurs, found.cuts, max(1, found.frames))
    times, cuts = ([float(moment) for moment in moments] for moments in (found.times, found.cut_times))
    figure = timeline(times, blurs, cuts, found.exposures, title=safe(video.path.name))
    path = save(figure, target, overwrite=False)
    Screen().rows([("result", str(path.absolute()))])


def _counted(
    examined: Iterable[tuple[Frame, Scores, bool]], video: VideoInfo, show: Show
) -> Iterable[tuple[Frame, Scores, bool]]:
    """The same frames, with progress."""
    total = video.frame_count or (round(video.duration * video.rate) if video.duration else None)
    for number, one in enumerate(examined):
        show(number, total, "frames")
        yield one


def _examined(video: VideoInfo, reading: ReadOptions) -> Iterable[tuple[Frame, Scores, bool]]:
    from alanet.frames.cuts import find_cuts
    from alanet.video.input.decode import decode
    from alanet.video.input.scores import scored

    examined = find_cuts(scored(decode(video, deinterlace=reading.deinterlace), blur=True))
    return examined if reading.cuts == "auto" else ((frame, scores, False) for frame, scores, _ in examined)


def _estimator(video: VideoInfo, network: NetworkOptions) -> tuple[Estimator | None, int]:
    """The named network's estimates of a frame, and of which frames: all of a short video, else one a bar."""
    if network.model is None:
        return None, 1
    runner = restorer_of(network).runner
    frames = video.frame_count or (round(video.duration * video.rate) if video.duration else 0)
    every = max(1, frames // TRACK)
    return FrameEstimates(runner) if runner.model.estimates else None, every


def _estimate(path: Path, reading: ReadOptions, network: NetworkOptions) -> float | None:
    """Seconds; planned as if the result went to a folder of its own, so that an earlier result is no obstacle."""
    options = RestoreOptions(**asdict(reading))
    with tempfile.TemporaryDirectory(prefix="alanet-") as folder:
        seconds: float | None = restorer_of(network).plan(path, Path(folder) / "estimate.mkv", options).seconds
    return seconds


def _as_json(video: VideoInfo, found: Analysis | None, seconds: float | None) -> dict[str, Any]:
    from alanet.frames.color import assumed_color

    color, assumed = video.color, assumed_color(video.color, video.width, video.height)
    said: dict[str, Any] = {
        "path": str(video.path),
        "container": video.container,
        "codec": video.codec,
        "width": video.width,
        "height": video.height,
        "rotation": video.rotation,
        "pixel_aspect": str(video.pixel_aspect),
        "rate": str(video.rate),
        "duration": None if video.duration is None else float(video.duration),
        "pixel_format": video.pixel_format,
        "depth": video.depth,
        "alpha": video.alpha,
        "interlaced": video.interlaced,
        "color": {name: getattr(color, name) for name in COLOR_FIELDS},
        "color_assumed": {name: getattr(assumed, name) for name in COLOR_FIELDS},
        "streams": [
            {"index": s.index, "kind": s.kind, "codec": s.codec, "language": s.language, "detail": s.detail}
            for s in video.streams
        ],
        "chapters": video.chapters,
    }
    if found is not None:
        said |= {
            "frames": found.frames,
            "start": float(found.start),
            "end": float(found.end),
            "variable_rate": found.variable,
            "cuts": [float(moment) for moment in found.cut_times],
            "duplicates": found.duplicates,
            "blur": _track(found),
            "estimate_seconds": seconds,
        }
        if found.estimates.classified:
            said |= {"exposures": found.exposures, **found.estimates.to_dict()}
    return said


COLOR_FIELDS = ("matrix", "primaries", "transfer", "range")


def _show(video: VideoInfo, found: Analysis | None, seconds: float | None) -> None:
    console = Paper()
    rows = _facts(video)
    if found is not None:
        rows += _findings(found, plain=is_plain(console))
        rows.append(("estimate", estimate(seconds, found.frames)))
    console.print(Text(safe(video.path), style="bold"), soft_wrap=True)
    console.print(page(rows, console), soft_wrap=True)


def _facts(video: VideoInfo) -> list[tuple[str, str]]:
    """What the file states."""
    rows = [("picture", describe(video)), ("colour", _colour(video))]
    special = []
    if video.rotation:
        special.append(f"turned by {video.rotation} degrees (stored {video.width}x{video.height})")
    if video.pixel_aspect != 1:
        special.append(f"pixels {video.pixel_aspect} as wide as high")
    special += [word for word, there in (("alpha", video.alpha), ("interlaced", video.interlaced)) if there]
    special += [name.replace("_", " ") for name in video.side_data]
    if special:
        rows.append(("also", ", ".join(special)))
    weight = [size(video.path.stat().st_size)] if video.path.is_file() else []
    weight += [f"{video.bit_rate / 1e6:.1f} Mbit/s"] if video.bit_rate else []
    names = video.container.split(",")  # FFmpeg's mov and mp4 are one: "mov,mp4,m4a,3gp,3g2,mj2"
    own = video.path.suffix.lower().lstrip(".")
    rows.append(("container", ", ".join([own if own in names else names[0], *weight])))
    for stream in video.streams:
        rows.append((stream.kind, ", ".join(filter(None, [stream.codec, stream.detail, stream.language]))))
    if video.chapters:
        rows.append(("chapters", f"{video.chapters}"))
    return rows


def _colour(video: VideoInfo) -> str:
    """The tags, and what is assumed where there are none: "bt709, tv range", "untagged, taken as bt709, tv range"."""
    from alanet.frames.color import assumed_color

    assumed = assumed_color(video.color, video.width, video.height)
    tagged = {name: value for name in COLOR_FIELDS if (value := getattr(video.color, name)) is not None}
    guessed = {name: getattr(assumed, name) for name in COLOR_FIELDS if name not in tagged}
    if not tagged:
        return f"untagged, taken as {_in_words(guessed)}"
    return _in_words(tagged) + (f"; the rest is taken as {_in_words(guessed)}" if guessed else "")


def _in_words(tags: dict[str, str]) -> str:
    """Colour tags without repeating what matrix, primaries and transfer have in common."""
    coding = {name: value for name, value in tags.items() if name != "range"}
    alike = len(coding) == len(COLOR_FIELDS) - 1 and len(set(coding.values())) == 1
    words = [next(iter(coding.values()))] if alike else [f"{name} {value}" for name, value in coding.items()]
    return ", ".join([*words, *([f"{tags['range']} range"] if "range" in tags else [])])


def _track(found: Analysis) -> list[float]:
    from alanet.frames.cuts import blur_track

    return blur_track(found.blurs, found.cuts, min(found.frames, TRACK))


def _findings(found: Analysis, *, plain: bool) -> list[tuple[str, str]]:
    """What decoding showed."""
    begins, ends = (clock(float(moment), tenths=True) for moment in (found.start, found.end))
    span = f"{count(found.frames, 'frame')} from {begins} to {ends}"
    if found.variable and found.shortest and found.longest:
        span += f", variable rate: {rate(1 / found.longest)} to {rate(1 / found.shortest)}"
    at = ", ".join(clock(float(moment), tenths=True) for moment in found.cut_times[:8])
    cuts = count(len(found.cut_times), "cut") + (f" at {at}" if at else "")
    if len(found.cut_times) > 8:
        cuts += " ..."
    columns = min(found.frames, TRACK)
    starts = [index for index, cut in enumerate(found.cuts) if cut]
    rows = [("frames", span), ("found", f"{cuts}; {count(found.duplicates, 'duplicate frame')}")]
    rows.append(("blur", bars(_track(found), columns, plain=plain)))
    if starts:
        rows.append(("blur", marks(starts, found.frames, columns)))
    rows.append(("blur", ruler(float(found.start), float(found.end), columns)))
    return rows + (_exposure(found, columns, plain=plain) if found.estimates.classified else [])


def _exposure(found: Analysis, columns: int, *, plain: bool) -> list[tuple[str, str]]:
    """A bar a moment, full for a whole period; and what the network makes of it."""
    said = found.estimates
    looked = count(said.classified, "frame") + (" looked at" if said.classified < found.frames else "")
    share = f"{said.sharp / said.classified:.0%} of {looked} are already sharp and are left unchanged"
    return [
        ("exposure", bars(found.exposures, columns, plain=plain)),
        ("exposure", f"{exposure_text(said)}; {share}"),
    ]
