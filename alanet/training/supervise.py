"""What ALANetPlus learns beside pixels: the motion and the exposure that scenes know exactly.

b batch, t frames of a clip; flow, sweep and exposure as `data/clips.py` gives them (pixels, and sharp frames a
period). Motion is hardly learned from pixels alone, and in minutes when it is told. A frame is sharp where its blur
cannot be seen (`data/smear.py`), however long its exposure: a network that was told otherwise would have to guess. How
long the exposure of such a frame was cannot be seen either, and is not asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alanet.data.smear import PERIOD, VISIBLE, smear
from alanet.model.alanet_plus import ALANetPlus, PlusFeatures
from alanet.model.motion import CELL, Motion, resized, towards
from alanet.training.loss import Loss, LossTerms
from alanet.training.trainer import Objective

__all__ = ["exposure_loss", "judge_objective", "midway_loss", "motion_loss", "plus_objective"]

COARSER = 0.5  # weight of each coarser step of the motion


def plus_objective(loss: Loss, *, motion: float = 0.01, exposure: float = 0.01, motion_first: float = 0.0) -> Objective:
    """`loss` of restored frames against the truth, and `motion` and `exposure` times what was told of those.

    The batch needs `flow` and `sweep` (ClipOptions.motion) for what their weights are not 0; of real video, `midway`
    and `sweep`. Real video of which nothing is deblurred is blurry itself: its exposures are longer than those that
    were made, and are not learned. For the share `motion_first` of the run no frame is restored and only what was told
    is learned, at a fraction of a step's cost.
    """

    def objective(model: nn.Module, batch: Any, fraction: float) -> tuple[Tensor, LossTerms]:
        network = cast(ALANetPlus, model)
        times = batch.times[0].tolist()
        window, relations = network.look(batch.clip, times)
        total, terms = batch.clip.new_zeros(()), LossTerms()
        if fraction >= motion_first:
            restored = torch.stack([network.generate(window, time, relations) for time in times], dim=1)
            total, terms = loss(restored, batch.truth, fraction)
        if motion and batch.flow is not None and relations and network.config.align:
            terms["motion"] = motion_loss(relations, batch.flow)
            total = total + motion * terms["motion"]
        if motion and batch.midway is not None and relations and network.config.align:
            terms["midway"] = midway_loss(relations, batch.midway)
            total = total + motion * terms["midway"]
        blur_known = batch.midway is None or any(time % 1 == 0 for time in times)
        if exposure and network.config.exposure and blur_known:
            told = exposure_loss(window, batch.exposure, batch.sweep)
            if network.judges_again:
                again = exposure_loss(network.informed(window, relations), batch.exposure, batch.sweep)
                told = told[0] + again[0], told[1] + again[1]
            terms["exposure"], terms["sharp"] = told
            total = total + exposure * (terms["exposure"] + terms["sharp"])
        return total, {name: term.detach() for name, term in terms.items()}

    return objective


def judge_objective() -> Objective:
    """Exposure and sharpness of every frame of the clips, as they are said last, and nothing else."""

    def objective(model: nn.Module, batch: Any, fraction: float) -> tuple[Tensor, LossTerms]:
        network = cast(ALANetPlus, model)
        window = network.encoded(batch.clip)
        if network.judges_again:
            window = network.informed(window, network.related(window))
        exposure, sharp = exposure_loss(window, batch.exposure, batch.sweep)
        return exposure + sharp, LossTerms(exposure=exposure.detach(), sharp=sharp.detach())

    return objective


def midway_loss(relations: Mapping[int, Motion | None], midway: Tensor) -> Tensor:
    """The same measure of flows from half-way between the frames of every pair to both of them, `midway` (b t-1 2 2 h/4
    w/4): how a restored frame there would be found by each step of the motion, against how a teacher would."""
    found = {
        j: replace(motion, steps=tuple(towards(Motion(*step), motion.forward.new_tensor(0.5)) for step in motion.steps))
        for j, motion in relations.items()
        if motion is not None
    }
    return motion_loss(found, midway)


def motion_loss(relations: Mapping[int, Motion | None], flow: Tensor) -> Tensor:
    """Mean of log(1 + distance in pixels) of every step of every pair's motion from `flow` (b t-1 2 2 h/4 w/4), both
    ways.

    A mean distance is decided by what moves far and is lost anyway; where little moves it lets a whole pixel stand, and
    a still wall is smeared in between. Coarse steps are compared with the mean over their cells, and weigh less.
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
    """Distance of the estimated exposures (in periods), and cross-entropy of "sharp": means over frames.

    exposure: b t, in sharp frames. sweep: b t 2 h/4 w/4; None where motion is not known: then only an exposure of 1 is
    sharp. A frame smeared by less than VISIBLE is sharp. Its exposure counts only if it is 1: what was exposed
    longer and still shows no blur could have been any.
    """
    seen = sorted(window)
    length = exposure[:, seen]
    smeared = length > 1 if sweep is None else smear(length, sweep[:, seen]) >= VISIBLE  # b t
    tells = (smeared | (length <= 1)).to(length.dtype)
    estimated = torch.stack([window[j].exposure for j in seen], dim=1)
    logit = torch.stack([window[j].sharp for j in seen], dim=1)
    sharp = F.binary_cross_entropy_with_logits(logit, (~smeared).to(logit.dtype))
    return (tells * (estimated - length / PERIOD).abs()).sum() / tells.sum().clamp(min=1), sharp
