"""Training clips: batch k is a function of (seed, k) and nothing else.

So a resumed run gets the same batches, whatever the number of workers or the order of their requests.
Two sources with one interface: `BankClips` cuts clips out of scenes rendered before, `SceneClips` renders new ones (on
a GPU). b clips, t input frames, n restored times, c = 3; pixels float32 in [0, 1]; times in periods from the clip's
first frame.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alanet.data.augment import (
    turn_motion,
)
from alanet.data.cutting import (
    Batch,
    ClipOptions,
    cells,
    collate,
    cut_clip,
    draw_times,
    exposed,
    motion_range,
    rng_of,
)
from alanet.data.synthetic.bank import Bank
from alanet.data.synthetic.render import Stills, render, scene_motion
from alanet.data.synthetic.scenes import SceneOptions, draw_scene
from alanet.errors import DataError, OptionError
from alanet.frames.exposure import Exposure, draw_blurred, expose, to_eight_bits

__all__ = ["BankClips", "MixedClips", "SceneClips", "exposed_batch", "rendered_batches", "validation_batches"]


class BankClips:
    """Clips cut out of a bank, or of its first `scenes`. Every scene is used once before any is used again."""

    def __init__(
        self, bank: Bank, options: ClipOptions = ClipOptions(), *, scenes: int | None = None, seed: int = 0
    ) -> None:
        if options.t > bank.t:
            raise DataError(f"clips of {options.t} frames from scenes of {bank.t}; render scenes with a larger t")
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
        raise DataError(f"{exposure} from scenes of {bank.exposure}; allowed: its period and at most its exposure")
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
