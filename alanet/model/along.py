"""Blur undone along the way that things were smeared.

A smear of n pixels in any direction is the same thing once it is looked at along its own way, in its own length: each
place is the mean of what lies within half a smear of it. So a restored frame is read again at the same few parts of a
smear to both sides of each place, `TAPS`; what is found there, against what is found at the place itself, is weighed
and added. One and the same set of weights then serves short and long smears in all directions. Where hardly anything
was smeared nothing is added, and as no place asks for another one's weights, what rests costs nothing.

That done, the restored frame is smeared again: what then differs from what was seen it cannot have looked like, and
the difference is laid back along the smear (`Consistency`).

Axes: b batch, c channels, h w height and width of a frame; a *smear* is b 2 h/4 w/4, (x, y): by how many pixels, and
which way, the content of a place moved while the shutter was open. Where the motion before is not that after, the way
is bent: b 4 h/4 w/4, the last two its *bend*. At part s of the exposure, from -1/2 to 1/2, what is here in the middle
of it is at s smear + s^2 bend; so what passed here then is, in the middle, at -s smear - s^2 bend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alanet.model.motion import CELL, act, conv, exact, resized, zeroed

__all__ = ["REACH", "REACH_BACK", "AlongSmear", "Consistency", "Smeared", "shortened"]

TAPS = (-1.25, -0.9, -0.6, -0.4, -0.2, 0.2, 0.4, 0.6, 0.9, 1.25)  # parts of a smear from a place
OPEN = tuple((k + 0.5) / 7 - 0.5 for k in range(7))  # parts of the exposure, whose mean a smeared frame is
BACK = (-0.5, -0.25, 0.0, 0.25, 0.5)  # parts of a smear from a place, where it finds what is missing
LONGEST = 32.0  # pixels: what was smeared farther is treated as if it were by so much
BENT = LONGEST / 4  # pixels: the longest bend
REACH = math.ceil(TAPS[-1] * LONGEST + TAPS[-1] ** 2 * BENT)  # pixels to each side that a place depends on
# The same of `Consistency`, to what is missing and on from there:
REACH_BACK = math.ceil((BACK[-1] + OPEN[-1]) * LONGEST + (BACK[-1] ** 2 + OPEN[-1] ** 2) * BENT)
LEAST, SURE = 0.5, 1.0  # pixels: the smear from which on something is added, and all of it
MOST = 0.6  # share of a strip that moves from which on it is worked on as a whole: picking places takes its time, too
STRIP = 16  # rows worked on at a time, a multiple of the stem: what lies in a cache is quick to come by
LOUD = 4.0  # times differences of light, so that they are of the size of features

Places = tuple[Tensor, Tensor]  # rows and columns; together they broadcast to h w


class Smeared:
    """The places of a frame that were smeared, whatever is done there: on no others, a strip of rows at a time."""

    def __init__(self, smear: Tensor, *, whole: bool = False) -> None:
        """smear: b 2 h/4 w/4, or 4, as `shortened` makes it; whole: all places at once, as gradients need it."""
        self.ways = resized(smear, CELL, 1)
        height, width = self.ways.shape[-2:]
        self.rows, self.columns = (torch.arange(n, device=smear.device) for n in (height, width))
        self.strips: list[tuple[int, int, Tensor]] | None = None  # from row, to row, which of its places; None: all
        if not (whole or len(smear) > 1):
            ends = [(top, min(top + STRIP, height)) for top in range(0, height, STRIP)]
            far = [_length(self.ways[..., top:bottom, :]) > LEAST for top, bottom in ends]
            self.strips = [(*end, moved.flatten().nonzero()[:, 0]) for end, moved in zip(ends, far, strict=True)]

    def each(self, work: Callable[..., Tensor], *maps: Tensor, context: Tensor | None = None) -> Tensor:
        """What work(at, ways, *maps, context) makes there, b 3 h w, and 0 elsewhere.

        at: the places; ways and maps (b c h w), of these only; context (b c h/n w/n), if there is one, made finer.
        """
        if self.strips is None:
            finer = [] if context is None else [_rows(context, 0, len(self.rows), len(self.rows))]
            return work((self.rows[:, None], self.columns), self.ways, *maps, *finer)
        made = torch.zeros_like(maps[0])
        width = len(self.columns)
        for top, bottom, moved in self.strips:
            if not len(moved):  # all that is held at full size is of a strip only
                continue
            strip = [x[..., top:bottom, :] for x in (self.ways, *maps)]
            strip += [] if context is None else [_rows(context, top, bottom, len(self.rows))]
            if len(moved) > MOST * (bottom - top) * width:
                made[..., top:bottom, :] = work((self.rows[top:bottom, None], self.columns), *strip)
            else:
                some = [x.flatten(-2)[..., None, moved] for x in strip]  # b c 1 n
                at = top + moved[None].div(width, rounding_mode="floor"), moved[None] % width
                made.flatten(-2)[..., top * width + moved] = work(at, *some)[..., 0, :]
        return made


class AlongSmear(nn.Module):
    """A correction made of differences along the smear; none before any training."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.context = conv(channels, hidden, 1)
        self.first = conv(len(TAPS) + 4, hidden, 1)
        self.second = conv(hidden, hidden, 1)
        self.to_weights = zeroed(conv(hidden, len(TAPS) + 1, 1))

    def forward(self, blurred: Tensor, restored: Tensor, smeared: Smeared, x: Tensor) -> Tensor:
        """blurred, restored: b 3 h w, what a correction was made to, and with it; x: features b c h/stem w/stem
        -> b 3 h w, to be added to `restored`."""
        return smeared.each(partial(self._added, blurred), blurred, restored, context=self.context(x))

    def _added(
        self, blurred: Tensor, at: Places, ways: Tensor, here: Tensor, restored: Tensor, context: Tensor
    ) -> Tensor:
        """The correction at some places. All but `blurred`, which is the whole frame, are of these only."""
        seen = _seen(blurred, ways, at, TAPS)
        light = here.mean(1, keepdim=True)
        differences = LOUD * (torch.cat((seen.mean(1), restored.mean(1, keepdim=True)), dim=1) - light)
        hidden = act(self.first(_known(differences, ways, light).to(context.dtype)).add_(context))
        weights = exact(self.to_weights, act(self.second(hidden))) * _begins(ways)
        # What is weighed are differences from `here`, which stands once for all of them.
        added = weights[:, -1:] * restored - weights.sum(1, keepdim=True) * here
        return _weighed(seen, weights, added)


class Consistency(nn.Module):
    """A correction by what a restored frame would be once smeared, against what was seen; none before any training.

    What is missing then, or too much, is laid back along the smear, each place weighing what it finds there: one step
    of gradient descent on the squared difference (Landweber, 1951), but for the weights, which are learned.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.context = conv(channels, hidden, 1)
        self.first = conv(len(BACK) + 3, hidden, 1)
        self.to_weights = zeroed(conv(hidden, len(BACK), 1))

    def forward(self, blurred: Tensor, restored: Tensor, smeared: Smeared, x: Tensor) -> Tensor:
        """As `AlongSmear`."""
        missing = smeared.each(partial(self._missing, restored), blurred)
        return smeared.each(partial(self._added, missing), blurred, context=self.context(x))

    def _missing(self, restored: Tensor, at: Places, ways: Tensor, here: Tensor) -> Tensor:
        return (here - _seen(restored, ways, at, OPEN).mean(2)) * _begins(ways)

    def _added(self, missing: Tensor, at: Places, ways: Tensor, here: Tensor, context: Tensor) -> Tensor:
        seen = _seen(missing, ways, at, BACK)
        known = _known(LOUD * seen.mean(1), ways, here.mean(1, keepdim=True))
        hidden = act(self.first(known.to(context.dtype)).add_(context))
        weights = exact(self.to_weights, hidden) * _begins(ways)
        return _weighed(seen, weights, torch.zeros_like(here))


def _rows(x: Tensor, top: int, bottom: int, height: int) -> Tensor:
    """Rows top to bottom, of `height` at full size, of a coarser map made finer: made from those, and one more on each
    side where there is one."""
    stem = height // x.shape[-2]
    first, end = top // stem, bottom // stem
    above, below = min(1, first), min(1, x.shape[-2] - end)
    finer = resized(x[..., first - above : end + below, :], stem, 1)
    return finer[..., above * stem : finer.shape[-2] - below * stem, :]


def _known(differences: Tensor, ways: Tensor, light: Tensor) -> Tensor:
    """What weights are made of: differences of light, how long the smear is, and how light the place."""
    length = _length(ways)
    return torch.cat((differences, length / (length + 2), 1 / (1 + length), light - 0.5), dim=1)


def _begins(ways: Tensor) -> Tensor:
    """What a smear of this length lets be added: from `LEAST` on little by little, from `SURE` on all."""
    return ((_length(ways) - LEAST) / (SURE - LEAST)).clamp(0, 1)


def _weighed(seen: Tensor, weights: Tensor, added: Tensor) -> Tensor:
    """To `added` (b c h w), what was seen at each tap (b c taps h w) times the tap's weights (b taps ... h w)."""
    # Taken apart at once: the gradient of each slice by itself would be as large as all of them.
    for weight, tap in zip(weights.unbind(1), seen.unbind(2), strict=False):
        added = torch.addcmul(added, weight[:, None], tap)
    return added


def _length(ways: Tensor) -> Tensor:
    return (ways[:, :2].square().sum(1, keepdim=True) + 1e-4).sqrt()


def _seen(frame: Tensor, ways: Tensor, at: Places, taps: Sequence[float]) -> Tensor:
    """A frame (b c H W) at every tap of places whose ways (b 2 h w, or 4) these are: b c taps h w."""
    (height, width), (rows, columns) = frame.shape[-2:], at
    parts = ways.new_tensor(taps)[:, None, None]
    grid: list[Tensor] = []
    for axis, places, size in ((0, columns, width), (1, rows, height)):  # from -1 to 1
        go = ways[:, axis::2] * (2 / size)  # b 1 h w, or 2 with the bend
        here = (places.to(ways.dtype) + 0.5) * (2 / size) - 1
        there = torch.addcmul(here, go[:, :1], parts)  # b taps h w
        grid.append(there.addcmul_(go[:, 1:], -parts.square()) if ways.shape[1] > 2 else there)
    seen = F.grid_sample(
        frame.to(ways.dtype), torch.stack(grid, dim=-1).flatten(1, 2), "bilinear", "border", align_corners=False
    )
    return seen.reshape(len(frame), -1, len(taps), *ways.shape[-2:])


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
