"""Blur as an input: what a convolution can read of a blur path, and the pixels that lie along it.

A blur path is motion times exposure: over which vector (x, y, pixels) a place moved while the shutter was open. Its
sign has no meaning. Where motion changes within the exposure the path is bent; its curvature is half the growth of the
motion in a period times the squared exposure. What passes a place at part -t of the exposure (-1/2 to 1/2) is, at half
of the exposure, at `t path - t^2 curvature` from it. A network that is given the path, and the frame's luma at
positions along it, learns to undo the blur in a fraction of the training that the frame alone takes.

Axes: b batch, k positions, h w. Paths and curvatures are b 2 h/4 w/4, float32.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from alanet.model.cells import in_cells, per_pixel, places_of, sampled

__all__ = [
    "BLUR_FEATURES",
    "LONGEST",
    "POSITIONS",
    "REACH",
    "blur_features",
    "curvature",
    "limited",
    "luma_along",
]

POSITIONS = (-1.25, -1.0, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1.0, 1.25)  # samples along the path, in blur extents
BLUR_FEATURES = 6
LONGEST = 76.8  # pixels: a longer path is shortened to this, so that a part of a frame needs a known margin
MOST_CURVED = 8.0  # pixels, the same for the curvature, each way
REACH = math.ceil(POSITIONS[-1] * LONGEST + POSITIONS[-1] ** 2 * MOST_CURVED)  # pixels from a place to its samples
FLOOR = 1e-4  # of a squared length, for a gradient at 0


def limited(path: Tensor) -> Tensor:
    """The path, no longer than LONGEST."""
    length = path.square().sum(1, keepdim=True).add(FLOOR).sqrt()
    return path * (LONGEST / length).clamp(max=1)


def blur_features(path: Tensor) -> Tensor:
    """Direction as a double angle (the same for a path and its reverse), length, and both normalised: b 6 h w."""
    length = path.square().sum(1, keepdim=True).add(FLOOR).sqrt()
    x, y = path[:, :1], path[:, 1:]
    double = torch.cat((x.square() - y.square(), 2 * x * y), 1) / length
    return torch.cat((double / 8, length / 8, double / length, 1 / (1 + length)), 1)


def curvature(growth: Tensor, exposure: Tensor) -> Tensor:
    """The curvature of blur paths, limited. growth: of the motion in a period, b 2 h/4 w/4; exposure: b, periods."""
    return (growth / 2 * exposure.square()[:, None, None, None]).clamp(-MOST_CURVED, MOST_CURVED)


def luma_along(luma: Tensor, path: Tensor, curved: Tensor, top: int = 0) -> list[Tensor]:
    """Luma (b 1 h w) at each of POSITIONS along the path minus the pixel's own, in cells.

    path and curved: b 2 r/2 w/2 4, of the r rows from `top` on. Returns for each position b 1 r/2 w/2 4.
    """
    rows, whole = 2 * path.shape[2], (luma.shape[-2], luma.shape[-1])
    places, scale = places_of(luma, whole, (rows, whole[1]), (top, 0)), per_pixel(luma)
    own = in_cells(luma[:, :, top : top + rows])
    step, turn = path * scale, curved * scale
    along = []
    for t in POSITIONS:
        at = torch.add(places, step, alpha=t).sub_(turn, alpha=t**2)
        along.append(sampled(luma, at).sub_(own))
    return along
