"""What a build will do, decided before anything is written: which videos, at which size, in which split, in what room.

    find -> look into each -> split -> compare with what is there already -> how many bytes

Everything that can be refused is refused here; a video that cannot be used is skipped, with its reason.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from alanet.data.real.find import ADOBE240_TEST, SplitOptions, VideoSource, find_sources, split_sources
from alanet.data.real.manifest import Skipped, Video, has_manifest, read_manifest
from alanet.data.real.read import LOWEST_RATE, HighRateVideo, digest, fingerprint, look_into
from alanet.data.real.runs import run_is_whole
from alanet.errors import DataError, InputError, OptionError, OutputError
from alanet.notes import Notes

__all__ = ["BuildOptions", "BuildPlan", "check_room", "nothing_usable", "plan_build", "skip", "stored_size"]

STRIDE = 32  # the network takes whole frames of such multiples
ROOM = 1.02  # of what frames take: a little more for the manifest and the sheet


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What is stored, and how it is split."""

    size: tuple[int, int] = (640, 352)  # width, height in pixels; portrait video gets them exchanged
    keep_aspect: bool = False  # the longer side as `size` says, the other one the multiple of 32 next to its aspect
    assume_rate: Fraction | None = None  # frames a second that slower sources stand for
    cuts: bool = True  # look for cuts, which no run spans
    shortest: int = 29  # frames; a shorter run is not kept
    split: SplitOptions = field(default_factory=SplitOptions)

    def __post_init__(self) -> None:
        if min(self.size) < STRIDE or any(side % STRIDE for side in self.size):
            raise OptionError(
                f"a size of {self.size[0]}x{self.size[1]}; allowed: multiples of {STRIDE}, such as 640x352"
            )
        if self.assume_rate is not None and self.assume_rate < LOWEST_RATE:
            raise OptionError(f"an assumed rate of {self.assume_rate} fps; allowed: 120 or more, such as 240")
        if self.shortest < 2:
            raise OptionError(f"runs of {self.shortest} frames or more; allowed: 2 or more, such as 29")

    def pixels(self) -> dict[str, Any]:
        """Those that decide about pixels, as the manifest keeps them."""
        values = asdict(self)
        del values["split"]
        values["assume_rate"] = None if self.assume_rate is None else str(self.assume_rate)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What will be done, before anything is written."""

    out: Path
    options: BuildOptions
    layout: str
    footage: tuple[HighRateVideo, ...]  # that can be used
    split: dict[str, str]
    done: dict[str, Video]  # verified; not done again
    skipped: tuple[Skipped, ...]
    bytes_needed: int  # about


def plan_build(folder: Path, out: Path, options: BuildOptions, notes: Notes) -> BuildPlan:
    """Look at everything and refuse what can be refused; writes nothing. Finished videos of `out` are verified."""
    layout, sources = find_sources(folder, leave_out=out)
    if layout == "adobe240":
        here = {Path(source.name).stem for source in sources}
        if missing := [name for name in ADOBE240_TEST if name not in here]:
            notes.warn(f"of the 8 official test videos of Adobe240 {len(missing)} are not here: {', '.join(missing)}")
    footage, skipped = _look_at(sources, options)
    if not footage:
        raise nothing_usable(folder, skipped)
    split = split_sources([one.source for one in footage], options.split)
    if set(split.values()) == {"train"} and len(split) > 1:
        notes.warn("no video is held out: all are for training")
    done = _verified(out, options, footage)
    todo = [one for one in footage if one.source.name not in done]
    for one in todo:
        _note_size(one, options, notes)
    needed = sum(one.frames * 3 * _area(one, options) for one in todo)
    return BuildPlan(out, options, layout, tuple(footage), split, done, tuple(skipped), int(needed * ROOM))


def _look_at(sources: list[VideoSource], options: BuildOptions) -> tuple[list[HighRateVideo], list[Skipped]]:
    footage: list[HighRateVideo] = []
    skipped: list[Skipped] = []
    weights: dict[int, list[VideoSource]] = {}  # sources of one size in bytes may be one video twice
    for source in sources:
        try:
            one = look_into(source, options.assume_rate)
            width, height = stored_size(one, options)
            if one.size[0] < width or one.size[1] < height:
                raise DataError(
                    f"{source.name}: {one.size[0]}x{one.size[1]} is smaller than {width}x{height}, and enlarged frames "
                    "are not sharp; give a smaller --size"
                )
            alike = weights.setdefault(fingerprint(source)[0], [])
            twin = next((other for other in alike if digest(other) == digest(source)), None)
            if twin is not None:
                raise DataError(f"{source.name}: the same video as {twin.name}")
            alike.append(source)
            footage.append(one)
        except (InputError, OSError) as error:
            skipped.append(skip(source, error))
    return footage, skipped


def skip(source: VideoSource, error: Exception) -> Skipped:
    """The reason without what the name says already; a manifest names no place of this machine."""
    reason = " ".join(str(error).split()).replace(str(source.path.absolute()), source.name)
    return Skipped(source.name, reason.removeprefix(f"{source.name}: "))


def nothing_usable(folder: Path, skipped: list[Skipped] | tuple[Skipped, ...]) -> DataError:
    first = skipped[0]
    count = "its only video" if len(skipped) == 1 else f"none of its {len(skipped)} videos"
    return DataError(
        f"{folder}: nothing usable, {count}{'' if len(skipped) > 1 else ' is not'}; {first.name}: {first.reason}"
    )


def stored_size(one: HighRateVideo, options: BuildOptions) -> tuple[int, int]:
    """Width, height; portrait video has them exchanged."""
    width, height = one.size
    if not options.keep_aspect:
        return options.size if width >= height else options.size[::-1]
    scale = Fraction(max(options.size), max(width, height))
    shorter = max(STRIDE, STRIDE * round(min(width, height) * scale / STRIDE))
    return (max(options.size), shorter) if width >= height else (shorter, max(options.size))


def _area(one: HighRateVideo, options: BuildOptions) -> int:
    width, height = stored_size(one, options)
    return width * height


def _note_size(one: HighRateVideo, options: BuildOptions, notes: Notes) -> None:
    width, height = stored_size(one, options)
    stretch = (width / one.size[0]) / (height / one.size[1])
    if not 0.9 < stretch < 1.1:
        notes.warn(
            f"{one.source.name}: {one.size[0]}x{one.size[1]} is stretched by {max(stretch, 1 / stretch):.2f} to "
            f"{width}x{height}; --keep-aspect avoids it"
        )


def check_room(folder: Path, needed: int, hint: str) -> None:
    """Raises OutputError where the disk of `folder` (which may not exist yet) has less than `needed` bytes free."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise OutputError(
            f"{folder}: about {needed / 1e9:.3g} GB are needed and {free / 1e9:.3g} GB are free; free some space, give "
            f"another folder with -o, or {hint}"
        )


def _verified(out: Path, options: BuildOptions, footage: list[HighRateVideo]) -> dict[str, Video]:
    """The videos in `out` that are whole and whose sources have not changed. Raises if it holds anything else."""
    if not has_manifest(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputError(f"{out}: exists and holds no set of videos; give a new folder with -o")
        return {}
    there = read_manifest(out)
    changed = [key for key, value in options.pixels().items() if there.options.get(key) != value]
    if changed:
        was = ", ".join(f"{key} {there.options.get(key)}" for key in changed)
        raise DataError(f"{out}: holds a set built with {was}; give the same options, or another folder with -o")
    known = {one.source.name: one for one in footage}
    if strange := [video.name for video in there.videos if video.name not in known]:
        raise DataError(
            f"{out}: holds {strange[0]}, which is no usable video of this folder; give another folder with -o"
        )
    return {video.name: video for video in there.videos if _is_done(out, video, known[video.name])}


def _is_done(out: Path, video: Video, one: HighRateVideo) -> bool:
    same = fingerprint(one.source) == (video.bytes, video.modified) or digest(one.source) == video.sha256
    return same and video.rate == str(one.rate) and all(run_is_whole(out, run) for run in video.runs)
