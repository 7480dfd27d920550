"""Motion between two frames, coarse to fine from their features, and features brought to where they are needed.

Axes: b batch, c channels, h w height and width of a map whose values stand for cells of `cell` x `cell` pixels.
A *flow* is b 2 h w, (x, y), always in pixels of the full frame whatever its own size: what is seen at p in this frame
is at p + flow(p) in the other one. So `warp(other, flow)` looks like this frame.
Positions, flows and softmaxes are float32 under autocast too: bfloat16 cannot tell pixel 300 from 301.

    features of both, 1/16 ──> compare within `search` cells ──> flow ─┐ twice as large
                       1/8 ──> warp, compare ───────────────> + change ─┐
                       1/4 ──> warp, compare ───────────────────────> + change ──> flow, cells of 4 pixels

With `matching` each comparison also says by itself where a place has gone: the mean of all shifts, weighted by a
softmax of how alike they are. Where all are alike, as in a clear sky, that is no motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from alanet.model.layers import CELL, act, conv, exact, resized, warp, zeroed

__all__ = [
    "KEYS",
    "Motion",
    "MotionEstimator",
    "acceleration",
    "correlate",
    "moving",
    "towards",
]

KEYS = 32  # channels that are compared
SURE = 8.0  # before training: how much likelier the shift is that is as alike as can be than one without likeness, log
TRUST = 10.0  # times what is learned of how far matches are to be believed, so that it is learned in some hundred steps
ALIKE = 200.0  # how sure a difference between frames makes, a logit: half a grey level of 255 makes it 0.4
STEP = 0.25  # times what a flow's last layer says: Adam moves that by about lr x its inputs a step, all at once


@dataclass(frozen=True, slots=True)
class Motion:
    """What is kept of a pair of frames a, b. `steps` are kept in training only, for supervision."""

    forward: Tensor  # b 2 h/4 w/4: where what is seen in a has gone to in b
    backward: Tensor  # b 2 h/4 w/4: where what is seen in b has come from in a
    steps: tuple[tuple[Tensor, Tensor], ...] = ()  # (forward, backward), coarse to fine, each of its own size
    curves: tuple[Tensor, ...] = ()  # b k of a, and of b: what the motion tells of their exposure (`shutter.py`)


class MotionEstimator(nn.Module):
    """Flow both ways between two frames from their features; no motion at all before any training.

    channels and cells: of the features that are used, coarse to fine, each cell half the one before, the last 4.
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
            alike = correlate(here, there, radius)
            known = [alike, here, flow / (8 * cell)]
            if match is not None:
                moved, sure = match(alike)
                flow = flow + cell * moved
                known += [moved / radius, sure]
            flow = flow + cell * STEP * exact(last, act(second(act(first(torch.cat(known, dim=1))))))
            steps.append((flow[: len(x)], flow[len(x) :]))
        return Motion(*steps[-1], tuple(steps) if self.training else ())


class Match(nn.Module):
    """Where each place has gone, in cells, by what it is like; none before any training."""

    shifts: Tensor

    def __init__(self, radius: int) -> None:
        super().__init__()
        reach = torch.arange(-radius, radius + 1, dtype=torch.float32)
        rows, columns = torch.meshgrid(reach, reach, indexing="ij")  # in the order of `correlate`
        self.register_buffer("shifts", torch.stack((columns, rows)).flatten(1), persistent=False)  # 2 (2 radius + 1)^2
        self.sure = nn.Parameter(torch.zeros(1))
        self.near = nn.Parameter(torch.zeros(1))
        self.trust = nn.Parameter(torch.zeros(1))

    def forward(self, alike: Tensor) -> tuple[Tensor, Tensor]:
        """b (2 radius + 1)^2 h w -> the mean shift (b 2 h w), and the likelihood of the likeliest one (b 1 h w)."""
        shifts = self.shifts.to(alike.dtype)
        far = shifts.square().sum(0) / shifts.square().max()
        near = (TRUST * self.near).exp()  # near shifts are likelier, other things being equal
        likely = (SURE * (TRUST * self.sure).exp() * alike - rearrange(near * far, "n -> 1 n 1 1")).softmax(1)
        moved = TRUST * self.trust * torch.einsum("kn,bnhw->bkhw", shifts, likely)
        return moved, likely.amax(1, keepdim=True)


def correlate(a: Tensor, b: Tensor, radius: int) -> Tensor:
    """How alike a is to b at every shift up to `radius`: b c h w, c of unit length -> b (2 radius + 1)^2 h w.

    Shifts go row by row from (-radius, -radius); beyond the edge there is nothing, which is like nothing.
    """
    height, width = a.shape[-2:]
    padded = F.pad(b, (radius,) * 4)
    shifts = range(2 * radius + 1)
    alike = [(a * padded[..., y : y + height, x : x + width]).sum(1) for y in shifts for x in shifts]
    return torch.stack(alike, dim=1)


def towards(motion: Motion, time: Tensor, changing: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Flows from `time` in [0, 1] between a and b to a, and to b.

    What moves evenly has gone `time` of its way. Seen from between, its flow is read at the place itself, from a and
    from b, the nearer one counting more (Jiang et al. 2018, eq. 5). What speeds up lags behind (Xu et al. 2019, eq. 4).
    changing: b 2 h/4 w/4, by how much the motion grows in a period; None: not at all.
    """
    forward, backward = motion.forward, motion.backward
    left = 1 - time
    to_a, to_b = time * (time * backward - left * forward), left * (left * forward - time * backward)
    if changing is None:
        return to_a, to_b
    lag = time * left / 2 * changing
    return to_a + lag, to_b + lag


def acceleration(before: Motion | None, motion: Motion, after: Motion | None, time: Tensor) -> Tensor | None:
    """By how much the motion of a place at `time` between a and b grows in a period, in pixels: b 2 h/4 w/4.

    before, after: the motion of the pair before, and of the one after, where they are known; None where neither is.
    What has gone v + c / 2 in one period, v the motion in the middle of both, had gone v - c / 2 in the one before. It
    is read at the place itself, of both pairs of periods, the nearer one counting more; one that is not known counts as
    even, as motion that is shaken changes otherwise every time.
    """
    earlier = None if before is None else (1 - time) * (motion.forward + before.backward)
    later = None if after is None else time * (motion.backward + after.forward)
    if earlier is None or later is None:
        return earlier if later is None else later
    return earlier + later


def moving(a: Tensor, b: Tensor, to_a: Tensor, to_b: Tensor) -> Tensor:
    """How far places between two frames are believed to have moved along their flows, and not to have stood still.

    a, b: frames (b 3 h w); to_a, to_b: flows to them (b 2 h/4 w/4). Returns b 1 h/4 w/4, 0 to 1, by which of both the
    frames look more alike there: a flow spreads beyond the edge of what moves, most often over a background that does
    not. No gradient goes back.
    """
    a, b = resized(a.detach(), 1, CELL), resized(b.detach(), 1, CELL)
    moved = warp(a, to_a.detach(), CELL) - warp(b, to_b.detach(), CELL)
    return (ALIKE * (_unlike(a - b) - _unlike(moved))).sigmoid()


def _unlike(difference: Tensor) -> Tensor:
    """Mean absolute difference over colours and 3 x 3 cells: b c h w -> b 1 h w."""
    return F.avg_pool2d(difference.abs().mean(1, keepdim=True), 3, 1, 1, count_include_pad=False)


def _comparable(keys: Tensor) -> Tensor:
    """Keys less their mean over the picture, at least float32, of length near 1 where they say much for this picture
    and near 0 where they say little: a sky's noise is not to be matched."""
    keys = keys.to(torch.promote_types(keys.dtype, torch.float32))
    keys = keys - keys.mean(dim=(-2, -1), keepdim=True)
    length = keys.square().sum(1, keepdim=True)
    return keys / (length + 0.25 * length.mean(dim=(-2, -1), keepdim=True) + 1e-6).sqrt()


def _unit(keys: Tensor) -> Tensor:
    """Keys less their mean over the picture, at least float32, of length 1: what all places share says nothing."""
    keys = keys.to(torch.promote_types(keys.dtype, torch.float32))
    return F.normalize(keys - keys.mean(dim=(-2, -1), keepdim=True), dim=1, eps=1e-6)
