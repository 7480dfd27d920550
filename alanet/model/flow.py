"""Optical flow between two frames, estimated coarse to fine from their features; acceleration and the motion mask.

Axes: b batch, c channels, h w height and width of a map whose values stand for cells of `cell` x `cell` pixels.
A *flow* is b 2 h w, (x, y), in pixels of the full frame at every scale: the content at p in this frame is at
p + flow(p) in the other frame. So `warp(other, flow)` looks like this frame.
Positions, flows and softmaxes are float32 under autocast too: bfloat16 cannot distinguish pixel 300 from 301.

    features of both, 1/16 ──> compare within `search` cells ──> flow ─┐ twice as large
                       1/8 ──> warp, compare ───────────────> + change ─┐
                       1/4 ──> warp, compare ───────────────────────> + change ──> flow, cells of 4 pixels

With `matching` each comparison also gives a shift by itself: the mean of all shifts, weighted by a softmax of their
correlations. Where all correlations are equal, as in a clear sky, this shift is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from alanet.model.layers import CELL, act, conv, exact, resized, zeroed
from alanet.model.warping import warp

__all__ = [
    "KEYS",
    "Motion",
    "MotionEstimator",
    "acceleration_at",
    "correlate",
    "motion_mask",
    "towards",
]

KEYS = 32  # channels that are compared
SHARPNESS = 8.0  # initial inverse temperature of the softmax over shifts
GAIN = 10.0  # factor of the learned parameters of `Match`, so that they are learned in hundreds of steps
MASK_GAIN = 200.0  # slope of the motion mask's logit: half a grey level of 255 gives 0.4
STEP = 0.25  # factor of the last layer's output: one step of Adam changes that by about lr x its inputs


@dataclass(frozen=True, slots=True)
class Motion:
    """The motion between frames a and b. `steps` are kept in training only, for supervision."""

    forward: Tensor  # b 2 h/4 w/4: flow from a to b
    backward: Tensor  # b 2 h/4 w/4: flow from b to a
    steps: tuple[tuple[Tensor, Tensor], ...] = ()  # (forward, backward), coarse to fine, each of its own size
    statistics: tuple[Tensor, ...] = ()  # b k of a, and of b, for their exposure (`exposure_head.py`)


class MotionEstimator(nn.Module):
    """Flow in both directions between two frames, from their features; 0 before training.

    channels and cells: of the features used, coarse to fine, each cell half the one before, the last 4.
    """

    def __init__(
        self, channels: Sequence[int], cells: Sequence[int], width: int, *, search: int = 4, matching: bool = False
    ) -> None:
        super().__init__()
        self.cells = tuple(cells)
        self.radii = tuple(max(1, search // 2**k) for k in range(len(cells)))
        inputs = [(2 * radius + 1) ** 2 + KEYS + (5 if matching else 2) for radius in self.radii]
        self.matches = nn.ModuleList(Match(radius) for radius in self.radii) if matching else None
        self.keys = nn.ModuleList(conv(c, KEYS, 1) for c in channels)
        self.first = nn.ModuleList(conv(i, width, 3) for i in inputs)
        self.second = nn.ModuleList(conv(width, width, 3) for _ in inputs)
        self.last = nn.ModuleList(zeroed(conv(width, 2, 3)) for _ in inputs)

    def forward(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Motion:
        """Features of both frames, coarse to fine -> their motion. Both directions go through as one batch."""
        flow: Tensor | None = None
        steps: list[tuple[Tensor, Tensor]] = []
        matches = self.matches if self.matches is not None else [None] * len(self.cells)
        layers = zip(self.keys, self.first, self.second, self.last, matches, strict=True)
        for x, y, cell, radius, (keys, first, second, last, match) in zip(
            a, b, self.cells, self.radii, layers, strict=True
        ):
            here = keys(torch.cat((x, y)))  # (b of a, b of b) c h w
            here = _unit(here) if match is None else _comparable(here)
            there = here.roll(len(x), 0)
            if flow is None:
                flow = here.new_zeros(len(here), 2, *here.shape[-2:])
            else:
                flow = resized(flow, 2 * cell, cell)
                there = warp(there, flow, cell)
            similarity = correlate(here, there, radius)
            known = [similarity, here, flow / (8 * cell)]
            if match is not None:
                shift, confidence = match(similarity)
                flow = flow + cell * shift
                known += [shift / radius, confidence]
            flow = flow + cell * STEP * exact(last, act(second(act(first(torch.cat(known, dim=1))))))
            steps.append((flow[: len(x)], flow[len(x) :]))
        return Motion(*steps[-1], tuple(steps) if self.training else ())


class Match(nn.Module):
    """The shift of each place by correlation alone, in cells; 0 before training."""

    shifts: Tensor

    def __init__(self, radius: int) -> None:
        super().__init__()
        reach = torch.arange(-radius, radius + 1, dtype=torch.float32)
        rows, columns = torch.meshgrid(reach, reach, indexing="ij")  # in the order of `correlate`
        self.register_buffer("shifts", torch.stack((columns, rows)).flatten(1), persistent=False)  # 2 (2 radius + 1)^2
        self.inverse_temperature = nn.Parameter(torch.zeros(1))
        self.distance_penalty = nn.Parameter(torch.zeros(1))
        self.shift_gain = nn.Parameter(torch.zeros(1))

    def forward(self, similarity: Tensor) -> tuple[Tensor, Tensor]:
        """Correlations b (2 radius + 1)^2 h w -> the mean shift (b 2 h w) and the largest softmax weight (b 1 h w)."""
        shifts = self.shifts.to(similarity.dtype)
        far = shifts.square().sum(0) / shifts.square().max()
        penalty = rearrange((GAIN * self.distance_penalty).exp() * far, "n -> 1 n 1 1")  # prefers near shifts
        weights = (SHARPNESS * (GAIN * self.inverse_temperature).exp() * similarity - penalty).softmax(1)
        shift = GAIN * self.shift_gain * torch.einsum("kn,bnhw->bkhw", shifts, weights)
        return shift, weights.amax(1, keepdim=True)


def correlate(a: Tensor, b: Tensor, radius: int) -> Tensor:
    """Correlation of a with b at every shift up to `radius`: b c h w, c of unit length -> b (2 radius + 1)^2 h w.

    Shifts go row by row from (-radius, -radius). Beyond the edge the correlation is 0.
    """
    height, width = a.shape[-2:]
    padded = F.pad(b, (radius,) * 4)
    shifts = range(2 * radius + 1)
    products = [(a * padded[..., y : y + height, x : x + width]).sum(1) for y in shifts for x in shifts]
    return torch.stack(products, dim=1)


def towards(motion: Motion, time: Tensor, acceleration: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Flows from `time` in [0, 1] between a and b to a, and to b.

    The flows of both frames are read at the place itself and weighted by the distance in time (Jiang et al. 2018,
    eq. 5). Accelerated content is behind its position under uniform motion (Xu et al. 2019, eq. 4).
    acceleration: b 2 h/4 w/4, growth of the motion in a period, pixels; None: uniform motion.
    """
    forward, backward = motion.forward, motion.backward
    left = 1 - time
    to_a, to_b = time * (time * backward - left * forward), left * (left * forward - time * backward)
    if acceleration is None:
        return to_a, to_b
    shift = time * left / 2 * acceleration
    return to_a + shift, to_b + shift


def acceleration_at(before: Motion | None, motion: Motion, after: Motion | None, time: Tensor) -> Tensor | None:
    """Growth of the motion in a period at `time` between a and b, in pixels: b 2 h/4 w/4; None without neighbours.

    The difference of the motion in two adjacent periods, read at the place itself. The two estimates, one with the pair
    before and one with the pair after, are weighted by their distance in time. A missing estimate counts as 0, because
    the acceleration of shaken motion does not persist.

    before, after: the motion of the pair before, and of the pair after; None where it is not known.
    """
    earlier = None if before is None else (1 - time) * (motion.forward + before.backward)
    later = None if after is None else time * (motion.backward + after.forward)
    if earlier is None or later is None:
        return earlier if later is None else later
    return earlier + later


def motion_mask(a: Tensor, b: Tensor, to_a: Tensor, to_b: Tensor) -> Tensor:
    """Motion mask of a time between two frames: 1 where content moves along the flows, 0 where it is static.

    Compares the difference of the frames with that of the warped frames: estimated flow extends beyond the edges of
    moving objects, usually over a static background. a, b: frames, b 3 h w; to_a, to_b: flows to them, b 2 h/4 w/4.
    Returns b 1 h/4 w/4, 0 to 1. No gradient.
    """
    a, b = resized(a.detach(), 1, CELL), resized(b.detach(), 1, CELL)
    warped = warp(a, to_a.detach(), CELL) - warp(b, to_b.detach(), CELL)
    return (MASK_GAIN * (_local_mean(a - b) - _local_mean(warped))).sigmoid()


def _local_mean(difference: Tensor) -> Tensor:
    """Mean absolute difference over colours and 3 x 3 cells: b c h w -> b 1 h w."""
    return F.avg_pool2d(difference.abs().mean(1, keepdim=True), 3, 1, 1, count_include_pad=False)


def _comparable(keys: Tensor) -> Tensor:
    """Keys minus their mean over the frame, at least float32, scaled to a length near 1 where they are long for this
    frame and near 0 where they are short, so that noise in flat areas is not matched."""
    keys = keys.to(torch.promote_types(keys.dtype, torch.float32))
    keys = keys - keys.mean(dim=(-2, -1), keepdim=True)
    length = keys.square().sum(1, keepdim=True)
    return keys / (length + 0.25 * length.mean(dim=(-2, -1), keepdim=True) + 1e-6).sqrt()


def _unit(keys: Tensor) -> Tensor:
    """Keys minus their mean over the frame, at least float32, of length 1."""
    keys = keys.to(torch.promote_types(keys.dtype, torch.float32))
    return F.normalize(keys - keys.mean(dim=(-2, -1), keepdim=True), dim=1, eps=1e-6)
