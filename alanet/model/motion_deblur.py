"""Blur undone along the way that things were smeared.

A smear of n pixels in any direction is the same thing once it is looked at along its own way, in its own length: each
place is the mean of what lies within half a smear of it. So a restored frame is read again at the same few parts of a
smear to both sides of each place, `TAPS`; what is found there, against what is found at the place itself, is weighed
and added. One and the same set of weights then serves short and long smears in all directions. Where hardly anything
was smeared nothing is added, and as no place asks for another one's weights, what rests costs nothing.

Axes: b batch, c channels, h w height and width of a frame; a *smear* is b 2 h/4 w/4, (x, y): by how many pixels, and
which way, the content of a place moved while the shutter was open. Where the motion before is not that after, the way
is bent: b 4 h/4 w/4, the last two its *bend*. At part s of the exposure, from -1/2 to 1/2, what is here in the middle
of it is at s smear + s^2 bend; so what passed here then is, in the middle, at -s smear - s^2 bend.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alanet.model.layers import CELL, act, conv, exact, resized, zeroed

__all__ = ["REACH", "AlongSmear", "shortened"]

TAPS = (-1.25, -0.9, -0.6, -0.4, -0.2, 0.2, 0.4, 0.6, 0.9, 1.25)  # parts of a smear from a place
LONGEST = 32.0  # pixels: what was smeared farther is treated as if it were by so much
BENT = LONGEST / 4  # pixels: the longest bend
REACH = math.ceil(TAPS[-1] * LONGEST + TAPS[-1] ** 2 * BENT)  # pixels to each side that a place depends on
MULTIPLE = 256  # of places looked at together: PyTorch keeps what it builds for each size it meets, so these are few
LEAST, SURE = 0.5, 1.0  # pixels: the smear from which on something is added, and all of it
MOST = 0.6  # share of a strip that moves from which on it is worked on as a whole: picking places takes its time, too
STRIP = 16  # rows worked on at a time, a multiple of the stem: what lies in a cache is quick to come by
LOUD = 4.0  # times differences of light, so that they are of the size of features

Places = tuple[Tensor, Tensor]  # rows and columns; together they broadcast to h w


class AlongSmear(nn.Module):
    """A correction made of differences along the smear; none before any training."""

    def __init__(self, channels: int, stem: int, hidden: int) -> None:
        super().__init__()
        self.stem = stem
        self.context = conv(channels, hidden, 1)
        self.first = conv(len(TAPS) + 4, hidden, 1)
        self.second = conv(hidden, hidden, 1)
        self.to_weights = zeroed(conv(hidden, len(TAPS) + 1, 1))

    def forward(self, blurred: Tensor, restored: Tensor, smear: Tensor, x: Tensor) -> Tensor:
        """blurred, restored: b 3 h w, what a correction was made to, and with it; smear; x: features b c h/stem w/stem
        -> b 3 h w, to be added to `restored`."""
        ways, context = resized(smear, CELL, 1), self.context(x)
        height, width = restored.shape[-2:]
        rows, columns = (torch.arange(n, device=ways.device) for n in (height, width))
        if self.training or len(ways) > 1 or torch.compiler.is_exporting():  # a graph has no choice by values
            finer = resized(context, self.stem, 1)
            return self._added(blurred, (rows[:, None], columns), blurred, restored, ways, finer)
        added = torch.zeros_like(restored)
        for top in range(0, height, STRIP):  # all that is held at full size, of a strip only
            bottom = min(top + STRIP, height)
            strip = [x[..., top:bottom, :] for x in (blurred, restored, ways)]
            moved = (_length(strip[-1]) > LEAST).flatten().nonzero()[:, 0]
            if len(moved):
                strip.append(self._finer(context, top, bottom))
            if len(moved) > MOST * (bottom - top) * width:
                added[..., top:bottom, :] = self._added(blurred, (rows[top:bottom, None], columns), *strip)
            elif len(moved):
                moved = torch.cat((moved, moved[-1:].expand(-len(moved) % MULTIPLE)))
                some = [x.flatten(-2)[..., None, moved] for x in strip]  # b c 1 n
                at = top + moved[None].div(width, rounding_mode="floor"), moved[None] % width
                added.flatten(-2)[..., top * width + moved] = self._added(blurred, at, *some)[..., 0, :]
        return added

    def _finer(self, context: Tensor, top: int, bottom: int) -> Tensor:
        """Rows of the context at full size: made from those rows, and one more on each side where there is one."""
        first, end = top // self.stem, bottom // self.stem
        above, below = min(1, first), min(1, context.shape[-2] - end)
        finer = resized(context[..., first - above : end + below, :], self.stem, 1)
        return finer[..., above * self.stem : finer.shape[-2] - below * self.stem, :]

    def _added(
        self, blurred: Tensor, at: Places, here: Tensor, restored: Tensor, ways: Tensor, context: Tensor
    ) -> Tensor:
        """The correction at some places. All but `blurred`, which is the whole frame, are of these only."""
        seen = _seen(blurred, ways, at)
        light = here.mean(1, keepdim=True)
        length = _length(ways)
        differences = LOUD * (torch.cat((seen.mean(1), restored.mean(1, keepdim=True)), dim=1) - light)
        known = torch.cat((differences, length / (length + 2), 1 / (1 + length), light - 0.5), dim=1)
        hidden = act(self.first(known.to(context.dtype)).add_(context))
        weights = exact(self.to_weights, act(self.second(hidden)))
        weights = weights * ((length - LEAST) / (SURE - LEAST)).clamp(0, 1)
        # What is weighed are differences from `here`, which stands once for all of them.
        added = weights[:, -1:] * restored - weights.sum(1, keepdim=True) * here
        # Taken apart at once: the gradient of each slice by itself would be as large as all of them.
        for weight, tap in zip(weights.unbind(1), seen.unbind(2), strict=False):
            added = torch.addcmul(added, weight[:, None], tap)
        return added


def _length(ways: Tensor) -> Tensor:
    return (ways[:, :2].square().sum(1, keepdim=True) + 1e-4).sqrt()


def _seen(frame: Tensor, ways: Tensor, at: Places) -> Tensor:
    """A frame (b c H W) at every tap of places whose ways (b 2 h w, or 4) these are: b c taps h w."""
    (height, width), (rows, columns) = frame.shape[-2:], at
    parts = ways.new_tensor(TAPS)[:, None, None]
    grid: list[Tensor] = []
    for axis, places, size in ((0, columns, width), (1, rows, height)):  # from -1 to 1
        go = ways[:, axis::2] * (2 / size)  # b 1 h w, or 2 with the bend
        here = (places.to(ways.dtype) + 0.5) * (2 / size) - 1
        there = torch.addcmul(here, go[:, :1], parts)  # b taps h w
        grid.append(there.addcmul_(go[:, 1:], -parts.square()) if ways.shape[1] > 2 else there)
    seen = F.grid_sample(
        frame.to(ways.dtype), torch.stack(grid, dim=-1).flatten(1, 2), "bilinear", "border", align_corners=False
    )
    return seen.reshape(len(frame), -1, len(TAPS), *ways.shape[-2:])


def shortened(smear: Tensor) -> Tensor:
    """No smear longer than LONGEST, as of a shorter exposure, and no bend longer than BENT; the way it goes is kept."""
    part = _within(smear[:, :2], LONGEST)
    if smear.shape[1] == 2:
        return smear * part
    bend = smear[:, 2:] * part.square()
    return torch.cat((smear[:, :2] * part, bend * _within(bend, BENT)), dim=1)


def _within(x: Tensor, longest: float) -> Tensor:
    """By what vectors (b 2 h w) are multiplied so that none is longer: b 1 h w."""
    return (longest / (x.square().sum(1, keepdim=True) + 1e-6).sqrt()).clamp(max=1.0)
