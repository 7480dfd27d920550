"""Training clips: batch k is a function of (seed, k) and nothing else.

So a resumed run sees the batches it would have seen, whatever the number of workers or the order in which they ask.
Two sources with one face: `BankClips` cuts clips out of scenes rendered before, `SceneClips` renders fresh ones (on a
GPU). b clips, t input frames, n restored times, c = 3; pixels float32 in [0, 1]; times in periods from the clip's
first frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alanet.data.augment import (
    Degradation,
    ExposureMix,
    Turn,
    degrade,
    draw_lengths,
    draw_turn,
    turn_motion,
    turn_pictures,
)
from alanet.data.bank import Bank
from alanet.data.render import CELL, Stills, render, scene_motion
from alanet.data.scenes import SceneOptions, draw_scene
from alanet.errors import DataError, OptionError
from alanet.frames.color import linear_to_srgb, srgb_to_linear
from alanet.frames.exposure import Exposure, blur, draw_blurred, expose, to_eight_bits

__all__ = ["BankClips", "Batch", "ClipOptions", "SceneClips", "validation_batches"]


@dataclass(frozen=True, slots=True)
class Batch:
    """What the trainer gets. `flow` and `sweep` as `render.py` describes them, None where they are not asked for or
    known."""

    clip: Tensor  # b t c h w
    times: Tensor  # b n, the same for every clip of the batch
    truth: Tensor  # b n c h w
    exposure: Tensor  # b t, in sharp frames; 1 is a sharp frame
    flow: Tensor | None = None  # b t-1 2 2 h/4 w/4, pixels
    sweep: Tensor | None = None  # b t 2 h/4 w/4, pixels a period


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """How clips are drawn."""

    t: int = 5  # input frames; W + 3, so that windows of every kind occur
    deblurred: int = 1  # restored frames at times of input frames, a batch
    between: int = 1  # restored frames in between
    factor: int = 2  # in-between times are multiples of 1 / factor
    ends: float = 0.25  # chance that a batch's times may lie at the clip's ends, where windows are cut short
    mix: ExposureMix = field(default_factory=ExposureMix)
    faults: Degradation = field(default_factory=Degradation)
    turns: bool = True
    motion: bool = False  # give flow and sweep

    def __post_init__(self) -> None:
        if self.t < 2 or self.deblurred < 0 or self.between < 0 or self.deblurred + self.between < 1:
            raise OptionError(
                f"clips of {self.t} frames, {self.deblurred} deblurred and {self.between} in between restored; "
                "allowed: 2 frames or more, 1 restored or more"
            )


def draw_times(rng: np.random.Generator, options: ClipOptions) -> tuple[Fraction, ...]:
    """The times restored in a batch, rising: without the ends, the frames that have a neighbour on each side."""
    first, last = (0, options.t - 1) if options.t < 4 or rng.random() < options.ends else (1, options.t - 2)
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


class BankClips:
    """Clips cut out of a bank. Every scene is used once before any is used again."""

    def __init__(self, bank: Bank, options: ClipOptions = ClipOptions(), *, seed: int = 0) -> None:
        if options.t > bank.t:
            raise DataError(
                f"clips of {options.t} frames from a bank of clips of {bank.t}; render a bank with a larger t"
            )
        if bank.options.period % options.factor:
            raise OptionError(
                f"factor {options.factor} with a period of {bank.options.period} frames; allowed: its divisors"
            )
        self.bank, self.options, self.seed = bank, options, seed

    def batch(self, index: int, *, size: int, crop: int) -> Batch:
        """Batch `index`: `size` clips of crop x crop pixels (0: whole frames), on the CPU."""
        rng = _rng(self.seed, index)
        times = draw_times(rng, self.options)
        samples = [self._sample(np.random.Generator(stream), index * size + j, crop, times)
                   for j, stream in enumerate(rng.bit_generator.spawn(size))]  # fmt: skip
        return _collate(samples, times, rng, self.options)

    def _sample(
        self, rng: np.random.Generator, position: int, crop: int, times: tuple[Fraction, ...]
    ) -> dict[str, npt.NDArray[Any]]:
        options, bank = self.options, self.bank
        scene = self._scene(position)
        start = int(rng.integers(bank.t - options.t + 1))
        rows, columns = _place(rng, bank.options.height, crop), _place(rng, bank.options.width, crop)
        square = rows.stop - rows.start == columns.stop - columns.start
        turn = draw_turn(rng) if options.turns else Turn()
        turn = turn if square else Turn(turn.mirror_x, turn.mirror_y, False, turn.reverse, turn.colors)
        first = start * bank.options.period
        sharp = bank.sharp(scene)[first : first + bank.exposure.needed(options.t), rows, columns]
        sample = _expose(sharp[::-1] if turn.reverse else sharp, bank.exposure, times, rng, options)
        # Turned after averaging, which is much less to turn.
        sample["clip"], sample["truth"] = turn_pictures(sample["clip"], turn), turn_pictures(sample["truth"], turn)
        if options.motion:
            cells = (..., _cells(rows), _cells(columns))
            flow = bank.flow(scene)[start : start + options.t - 1][cells].astype(np.float32)
            sweep = bank.sweep(scene)[start : start + options.t][cells].astype(np.float32)
            sample["flow"], sample["sweep"] = turn_motion(flow, sweep, turn)
        return sample

    def _scene(self, position: int) -> int:
        """The scene at this place of the endless sequence: a new order each time through the bank."""
        epoch, place = divmod(position, len(self.bank))
        return int(_rng(self.seed, epoch, 1).permutation(len(self.bank))[place])


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
        rng = _rng(self.seed, index)
        times = draw_times(rng, self.options)
        scenes = replace(self.scenes, height=crop, width=crop) if crop else self.scenes
        samples = [self._sample(np.random.Generator(stream), scenes, index * size + j, times)
                   for j, stream in enumerate(rng.bit_generator.spawn(size))]  # fmt: skip
        return _collate(samples, times, rng, self.options)

    def _sample(
        self, rng: np.random.Generator, scenes: SceneOptions, position: int, times: tuple[Fraction, ...]
    ) -> dict[str, Any]:
        scene = draw_scene(scenes, self.seed, position)
        sharp = to_eight_bits(render(scene, self.stills))
        lengths = draw_lengths(rng, self.options.t, self.exposure.frames, self.options.mix)
        clip = blur(sharp, self.exposure, lengths, linear=rng.random() < self.options.mix.linear)
        truth = sharp[[self.exposure.index(time) for time in times]]
        sample = {"clip": torch.stack(clip), "truth": truth, "exposure": torch.tensor(lengths, dtype=torch.float32)}
        if self.options.motion:
            motion = scene_motion(scene, self.exposure)
            t = self.options.t
            sample["flow"], sample["sweep"] = torch.from_numpy(motion.flow[: t - 1]), torch.from_numpy(motion.sweep[:t])
        return sample


def validation_batches(
    bank: Bank,
    exposure: Exposure | None = None,
    *,
    probability: float = 1.0,
    factor: int = 2,
    linear: bool = False,
    seed: int = 0,
) -> Iterator[Batch]:
    """Every scene of a bank once, whole frames, all times, one clip a batch: protocol `all-blurry` (1.0), `mixed`
    (0.5) ...

    exposure: at most the bank's own, and of its period (default: 11 frames). Nothing is random but which frames are
    blurry.
    """
    exposure = exposure or Exposure(11, bank.options.period)
    if exposure.frames > bank.exposure.frames or exposure.period != bank.exposure.period:
        raise DataError(f"{exposure} from a bank of {bank.exposure}; allowed: its period and at most its exposure")
    first = bank.exposure.centre(0) - exposure.centre(0)
    for scene in range(len(bank)):
        sharp = bank.sharp(scene)[first:].astype(np.float32).transpose(0, 3, 1, 2) / 255
        blurred = draw_blurred(_rng(seed, scene, 2), bank.t, probability)
        made = expose(sharp, exposure, blurred, factor=factor, linear=linear)
        yield Batch(
            clip=torch.from_numpy(made.clip)[None],
            times=torch.tensor([[float(time) for time in made.times]]),
            truth=torch.from_numpy(made.truth)[None],
            exposure=torch.tensor([made.lengths], dtype=torch.float32),
            flow=torch.from_numpy(bank.flow(scene).astype(np.float32))[None],
            sweep=torch.from_numpy(bank.sweep(scene).astype(np.float32))[None],
        )


def _rng(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))


def _place(rng: np.random.Generator, length: int, crop: int) -> slice:
    """A random stretch of `crop` pixels on whole cells (the motion is known by cells); all of it for 0."""
    crop = crop or length
    if crop > length or crop % CELL:
        raise DataError(f"crops of {crop} pixels from a bank of {length}; allowed: multiples of {CELL} up to {length}")
    start = int(rng.integers((length - crop) // CELL + 1)) * CELL
    return slice(start, start + crop)


def _cells(pixels: slice) -> slice:
    return slice(pixels.start // CELL, pixels.stop // CELL)


def _expose(
    sharp: npt.NDArray[np.uint8],
    exposure: Exposure,
    times: tuple[Fraction, ...],
    rng: np.random.Generator,
    options: ClipOptions,
) -> dict[str, npt.NDArray[Any]]:
    """Sub-frames (f h w c) to clip (t h w c), truth (n h w c), exposure (t)."""
    lengths = draw_lengths(rng, options.t, exposure.frames, options.mix)
    linear = rng.random() < options.mix.linear
    clip = np.stack([_average(sharp[exposure.window(i, length)], linear) for i, length in enumerate(lengths)])
    truth = sharp[[exposure.index(time) for time in times]].astype(np.float32) / 255
    return {"clip": clip, "truth": truth, "exposure": np.array(lengths, np.float32)}


# Light of the 256 values: averaging by table is ten times as fast as by formula.
_LIGHT = srgb_to_linear(np.arange(256, dtype=np.float32) / 255).astype(np.float32)


def _average(frames: npt.NDArray[np.uint8], linear: bool) -> npt.NDArray[np.float32]:
    """`alanet.frames.exposure.average` of 8-bit frames, float32 in [0, 1]."""
    if linear and len(frames) > 1:
        return np.asarray(linear_to_srgb(_LIGHT[frames].mean(axis=0)), np.float32)
    return np.asarray(frames.sum(axis=0, dtype=np.uint16) / np.float32(255 * len(frames)), np.float32)


def _collate(
    samples: list[dict[str, Any]], times: tuple[Fraction, ...], rng: np.random.Generator, options: ClipOptions
) -> Batch:
    """Samples side by side; numpy pixels are h w c, tensors c h w."""
    parts = {key: _side_by_side([sample[key] for sample in samples]) for key in samples[0]}
    clip = degrade(parts.pop("clip"), rng, options.faults)
    asked = torch.tensor([[float(time) for time in times]] * len(samples), device=clip.device)
    return Batch(clip=clip, times=asked, **{key: part.to(clip.device) for key, part in parts.items()})


def _side_by_side(parts: list[Any]) -> Tensor:
    if isinstance(parts[0], Tensor):
        return torch.stack(parts)
    stacked = torch.from_numpy(np.stack(parts))
    return stacked.movedim(-1, -3).contiguous() if stacked.ndim == 5 and stacked.shape[-1] == 3 else stacked
