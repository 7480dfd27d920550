"""Blur correction along the blur path.

The blur path is the motion of a place's content during the exposure. Motion blur is the mean over this path, so it has
the same form in every direction and for every length when it is sampled in units of the path. The restored frame and
its input are sampled at `TAPS`, fixed fractions of the path to both sides of a place. A small network weighs the
differences between these samples and the place itself, and their sum is added. One set of weights serves short and long
paths in all directions. Places whose path is shorter than `MIN_PATH` are left as they are and cost no computation.

Axes: b batch, c channels, h w height and width of a frame. A *path* is b 2 h/4 w/4, (x, y), in pixels. With
acceleration it is b 4 h/4 w/4, the last two channels the acceleration term. Content that is at a place in the middle of
the exposure is at s path + s^2 acceleration at part s of it, -1/2 <= s <= 1/2. So the content that is at the place at
part s is at -s path - s^2 acceleration in the middle of the exposure.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alanet.model.layers import CELL, act, conv, exact, resized, zeroed

__all__ = ["REACH", "PathCorrection", "shortened"]

TAPS = (-1.25, -0.9, -0.6, -0.4, -0.2, 0.2, 0.4, 0.6, 0.9, 1.25)  # sampling positions, as fractions of the path
MAX_PATH = 32.0  # pixels: longer paths are shortened to this
MAX_ACCELERATION = MAX_PATH / 4  # pixels: larger acceleration terms are shortened to this
REACH = math.ceil(
    TAPS[-1] * MAX_PATH + TAPS[-1] ** 2 * MAX_ACCELERATION
)  # pixels to each side that the result at a place depends on
MULTIPLE = 256  # places are padded to multiples of this: PyTorch caches kernels by size, so there are few sizes
MIN_PATH, FULL_PATH = 0.5, 1.0  # pixels: path lengths at which the correction begins, and has full strength
DENSE = 0.6  # share of moving places in a strip above which the whole strip is computed: gathering places costs time
STRIP = 16  # rows computed at a time, a multiple of the stem, so that the data fit into the CPU's cache
GAIN = 4.0  # factor of luma differences, which brings them to the scale of features

Places = tuple[Tensor, Tensor]  # rows and columns; together they broadcast to h w


class PathCorrection(nn.Module):
    """A weighted sum of differences along the blur path; 0 before training."""

    def __init__(self, channels: int, stem: int, hidden: int) -> None:
        super().__init__()
        self.stem = stem
        self.context = conv(channels, hidden, 1)
        self.first = conv(len(TAPS) + 4, hidden, 1)
        self.second = conv(hidden, hidden, 1)
        self.to_weights = zeroed(conv(hidden, len(TAPS) + 1, 1))

    def forward(self, blurred: Tensor, restored: Tensor, path: Tensor, x: Tensor) -> Tensor:
        """Return what is to be added to `restored`, b 3 h w.

        Args:
            blurred: the generator's input or blend, b 3 h w.
            restored: the same with the generator's correction, b 3 h w.
            path: blur path, pixels, b 2 h/4 w/4, or b 4 h/4 w/4 with acceleration.
            x: the generator's last features, b c h/stem w/stem.
        """
        paths, context = resized(path, CELL, 1), self.context(x)
        height, width = restored.shape[-2:]
        rows, columns = (torch.arange(n, device=paths.device) for n in (height, width))
        if (
            self.training or len(paths) > 1 or torch.compiler.is_exporting()
        ):  # an exported graph cannot branch on values
            finer = resized(context, self.stem, 1)
            return self._added(blurred, (rows[:, None], columns), blurred, restored, paths, finer)
        added = torch.zeros_like(restored)
        for top in range(0, height, STRIP):  # full-size tensors exist for one strip only
            bottom = min(top + STRIP, height)
            strip = [x[..., top:bottom, :] for x in (blurred, restored, paths)]
            chosen = (_length(strip[-1]) > MIN_PATH).flatten().nonzero()[:, 0]
            if len(chosen):
                strip.append(self._finer(context, top, bottom))
            if len(chosen) > DENSE * (bottom - top) * width:
                added[..., top:bottom, :] = self._added(blurred, (rows[top:bottom, None], columns), *strip)
            elif len(chosen):
                chosen = torch.cat((chosen, chosen[-1:].expand(-len(chosen) % MULTIPLE)))
                some = [x.flatten(-2)[..., None, chosen] for x in strip]  # b c 1 n
                at = top + chosen[None].div(width, rounding_mode="floor"), chosen[None] % width
                added.flatten(-2)[..., top * width + chosen] = self._added(blurred, at, *some)[..., 0, :]
        return added

    def _finer(self, context: Tensor, top: int, bottom: int) -> Tensor:
        """Rows of the context at full size, interpolated from these rows and, where possible, one more on each side."""
        first, end = top // self.stem, bottom // self.stem
        above, below = min(1, first), min(1, context.shape[-2] - end)
        finer = resized(context[..., first - above : end + below, :], self.stem, 1)
        return finer[..., above * self.stem : finer.shape[-2] - below * self.stem, :]

    def _added(
        self, blurred: Tensor, at: Places, here: Tensor, restored: Tensor, paths: Tensor, context: Tensor
    ) -> Tensor:
        """The correction at the places `at`. All arguments but `blurred`, the whole frame, hold these places only."""
        samples = _sampled(blurred, paths, at)
        light = here.mean(1, keepdim=True)
        length = _length(paths)
        differences = GAIN * (torch.cat((samples.mean(1), restored.mean(1, keepdim=True)), dim=1) - light)
        known = torch.cat((differences, length / (length + 2), 1 / (1 + length), light - 0.5), dim=1)
        hidden = act(self.first(known.to(context.dtype)).add_(context))
        weights = exact(self.to_weights, act(self.second(hidden)))
        weights = weights * ((length - MIN_PATH) / (FULL_PATH - MIN_PATH)).clamp(0, 1)
        # The weights apply to differences from `here`, which is subtracted once for all of them.
        added = weights[:, -1:] * restored - weights.sum(1, keepdim=True) * here
        # unbind instead of indexing: the gradient of each slice would be as large as the whole tensor.
        for weight, tap in zip(weights.unbind(1), samples.unbind(2), strict=False):
            added = torch.addcmul(added, weight[:, None], tap)
        return added


def _length(paths: Tensor) -> Tensor:
    return (paths[:, :2].square().sum(1, keepdim=True) + 1e-4).sqrt()


def _sampled(frame: Tensor, paths: Tensor, at: Places) -> Tensor:
    """A frame (b c H W) sampled at every tap of the places `at` with these paths (b 2 h w, or 4): b c taps h w."""
    (height, width), (rows, columns) = frame.shape[-2:], at
    parts = paths.new_tensor(TAPS)[:, None, None]
    grid: list[Tensor] = []
    for axis, places, size in ((0, columns, width), (1, rows, height)):  # from -1 to 1
        step = paths[:, axis::2] * (2 / size)  # b 1 h w, or 2 with acceleration
        here = (places.to(paths.dtype) + 0.5) * (2 / size) - 1
        there = torch.addcmul(here, step[:, :1], parts)  # b taps h w
        grid.append(there.addcmul_(step[:, 1:], -parts.square()) if paths.shape[1] > 2 else there)
    samples = F.grid_sample(
        frame.to(paths.dtype), torch.stack(grid, dim=-1).flatten(1, 2), "bilinear", "border", align_corners=False
    )
    return samples.reshape(len(frame), -1, len(TAPS), *paths.shape[-2:])


def shortened(path: Tensor) -> Tensor:
    """Paths no longer than MAX_PATH, as for a shorter exposure, and acceleration no larger than MAX_ACCELERATION.

    Directions are kept.
    """
    part = _within(path[:, :2], MAX_PATH)
    if path.shape[1] == 2:
        return path * part
    acceleration = path[:, 2:] * part.square()
    return torch.cat((path[:, :2] * part, acceleration * _within(acceleration, MAX_ACCELERATION)), dim=1)


def _within(x: Tensor, longest: float) -> Tensor:
    """The factor, b 1 h w, that shortens vectors (b 2 h w) to at most `longest`."""
    return (longest / (x.square().sum(1, keepdim=True) + 1e-6).sqrt()).clamp(max=1.0)
