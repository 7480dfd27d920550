"""Classification of frames as sharp: a network's estimates against the ground truth, and the threshold to use.

There are two definitions of the ground truth:

    by extent     sharp: a blur extent below a pixel (`frames/blur_extent.py`); blurry: an exposure of 5 or more and a
                  blur extent of a pixel or more. This is the visible blur that networks are trained on. Only scenes
                  state it.
    by exposure   sharp: an exposure of 1; blurry: 5 or more, whatever the motion. The only one known for a video; a
                  long exposure of a static scene counts as blurry although it looks sharp.

Frames are classified as in `alanet restore`: whole, rounded to 8 bits, with their neighbours (of the same exposure), by
the same runner. Exposures are counted in sharp frames of which `period` make a period.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch

from alanet.data.synthetic.bank import Bank
from alanet.engine.runner import Runner
from alanet.errors import DataError, OptionError
from alanet.evaluation.footage import Footage
from alanet.evaluation.report import as_table
from alanet.frames.blur_extent import VISIBLE, blur_extent
from alanet.frames.exposure import Exposure, average, to_eight_bits
from alanet.model.network import Network, Window

__all__ = [
    "LONG",
    "SharpnessEstimate",
    "Truth",
    "as_markdown",
    "as_plain",
    "estimate_footage",
    "estimate_scenes",
    "estimating_runner",
    "exposure_error",
    "lowest_threshold",
    "shares",
]

LONG = 5  # sharp frames: from this exposure on a frame that moves is blurry
EXPOSURES = (1, 3, 5, 7, 9, 11, 13, 15)  # sharp frames
THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)

Truth = Literal["extent", "exposure"]


@dataclass(frozen=True, slots=True)
class SharpnessEstimate:
    """A network's estimate for a frame, and the ground truth."""

    exposure: int  # sharp frames
    extent: float | None  # pixels; None: motion is not known
    estimate: float  # of the exposure, sharp frames
    logit: float  # of the probability that it is sharp

    @property
    def probability(self) -> float:
        return _probability(self.logit)

    def is_sharp(self, truth: Truth) -> bool:
        return self.exposure == 1 if truth == "exposure" else self._extent < VISIBLE

    def is_blurry(self, truth: Truth) -> bool:
        return self.exposure >= LONG and (truth == "exposure" or self._extent >= VISIBLE)

    @property
    def _extent(self) -> float:
        if self.extent is None:
            raise OptionError("the blur extent of a video's frames is not known; use --by exposure, or scenes")
        return self.extent


def estimating_runner(model: Network, device: torch.device, precision: str = "fp32") -> Runner:
    """A runner for a network that estimates exposure; OptionError for one that does not."""
    if not model.estimates:
        raise OptionError(f"{type(model).__name__} does not estimate exposure; give weights of a network that does")
    return Runner(model, device, precision)


def estimate_scenes(runner: Runner, bank: Bank, count: int | None = None) -> Iterator[SharpnessEstimate]:
    """Every frame of the first `count` scenes at every exposure that the bank has room for."""
    t, period = bank.t, bank.options.period
    for scene in range(min(len(bank), count or len(bank))):
        sharp, sweep = bank.sharp(scene).cpu().numpy(), bank.sweep(scene).cpu()[None]
        for length in (n for n in EXPOSURES if n <= bank.exposure.frames):
            extents = blur_extent(torch.full((1, t), length), sweep, period)[0].tolist()
            frames = (sharp[bank.exposure.window(i, length)] for i in range(t))
            yield from _estimates(runner, frames, period, length, extents)


def estimate_footage(runner: Runner, footage: Footage, period: int = 8) -> Iterator[SharpnessEstimate]:
    """Every period-th frame of a sharp high-rate video at every exposure."""
    exposure = Exposure(EXPOSURES[-1], period)
    if not (t := exposure.available(len(footage.frames))):
        raise DataError(
            f"{footage.subject.name} has {len(footage.frames)} frames; exposures up to {exposure.frames} need as many"
        )
    for length in EXPOSURES:
        frames = (footage.frames[exposure.window(i, length)] for i in range(t))
        yield from _estimates(runner, frames, period, length, [None] * t)


def _estimates(
    runner: Runner, frames: Iterable[Any], period: int, length: int, extents: Sequence[float | None]
) -> Iterator[SharpnessEstimate]:
    """Estimates for a clip as in a stream, with the motion between neighbours.

    frames: the sharp frames within the exposure of each input, t h w 3 uint8.
    """
    window: dict[int, Any] = {}
    relations: dict[int, Any] = {}
    for i, open_for in enumerate(frames):
        mean = to_eight_bits(average(open_for.astype(np.float32) / 255))
        features = runner.encode(np.rint(mean * 255).astype(np.uint8))
        window[i] = features
        if i:
            relations[i - 1] = runner.relate(window[i - 1], features)
            yield _estimate(runner, window, i - 1, relations, period, length, extents[i - 1])
            del window[i - 1]
            relations.pop(i - 2, None)
    last = len(extents) - 1
    yield _estimate(runner, window, last, relations, period, length, extents[last])


def _estimate(
    runner: Runner,
    window: Mapping[int, Any],
    i: int,
    relations: Mapping[int, Any],
    period: int,
    length: int,
    extent: float | None,
) -> SharpnessEstimate:
    found = runner.estimate(Window(window, relations), i)
    if found is None or not math.isfinite(found.logit):
        raise DataError("the network's estimate is NaN or infinite; its weights are of no use")
    return SharpnessEstimate(length, extent, found.exposure * period, found.logit)


def shares(estimates: Sequence[SharpnessEstimate], threshold: float, truth: Truth) -> tuple[float, float]:
    """(share of the sharp frames passed, share of the blurry ones wrongly passed) at a probability; NaN of none."""
    limit = _logit(threshold)
    sharp = [one.logit > limit for one in estimates if one.is_sharp(truth)]
    blurry = [one.logit > limit for one in estimates if one.is_blurry(truth)]
    return _mean(sharp), _mean(blurry)


def lowest_threshold(estimates: Sequence[SharpnessEstimate], truth: Truth, most: float = 0.005) -> float:
    """The lowest probability, not below 1/2, above which at most the share `most` of the blurry frames lies.

    A threshold below 1/2 would pass frames that are more likely blurry. DataError where there is no blurry frame, or
    where too many have a probability of 1.
    """
    if not 0 <= most < 1:
        raise OptionError(f"a share of {most} of blurry frames wrongly passed; allowed: from 0 to below 1")
    blurry = sorted((one.logit for one in estimates if one.is_blurry(truth)), reverse=True)
    if not blurry:
        raise DataError(
            f"no blurry frame by {truth} among {len(estimates)}; give scenes or videos in which things move"
        )
    highest = blurry[math.floor(most * len(blurry))]  # this one and all below must not pass
    threshold = max(0.5, _probability(highest))
    while threshold < 1 and _logit(threshold) < highest:  # rounding
        threshold = math.nextafter(threshold, 1)
    if threshold >= 1:
        raise DataError(
            f"more than {most:.1%} of the blurry frames have a probability of 1 of being sharp; train longer"
        )
    return threshold


def as_markdown(estimates: Sequence[SharpnessEstimate], current: float, chosen: float | None = None) -> str:
    """Shares by threshold, and estimates by exposure. current: the weights' own threshold."""
    known = all(one.extent is not None for one in estimates)
    truths: tuple[Truth, ...] = ("extent", "exposure") if known else ("exposure",)
    heads = [f"{what}, by {truth}" for truth in truths for what in ("sharp passed", "blurry wrongly passed")]
    rows = [["threshold", *heads]]
    for threshold in sorted({*THRESHOLDS, current, *([] if chosen is None else [chosen])}):
        names = [name for name, at in (("now", current), ("chosen", chosen)) if at == threshold]
        row = [f"{threshold:.5g}" + (f" ({', '.join(names)})" if names else "")]
        rows.append([*row, *(_percent(x) for truth in truths for x in shares(estimates, threshold, truth))])
    counts = ", ".join(
        f"{sum(one.is_sharp(truth) for one in estimates):,} sharp and "
        f"{sum(one.is_blurry(truth) for one in estimates):,} blurry by {truth}"
        for truth in truths
    )
    parts = [
        as_table(rows[0], rows[1:]),
        f"{len(estimates):,} frames: {counts}",
        _by_exposure(estimates, current, known),
    ]
    if (error := exposure_error(estimates)) is not None:
        parts.append(f"Mean error of the exposure where the blur extent is 1 px or more: {error:.2f} of the period.")
    return "\n\n".join(parts)


def _by_exposure(estimates: Sequence[SharpnessEstimate], current: float, known: bool) -> str:
    """Distribution of the probabilities by exposure: it shows a network that classifies all frames alike."""
    rows = [["exposure", "frames", "blurred", "estimated", "passed now", "probability: least tenth", "middle", "most"]]
    for length in sorted({one.exposure for one in estimates}):
        ours = [one for one in estimates if one.exposure == length]
        spread = np.quantile([one.probability for one in ours], (0.1, 0.5, 0.9))
        blurred = _percent(_mean([(one.extent or 0.0) >= VISIBLE for one in ours])) if known else "unknown"
        passed = _percent(_mean([one.logit > _logit(current) for one in ours]))
        estimate = f"{np.mean([one.estimate for one in ours]):.1f}"
        rows.append([f"{length}", f"{len(ours):,}", blurred, estimate, passed, *(f"{x:.3f}" for x in spread)])
    return as_table(rows[0], rows[1:])


def exposure_error(estimates: Sequence[SharpnessEstimate], period: int = 8) -> float | None:
    """Mean error of the exposure, as a fraction of the frame period, over frames with a blur extent of a pixel or more.

    The exposure of a frame without motion is not visible. None without such frames.
    """
    errors = [abs(one.estimate - one.exposure) / period for one in estimates if (one.extent or 0.0) >= VISIBLE]
    return sum(errors) / len(errors) if errors else None


def as_plain(estimates: Sequence[SharpnessEstimate], current: float, chosen: float | None) -> dict[str, Any]:
    """For JSON: every estimate, and the thresholds."""
    return {"sharp_above": current, "chosen": chosen, "frames": [asdict(one) for one in estimates]}


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-max(logit, -700.0)))


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else math.nan


def _percent(share: float) -> str:
    return "none" if math.isnan(share) else f"{share:.1%}"
