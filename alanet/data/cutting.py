"""One clip from sharp frames: which times, which crop, how it is blurred and turned; and clips into a batch.

b clips, t input frames, n restored times, c = 3; pixels float32 in [0, 1]; times in periods from the clip's first
frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from alanet.data.augment import (
    Degradation,
    ExposureMix,
    Turn,
    average_highlights,
    check_shares,
    defocus,
    degrade,
    draw_lengths,
    draw_turn,
    turn_pictures,
)
from alanet.data.drawn import drawn
from alanet.data.editing import Editing, edit
from alanet.data.surroundings import hold_still
from alanet.data.synthetic.render import CELL
from alanet.errors import DataError, OptionError
from alanet.frames.exposure import Exposure, average

__all__ = [
    "Batch",
    "ClipOptions",
    "cells",
    "collate",
    "cut_clip",
    "draw_times",
    "exposed",
    "motion_range",
    "place",
    "rng_of",
]


@dataclass(frozen=True, slots=True)
class Batch:
    """What the trainer gets. `render.py` describes `flow` and `sweep`, `teacher_flow.py` describes `halfway_flow`; None
    where they are not asked for or not known."""

    clip: Tensor  # b t c h w
    times: Tensor  # b n, the same for every clip of the batch
    truth: Tensor  # b n c h w
    exposure: Tensor  # b t, in sharp frames; 1 is a sharp frame
    flow: Tensor | None = None  # b t-1 2 2 h/4 w/4, pixels
    sweep: Tensor | None = None  # b t 2 h/4 w/4, pixels a period
    halfway_flow: Tensor | None = None  # b t-1 2 2 h/4 w/4, pixels


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """How clips are drawn."""

    t: int = 5  # input frames; W + 3, so that windows of every kind occur
    deblurred: int = 1  # restored frames at times of input frames, a batch
    between: int = 1  # restored frames in between
    factor: int = 2  # in-between times are multiples of 1 / factor
    clip_ends: float = 0.25  # chance that a batch's times may lie at the clip's ends, where windows are cut short
    mix: ExposureMix = field(default_factory=ExposureMix)  # how exposures are drawn
    degradation: Degradation = field(default_factory=Degradation)  # noise, compression, defocus
    editing: Editing = field(default_factory=Editing)  # overlays, fades, dissolves
    drawn: float = 0.0  # share of clips as drawings: flat colours, hard edges
    still: float = 0.0  # share of clips most of whose area stands still
    moving: float = 0.0  # share of clips of real video that are cut where something moves (all if its flow is known)
    half_size: float = 0.0  # share of clips of real video that are cut twice as large and halved: sharper, slower
    ramp_steps: int = 0  # batches until scenes of any motion are used; they begin with those of `slow_start`
    slow_start: tuple[float, float] = (1.0, 6.0)  # mean motion of the first scenes, pixels a period
    turns: bool = True  # mirrored, turned by 90 degrees, in reverse order
    motion: bool = False  # give flow and sweep

    def __post_init__(self) -> None:
        check_shares(self, "clip_ends", "drawn", "still", "moving", "half_size")
        if self.factor < 1 or self.ramp_steps < 0:
            raise OptionError(f"factor {self.factor} and ramp_steps {self.ramp_steps}; allowed: 1 or more, 0 or more")
        if self.ramp_steps and not 0 <= self.slow_start[0] < self.slow_start[1]:
            raise OptionError(
                f"slow_start is {self.slow_start}; give two rising numbers of pixels a period, such as [1, 6]"
            )
        if self.t < 2 or self.deblurred < 0 or self.between < 0 or self.deblurred + self.between < 1:
            raise OptionError(
                f"clips of {self.t} frames, {self.deblurred} deblurred and {self.between} in between restored; "
                "allowed: 2 frames or more, 1 restored or more"
            )


def draw_times(rng: np.random.Generator, options: ClipOptions) -> tuple[Fraction, ...]:
    """The times restored in a batch, rising: without the ends, the frames that have a neighbour on each side."""
    first, last = (0, options.t - 1) if options.t < 4 or rng.random() < options.clip_ends else (1, options.t - 2)
    whole = [Fraction(i) for i in range(first, last + 1)]
    parts = [i + Fraction(k, options.factor) for i in whole[:-1] for k in range(1, options.factor)]
    if len(whole) < options.deblurred or len(parts) < options.between:
        raise OptionError(
            f"{options.deblurred} deblurred and {options.between} in between at factor {options.factor} of clips of "
            f"{options.t} frames; allowed: at most {len(whole)} and {len(parts)}"
        )
    chosen = [whole[i] for i in rng.choice(len(whole), options.deblurred, replace=False)]
    if parts:
        chosen += [parts[i] for i in rng.choice(len(parts), options.between, replace=False)]
    return tuple(sorted(chosen))


def motion_range(index: int, options: ClipOptions, fastest: float) -> tuple[float, float]:
    """Which motion the scenes of batch `index` may have, pixels a period.

    `slow_start` at first, then a range that widens until at `ramp_steps` it is 0 to `fastest`. From scenes with little
    motion there is nothing to learn, and motion beyond the crop cannot be learned: after 112,000 clips of any motion
    the paper's network at a quarter of its width deblurred nothing.
    """
    along = index / options.ramp_steps if index < options.ramp_steps else 1.0
    low, high = options.slow_start
    return low * (1 - along), high * (max(fastest, high) / high) ** along


def rng_of(*seed: int) -> np.random.Generator:
    """Random numbers that depend on these integers only."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))


def cut_clip(
    rng: np.random.Generator,
    sharp: Tensor,
    exposure: Exposure,
    times: tuple[Fraction, ...],
    crop: int,
    options: ClipOptions,
    where: tuple[slice, slice] | None = None,
) -> tuple[dict[str, Tensor], Turn, tuple[slice, slice]]:
    """One clip out of the sharp frames it needs (f h w c, uint8): cropped, blurred and turned at random.

    where: the rows and columns of the crop; None: anywhere.
    -> clip (t c h w), truth (n c h w) at `times` and exposure (t); the turn; and the rows and columns of the crop.
    """
    rows, columns = where or (place(rng, sharp.shape[1], crop), place(rng, sharp.shape[2], crop))
    turn = draw_turn(rng) if options.turns else Turn()
    if rows.stop - rows.start != columns.stop - columns.start:
        turn = replace(turn, transpose=False)
    # Turned after averaging, which is much less to turn; the clip read backwards has its times from the other end.
    asked = tuple(options.t - 1 - time for time in times) if turn.reverse else times
    frames = sharp[:, rows, columns].permute(0, 3, 1, 2)
    if options.drawn and rng.random() < options.drawn:
        frames = drawn(frames, rng)
    sample = exposed(frames, exposure, asked, rng, options)
    if turn.reverse:
        sample["clip"], sample["exposure"] = sample["clip"].flip(0), sample["exposure"].flip(0)
    sample["clip"], sample["truth"] = turn_pictures(sample["clip"], turn), turn_pictures(sample["truth"], turn)
    return sample, turn, (rows, columns)


def place(rng: np.random.Generator, length: int, crop: int) -> slice:
    """A random stretch of `crop` pixels on whole cells (the motion is known by cells); all of it for 0."""
    crop = crop or length
    if crop > length or crop % CELL:
        raise DataError(f"crops of {crop} pixels from scenes of {length}; allowed: multiples of {CELL} up to {length}")
    start = int(rng.integers((length - crop) // CELL + 1)) * CELL
    return slice(start, start + crop)


def cells(pixels: slice) -> slice:
    """The cells of a stretch of pixels."""
    return slice(pixels.start // CELL, pixels.stop // CELL)


def exposed(
    sharp: Tensor, exposure: Exposure, times: tuple[Fraction, ...], rng: np.random.Generator, options: ClipOptions
) -> dict[str, Tensor]:
    """Sub-frames (f c h w, float or uint8) to clip (t c h w), truth (n c h w), exposure (t)."""
    lengths = draw_lengths(rng, options.t, exposure.frames, options.mix)
    linear = rng.random() < options.mix.linear
    # Only the frames that are used become floats.
    opened = [_float(sharp[exposure.window(i, n)]) for i, n in enumerate(lengths)]
    if options.mix.highlights and rng.random() < options.mix.highlights:
        gain = float(rng.uniform(1, options.mix.highlight_most))
        clip = [average_highlights(frames, gain) if len(frames) > 1 else frames[0] for frames in opened]
    else:
        clip = [average(frames, linear=linear) for frames in opened]
    truth = torch.stack([_float(sharp[exposure.index(time)]) for time in times])
    return {"clip": torch.stack(clip), "truth": truth, "exposure": truth.new_tensor(lengths)}


def _float(pixels: Tensor) -> Tensor:
    return pixels.float().div_(255) if pixels.dtype == torch.uint8 else pixels


def collate(
    samples: list[dict[str, Tensor]], times: tuple[Fraction, ...], rng: np.random.Generator, options: ClipOptions
) -> Batch:
    parts = {key: torch.stack([sample[key] for sample in samples]).contiguous() for key in samples[0]}
    clip, truth = parts.pop("clip"), parts.pop("truth")
    if options.still:
        fields = {name: field for name, field in parts.items() if name in ("flow", "sweep", "halfway_flow")}
        clip, truth, moved = hold_still(clip, truth, fields, rng, options.still)
        parts |= moved
    if options.editing != Editing():
        clip, truth = edit(clip, truth, clip.new_tensor([float(time) for time in times]), rng, options.editing)
    if options.degradation.soft:
        clip, truth = defocus(clip, truth, rng, options.degradation)
    clip = degrade(clip, rng, options.degradation)
    asked = clip.new_tensor([[float(time) for time in times]] * len(samples))
    return Batch(clip=clip, times=asked, truth=truth, **parts)
