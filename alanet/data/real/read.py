"""A source of sharp frames, looked into and then read: its true rate, its size as shown, its frames with their times.

Video files are read by `alanet.video`. Folders of pictures are read here, as a data set must survive a picture that
cannot be read: it is passed over and named, and leaves a gap in time like any frame that is missing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from alanet.data.real.find import VideoSource
from alanet.errors import DataError
from alanet.frames.frame import Frame, VideoInfo
from alanet.notes import Notes
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe

__all__ = ["LOWEST_RATE", "HighRateVideo", "digest", "fingerprint", "look_into", "picture_places", "read_frames"]

LOWEST_RATE = Fraction(119)  # frames a second; "120 fps" is often 119.88


@dataclass(frozen=True, slots=True)
class HighRateVideo:
    """What is known of a source before its frames are read."""

    source: VideoSource
    size: tuple[int, int]  # width, height as shown, after rotation
    rotation: int  # degrees counter-clockwise from stored to shown
    stated_rate: Fraction | None
    rate: Fraction  # what it is taken for
    interval: Fraction  # of the time line of `read_frames`, from a frame to the next
    frames: int  # about
    info: VideoInfo | None  # of a file
    places: tuple[int, ...] = ()  # of a folder's pictures on the time line
    unreadable: list[str] = field(default_factory=list)  # pictures passed over so far


def look_into(source: VideoSource, assume_rate: Fraction | None = None) -> HighRateVideo:
    """Raises MediaError for what cannot be opened, DataError for a rate that is too low or unknown.

    assume_rate: what a source below 120 fps, or of unknown rate, is taken for: its motion from one frame to the next
    stands for what such a camera would see.
    """
    if source.pictures:
        return _look_into_folder(source, assume_rate)
    info = probe(source.path)
    size = (info.width, info.height) if info.rotation % 180 == 0 else (info.height, info.width)
    if info.rotation % 90:
        raise DataError(f"{source.name}: is shown turned by {info.rotation} degrees; give upright video")
    count = info.frame_count or (round(info.duration * info.rate) if info.duration is not None else 0)
    rate = _taken_rate(source, info.rate, assume_rate)
    return HighRateVideo(source, size, info.rotation % 360, info.rate, rate, 1 / info.rate, count, info)


def _taken_rate(source: VideoSource, stated: Fraction | None, assumed: Fraction | None) -> Fraction:
    if stated is not None and stated >= LOWEST_RATE:
        return stated
    if assumed is not None:
        return assumed
    what = "is a folder of pictures of unknown rate" if stated is None else f"has {float(stated):.4g} fps"
    raise DataError(
        f"{source.name}: {what}; allowed: 120 fps or more, or --assume-rate 240 if motion from frame to frame is as "
        "small as at 240 fps (slow motion stored at a low rate, say)"
    )


def _look_into_folder(source: VideoSource, assume_rate: Fraction | None) -> HighRateVideo:
    """The size is that of the first picture that can be read."""
    rate = _taken_rate(source, source.rate, assume_rate)
    for path in source.pictures:
        try:
            with Image.open(path) as image:
                size = image.size
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
        places = picture_places([path.name for path in source.pictures])
        return HighRateVideo(source, size, 0, source.rate, rate, Fraction(1), len(places), None, places)
    raise DataError(f"{source.name}: none of its {len(source.pictures)} pictures can be read; repair or remove it")


def picture_places(names: Sequence[str]) -> tuple[int, ...]:
    """Where pictures lie on the time line, in frames: by their numbers where they have them, so that one that was
    removed leaves a gap; else one after the other.

    >>> picture_places(["000047.png", "000048.png", "000050.png"])
    (0, 1, 3)
    """
    found = [re.findall(r"\d+", name.rpartition(".")[0]) for name in names]
    numbers = [int(parts[-1]) for parts in found if parts]
    steps = [after - before for before, after in pairwise(numbers)]
    usual = int(median(steps)) if steps else 1
    if len(numbers) < len(names) or usual < 1 or any(step < 1 or step % usual for step in steps):
        return tuple(range(len(names)))
    return tuple((number - numbers[0]) // usual for number in numbers)


def read_frames(footage: HighRateVideo, notes: Notes) -> Iterator[Frame]:
    """All frames that can be read, in order, as stored (not yet turned). Frames that the decoder had to make up are
    left out. Raises MediaError where the file cannot be read any more."""
    if footage.info is None:
        yield from _pictures(footage)
        return
    for frame in decode(footage.info, notes=notes):
        if not getattr(frame.source, "is_corrupt", False):
            yield frame


def _pictures(footage: HighRateVideo) -> Iterator[Frame]:
    for place, path in zip(footage.places, footage.source.pictures, strict=True):
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB")) if image.size == footage.size else None
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            pixels = None
        if pixels is None:
            footage.unreadable.append(path.name)
        else:
            yield Frame(pixels, Fraction(place), Fraction(1))


def fingerprint(source: VideoSource) -> tuple[int, int]:
    """(bytes, time of the last change in nanoseconds) of a file, or of all pictures of a folder."""
    stats = [path.stat() for path in source.pictures or (source.path,)]
    return sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)


def digest(source: VideoSource) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's pictures."""
    if not source.pictures:
        return _digest(source.path)
    total = hashlib.sha256()
    for path in source.pictures:
        total.update(f"{path.name}\0{_digest(path)}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
