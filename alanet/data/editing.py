"""What film editing adds to clips, inputs and ground truth alike: static overlays, fades and dissolves.

None of them moves with the picture, so a network that was trained on motion only warps captions and adds false
structure to fades. b clips, t input frames, n restored frames, c = 3; pixels float in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from alanet.data.augment import check_shares
from alanet.errors import OptionError

__all__ = ["Editing", "edit"]

SIDES = ((8, 40), (16, 90))  # pixels: height and width of an overlay
CELLS = (2, 6)  # pixels: its smallest details
WORDS = 0.7  # share of the overlays that are words; the others are cells
LETTERS = (9, 44)  # pixels: their size
OUTLINE = 4  # pixels: width of their outline, less one


@dataclass(frozen=True, slots=True)
class Editing:
    """One kind a clip at most."""

    overlays: float = 0.0  # share of clips with a static overlay: words or cells, some on a box, 70 to 100 % opaque
    fades: float = 0.0  # share of clips that fade evenly to or from black or white
    dissolves: float = 0.0  # share of clips into which a still picture of the batch is mixed, more or less with time

    def __post_init__(self) -> None:
        check_shares(self, "overlays", "fades", "dissolves")
        if self.overlays + self.fades + self.dissolves > 1 + 1e-9:
            raise OptionError(
                f"overlays {self.overlays}, fades {self.fades} and dissolves {self.dissolves}; "
                "allowed: 1 at most in sum"
            )


def edit(
    clip: Tensor, truth: Tensor, times: Tensor, rng: np.random.Generator, options: Editing
) -> tuple[Tensor, Tensor]:
    """Clips (b t c h w) and the ground truth (b n c h w) at `times` (n, periods), some of them edited."""
    clip, truth = clip.clone(), truth.clone()
    parts = ((clip, torch.arange(clip.shape[1]).to(clip)), (truth, times.to(clip)))
    for i in range(len(clip)):
        kind = rng.random() - np.cumsum((options.overlays, options.fades, options.dissolves))
        stream = np.random.Generator(np.random.Philox(int(rng.integers(1 << 62))))
        if kind[0] < 0:
            _overlay([frames[i] for frames, _ in parts], stream)
        elif kind[1] < 0:
            level, (first, last) = float(stream.random() < 0.3), 1.1 * stream.random(2)
            for frames, at in parts:
                frames[i] = (level + (frames[i] - level) * _ramp(first, last, at, clip.shape[1])).clamp(0, 1)
        elif kind[2] < 0:
            other, (first, last) = truth[(i + 1) % len(truth), 0].clone(), stream.random(2)
            for frames, at in parts:
                share = _ramp(first, last, at, clip.shape[1])
                frames[i] = frames[i] * (1 - share) + other * share
    return clip, truth


def _ramp(first: float, last: float, at: Tensor, t: int) -> Tensor:
    """From `first` at time 0 to `last` at time t - 1: n 1 1 1."""
    return (first + (last - first) * at / (t - 1))[:, None, None, None]


def _overlay(parts: list[Tensor], rng: np.random.Generator) -> None:
    """The same marks at the same place of all frames, written into them."""
    h, w = parts[0].shape[-2:]
    marks, around = (_words if rng.random() < WORDS else _cells)(h, w, rng)
    height, width = marks.shape
    ink, ground = rng.random((2, 3, 1, 1))
    if rng.random() < 0.5:  # strong colours, as captions have
        ink = np.rint(ink)
        ground = 1 - ink
    alpha = rng.uniform(0.7, 1) * around
    pixels = (marks * ink + (1 - marks) * ground) * alpha
    y, x = int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1))
    for frames in parts:
        there = frames[..., y : y + height, x : x + width]
        there.copy_(there * (1 - torch.from_numpy(alpha).to(there)) + torch.from_numpy(pixels).to(there))


Marks = npt.NDArray[np.float64]


def _cells(h: int, w: int, rng: np.random.Generator) -> tuple[Marks, Marks]:
    """Random cells, and what is covered: the cells alone, or the box that they lie on. Both y x, 0 to 1."""
    height, width = (min(int(rng.integers(*side)), n) for side, n in zip(SIDES, (h, w), strict=True))
    cell = int(rng.integers(*CELLS))
    marks = (rng.random((height // cell + 1, width // cell + 1)) < 0.5).astype(float)
    marks = marks.repeat(cell, 0).repeat(cell, 1)[:height, :width]
    return marks, marks if rng.random() < 0.5 else np.ones_like(marks)


def _words(h: int, w: int, rng: np.random.Generator) -> tuple[Marks, Marks]:
    """Random letters, and what is covered: the letters and their outline, or the box that they lie on."""
    font, outline = _font(int(rng.integers(*LETTERS))), int(rng.integers(OUTLINE))
    letters = "".join(map(chr, rng.integers(33, 127, int(rng.integers(2, 14)))))
    left, top, right, bottom = map(int, font.getbbox(letters, stroke_width=outline))
    size = min(w, right - left + 4), min(h, bottom - top + 4)
    marks, covered = (_written(letters, size, (2 - left, 2 - top), font, stroke) for stroke in (0, outline))
    return marks, np.ones_like(marks) if rng.random() < 0.3 else covered


def _written(letters: str, size: tuple[int, int], at: tuple[int, int], font: Any, stroke: int) -> Marks:
    picture = Image.new("L", size)
    ImageDraw.Draw(picture).text(at, letters, 255, font, stroke_width=stroke)
    return np.asarray(picture, dtype=float) / 255


@lru_cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)
