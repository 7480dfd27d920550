"""How well a network estimates motion: sharp frames are warped by the motion between their blurry versions.

    blurry inputs i, i + 1 ──> network ──> motion ──┐
    sharp frame i + 1 ──────────────────────── warp ┴─> compared with sharp frame i

PSNR of the warped frame against frame i, beside that of frame i + 1 as it is: what motion compensation is worth. No
ground truth of the motion is needed. Pixels that come from beyond the edge are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from alanet.engine.runner import Runner
from alanet.errors import OptionError
from alanet.evaluation.footage import Footage
from alanet.evaluation.metrics import Picture
from alanet.evaluation.protocols import Protocol, trials
from alanet.evaluation.report import as_table
from alanet.frames.tiles import crop_back
from alanet.model.layers import CELL, resized
from alanet.model.warping import warp

__all__ = ["MotionError", "as_markdown", "motion_errors"]


@dataclass(frozen=True, slots=True)
class MotionError:
    """One pair of neighbouring inputs."""

    video: str
    pair: int  # its first input
    speed: float  # mean length of the estimated motion, pixels a period
    still: float  # PSNR in dB of the next sharp frame as it is
    warped: float  # PSNR in dB of the next sharp frame, warped

    @property
    def gain(self) -> float:
        return self.warped - self.still


def motion_errors(runner: Runner, footage: Footage, protocol: Protocol) -> Iterator[MotionError]:
    """Every pair of neighbouring inputs of a video. OptionError for a network that estimates no motion."""
    for trial in trials(footage.subject.name, footage.frames, protocol):
        sharp = [truth for truth, time in zip(trial.truth, trial.times, strict=True) if time.denominator == 1]
        before = runner.encode(trial.inputs[0])
        for i in range(len(trial.inputs) - 1):
            after = runner.encode(trial.inputs[i + 1])
            motion = runner.model.motion_of(runner.relate(before, after))
            if motion is None:
                raise OptionError(f"{type(runner.model).__name__} estimates no motion; give weights of another network")
            yield _error(footage.subject.name, trial.first + i, motion.float().cpu(), sharp[i], sharp[i + 1])
            before = after


def _error(video: str, pair: int, motion: Tensor, here: Picture, there: Picture) -> MotionError:
    height, width = here.shape[:2]
    flow = crop_back(resized(motion, CELL, 1), height, width)
    a, b = (torch.from_numpy(x.copy()).permute(2, 0, 1)[None].float() for x in (here, there))
    x = torch.arange(width) + flow[:, 0]
    y = torch.arange(height)[:, None] + flow[:, 1]
    inside = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))[:, None]
    if not inside.any():
        inside = torch.ones_like(inside)
    speed = float(motion.square().sum(1).sqrt().mean())
    return MotionError(video, pair, speed, _psnr(b, a, inside), _psnr(warp(b, flow, 1), a, inside))


def _psnr(ours: Tensor, truth: Tensor, inside: Tensor) -> float:
    error = float((ours - truth).square().mean(1, keepdim=True)[inside].mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def as_markdown(found: Sequence[tuple[str, Sequence[MotionError]]]) -> str:
    """A row a network and video: means over pairs that neither restores exactly."""
    rows = []
    for name, errors in found:
        for video in dict.fromkeys(error.video for error in errors):
            ours = [e for e in errors if e.video == video and math.isfinite(e.still) and math.isfinite(e.warped)]
            if ours:
                speed, *decibels = (fmean(values) for values in zip(*map(_values, ours), strict=True))
                still, warped, gain = decibels
                cells = [f"{speed:.1f}", f"{still:.2f}", f"{warped:.2f}", f"{gain:+.2f}"]
                rows.append([name, video, f"{len(ours)}", *cells])
    columns = ["network", "video", "pairs", "motion, px a period", "next frame, dB", "warped, dB", "gain, dB"]
    return f"Sharp frames warped by the motion between the inputs.\n\n{as_table(columns, rows)}"


def _values(error: MotionError) -> tuple[float, float, float, float]:
    return error.speed, error.still, error.warped, error.gain
