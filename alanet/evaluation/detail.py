"""What PSNR does not show: sharpness, stability, and errors by how far a place was blurred.

    sharpness    mean |Laplacian| of the luma, over that of the ground truth: below 1 softer, above 1 sharper or noisier
    stability    PSNR between a restored frame and the one before it, where the ground truth stands still: flicker
    by extent    squared errors apart by blur extent, the length in pixels over which a place moved in the exposure

Pictures are h w 3 uint8. Motion is 2 h/4 w/4, (x, y) pixels a period.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from alanet.evaluation.metrics import Picture

__all__ = ["BINS", "Errors", "errors_by_extent", "estimated_motion", "sharpness", "stability"]

BINS = ((0.0, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0), (16.0, 32.0))  # pixels
Errors = tuple[tuple[float, int], ...]  # a bin: the sum of squared errors, and of how many values
Map = npt.NDArray[np.float32]

STILL = 2  # levels of 255: a place whose ground truth changes by less stands still
LEAST = 0.01  # share of a frame that must stand still
LUMA = (0.299, 0.587, 0.114)
PYRAMID = 4  # sizes at which motion is estimated, each half of the one before
STEPS = 3  # of Gauss-Newton at each size
REACH = 7  # pixels to a side of the squares that move together


def sharpness(picture: Picture) -> float:
    """Mean absolute Laplacian of the luma, levels of 255."""
    luma = picture.astype(np.float32) @ np.array(LUMA, np.float32)
    inner = luma[1:-1, 1:-1]
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float(np.abs(4 * inner - around).mean())


def stability(ours: Picture, before: Picture, truth: Picture, truth_before: Picture) -> float | None:
    """PSNR in dB of a restored frame against the one before, where the ground truth stands still (infinite where
    nothing changes); None where less than a hundredth of the frame does."""
    still = (np.abs(truth.astype(np.int16) - truth_before) < STILL).all(axis=2)
    if still.mean() < LEAST:
        return None
    error = float(np.square(ours[still].astype(np.float64) - before[still]).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def errors_by_extent(ours: Picture, truth: Picture, extent: Map) -> Errors:
    """Squared errors by blur extent. extent: h/4 w/4, pixels; what lies above the last bin is left out."""
    height, width = truth.shape[:2]
    full = np.repeat(np.repeat(extent, -(-height // extent.shape[0]), 0), -(-width // extent.shape[1]), 1)
    full = full[:height, :width]
    squared = np.square(ours.astype(np.float64) - truth).sum(axis=2)
    inside = [(full >= low) & (full < high) for low, high in BINS]
    return tuple((float(squared[mask].sum()), 3 * int(mask.sum())) for mask in inside)


def estimated_motion(a: Picture, b: Picture) -> Map:
    """Motion from a to b, 2 h/4 w/4, pixels: Lucas and Kanade's method, coarse to fine.

    For sharp frames between which little moves. Where nothing is to be seen it is 0.
    """
    luma = torch.tensor(LUMA).view(1, 3, 1, 1)
    pair = [(torch.from_numpy(x.copy()).permute(2, 0, 1)[None].float() * luma).sum(1, keepdim=True) for x in (a, b)]
    sizes = [pair]
    for _ in range(min(PYRAMID - 1, int(math.log2(max(1.0, min(a.shape[:2]) / 8))))):
        sizes.append([F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) for x in sizes[-1]])
    flow = torch.zeros(1, 2, *sizes[-1][0].shape[-2:])
    for first, second in reversed(sizes):
        if flow.shape[-2:] != first.shape[-2:]:
            flow = 2 * F.interpolate(flow, first.shape[-2:], mode="bilinear", align_corners=False)
        for _ in range(STEPS):
            flow = flow + _step(first, _moved(second, flow))
    size = (max(1, a.shape[0] // 4), max(1, a.shape[1] // 4))
    return np.asarray(F.interpolate(flow, size, mode="area")[0].numpy(), np.float32)


def _step(first: Tensor, moved: Tensor) -> Tensor:
    """The change of the flow that explains the difference of both frames best, over squares."""
    dx = F.pad((moved[..., 2:] - moved[..., :-2]) / 2, (1, 1, 0, 0), mode="replicate")
    dy = F.pad((moved[..., 2:, :] - moved[..., :-2, :]) / 2, (0, 0, 1, 1), mode="replicate")
    difference = moved - first
    xx, xy, yy, xt, yt = (_mean(p * q) for p, q in ((dx, dx), (dx, dy), (dy, dy), (dx, difference), (dy, difference)))
    xx, yy = xx + 1.0, yy + 1.0  # a square level: keeps places without texture where they are
    scale = xx * yy - xy * xy
    step = torch.cat(((xy * yt - yy * xt) / scale, (xy * xt - xx * yt) / scale), 1)
    return step.clamp(-2, 2)


def _mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, REACH, 1, REACH // 2, count_include_pad=False)


def _moved(x: Tensor, flow: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    u = (torch.arange(width) + flow[:, 0] + 0.5) * (2 / width) - 1
    v = (torch.arange(height)[:, None] + flow[:, 1] + 0.5) * (2 / height) - 1
    grid: Any = torch.stack((u, v), -1)
    return F.grid_sample(x, grid, "bilinear", "border", align_corners=False)
