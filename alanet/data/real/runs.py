"""Frames as they pass -> runs on disk: consecutive sharp frames of one shot, each run one .npy file (t h w c, uint8).

A run ends at a cut, where frames are missing, and at the video's end; one too short for a clip is not kept. Files are
plain numpy arrays, so that a trainer reads any frame of them memory-mapped, and anybody can look into them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alanet.data.real.manifest import Run
from alanet.files import AtomicFile, write_errors
from alanet.frames.color import to_float, to_integer
from alanet.frames.cuts import Scores, find_cuts
from alanet.frames.frame import Frame, Pixels
from alanet.video.input.scores import scored

__all__ = ["RunOptions", "Stored", "resize_area", "run_is_whole", "store_runs"]

HEADER = 128  # bytes before the pixels; always the same, as it is written when the frames have been counted
GAP = Fraction(3, 2)  # intervals: a frame that comes later than this is not the next one

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def resize_area(pixels: Pixels, width: int, height: int) -> Bytes:
    """h w c pixels made smaller (never larger): each new pixel is the mean of the area it covers, 8 bits.

    Measured against this, libswscale's area scaling is exact from 1280 to 640 pixels but wrong by up to 70 of 255 from
    1920 to 640, and Pillow's box filter takes or leaves whole pixels; so it is done here.
    """
    small = pixels[..., :3]
    if small.dtype != np.uint8:
        small = to_integer(to_float(small), 8)
    if small.shape[:2] == (height, width):
        return np.ascontiguousarray(small, np.uint8)
    rows = _shrunk(small, *_taps(small.shape[0], height), axis=0)
    mean = _shrunk(rows, *_taps(small.shape[1], width), axis=1)
    return np.asarray(np.rint(mean), np.uint8)


def _shrunk(values: npt.NDArray[Any], first: npt.NDArray[np.intp], weights: Floats, axis: int) -> Floats:
    """Weighted sums of neighbouring rows (axis 0) or columns (axis 1)."""
    shape = [1, 1, 1]
    shape[axis] = len(first)
    total = values.take(first, axis) * weights[:, 0].reshape(shape)
    for k in range(1, weights.shape[1]):
        total += values.take(first + k, axis) * weights[:, k].reshape(shape)
    return np.asarray(total)


@lru_cache(maxsize=16)
def _taps(old: int, new: int) -> tuple[npt.NDArray[np.intp], Floats]:
    """For each new pixel the first old one it covers, and the share of it that each from there on makes up."""
    edges = np.arange(new + 1) * (old / new)
    place = np.arange(old)
    cover = np.minimum(edges[1:, None], place + 1) - np.maximum(edges[:-1, None], place)  # new old
    cover = np.clip(cover, 0, None) * (new / old)
    count = int((cover > 1e-9).sum(axis=1).max())
    first = np.minimum((cover > 1e-9).argmax(axis=1), old - count)
    return first, np.take_along_axis(cover, first[:, None] + np.arange(count), axis=1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How the frames of one video are stored."""

    size: tuple[int, int]  # width, height as shown
    rotation: int = 0  # degrees counter-clockwise, a multiple of 90
    interval: Fraction = Fraction(1)  # of time, between a frame and the next
    cuts: bool = True
    shortest: int = 29  # frames of a run that is kept


@dataclass(slots=True)
class Stored:
    """What became of a video's frames; indices as in `Video`."""

    frames: int = 0
    cuts: list[int] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)
    duplicates: int = 0
    runs: list[Run] = field(default_factory=list)


def store_runs(
    frames: Iterable[Frame], target: Path, options: RunOptions, on_frame: Callable[[int], None] | None = None
) -> Stored:
    """Write the runs of a video as TARGET-000.npy ...; `on_frame` gets the number of frames done.

    Nothing unfinished stays when it fails. Raises OutputError where the disk does not take it.
    """
    stored = Stored()
    open_run: _RunFile | None = None
    before: Fraction | None = None
    try:
        for frame, scores, cut in find_cuts(scored(frames)):
            ends = _ends_run(stored, frame, scores, cut and options.cuts, before, options.interval)
            if ends and open_run is not None:
                _keep(stored, open_run, options.shortest)
                open_run = None
            if open_run is None:
                open_run = _RunFile(Path(f"{target}-{len(stored.runs):03d}.npy"), stored.frames)
            open_run.add(_upright(frame, options))
            before = frame.time
            stored.frames += 1
            if on_frame:
                on_frame(stored.frames)
        if open_run is not None:
            _keep(stored, open_run, options.shortest)
            open_run = None
    except BaseException:
        for run in stored.runs:
            target.with_name(Path(run.file).name).unlink(missing_ok=True)
        raise
    finally:
        if open_run is not None:
            open_run.abandon()
    return stored


def _ends_run(
    stored: Stored, frame: Frame, scores: Scores, cut: bool, before: Fraction | None, interval: Fraction
) -> bool:
    """Note what this frame (number `stored.frames`) is, and whether it can follow the one before it in a run."""
    gap = before is not None and frame.time - before > GAP * interval
    if cut:
        stored.cuts.append(stored.frames)
    if gap:
        stored.gaps.append(stored.frames)
    stored.duplicates += scores.duplicate
    return cut or gap


def _upright(frame: Frame, options: RunOptions) -> Bytes:
    """Resized first, as turning a small picture is cheap."""
    width, height = options.size if options.rotation % 180 == 0 else options.size[::-1]
    small = resize_area(frame.pixels, width, height)
    return np.ascontiguousarray(np.rot90(small, options.rotation // 90))


def _keep(stored: Stored, run: _RunFile, shortest: int) -> None:
    if run.frames < shortest:
        run.abandon()
    else:
        stored.runs.append(run.finish())


class _RunFile:
    """A .npy file that grows by frames; written atomically."""

    def __init__(self, path: Path, first: int) -> None:
        self.path, self.first, self.frames = path, first, 0
        self.shape: tuple[int, ...] = ()
        self.digest = hashlib.sha256()
        self._part = AtomicFile(path)
        self.file = self._part.file
        with write_errors(path):
            self.file.write(bytes(HEADER))

    def add(self, pixels: Bytes) -> None:
        assert self.shape in ((), pixels.shape), "all frames of a run have one size"
        self.shape = pixels.shape
        with write_errors(self.path):
            self.file.write(pixels.data)
        self.digest.update(pixels.data)
        self.frames += 1

    def finish(self) -> Run:
        with write_errors(self.path):
            self.file.seek(0)
            self.file.write(_header((self.frames, *self.shape)))
        self._part.commit()
        return Run(f"{self.path.parent.name}/{self.path.name}", self.first, self.frames, self.digest.hexdigest())

    def abandon(self) -> None:
        self._part.discard()


def _header(shape: tuple[int, ...]) -> bytes:
    """The head of a .npy file of version 1.0, padded to HEADER bytes."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    body = text.ljust(HEADER - 11).encode("ascii") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body


def run_is_whole(folder: Path, run: Run) -> bool:
    """Whether the file of a run is there with the very pixels that were written."""
    try:
        with (folder / run.file).open("rb") as file:
            file.seek(HEADER)
            return hashlib.file_digest(file, "sha256").hexdigest() == run.sha256
    except OSError:
        return False
