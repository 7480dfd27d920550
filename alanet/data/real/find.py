"""Which videos a folder of high-rate footage holds, and which of them are for training: split by video, never by clip.

Two kinds of video: a file, and a folder of pictures (a folder with pictures directly in it). Layouts that are known:

    Adobe240   original_high_fps_videos/*.{m4v,MOV,mp4}     test: the official list of 8 videos; the rest trains
    GoPro      {train,test}/GOPR0372_07_00/*.png            every frame of 240 fps video (the release "GOPRO_Large_all")
               {train,test}/GOPR0372_07_00/{blur,sharp}     sharp/ only, whose frames lie 7 to 13 frames apart
    plain      anything else: files and folders of pictures, however deep; folders named train, val or test are heeded

A video's name is its path inside the folder, with "/" between the parts.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path, PurePosixPath

from alanet.errors import DataError, OptionError

__all__ = ["ADOBE240_TEST", "SPLITS", "SplitOptions", "VideoSource", "find_sources", "read_list", "split_sources"]

# Official test list of the 240 fps videos of Su et al., "Deep video deblurring for hand-held cameras" (2017).
ADOBE240_TEST = (
    "720p_240fps_1",
    "GOPR9635",
    "GOPR9637a",
    "IMG_0004a",
    "IMG_0015",
    "IMG_0023",
    "IMG_0179",
    "IMG_0183",
)
ADOBE240_FOLDER = "original_high_fps_videos"
GOPRO_CLIP = re.compile(r"GOPR\d{4}_\d{2}_\d{2}")
SPLITS = ("train", "val", "test")
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
VIDEOS = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".wmv", ".3gp", ".y4m")
)
PICTURES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"))


@dataclass(frozen=True, slots=True)
class VideoSource:
    """A video file or a folder of pictures, not yet looked into."""

    name: str  # path inside the data folder
    path: Path
    pictures: tuple[Path, ...] = ()  # of a folder, in order; none: a video file
    rate: Fraction | None = None  # frames a second, where the layout says it
    split: str | None = None  # where the layout says it


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """Who is held out where the layout does not say: shares of the videos, or lists of names."""

    seed: int = 0
    test: float = 0.1
    val: float = 0.0
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)  # "test" or "val": names; all others train

    def __post_init__(self) -> None:
        if min(self.test, self.val) < 0 or self.test + self.val >= 1:
            raise OptionError(
                f"shares of {self.test} for testing and {self.val} for validation; allowed: 0 or more, below 1 together"
            )
        if unknown := set(self.lists) - {"val", "test"}:
            raise OptionError(f"a list for {', '.join(sorted(unknown))}; allowed: val and test, all others train")


def find_sources(folder: Path, *, leave_out: Path | None = None) -> tuple[str, list[VideoSource]]:
    """The layout ("adobe240", "gopro" or "plain") and all videos below a folder, sorted by name; `leave_out` is not
    entered. Raises DataError where there is no such folder or no video in it."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give a folder of videos of 120 fps or more, or of their frames")
    sources = sorted(_walk(folder, leave_out), key=lambda source: source.name)
    if not sources:
        raise DataError(
            f"{folder}: nothing usable, as it holds neither videos ({', '.join(sorted(VIDEOS))}) nor folders of "
            "pictures; give the folder that the data set was unpacked to"
        )
    adobe = [source for source in sources if ADOBE240_FOLDER in (source.path.parent.name, source.path.name)]
    stems = {_stem(source.name) for source in sources}
    if adobe or stems.issuperset(ADOBE240_TEST):
        # The same data set's other folders hold averaged frames of these very videos.
        chosen = adobe or sources
        return "adobe240", [replace(s, split="test" if _stem(s.name) in ADOBE240_TEST else "train") for s in chosen]
    gopro = any(GOPRO_CLIP.fullmatch(part) for source in sources for part in PurePosixPath(source.name).parts)
    return "gopro" if gopro else "plain", [replace(source, split=_split_of_folder(source.name)) for source in sources]


def _walk(folder: Path, leave_out: Path | None) -> Iterator[VideoSource]:
    hidden = None if leave_out is None else os.path.realpath(leave_out)
    seen: set[str] = set()  # links may lead in circles
    for where, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen or real == hidden:
            folders.clear()
            continue
        seen.add(real)
        here = Path(where)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        if "sharp" in folders:  # beside it lie its blurry copies
            folders[:] = [name for name in folders if not name.startswith("blur")]
        shown = [here / name for name in files if not name.startswith(".")]
        for path in shown:
            if path.suffix.lower() in VIDEOS:
                yield VideoSource(path.relative_to(folder).as_posix(), path)
        pictures = sorted((path for path in shown if path.suffix.lower() in PICTURES), key=_picture_order)
        if len(pictures) > 1:
            name = folder.resolve().name if here == folder else here.relative_to(folder).as_posix()
            rate = Fraction(240) if GOPRO_CLIP.fullmatch(here.name) else None
            yield VideoSource(name, here, tuple(pictures), rate)


def _picture_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Numbers inside names by their value: 2.png comes before 10.png."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


def _stem(name: str) -> str:
    """A video's own name, without folders and ending; of a folder of pictures all of it."""
    last = PurePosixPath(name)
    return last.stem if last.suffix.lower() in VIDEOS else last.name


def _split_of_folder(name: str) -> str | None:
    parts = (part.lower() for part in PurePosixPath(name).parts[:-1])
    return next((SPLIT_FOLDERS[part] for part in parts if part in SPLIT_FOLDERS), None)


def split_sources(sources: Sequence[VideoSource], options: SplitOptions = SplitOptions()) -> dict[str, str]:
    """The split of every video by name. Lists decide if given, else the layout, else shares drawn by the seed.

    A share is drawn only for a split that the layout does not have, and only from videos that it says nothing of or
    trains on. At least one video is left to train on. Raises DataError for a listed name that is no video here.
    """
    if options.lists:
        return _by_lists(sources, options.lists)
    split = {source.name: source.split or "train" for source in sources}
    said = {source.split for source in sources}
    for kind, share in (("test", options.test), ("val", options.val)):
        free = sorted((name for name in split if split[name] == "train"), key=lambda name: _draw(options.seed, name))
        if kind not in said and share > 0 and len(free) > 1:
            for name in free[: min(max(1, round(share * len(sources))), len(free) - 1)]:
                split[name] = kind
    return split


def read_list(path: Path) -> tuple[str, ...]:
    """The names in a list file: one a line, with or without folders and ending; "#" begins a comment."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a list of videos ({error}); give a text file") from None
    names = tuple(name for line in lines if (name := line.partition("#")[0].strip()))
    if not names:
        raise DataError(f"{path}: names no video; give a text file with a name a line")
    return names


def _draw(seed: int, name: str) -> str:
    """A place in a random order that does not depend on which other videos there are."""
    return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogateescape")).hexdigest()


def _by_lists(sources: Sequence[VideoSource], lists: Mapping[str, Sequence[str]]) -> dict[str, str]:
    split = {source.name: "train" for source in sources}
    for kind, names in lists.items():
        for listed in names:
            matches = [name for name in split if listed in (name, _stem(name), PurePosixPath(name).name)]
            if not matches:
                near = difflib.get_close_matches(listed, [_stem(name) for name in split], n=1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                raise DataError(f"the {kind} list names {listed}, which is no video here{hint}; correct the list")
            for name in matches:
                if split[name] not in ("train", kind):
                    raise DataError(f"{name} is in the lists for both val and test; a video belongs to one split")
                split[name] = kind
    return split
