"""Training clips: batch k is a function of (seed, k) and nothing else.

So a resumed run sees the batches it would have seen, whatever the number of workers or the order in which they ask.
Two sources with one face: `BankClips` cuts clips out of scenes rendered before, `SceneClips` renders fresh ones (on a
GPU). b clips, t input frames, n restored times, c = 3; pixels float32 in [0, 1]; times in periods from the clip's
first frame.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

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
    turn_motion,
    turn_pictures,
)
from alanet.data.synthetic.bank import Bank
from alanet.data.synthetic.render import CELL, Stills, render, scene_motion
from alanet.data.synthetic.scenes import SceneOptions, draw_scene
from alanet.errors import DataError, OptionError
from alanet.frames.exposure import Exposure, average, draw_blurred, expose, to_eight_bits

__all__ = [
    "BankClips",
    "Batch",
    "ClipOptions",
    "MixedClips",
    "SceneClips",
    "cells",
    "exposed_batch",
    "rendered_batches",
    "validation_batches",
]


@dataclass(frozen=True, slots=True)
class Batch:
    """What the trainer gets. `flow` and `sweep` as `render.py` describes them, `midway` as `midway.py` does; None where
    they are not asked for or known."""

    clip: Tensor  # b t c h w
    times: Tensor  # b n, the same for every clip of the batch
    truth: Tensor  # b n c h w
    exposure: Tensor  # b t, in sharp frames; 1 is a sharp frame
    flow: Tensor | None = None  # b t-1 2 2 h/4 w/4, pixels
    sweep: Tensor | None = None  # b t 2 h/4 w/4, pixels a period
    midway: Tensor | None = None  # b t-1 2 2 h/4 w/4, pixels


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """How clips are drawn."""

    t: int = 5  # input frames; W + 3, so that windows of every kind occur
    deblurred: int = 1  # restored frames at times of input frames, a batch
    between: int = 1  # restored frames in between
    factor: int = 2  # in-between times are multiples of 1 / factor
    clip_ends: float = 0.25  # chance that a batch's times may lie at the clip's ends, where windows are cut short
    mix: ExposureMix = field(default_factory=ExposureMix)
    degradation: Degradation = field(default_factory=Degradation)
    ramp_steps: int = 0  # batches until scenes of any motion are used; they begin with those of `slow_start`
    slow_start: tuple[float, float] = (1.0, 6.0)  # mean motion of the first scenes, pixels a period
    turns: bool = True
    motion: bool = False  # give flow and sweep

    def __post_init__(self) -> None:
        check_shares(self, "clip_ends")
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
    motion there is nothing to learn, and motion beyond the crop cannot be learned: after 112,000 clips of any motion a
    network of a quarter width deblurred nothing (docs/models/alanet-quarter.md).
    """
    along = index / options.ramp_steps if index < options.ramp_steps else 1.0
    low, high = options.slow_start
    return low * (1 - along), high * (max(fastest, high) / high) ** along


class BankClips:
    """Clips cut out of a bank, or of its first `scenes`. Every scene is used once before any is used again."""

    def __init__(
        self, bank: Bank, options: ClipOptions = ClipOptions(), *, scenes: int | None = None, seed: int = 0
    ) -> None:
        if options.t > bank.t:
            raise DataError(
                f"clips of {options.t} frames from a bank of clips of {bank.t}; render a bank with a larger t"
            )
        if bank.options.period % options.factor:
            raise OptionError(
                f"factor {options.factor} with a period of {bank.options.period} frames; allowed: its divisors"
            )
        self.bank, self.options, self.seed = bank, options, seed
        self.scenes = len(bank) if scenes is None else scenes
        motion, order = bank.motions()[: self.scenes].sort() if options.ramp_steps else (torch.empty(0), torch.empty(0))
        self._motion, self._order = motion.tolist(), [int(scene) for scene in order]

    def batch(self, index: int, *, size: int, crop: int) -> Batch:
        """Batch `index`: `size` clips of crop x crop pixels (0: whole frames), on the CPU."""
        rng = rng_of(self.seed, index)
        times = draw_times(rng, self.options)
        samples = [self._sample(np.random.Generator(stream), self._scene(index, index * size + j), crop, times)
                   for j, stream in enumerate(rng.bit_generator.spawn(size))]  # fmt: skip
        return collate(samples, times, rng, self.options)

    def _sample(
        self, rng: np.random.Generator, scene: int, crop: int, times: tuple[Fraction, ...]
    ) -> dict[str, Tensor]:
        options, bank = self.options, self.bank
        start = int(rng.integers(bank.t - options.t + 1))
        first = start * bank.options.period
        sharp = bank.sharp(scene)[first : first + bank.exposure.needed(options.t)]
        sample, turn, (rows, columns) = cut_clip(rng, sharp, bank.exposure, times, crop, options)
        if options.motion:
            there = (..., cells(rows), cells(columns))
            flow, sweep = bank.flow(scene)[start : start + options.t - 1], bank.sweep(scene)[start : start + options.t]
            sample["flow"], sample["sweep"] = turn_motion(flow[there].float(), sweep[there].float(), turn)
        return sample

    def _scene(self, index: int, position: int) -> int:
        """The scene at this place of the endless sequence: a new order each time through the bank, or, during
        the ramp, any whose motion batch `index` may have."""
        if index < self.options.ramp_steps:
            low, high = motion_range(index, self.options, self._motion[-1])
            first, end = bisect_left(self._motion, low), bisect_right(self._motion, high)
            if first < end:
                return self._order[int(rng_of(self.seed, position, 3).integers(first, end))]
        epoch, at = divmod(position, self.scenes)
        return int(rng_of(self.seed, epoch, 1).permutation(self.scenes)[at])


class SceneClips:
    """Clips of scenes that are rendered when asked for, on the device of the stills; no scene comes twice."""

    def __init__(
        self,
        stills: Stills,
        scenes: SceneOptions,
        options: ClipOptions = ClipOptions(),
        *,
        longest: int = 15,
        seed: int = 0,
    ) -> None:
        self.exposure = Exposure(longest, scenes.period)
        if scenes.frames < self.exposure.needed(options.t):
            raise DataError(
                f"scenes of {scenes.frames} sub-frames for clips of {options.t} frames; allowed: "
                f"{self.exposure.needed(options.t)} or more"
            )
        self.stills, self.scenes, self.options, self.seed = stills, scenes, options, seed

    def batch(self, index: int, *, size: int, crop: int) -> Batch:
        """Batch `index`: `size` clips of crop x crop pixels (0: as `scenes` says), on the device of the stills."""
        rng = rng_of(self.seed, index)
        times = draw_times(rng, self.options)
        scenes = replace(self.scenes, height=crop, width=crop) if crop else self.scenes
        scenes = replace(scenes, max_displacement=motion_range(index, self.options, scenes.max_displacement)[1])
        samples = [self._sample(np.random.Generator(stream), scenes, index * size + j, times)
                   for j, stream in enumerate(rng.bit_generator.spawn(size))]  # fmt: skip
        return collate(samples, times, rng, self.options)

    def _sample(
        self, rng: np.random.Generator, scenes: SceneOptions, position: int, times: tuple[Fraction, ...]
    ) -> dict[str, Tensor]:
        scene = draw_scene(scenes, self.seed, position)
        sharp = to_eight_bits(render(scene, self.stills))
        sample = exposed(sharp, self.exposure, times, rng, self.options)
        if self.options.motion:
            motion, t = scene_motion(scene, self.exposure), self.options.t
            sample["flow"] = torch.from_numpy(motion.flow[: t - 1]).to(sharp.device)
            sample["sweep"] = torch.from_numpy(motion.sweep[:t]).to(sharp.device)
        return sample


class MixedClips:
    """Batches of two sources; a batch is of one of them, of the second with the chance `share`."""

    def __init__(self, first: Any, second: Any, share: float, *, seed: int = 0) -> None:
        if not 0 < share < 1:
            raise OptionError(f"a share of {share} of the batches; allowed: above 0 and below 1")
        self.first, self.second, self.share, self.seed = first, second, share, seed

    def batch(self, index: int, *, size: int, crop: int) -> Batch:
        """Batch `index`, as its source makes it."""
        chosen = self.second if rng_of(self.seed, index, 4).random() < self.share else self.first
        made: Batch = chosen.batch(index, size=size, crop=crop)
        return made


def validation_batches(
    bank: Bank,
    exposure: Exposure | None = None,
    *,
    scenes: range | None = None,
    probability: float = 1.0,
    factor: int = 2,
    linear: bool = False,
    seed: int = 0,
) -> Iterator[Batch]:
    """Every scene of a bank once, whole frames, all times, one clip a batch: protocol `all-blurry` (1.0), `mixed`
    (0.5) ...

    exposure: at most the bank's own, and of its period (default: 11 frames). scenes: only these. Nothing is random but
    which frames are blurry.
    """
    exposure = exposure or Exposure(11, bank.options.period)
    if exposure.frames > bank.exposure.frames or exposure.period != bank.exposure.period:
        raise DataError(f"{exposure} from a bank of {bank.exposure}; allowed: its period and at most its exposure")
    first = bank.exposure.centre(0) - exposure.centre(0)
    for scene in scenes or range(len(bank)):
        sharp = bank.sharp(scene)[first:].permute(0, 3, 1, 2).float() / 255
        blurred = draw_blurred(rng_of(seed, scene, 2), bank.t, probability)
        made = exposed_batch(sharp, exposure, blurred, factor=factor, linear=linear)
        yield replace(made, flow=bank.flow(scene)[None].float(), sweep=bank.sweep(scene)[None].float())


def rendered_batches(photographs: Stills, scenes: SceneOptions, t: int, count: int) -> Iterator[Batch]:
    """Scenes to validate on, always the same: whole frames, all times, every frame blurry, one clip a batch."""
    exposure = Exposure(min(11, scenes.frames - (t - 1) * scenes.period), scenes.period)
    for index in range(count):
        sharp = to_eight_bits(render(draw_scene(scenes, 0, index), photographs))
        yield exposed_batch(sharp[: exposure.needed(t)], exposure, np.ones(t, bool))


def exposed_batch(sharp: Tensor, exposure: Exposure, blurred: Any, *, factor: int = 2, linear: bool = False) -> Batch:
    """One clip with all its times from sharp frames (f c h w, float): `blurred` says which frames are blurry."""
    made = expose(sharp, exposure, blurred, factor=factor, linear=linear)
    times = sharp.new_tensor([[float(time) for time in made.times]])
    return Batch(made.clip[None], times, made.truth[None], sharp.new_tensor([made.lengths]))


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
    sample = exposed(sharp[:, rows, columns].permute(0, 3, 1, 2), exposure, asked, rng, options)
    if turn.reverse:
        sample["clip"], sample["exposure"] = sample["clip"].flip(0), sample["exposure"].flip(0)
    sample["clip"], sample["truth"] = turn_pictures(sample["clip"], turn), turn_pictures(sample["truth"], turn)
    return sample, turn, (rows, columns)


def place(rng: np.random.Generator, length: int, crop: int) -> slice:
    """A random stretch of `crop` pixels on whole cells (the motion is known by cells); all of it for 0."""
    crop = crop or length
    if crop > length or crop % CELL:
        raise DataError(f"crops of {crop} pixels from a bank of {length}; allowed: multiples of {CELL} up to {length}")
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
    if options.degradation.soft:
        clip, truth = defocus(clip, truth, rng, options.degradation)
    clip = degrade(clip, rng, options.degradation)
    asked = clip.new_tensor([[float(time) for time in times]] * len(samples))
    return Batch(clip=clip, times=asked, truth=truth, **parts)
