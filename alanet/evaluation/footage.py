"""Videos to evaluate on: decoded, brought to the size that is scored, held in memory, with hashes that name them.

Frames are t h w 3 uint8. Arrays that were decoded before (`.npy`, a built set) and scenes need no PyAV, for machines
that have none. No table states a wrong rate: video below 120 fps is refused unless the caller gives the rate that it is
taken for, and then both rates are noted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from alanet.errors import DataError
from alanet.evaluation.metrics import Picture
from alanet.evaluation.result import Subject
from alanet.frames.color import to_float, to_integer
from alanet.frames.frame import Pixels
from alanet.notes import Notes

if TYPE_CHECKING:
    from alanet.data.synthetic.drawings import Kind

__all__ = ["Footage", "Size", "footage_of_scenes", "footage_of_set", "generated_footage", "load_footage", "scored_size"]

Size = Literal["paper", "native"]
LONGER_SIDE = 640  # pixels


@dataclass(frozen=True, eq=False)
class Footage:
    """A sharp high-rate video in memory, at the size that is scored."""

    frames: npt.NDArray[np.uint8]  # t h w 3
    subject: Subject
    sweep: npt.NDArray[np.float32] | None = None  # of scenes: motion at each input, t 2 h/4 w/4, pixels a period

    @classmethod
    def of(
        cls, name: str, frames: npt.NDArray[np.uint8], *, rate: Fraction | str | None = None, file: str | None = None
    ) -> Footage:
        """Raises DataError for anything but t h w 3 uint8."""
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
            raise DataError(f"{name}: an array of {frames.dtype} {frames.shape}; frames are t h w 3 of uint8")
        digest = hashlib.sha256(np.ascontiguousarray(frames).data).hexdigest()
        count, height, width, _ = frames.shape
        return cls(frames, Subject(name, width, height, count, str(rate) if rate else None, file, digest))


def scored_size(width: int, height: int, size: Size = "paper") -> tuple[int, int]:
    """The (width, height) that a video is resized to: 640x352, or 352x640 for portrait video.

    "native" keeps the aspect for clips of another shape: the longer side is 640, the other one even.
    """
    if size == "paper":
        return (LONGER_SIDE, 352) if width >= height else (352, LONGER_SIDE)
    scale = Fraction(LONGER_SIDE, max(width, height))
    return (max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2)))


def load_footage(
    path: str | Path,
    *,
    size: Size = "paper",
    limit: int | None = None,
    assume_rate: Fraction | None = None,
    notes: Notes | None = None,
) -> Footage:
    """The first `limit` frames of a video file, a folder of images, or an array in a .npy file (taken as it is).

    assume_rate: what a video below 120 fps stands for, where motion is small enough for that; without it such a video
    is refused. Frames are turned as a player turns them, resized whole, by a triangle filter as wide as the reduction
    (PIL's bilinear), and scored at 8 bits. Raises DataError or MediaError for what cannot be used.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return _load_array(path, limit)
    from alanet.video.input.decode import decode  # only here: a machine without PyAV evaluates arrays
    from alanet.video.input.probe import probe

    folder = path.is_dir()
    info = probe(path, input_rate=(assume_rate or Fraction(240)) if folder else None)
    rate = _stated_rate(path.name, None if folder else info.rate, assume_rate, notes)
    frames: list[Picture] = []
    for frame in decode(info, notes=notes):
        if limit is not None and len(frames) == limit:
            break
        upright = np.rot90(frame.pixels, info.rotation // 90)  # as a player shows it: portrait stays portrait
        frames.append(_scaled(upright, size))
    if not frames:
        raise DataError(f"{path}: no frame in it can be decoded; leave it out")
    return Footage.of(path.stem, np.stack(frames), rate=rate, file=None if folder else _digest(path))


def _stated_rate(name: str, rate: Fraction | None, assumed: Fraction | None, notes: Notes | None) -> str | None:
    """What a table says about the rate. Raises DataError for one that is too low."""
    from alanet.data.real.read import LOWEST_RATE

    if rate is not None and rate >= LOWEST_RATE:
        return str(rate)
    if rate is not None and assumed is None:
        raise DataError(
            f"{name}: {float(rate):.4g} fps; allowed: 120 fps or more, or an assumed rate (--assume-rate 240) if "
            "motion from frame to frame is as small as at that rate"
        )
    if assumed is None:
        return None
    if notes is not None:
        notes.warn(
            f"{name}: {'frames of unknown rate' if rate is None else f'{float(rate):.4g} fps'} taken as if "
            f"{float(assumed):g} fps; such scores cannot be compared with those of video that has this rate"
        )
    return f"{'unknown' if rate is None else rate}, taken as {assumed}"


def footage_of_set(folder: str | Path, split: str = "test", *, limit: int | None = None) -> Iterator[Footage]:
    """Every run of a split of a built set, its first `limit` frames. Raises DataError."""
    from alanet.data.real.video_set import VideoSet

    videos = VideoSet(folder, split)
    number = 0
    for video in videos.videos:
        stated = video.stated_rate or "unknown"
        rate = video.rate if stated == video.rate else f"{stated}, taken as {video.rate}"
        for place in range(len(video.runs)):
            frames = np.asarray(videos.sharp(number)[:limit])
            name = video.name if len(video.runs) == 1 else f"{video.name}, run {place}"
            yield Footage.of(name, frames, rate=rate, file=video.sha256)
            number += 1


def footage_of_scenes(folder: str | Path, *, count: int | None = None, limit: int | None = None) -> Iterator[Footage]:
    """The first `count` scenes of a bank: scene k of a seed is the same everywhere. Raises DataError."""
    from alanet.data.synthetic.bank import Bank

    bank = Bank(folder)
    for scene in range(len(bank) if count is None else min(count, len(bank))):
        name = f"scene {scene} of seed {bank.seed}"
        footage = Footage.of(name, np.ascontiguousarray(bank.sharp(scene)[:limit].numpy()))
        yield replace(footage, sweep=bank.sweep(scene).float().cpu().numpy())


def generated_footage(kind: Kind, *, limit: int | None = None) -> Footage:
    """Generated video, drawn animation or a screen: 104 frames, or `limit`. Raises OptionError for another kind."""
    from alanet.data.synthetic.drawings import draw

    return Footage.of(kind, draw(kind, limit or 104), rate="240")


def _load_array(path: Path, limit: int | None) -> Footage:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a plain numpy array ({error}); frames are t h w 3 of uint8") from error
    return Footage.of(path.stem, np.asarray(array[:limit]), file=_digest(path))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _scaled(pixels: Pixels, size: Size) -> Picture:
    from PIL import Image

    rgb = pixels[..., :3]
    if rgb.dtype != np.uint8:
        rgb = to_integer(to_float(rgb), depth=8)
    width, height = scored_size(rgb.shape[1], rgb.shape[0], size)
    if (height, width) == rgb.shape[:2]:
        return np.ascontiguousarray(rgb, dtype=np.uint8)
    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).resize((width, height), Image.Resampling.BILINEAR))
