"""What the motion and the exposure of ALANetPlus are trained by, each part on its own.

Flow: towards the true flow of scenes and a teacher's flow on the sharp versions of real clips, and so that both frames,
warped and blended, give the sharp frame between them. Training on scenes alone gives flow that is worse on every real
clip; training on the true flow alone, flow that hides neither blur nor occlusion.
Exposure head: towards the exposures that the clips were made with, by the flow that it will be given; a frame is sharp
where its blur extent is under a pixel.

Axes: b batch, t frames of a clip, h w. `batch` is a `Batch` of alanet/data/cutting.py; exposures are in sharp
frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

from alanet.frames.blur_extent import PERIOD, VISIBLE, blur_extent
from alanet.model.exposure_head import LEAST, ExposureEstimate, ExposureHead, mean_estimate
from alanet.model.layers import CELL, enlarged
from alanet.model.rife import CoarseFlow, halved
from alanet.model.warping import cheap_warp, warp

__all__ = ["exposure_loss", "flow_loss", "motion_at"]

STEPS = (0.1, 0.2, 0.4, 1.0)  # weights of the flow after each block
LEAST_ERROR = 1e-4  # mean squared error that is added, so that perfect frames do not decide


def flow_loss(flow: CoarseFlow, batch: Any) -> Tensor:
    """Mean of log(1 + distance in half-size pixels) from the known flow, plus log10 of the blend's squared error.

    Flow is asked for at the in-between times of the batch, one of which is needed.
    """
    clip = batch.clip
    between = [(k, int(time), time % 1) for k, time in enumerate(batch.times[0].tolist()) if time % 1]
    pairs, b = [i for _, i, _ in between], len(clip)
    phase = clip.new_tensor([p for _, _, p in between]).repeat(b)
    half = rearrange(halved(clip.flatten(0, 1)), "(b t) c h w -> b t c h w", b=b)
    first, second = half[:, pairs].flatten(0, 1), half[:, [i + 1 for i in pairs]].flatten(0, 1)
    truth = halved(batch.truth[:, [k for k, _, _ in between]].flatten(0, 1))
    steps = flow.steps(first, second, phase)
    found, logit = steps[-1][0].float(), steps[-1][1].float()
    known, at = (batch.flow[:, :, 0], 0.0) if batch.flow is not None else _teacher(batch)
    target = _flows(known[:, pairs].flatten(0, 1), at, found.detach(), phase)
    loss = clip.new_zeros(())
    for weight, (step, _) in zip(STEPS, steps, strict=True):
        loss = loss + weight * _distance(step.float(), target).log1p().mean()
    seen = [cheap_warp(x, f, 1) for x, f in ((first, found[:, :2]), (second, found[:, 2:]))]
    share = logit.sigmoid()
    error = (share * seen[0] + (1 - share) * seen[1] - truth).square().mean((1, 2, 3))
    total: Tensor = loss + (error + LEAST_ERROR).log10().mean()
    return total


def _teacher(batch: Any) -> tuple[Tensor, float]:
    """The teacher's motion of each pair, b t-1 2 h/4 w/4, as found half-way."""
    return batch.halfway_flow[:, :, 1] - batch.halfway_flow[:, :, 0], 0.5


def motion_at(known: Tensor, at: float, phase: Tensor, guess: Tensor) -> Tensor:
    """Motion that is known at the time `at` of a pair, seen at the place where each thing is at `phase`: b 2 h w, in
    the pixels of `guess`, from which the fixed point is searched."""
    part = (at - phase).view(-1, 1, 1, 1)
    for _ in range(2):
        guess = warp(known, part * guess, 1)
    return guess


def _flows(known: Tensor, at: float, found: Tensor, phase: Tensor) -> Tensor:
    """The known motion (n 2 h/4 w/4, pixels) as flows at `phase` to both frames, of the size and unit of `found`."""
    rows, columns = found.shape[-2:]
    motion = enlarged(known.float(), CELL // 2) / 2
    motion = F.pad(motion, (0, columns - motion.shape[-1], 0, rows - motion.shape[-2]), mode="replicate")
    motion = motion_at(motion, at, phase, found[:, 2:] - found[:, :2])
    p = phase.view(-1, 1, 1, 1)
    return torch.cat((-p * motion, (1 - p) * motion), 1)


def _distance(found: Tensor, target: Tensor) -> Tensor:
    """Pixels between flows, summed over both ways: n h w."""
    ways = reduce((found - target).square(), "n (way xy) h w -> n way h w", "sum", way=2)
    total: Tensor = (ways + 1e-3).sqrt().sum(1)
    return total


def exposure_loss(head: ExposureHead, luma: Sequence[Tensor], motion: Sequence[Tensor], batch: Any) -> Tensor:
    """Errors of exposure, of its expected error, and of sharpness: of what each pair gives for both of its frames, and
    twice as much of each frame's mean over its pairs, which is what is used.

    luma: of each frame, b 1 h w; motion: of each pair, b 2 h/4 w/4, as the network estimates it.
    """
    speeds = [moved.square().sum(1).sqrt().mean((-2, -1)) for moved in motion]
    each, means = [], []
    for j in range(len(luma)):
        sweep = None if batch.sweep is None else batch.sweep[:, j : j + 1]
        pairs = [i for i in (j - 1, j) if 0 <= i < len(motion)]
        found = [head(luma[j], motion[i]) for i in pairs]
        each += [
            _exposure_loss(one, batch.exposure[:, j], speeds[i], sweep) for one, i in zip(found, pairs, strict=True)
        ]
        speed = torch.stack([speeds[i] for i in pairs]).mean(0)
        means.append(_exposure_loss(mean_estimate(found), batch.exposure[:, j], speed, sweep))
    return (torch.stack(each).mean() + 2 * torch.stack(means).mean()) / 3


def _exposure_loss(found: ExposureEstimate, exposure: Tensor, speed: Tensor, sweep: Tensor | None) -> Tensor:
    """exposure: b, in sharp frames; speed: b, mean motion; sweep: b 1 2 h/4 w/4, the true motion, if known."""
    wanted = exposure / PERIOD
    log = (wanted + LEAST).log()
    error = 0.5 * (found.log_exposure - log).abs() + (found.log_exposure.exp() - LEAST - wanted).abs()
    speed = speed if sweep is None else sweep.float().square().sum(2).sqrt().mean((1, 2, 3))
    weight = speed / (speed + 1)  # nothing shows the exposure of what stands still
    deviation = found.log_deviation.clamp(-5, 2)
    unsure = error.detach() * (-deviation).exp() + deviation
    if sweep is None:  # a long exposure is blurry where something moves; a short one may be either
        sharp, counts = exposure <= 1, (exposure <= 1) | ((exposure >= 5) & (speed > 1.5))
    else:
        extent = blur_extent(exposure[:, None], sweep)[:, 0]
        sharp, counts = extent < VISIBLE, torch.ones_like(exposure, dtype=torch.bool)
    wrong = F.binary_cross_entropy_with_logits(found.sharp, sharp.to(found.sharp.dtype), reduction="none")
    return _mean(error + 0.1 * unsure, weight) + 0.5 * _mean(wrong, counts.to(wrong.dtype))


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / (weights.sum() + 0.1)
