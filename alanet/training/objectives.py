"""Losses of ALANetPlus beyond the restored frames: motion and exposure, which synthetic scenes state exactly.

b batch, t frames of a clip; flow, sweep and exposure as `data/clips.py` gives them (pixels, and sharp frames per
period). Pixel losses alone hardly train the motion; with a loss of its own it is trained within minutes. A frame is
sharp where its blur is not visible (`frames/blur_extent.py`), whatever its exposure. Nothing shows the exposure of such
a frame, so it has no loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alanet.errors import OptionError
from alanet.frames.blur_extent import PERIOD, VISIBLE, blur_extent
from alanet.model.alanet_plus import ALANetPlus, PlusFeatures
from alanet.model.exposure_head import statistics
from alanet.model.flow import Motion, towards
from alanet.model.layers import CELL, resized
from alanet.training.loss import Loss, LossTerms
from alanet.training.trainer import Objective

__all__ = [
    "ObjectiveOptions",
    "exposure_loss",
    "exposure_objective",
    "halfway_flow_loss",
    "motion_loss",
    "plus_objective",
]

COARSER = 0.5  # weight of each coarser step of the motion
MEMORY_SIZE = 100_000  # frames whose inputs a run of `exposure_objective` keeps
REPLAYED = 512  # of them used again in each step


@dataclass(frozen=True, slots=True)
class ObjectiveOptions:
    """Weights of the losses of motion and exposure, in addition to that of the restored frames."""

    motion: float = 0.01  # of the estimated motion
    exposure: float = 0.01  # of the estimated exposure and sharpness
    motion_warmup: float = 0.0  # share of the run in which only these two are trained and no frame is restored

    def __post_init__(self) -> None:
        if not (0 <= self.motion < 1e6 and 0 <= self.exposure < 1e6):
            raise OptionError(
                f"objective.motion and exposure are {self.motion} and {self.exposure}; allowed: 0 or more"
            )
        if not 0 <= self.motion_warmup < 1:
            raise OptionError(f"motion_warmup is {self.motion_warmup}; allowed: from 0 to below 1")


def plus_objective(
    loss: Loss, *, motion: float = 0.01, exposure: float = 0.01, motion_warmup: float = 0.0
) -> Objective:
    """`loss` of the restored frames, plus weighted losses of the motion and of the exposure.

    A weight above 0 needs `flow` and `sweep` in the batch (ClipOptions.motion), or `halfway_flow` and `sweep` of real
    video. Real video without deblurred frames has frames that are blurry themselves: their exposures are longer than
    the synthetic ones that the batch states, so they have no exposure loss.

    Args:
        loss: of restored frames against the ground truth.
        motion: weight of the motion loss.
        exposure: weight of the loss of exposure and sharpness.
        motion_warmup: share of the run in which no frame is restored and only motion and exposure are trained.
    """

    def objective(model: nn.Module, batch: Any, fraction: float) -> tuple[Tensor, LossTerms]:
        network = cast(ALANetPlus, model)
        times = batch.times[0].tolist()
        seen = network.encode_clip(batch.clip, times)
        window, relations = dict(seen.features), dict(seen.relations)
        total, terms = batch.clip.new_zeros(()), LossTerms()
        if fraction >= motion_warmup:
            restored = torch.stack([network.generate(seen, time) for time in times], dim=1)
            total, terms = loss(restored, batch.truth, fraction)
        if motion and batch.flow is not None and relations and network.config.align:
            terms["motion"] = motion_loss(relations, batch.flow)
            total = total + motion * terms["motion"]
        if motion and batch.halfway_flow is not None and relations and network.config.align:
            terms["halfway_flow"] = halfway_flow_loss(relations, batch.halfway_flow)
            total = total + motion * terms["halfway_flow"]
        blur_known = batch.halfway_flow is None or any(time % 1 == 0 for time in times)
        if exposure and network.config.exposure and blur_known:
            losses = exposure_loss(window, batch.exposure, batch.sweep)
            if network.refines_exposure:
                refined = exposure_loss(network.refine_exposure(window, relations), batch.exposure, batch.sweep)
                losses = losses[0] + refined[0], losses[1] + refined[1]
            terms["exposure"], terms["sharp"] = losses
            total = total + exposure * (terms["exposure"] + terms["sharp"])
        return total, {name: term.detach() for name, term in terms.items()}

    return objective


def exposure_objective() -> Objective:
    """Loss of the final estimates of exposure and sharpness of every frame of the clips, and nothing else.

    The refiner reads about a hundred statistics of a frame, and nearly all of a step's time goes into computing them
    with frozen modules. So the inputs of up to `MEMORY_SIZE` frames are kept, and each step also trains on `REPLAYED`
    of them. They are not part of checkpoints: a resumed run starts with an empty memory.
    """
    memory = _Memory()

    def objective(model: nn.Module, batch: Any, fraction: float) -> tuple[Tensor, LossTerms]:
        network = cast(ALANetPlus, model)
        window = network.encoded(batch.clip)
        length, blurry = _blur_of(sorted(window), batch.exposure, batch.sweep)
        if network.refines_exposure:
            read = _refiner_inputs(window, network.estimate_motion(window))
            rows = torch.cat((read, length[..., None], blurry[..., None]), dim=-1)
            inputs, length, blurry = memory.joined(rows)
            estimated, logit = network.exposure_refiner(*inputs)
        else:
            estimated, logit = _estimates(window)
        exposure, sharp = _estimate_loss(estimated, logit, length, blurry)
        return exposure + sharp, LossTerms(exposure=exposure.detach(), sharp=sharp.detach())

    return objective


def halfway_flow_loss(relations: Mapping[int, Motion | None], halfway_flow: Tensor) -> Tensor:
    """`motion_loss` of the flows from half-way between the frames of every pair to both of them.

    halfway_flow: a teacher's flows, b t-1 2 2 h/4 w/4.
    """
    found = {
        j: replace(motion, steps=tuple(towards(Motion(*step), motion.forward.new_tensor(0.5)) for step in motion.steps))
        for j, motion in relations.items()
        if motion is not None
    }
    return motion_loss(found, halfway_flow)


def motion_loss(relations: Mapping[int, Motion | None], flow: Tensor) -> Tensor:
    """Mean of log(1 + distance in pixels) between every step of every pair's motion and `flow`, in both directions.

    A mean distance is dominated by far motion, which is not found in any case; an error of one pixel in static areas
    would hardly count, and these would be blurred in interpolated frames. Coarse steps are compared with the mean flow
    of their cells, with lower weights.

    relations: the estimated motion of the pairs, by index; flow: the exact one, b t-1 2 2 h/4 w/4.
    """
    distances: list[Tensor] = []
    weights: list[float] = []
    for j, motion in relations.items():
        assert motion is not None
        for back, step in enumerate(reversed(motion.steps)):  # fine to coarse
            for way, estimated in enumerate(step):
                truth = flow[:, j, way].to(estimated.dtype)
                truth = resized(truth, CELL, CELL * truth.shape[-1] // estimated.shape[-1])
                apart = (estimated - truth).square().sum(1)  # b h w
                distances.append(COARSER**back * (apart + 1e-4).sqrt().log1p().mean())
                weights.append(COARSER**back)
    return torch.stack(distances).sum() / sum(weights)


def exposure_loss(window: Mapping[int, PlusFeatures], exposure: Tensor, sweep: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean absolute error of the estimated exposures (in periods), and mean cross-entropy of "sharp".

    exposure: b t, in sharp frames. sweep: b t 2 h/4 w/4; None where motion is not known: then only an exposure of 1 is
    sharp. A frame with a blur extent below VISIBLE is sharp. Its exposure has a loss only if it is 1, because a longer
    exposure without visible blur cannot be estimated.
    """
    return _estimate_loss(*_estimates(window), *_blur_of(sorted(window), exposure, sweep))


def _estimate_loss(estimated: Tensor, logit: Tensor, length: Tensor, blurry: Tensor) -> tuple[Tensor, Tensor]:
    """Losses of the estimates against exposure and blur (`_blur_of`); any number of axes."""
    counted = torch.maximum(blurry, (length <= 1).to(blurry.dtype))
    sharp = F.binary_cross_entropy_with_logits(logit, 1 - blurry)
    return (counted * (estimated - length / PERIOD).abs()).sum() / counted.sum().clamp(min=1), sharp


def _estimates(window: Mapping[int, PlusFeatures]) -> tuple[Tensor, Tensor]:
    """Exposure in periods and logit of "sharp" of the frames in order: b t each."""
    seen = [window[j] for j in sorted(window)]
    return torch.stack([x.exposure for x in seen], dim=1), torch.stack([x.sharp for x in seen], dim=1)


def _blur_of(seen: list[int], exposure: Tensor, sweep: Tensor | None) -> tuple[Tensor, Tensor]:
    """Exposure in sharp frames of the frames `seen`, and 1 for a blur extent of VISIBLE or more, else 0: b t each."""
    length = exposure[:, seen]
    blurry = length > 1 if sweep is None else blur_extent(length, sweep[:, seen]) >= VISIBLE
    return length, blurry.to(length.dtype)


def _refiner_inputs(window: Mapping[int, PlusFeatures], relations: Mapping[int, Motion | None]) -> Tensor:
    """The inputs of `ExposureRefiner` for each frame, in order: b t k, the last two the first estimates."""
    inputs: list[Tensor] = []
    for j in sorted(window):
        found = statistics(j, relations)
        assert found is not None, "a clip of one frame"
        inputs.append(torch.cat((found, window[j].exposure[:, None], window[j].sharp[:, None]), dim=-1))
    return torch.stack(inputs, dim=1)


class _Memory:
    """A ring buffer of rows of numbers."""

    def __init__(self) -> None:
        self.rows: Tensor | None = None
        self.count = 0

    def joined(self, new: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
        """New rows (b t k) and up to `REPLAYED` of the kept ones -> inputs of `ExposureRefiner`, exposure, blurry."""
        new = new.detach().flatten(0, -2)
        if self.rows is None:
            self.rows = new.new_empty(MEMORY_SIZE, new.shape[-1])
        known = min(self.count, MEMORY_SIZE)
        rows = torch.cat((new, self.rows[torch.randint(known, (min(REPLAYED, known),))])) if known else new
        new = new[new.isfinite().all(-1)]  # a value that is not finite would spoil many steps
        self.rows[torch.arange(self.count, self.count + len(new)) % MEMORY_SIZE] = new
        self.count += len(new)
        return (rows[:, :-4], rows[:, -4], rows[:, -3]), rows[:, -2], rows[:, -1]
