"""Exposure and sharpness: from a frame alone (`FrameExposureHead`), then with its motion (`ExposureRefiner`).

Neither the frame nor its motion gives the exposure alone: soft content may be unblurred, and moving content may have
been exposed for an instant. Both together do. Motion blur of e periods spreads an edge over e times its motion, so the
gradient along the motion has a negative correlation at a shift of e times the motion. Differences of near pixels are
small along the motion and not across it. `frame_statistics` computes both over a frame, in bins by speed, and
`ExposureRefiner` reads them.

Axes: b batch, h w height and width, k statistics of a frame. Flows are as in `flow.py`; a flow here is the motion of a
frame's content in one period.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alanet.model.flow import Motion
from alanet.model.layers import CELL, act, conv, exact, resized

__all__ = [
    "MAX_PLACES",
    "SPACING",
    "STATISTICS",
    "ExposureRefiner",
    "FrameExposureHead",
    "band_energies",
    "frame_statistics",
    "statistics",
]

LAGS = tuple(k / 8 for k in range(1, 17))  # shifts of the correlation along the motion, in periods
OFFSETS = (1.0, 2.0, 4.0)  # pixels to each side: distances of the differences along and across the motion
SPEEDS = (2.0, 5.0, 10.0, 20.0)  # pixels a period: centers of the speed bins
BIN_WIDTH = 1.2  # octaves from a bin's center at which its weight is 0
SPACING = 2  # smallest distance between sampled places, in pixels
MAX_PLACES = 16_384  # most sampled places of a frame; larger frames are sampled at every fourth, eighth ... pixel
MIN_SHARE = 0.02  # share of the frame in a speed bin at which its ratios have half their weight
NOISE = 1e-6  # squared luma: differences below this carry no information
VALUES = len(LAGS) + 3 * len(OFFSETS) + 1  # in a speed bin
STATISTICS = len(SPEEDS) * VALUES


class FrameExposureHead(nn.Module):
    """Exposure and sharpness from the frame alone: a weighted mean of the estimates at all places.

    Blur reduces differences between near pixels more than between far ones. So the inputs are the log energies of
    differences at distances of 1, 2, 4 and 8 pixels in four directions, and the latent. The bands are fixed: learned
    bands need hundreds of steps to separate sharp frames from blurry ones, fixed ones tens.
    """

    bands = 16

    def __init__(self, channels: Sequence[int], cell: int) -> None:
        """channels: of the features at each scale; cell: pixels to a side of a feature at the last scale."""
        super().__init__()
        self.cell = cell
        self.context = conv(channels[-1], 32, 1)
        self.mix = conv(self.bands + 32, 48, 3)
        self.to_estimates = conv(48, 3, 1)

    def forward(self, frame: Tensor, scales: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """`b 3 h w` and its features -> exposure in periods, and logit of "sharp": b each, at least float32."""
        kind = torch.promote_types(scales[0].dtype, torch.float32)
        bands = band_energies(frame.to(kind), self.cell)
        known = torch.cat((bands, act(self.context(scales[-1])).to(kind)), dim=1)
        estimates = exact(self.to_estimates, act(self.mix(known))).flatten(2)  # b 3 (h w)
        weights = estimates[:, 2].softmax(-1)  # b (h w)
        exposure, sharp = (estimates[:, :2] * weights[:, None]).sum(-1).unbind(1)
        return F.softplus(exposure), sharp


def band_energies(frame: Tensor, cell: int) -> Tensor:
    """Log energies of luma differences: b 3 h w -> b 16 h/cell w/cell, about -2 to 2.

    Mean squared differences of pixels at distances of 1, 2, 4 and 8, horizontal, vertical and on both diagonals.
    """
    light = frame.mean(1, keepdim=True)
    height, width = light.shape[-2:]
    padded = F.pad(light, (8,) * 4, mode="replicate")
    energies: list[Tensor] = []
    for apart in (1, 2, 4, 8):
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            there = padded[..., 8 + apart * down :, 8 + apart * right :][..., :height, :width]
            energies.append(F.avg_pool2d((there - light).square(), cell))
    return (torch.cat(energies, dim=1) + 4e-6).log() / 2 + 3  # 4e-6: rounding to 8 bits


class ExposureRefiner(nn.Module):
    """Exposure and sharpness from the statistics along the motion and the first estimate.

    Before training it returns the first estimate.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(STATISTICS + 2, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 2)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, known: Tensor, exposure: Tensor, sharp: Tensor) -> tuple[Tensor, Tensor]:
        """Statistics b k, first estimates of exposure (periods) and of the logit of "sharp", b each -> refined ones."""
        initial = torch.stack((2 * exposure.detach() - 1, sharp.detach() / 2), dim=-1)
        x = torch.cat((known, initial.to(known.dtype)), dim=-1)
        x = act(exact(self.second, act(exact(self.first, x))))
        factor, change = exact(self.last, x).unbind(-1)
        return exposure.detach() * factor.exp(), sharp.detach() + 4 * change


def frame_statistics(frame: Tensor, motion: Tensor) -> Tensor:
    """Statistics of a frame along its motion: b k, about -1 to 3. No gradient.

    For each speed bin: the correlations of gradients along the motion at the shifts `LAGS`; log ratios of the squared
    differences along the motion to those across it; log energies of these differences; and the bin's share of the
    frame.

    Args:
        frame: b 3 h w.
        motion: of its content, pixels a period, b 2 h/4 w/4.
    """
    with torch.no_grad(), torch.autocast(frame.device.type, enabled=False):
        kind = torch.promote_types(frame.dtype, torch.float32)
        light = frame.to(kind).mean(1, keepdim=True)
        moved = resized(motion.to(kind), CELL, _spacing(*light.shape[-2:]))
        speed = (moved.square().sum(1, keepdim=True) + 1e-6).sqrt()
        along_motion = moved / speed
        across_motion = torch.stack((-along_motion[:, 1], along_motion[:, 0]), dim=1)
        weights = _bin_weights(speed)
        steps = [n * way for way in (along_motion, across_motion) for n in OFFSETS]
        halves = torch.stack([along_motion] * len(LAGS) + steps, dim=1)  # b n 2 h w
        away = torch.stack([lag * moved for lag in LAGS] + [0 * moved] * len(steps), dim=1)
        differences = _sampled(light, away + halves) - _sampled(light, away - halves)  # b n h w
        later, near = differences[:, : len(LAGS)], differences[:, len(LAGS) :]
        correlations = _binned_means(near[:, :1] * later, weights)  # b bins n
        energies = _binned_means(near.square(), weights)  # b bins n
        share = weights.mean(dim=(-2, -1))[..., None]  # b bins 1
        energy = energies + NOISE * share + 1e-9  # b bins 6
        along, across = energy.chunk(2, dim=-1)
        level = (energy / (share + 1e-4)).log() / 4 + 2
        ratios = torch.cat((correlations / along[..., :1], (along / across).log()), dim=-1)
        return torch.cat((ratios * share / (share + MIN_SHARE), level, share), dim=-1).flatten(1)


def statistics(j: int, relations: Mapping[int, Motion | None]) -> Tensor | None:
    """Statistics of frame j, the mean over the pairs with its neighbours: b k; None without a pair.

    relations[i]: the motion of frames i, i + 1.
    """
    pairs = (relations.get(j), 0), (relations.get(j - 1), 1)
    found = [pair.statistics[end] for pair, end in pairs if pair is not None and pair.statistics]
    return torch.stack(found).mean(0) if found else None


def _spacing(height: int, width: int) -> int:
    spacing = SPACING
    while (height // spacing) * (width // spacing) > MAX_PLACES:
        spacing *= 2
    return spacing


def _bin_weights(speed: Tensor) -> Tensor:
    """Speeds b 1 h w -> the weight of each place in each speed bin: b bins h w, 0 to 1."""
    octaves = torch.cat([(speed / center).log2() for center in SPEEDS], dim=1)
    weights = (1 - octaves.abs() / BIN_WIDTH).clamp(min=0)
    faster = (octaves[:, -1:] > 0).to(weights.dtype)  # than the last center
    return torch.cat((weights[:, :-1], torch.maximum(weights[:, -1:], faster)), dim=1)


def _binned_means(values: Tensor, weights: Tensor) -> Tensor:
    """Values b n h w -> their weighted means over the frame in each bin, b bins n."""
    return weights.flatten(2) @ values.flatten(2).mT / values[0, 0].numel()


def _sampled(light: Tensor, shift: Tensor) -> Tensor:
    """Luma b 1 H W, sampled at a grid of places moved by shifts (b n 2 h w) -> b n h w."""
    height, width = light.shape[-2:]
    step = _spacing(height, width) // SPACING
    i, j = (torch.arange(n, device=light.device, dtype=light.dtype) for n in shift.shape[-2:])
    # The sampled position changes from row to row, so that it does not coincide with the block grid of a codec.
    columns = (j * step + _one_of(i, step)[:, None] + 0.5) * SPACING
    rows = ((i * step)[:, None] + _one_of(j, step) + 0.5) * SPACING
    u = (columns + shift[:, :, 0]) * (2 / width) - 1
    v = (rows + shift[:, :, 1]) * (2 / height) - 1
    grid = torch.stack((u, v), dim=-1).flatten(1, 2)  # b (n h) w 2
    samples = F.grid_sample(light, grid, "bilinear", "border", align_corners=False)
    return samples.reshape(shift[:, :, 0].shape)


def _one_of(n: Tensor, count: int) -> Tensor:
    """Integers from 0 to count - 1 in a low-discrepancy order of n."""
    return ((n * 0.618034) % 1 * count).floor()
