"""The decoder of ALANetPlus: coarse to fine, from aligned neighbours and the blur path to a restored frame.

At each scale it joins the neighbours' features, warped along their flow, with the blur features and (for a deblurred
frame) the frame's own features, and corrects both flows and the blur path. At the finest scale it also takes the
neighbours as they are, both aligned, and the luma along the blur path at full size. What does not move with its place
(a caption, a fade) is found in the neighbours as they are. It ends with three parts: weights by which the candidates
are blended, weights of the luma along the blur path (a deconvolution whose kernel follows the path), and a residual.

Axes: b batch, c channels, h w. Flows and paths are b 2 h/4 w/4 in pixels, float32. Scales are 1/2, 1/4, 1/8, 1/16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from alanet.frames.tiles import Box, round_up
from alanet.model.attention import attend
from alanet.model.blur_features import BLUR_FEATURES, POSITIONS, blur_features, limited, luma_along
from alanet.model.cells import cells_first, cells_last, in_cells, in_planes, per_pixel, places_of, sampled, spread
from alanet.model.layers import CELL, Doubling, act, blocks, channels_last, compute_type, conv, part, resized, zeroed
from alanet.model.warping import cheap_warp, warp

__all__ = ["Decoder", "Guide", "Side"]

STEM = 2  # pixels to a side of a cell of the finest scale
FLOW_UNIT = 8.0  # pixels: flows are given in this unit, clamped to 8 of them
STRIP = 1 << 19  # pixels that the finest scale works on at a time, about; not while training
RESIDUAL = 0.2  # the residual's unit, of the range of a frame


@dataclass(frozen=True, slots=True)
class Side:
    """A neighbour: its frame and features (of the whole frame), and the flow to it and back."""

    frame: Tensor  # b 3 h w
    features: Sequence[Tensor]  # b c h/s w/s for s = 4, 8, 16
    descriptor: Tensor  # b c
    flow: Tensor  # from the restored frame to it
    distance: Tensor  # b 1, periods; 0: there is none, and the frame itself stands in


@dataclass(frozen=True, slots=True)
class Guide:
    """What is restored: from which frame, along which blur path, and with which weights the blend begins."""

    frame: Tensor | None  # b 3 h w, of a deblurred frame
    own: Sequence[Tensor]  # its features at every scale; empty for an interpolated frame
    descriptor: Tensor | None
    path: Tensor
    curvature: Tensor  # of the path
    # Blend weights, b 3 h/2 w/2 4 in cells or b 3 1 1 1: of the frame (or both neighbours unaligned), before, after.
    prior: Tensor


class Decoder(nn.Module):
    """channels: at 1/2 ... 1/16; side: of a neighbour's features at 1/4 ... 1/16; depth: residual blocks a scale."""

    def __init__(self, channels: Sequence[int], side: Sequence[int], depth: Sequence[int]) -> None:
        super().__init__()
        c, levels, taps = channels, range(len(channels)), len(POSITIONS)
        self.finest = conv(STEM**2 * (15 + taps), c[0], 3)  # full size, in cells -> 1/2
        self.neighbours = nn.ModuleList(conv(2 * s, n, 3) for s, n in zip(side, c[1:], strict=True))
        self.guide = nn.ModuleList(conv(4 + BLUR_FEATURES, c[i], 3) for i in levels)
        self.kind = nn.ModuleList(nn.Linear(3, c[i]) for i in levels)
        self.rise = nn.ModuleList(conv(c[i], c[i], 3) for i in levels[:-1])
        self.up = nn.ModuleList(Doubling(c[i + 1], c[i]) for i in levels[:-1])
        self.own = nn.ModuleList(conv(n, n, 1, gain=0.5) for n in c)
        self.blocks = nn.ModuleList(blocks(n, count) for n, count in zip(c, depth, strict=True))
        self.f_self, self.f_cross = Gate(c[-1], c[-1]), Gate(c[-1], side[-1])
        self.refine = nn.ModuleList(zeroed(conv(n, 6, 3)) for n in c[1:])  # of both flows and the path
        self.head = zeroed(conv(c[0], STEM**2 * (6 + taps), 3))
        self.margin = round_up(STEM * (2 * depth[0] + 4), 2 * CELL)  # pixels around a place that the finest scale reads

    def forward(self, to: Guide, before: Side, after: Side, within: Box | None = None) -> Tensor:
        """The restored frame, or the part `within` of it: b 3 h w, not clamped."""
        sides, kind = (before, after), compute_type(before.frame, self)
        deblurs = before.distance.new_full(before.distance.shape, float(to.frame is not None))
        about = torch.cat((before.distance, after.distance, deblurs), 1)
        motion = torch.cat([part(v, CELL, within) for v in (before.flow, after.flow, to.path)], 1)
        x: Tensor | None = None
        change: Tensor | None = None
        for level in reversed(range(1, len(self.blocks))):
            cell = STEM * 2**level
            there = resized(motion, CELL, cell)
            if change is not None:
                change = resized(change, 2 * cell, cell)
                there = there + change
            flow, path = there[:, :4].detach(), there[:, 4:]
            total = self._joined(level, sides, flow, to, within, kind)
            hints = torch.cat((flow, blur_features(path)), 1)
            own = part(to.own[level], cell, within) if to.own else None
            x = self._scale(level, x, total, hints, about, own, to.descriptor, kind)
            step = self.refine[level - 1](x).float() * (0.25 * cell)
            change = step if change is None else change + step
        motion = motion if change is None else motion + change
        return self._finest(torch.cat((motion[:, :4], limited(motion[:, 4:])), 1), x, about, to, sides, within, kind)

    def _finest(
        self,
        motion: Tensor,
        x: Tensor | None,
        about: Tensor,
        to: Guide,
        sides: Sequence[Side],
        within: Box | None,
        kind: torch.dtype,
    ) -> Tensor:
        """The scale 1/2 and the restored frame. All at full size is in cells, b c h/2 w/2 4: what convolutions at 1/2
        take and give."""
        fine = spread(motion[:, :4])
        aligned = [self._aligned(side.frame, fine[:, i : i + 2], within) for i, side in zip((0, 2), sides, strict=True)]
        del fine  # what is large goes as soon as it is used
        prior = part(to.prior.movedim(4, 2), STEM, within).movedim(2, 4) if to.prior.shape[-1] > 1 else to.prior
        raw = [part(side.frame, 1, within) for side in sides]
        seen = [one.detach() for one in aligned]
        if to.frame is None:
            before, after = (side.distance for side in sides)
            frame = in_cells(_mixed(raw, after, before))
            base = (prior[:, 1:2] * seen[0] + prior[:, 2:] * seen[1]) / (1 - prior[:, :1])
            luma = in_planes(base.mean(1, keepdim=True))
        else:
            frame = base = in_cells(part(to.frame, 1, within))
            luma = part(to.frame, 1, within).mean(1, keepdim=True)
        motion = torch.cat((motion, part(to.curvature, CELL, within)), 1)

        def restored(rows: slice) -> Tensor:
            """These rows of the part, multiples of CELL."""
            of = partial(_rows, rows=rows)
            flow, path, curved = (of(motion, CELL)[:, i:j] for i, j in ((0, 4), (4, 6), (6, 8)))
            along = luma_along(luma, spread(path), spread(curved), rows.start)
            total = self.finest(_views(of(base), [of(x) for x in seen], along, [of(x, 1) for x in raw], kind))
            hints = resized(torch.cat((flow.detach(), blur_features(path)), 1), CELL, STEM)
            own = of(part(to.own[0], STEM, within)) if to.own else None
            below = None if x is None else of(x, CELL)
            features = self._scale(0, below, total, hints, about, own, to.descriptor, kind)
            out = cells_first(self.head(features))
            residual, logits, taps = out[:, :3].float(), out[:, 3:6].float(), out[:, 6:]
            weights = (logits + (of(prior) if prior.shape[-1] > 1 else prior).log()).softmax(1)
            made = RESIDUAL * residual
            for weight, candidate in zip(weights.unbind(1), (of(frame), *(of(x) for x in aligned)), strict=True):
                made = torch.addcmul(made, weight[:, None], candidate)
            undone = torch.zeros_like(along[0])
            for k, difference in enumerate(along):
                undone = torch.addcmul(undone, taps[:, k : k + 1].float(), difference)
            return in_planes(made + undone)

        return _in_strips(restored, luma, self.margin)

    def _aligned(self, frame: Tensor, flow: Tensor, within: Box | None) -> Tensor:
        """A frame where a flow (b 2 h/2 w/2 4) shows it, in cells: b 3 h/2 w/2 4."""
        if self.training:
            return in_cells(cheap_warp(frame, in_planes(flow), 1))
        whole, size = (frame.shape[-2], frame.shape[-1]), (STEM * flow.shape[2], STEM * flow.shape[3])
        corner = (0, 0) if within is None else (within.top, within.left)
        return sampled(frame, places_of(frame, whole, size, corner) + flow * per_pixel(frame))

    def _warp(self, x: Tensor, flow: Tensor, cell: int, corner: tuple[int, int]) -> Tensor:
        return cheap_warp(x, flow, cell) if self.training else warp(x, flow, cell, corner)

    def _joined(
        self, level: int, sides: Sequence[Side], flow: Tensor, to: Guide, within: Box | None, kind: torch.dtype
    ) -> Tensor:
        """The neighbours' features where the restored frame shows their content; at the deepest scale with
        cross-attention: the restored frame's descriptor (between two frames, the other one's) weighs their channels."""
        cell, deepest = STEM * 2**level, level == len(self.blocks) - 1
        corner = (0, 0) if within is None else (within.top, within.left)
        parts = []
        for k, (side, to_it) in enumerate(zip(sides, flow.chunk(2, 1), strict=True)):
            seen = self._warp(side.features[level - 1], to_it, cell, corner)
            if deepest:
                query = sides[1 - k].descriptor if to.descriptor is None else to.descriptor
                seen = attend(seen, self.f_cross(query))
            parts.append(seen.to(kind))
        joined: Tensor = self.neighbours[level - 1](channels_last(torch.cat(parts, 1)))
        return joined

    def _scale(
        self,
        level: int,
        x: Tensor | None,
        total: Tensor,
        hints: Tensor,
        about: Tensor,
        own: Tensor | None,
        descriptor: Tensor | None,
        kind: torch.dtype,
    ) -> Tensor:
        """One scale's features from all that is known there."""
        known = torch.cat(((hints[:, :4] / FLOW_UNIT).clamp(-8, 8), hints[:, 4:]), 1)
        shift = self.kind[level](about.to(next(self.kind.parameters()).dtype))
        total = self.guide[level](channels_last(known.to(kind)), total, shift=shift)
        if x is not None:
            total = self.rise[level](self.up[level](x), total)
        if own is not None:
            if descriptor is not None and level == len(self.blocks) - 1:  # self-attention
                total = total + attend(self.own[level](own), self.f_self(descriptor))
            else:
                total = self.own[level](own, total)
        done: Tensor = self.blocks[level](act(total))
        return done


def _views(
    base: Tensor, aligned: Sequence[Tensor], along: Sequence[Tensor], raw: Sequence[Tensor], kind: torch.dtype
) -> Tensor:
    """The finest scale's inputs from the frames (in cells, but raw, b 3 h w) and of the luma along the path, as
    channels."""
    views = [(base * 2 - 1).to(kind), *((2 * (x - base)).to(kind) for x in aligned)]
    views += [(4 * difference).to(kind) for difference in along]
    views += [(2 * (in_cells(x) - base)).to(kind) for x in raw]
    return cells_last(torch.cat(views, 1))


class Gate(nn.Module):
    """F of eq. 3 and 4: a descriptor b c -> weights of o channels, in (0, 2)."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        hidden = max(8, channels // 16)
        self.squeeze, self.excite = nn.Linear(channels, hidden), nn.Linear(hidden, outputs)

    def forward(self, descriptor: Tensor) -> Tensor:
        weights: Tensor = self.excite(self.squeeze(descriptor.to(self.squeeze.weight.dtype)).relu()).sigmoid()
        return 2 * weights


def _rows(x: Tensor, cell: int = STEM, *, rows: slice) -> Tensor:
    """Of a map of cells of `cell` pixels, these rows of pixels."""
    return x[:, :, rows.start // cell : rows.stop // cell]


def _in_strips(restored: Callable[[slice], Tensor], luma: Tensor, margin: int) -> Tensor:
    """A large part of a frame, strip by strip: the work at full size takes hundreds of bytes a pixel, the result 12.

    restored: gives rows of the part. margin: rows beyond a strip that it depends on.
    """
    height, width = luma.shape[-2:]
    count = 1 if torch.is_grad_enabled() or torch.compiler.is_exporting() else round(height * width / STRIP)
    if count < 2:
        return restored(slice(0, height))
    each = round_up(math.ceil(height / count), 2 * CELL)
    canvas = luma.new_empty(len(luma), 3, height, width)
    for top in range(0, height, each):
        bottom, start = min(top + each, height), max(0, top - margin)
        made = restored(slice(start, min(bottom + margin, height)))
        canvas[:, :, top:bottom] = made[:, :, top - start : bottom - start]
    return canvas


def _mixed(frames: Sequence[Tensor], first: Tensor, second: Tensor) -> Tensor:
    """Both neighbours unaligned, by weights b 1."""
    return frames[0] * first[..., None, None] + frames[1] * second[..., None, None]
