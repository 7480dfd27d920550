"""Blur undone along the way that things were smeared.

A smear of n pixels in any direction is the same thing once it is looked at along its own way, in its own length: each
place is the mean of what lies within half a smear of it. So a restored frame is read again at the same few parts of a
smear to both sides of each place, `TAPS`; what is found there, against what is found at the place itself, is weighed
and added. One and the same set of weights then serves short and long smears in all directions, and where nothing was
smeared all taps fall on the place itself and nothing is added.

Axes: b batch, c channels, h w height and width of a frame; a *smear* is b 2 h/4 w/4, (x, y): by how many pixels, and
which way, the content of a place moved while the shutter was open; its sign says nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alanet.model.motion import CELL, act, conv, exact, resized, zeroed

__all__ = ["REACH", "AlongSmear", "shortened"]

TAPS = (-1.25, -0.9, -0.6, -0.4, -0.2, 0.2, 0.4, 0.6, 0.9, 1.25)  # parts of a smear from a place
LONGEST = 32.0  # pixels: what was smeared farther is treated as if it were by so much
REACH = int(TAPS[-1] * LONGEST)  # pixels to each side that a place depends on
STRIP = 64  # rows worked on at a time, a multiple of the stem: what lies in a cache is quick to come by
LOUD = 4.0  # times differences of light, so that they are of the size of features


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
        height = restored.shape[-2]
        if self.training or height <= STRIP:
            return self._added(blurred, restored, ways, resized(context, self.stem, 1), 0)
        strips = range(0, height, STRIP)  # all that is held at full size, of a strip only
        return torch.cat([self._added(blurred, restored[..., top : top + STRIP, :], ways[..., top : top + STRIP, :],
                                      self._finer(context, top, min(top + STRIP, height)), top)
                          for top in strips], dim=-2)  # fmt: skip

    def _finer(self, context: Tensor, top: int, bottom: int) -> Tensor:
        """Rows of the context at full size: made from those rows, and one more on each side where there is one."""
        first, end = top // self.stem, bottom // self.stem
        above, below = min(1, first), min(1, context.shape[-2] - end)
        finer = resized(context[..., first - above : end + below, :], self.stem, 1)
        return finer[..., above * self.stem : finer.shape[-2] - below * self.stem, :]

    def _added(self, blurred: Tensor, restored: Tensor, ways: Tensor, context: Tensor, top: int) -> Tensor:
        """The correction of the rows from `top` on that `restored`, `ways` and `context` are of."""
        here = blurred[..., top : top + restored.shape[-2], :]
        seen = _seen(blurred, ways, top)
        light = here.mean(1, keepdim=True)
        length = (ways.square().sum(1, keepdim=True) + 1e-4).sqrt()
        differences = LOUD * (torch.cat((seen.mean(1), restored.mean(1, keepdim=True)), dim=1) - light)
        known = torch.cat((differences, length / (length + 2), 1 / (1 + length), light - 0.5), dim=1)
        hidden = act(context + self.first(known.to(context.dtype)))
        weights = exact(self.to_weights, act(self.second(hidden)))
        # What is weighed are differences from `here`, which stands once for all of them.
        added = weights[:, -1:] * restored - weights.sum(1, keepdim=True) * here
        for k in range(len(TAPS)):
            added = torch.addcmul(added, weights[:, k : k + 1], seen[:, :, k])
        return added


def _seen(frame: Tensor, ways: Tensor, top: int) -> Tensor:
    """A frame (b c H w) at every tap of the rows from `top` on, whose ways (b 2 h w) these are: b c taps h w."""
    height, width = frame.shape[-2:]
    parts = ways.new_tensor(TAPS)[:, None, None]
    columns = torch.arange(ways.shape[-1], device=frame.device, dtype=ways.dtype) + 0.5
    rows = torch.arange(ways.shape[-2], device=frame.device, dtype=ways.dtype) + (0.5 + top)
    u = (columns + ways[:, :1] * parts) * (2 / width) - 1  # b taps h w
    v = (rows[:, None] + ways[:, 1:] * parts) * (2 / height) - 1
    grid = torch.stack((u, v), dim=-1).flatten(1, 2)
    seen = F.grid_sample(frame.to(ways.dtype), grid, "bilinear", "border", align_corners=False)
    return seen.reshape(len(frame), -1, len(TAPS), *ways.shape[-2:])


def shortened(smear: Tensor) -> Tensor:
    """No smear longer than LONGEST; the way it goes is kept."""
    length = (smear.square().sum(1, keepdim=True) + 1e-6).sqrt()
    return smear * (LONGEST / length).clamp(max=1.0)
