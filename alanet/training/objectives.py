"""What ALANetPlus learns beside pixels: the motion and the exposure that scenes know exactly.

b batch, t frames of a clip; flow, sweep and exposure as `data/clips.py` gives them (pixels, and sharp frames a
period). Motion is hardly learned from pixels alone; with its own loss it takes minutes. A frame is sharp where its blur
cannot be seen (`data/blur_extent.py`), however long its exposure. How long the exposure of such a frame was cannot be
seen either, so it has no loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alanet.data.blur_extent import PERIOD, VISIBLE, blur_extent
from alanet.errors import OptionError
from alanet.model.alanet_plus import ALANetPlus, PlusFeatures
from alanet.model.exposure_head import told_of
from alanet.model.flow import Motion, towards
from alanet.model.layers import CELL, resized
from alanet.training.loss import Loss, LossTerms
from alanet.training.trainer import Objective

__all__ = ["ObjectiveOptions", "exposure_loss", "judge_objective", "midway_loss", "motion_loss", "plus_objective"]

COARSER = 0.5  # weight of each coarser step of the motion
KEPT = 100_000  # frames that a run for what judges remembers
AGAIN = 512  # of them, learned from once more in each step


@dataclass(frozen=True, slots=True)
class ObjectiveOptions:
    """Weights of the losses that a network has of its own, beside that of the restored frames."""

    motion: float = 0.01  # of the estimated motion
    exposure: float = 0.01  # of the estimated exposure and sharpness
    motion_warmup: float = 0.0  # share of the run in which only these two are learned and no frame is restored

    def __post_init__(self) -> None:
        if not (0 <= self.motion < 1e6 and 0 <= self.exposure < 1e6):
            raise OptionError(
                f"objective.motion and exposure are {self.motion} and {self.exposure}; allowed: 0 or more"
            )
        if not 0 <= self.motion_warmup < 1:
            raise OptionError(f"motion_warmup is {self.motion_warmup}; allowed: from 0 to below 1")


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
        seen = network.encode_clip(batch.clip, times)
        window, relations = dict(seen.features), dict(seen.relations)
        total, terms = batch.clip.new_zeros(()), LossTerms()
        if fraction >= motion_first:
            restored = torch.stack([network.generate(seen, time) for time in times], dim=1)
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
                again = exposure_loss(network.refine_exposure(window, relations), batch.exposure, batch.sweep)
                told = told[0] + again[0], told[1] + again[1]
            terms["exposure"], terms["sharp"] = told
            total = total + exposure * (terms["exposure"] + terms["sharp"])
        return total, {name: term.detach() for name, term in terms.items()}

    return objective


def judge_objective() -> Objective:
    """Exposure and sharpness of every frame of the clips, as they are said last, and nothing else.

    What judges by the motion reads some hundred numbers of a frame, and nearly all of a step is finding them, by parts
    that do not learn. So they are kept, up to `KEPT` frames, and each step learns from `AGAIN` of them once more. They
    are not in checkpoints: a run that goes on begins to gather again.
    """
    memory = _Memory()

    def objective(model: nn.Module, batch: Any, fraction: float) -> tuple[Tensor, LossTerms]:
        network = cast(ALANetPlus, model)
        window = network.encoded(batch.clip)
        length, smeared = _blur_of(sorted(window), batch.exposure, batch.sweep)
        if network.judges_again:
            read = _read(window, network.estimate_motion(window))
            rows = torch.cat((read, length[..., None], smeared[..., None]), dim=-1)
            told, length, smeared = memory.joined(rows)
            estimated, logit = network.shutter(*told)
        else:
            estimated, logit = _said(window)
        exposure, sharp = _judging_loss(estimated, logit, length, smeared)
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
    return _judging_loss(*_said(window), *_blur_of(sorted(window), exposure, sweep))


def _judging_loss(estimated: Tensor, logit: Tensor, length: Tensor, smeared: Tensor) -> tuple[Tensor, Tensor]:
    """Of frames in any number of axes: what is said of them, and what is so (`_blur_of`)."""
    tells = torch.maximum(smeared, (length <= 1).to(smeared.dtype))
    sharp = F.binary_cross_entropy_with_logits(logit, 1 - smeared)
    return (tells * (estimated - length / PERIOD).abs()).sum() / tells.sum().clamp(min=1), sharp


def _said(window: Mapping[int, PlusFeatures]) -> tuple[Tensor, Tensor]:
    """Exposure in periods and logit of "sharp" of the frames in order: b t each."""
    seen = [window[j] for j in sorted(window)]
    return torch.stack([x.exposure for x in seen], dim=1), torch.stack([x.sharp for x in seen], dim=1)


def _blur_of(seen: list[int], exposure: Tensor, sweep: Tensor | None) -> tuple[Tensor, Tensor]:
    """Exposure in sharp frames of the frames `seen`, and 1 where one is smeared by VISIBLE or more, else 0: b t."""
    length = exposure[:, seen]
    smeared = length > 1 if sweep is None else blur_extent(length, sweep[:, seen]) >= VISIBLE
    return length, smeared.to(length.dtype)


def _read(window: Mapping[int, PlusFeatures], relations: Mapping[int, Motion | None]) -> Tensor:
    """All that `Shutter` reads of each frame, in order: b t k, the last two what the frame alone made believe."""
    read: list[Tensor] = []
    for j in sorted(window):
        told = told_of(j, relations)
        assert told is not None, "a clip of one frame"
        read.append(torch.cat((told, window[j].exposure[:, None], window[j].sharp[:, None]), dim=-1))
    return torch.stack(read, dim=1)


class _Memory:
    """Rows of numbers that were met, the oldest forgotten where they are too many."""

    def __init__(self) -> None:
        self.rows: Tensor | None = None
        self.met = 0

    def joined(self, new: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
        """New frames (b t k) and as many as `AGAIN` of those before -> what `Shutter` reads, exposure, smeared."""
        new = new.detach().flatten(0, -2)
        if self.rows is None:
            self.rows = new.new_empty(KEPT, new.shape[-1])
        known = min(self.met, KEPT)
        rows = torch.cat((new, self.rows[torch.randint(known, (min(AGAIN, known),))])) if known else new
        new = new[new.isfinite().all(-1)]  # what is not would be met again in many steps
        self.rows[torch.arange(self.met, self.met + len(new)) % KEPT] = new
        self.met += len(new)
        return (rows[:, :-4], rows[:, -4], rows[:, -3]), rows[:, -2], rows[:, -1]
