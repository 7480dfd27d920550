"""How far training is: PSNR on a fixed bank of held-out batches, as gains in dB over doing nothing.

A deblurred frame is compared with `copy` (its own blurry input), an interpolated one with `blend` (the mean of its two
neighbours). Frames are clamped and rounded to 8 bits, PSNR is a mean over frames, frames restored exactly are left out.
The evaluator measures finished weights; this measures a running one in seconds, and always alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from alanet.errors import DataError

__all__ = ["Validation", "baseline", "psnr8", "validator"]


@dataclass(frozen=True, slots=True)
class Validation:
    """`scores`: dB by name; "gain", the mean of both gains, decides what is best. `panels`: c h w by name."""

    scores: dict[str, float]
    panels: dict[str, Tensor]


def psnr8(ours: Tensor, truth: Tensor) -> Tensor:
    """PSNR in dB of each frame (... c h w) after rounding both to 8 bits; infinite for equal frames."""
    apart = (ours.float().clamp(0, 1) * 255).round() - (truth.float().clamp(0, 1) * 255).round()
    return 10 * torch.log10(255.0**2 / apart.square().mean((-3, -2, -1)))


def baseline(clip: Tensor, times: Tensor) -> Tensor:
    """clip: b t c h w, times: b n -> b n c h w: the input at integer times, the mean of both neighbours elsewhere."""
    first = times.floor().long().clamp(0, clip.shape[1] - 1)
    second = times.ceil().long().clamp(0, clip.shape[1] - 1)
    rows = torch.arange(len(clip), device=clip.device)[:, None]
    return (clip[rows, first] + clip[rows, second]) / 2


def validator(batches: Sequence[Any], *, panels: int = 4) -> Callable[[nn.Module], Validation]:
    """A function that scores a model on these batches (clip, times, truth) without gradients.

    Raises DataError when there are none.
    """
    if not batches:
        raise DataError("the held-out data have no batch; give at least one clip to validate on")

    @torch.inference_mode()
    def validate(model: nn.Module) -> Validation:
        weight = next(model.parameters())
        scores: dict[Fraction, list[Tensor]] = defaultdict(list)
        pictures: list[Tensor] = []
        for batch in batches:
            clip, times, truth = (x.to(weight.device, weight.dtype) for x in (batch.clip, batch.times, batch.truth))
            restored, plain = model(clip, batch.times[0].tolist()), baseline(clip, times)
            pair = torch.stack((psnr8(restored, truth), psnr8(plain, truth)), -1).cpu()  # b n 2
            for row, row_times in zip(pair, batch.times.tolist(), strict=True):
                for scored, time in zip(row, row_times, strict=True):
                    scores[Fraction(time % 1).limit_denominator(64)].append(scored)
            if len(pictures) < panels:
                pictures.append(_panel(plain[0], restored[0], truth[0]).cpu())
        return Validation(_table(scores), {f"held-out {i}": picture for i, picture in enumerate(pictures)})

    return validate


def _table(scores: dict[Fraction, list[Tensor]]) -> dict[str, float]:
    """PSNR and gain of deblurred (phase 0) and interpolated frames, the mean of both gains, and gains by phase."""
    table: dict[str, float] = {}
    groups: dict[str, list[Tensor]] = defaultdict(list)
    for phase, rows in sorted(scores.items()):
        finite = [row for row in rows if bool(torch.isfinite(row).all())]
        groups["interpolated" if phase else "deblurred"] += finite
        if finite:
            table[f"gain {phase}"] = float(torch.stack(finite).mean(0).diff(dim=-1).neg())
    for name, rows in groups.items():
        if rows:
            ours, plain = torch.stack(rows).double().mean(0).tolist()
            table[name], table[f"{name} gain"] = ours, ours - plain
    gains = [table[f"{name} gain"] for name in groups if f"{name} gain" in table]
    table["gain"] = sum(gains) / len(gains) if gains else 0.0
    return table


def _panel(plain: Tensor, restored: Tensor, truth: Tensor) -> Tensor:
    """n c h w each -> one picture: a row a restored frame; baseline, restored, truth, five times the error."""
    error = ((restored - truth).abs() * 5).clamp(0, 1)
    rows = torch.cat((plain, restored, truth, error), dim=-1)  # n c h 4w
    return torch.cat(list(rows.float().clamp(0, 1)), dim=-2)
