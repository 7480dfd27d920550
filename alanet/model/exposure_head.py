"""How long the shutter was open, and whether a frame is sharp, from the frame and its motion.

A shutter that was open for the share e of a period blurs what moves by m pixels over e m pixels. An edge becomes a ramp
of that length, and the derivative of the luma along the motion takes one sign where the ramp begins and the opposite
contrast where the next thing's begins. Its autocorrelation therefore dips at a lag of e m pixels (Yitzhaky and Kopeika
1997, "Identification of blur parameters from motion blurred images", for single frames). Lags are counted in fractions
of the motion, so the dip lies at e whatever the speed. Across the motion nothing is blurred: the autocorrelation there
depends on how sharp the content is by itself. A small network reads both curves, at each place and for the whole
frame.

Axes: b batch, c channels, h w. Exposure is a fraction of the frame period. Motion is b 2 h/4 w/4, pixels a period.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alanet.model.cells import sampled
from alanet.model.layers import Conv, channels_first, channels_last

__all__ = [
    "LAGS",
    "LEAST",
    "MOST",
    "STEPS",
    "ExposureEstimate",
    "ExposureHead",
    "autocorrelation",
    "exposure_of",
    "mean_estimate",
]

LEAST = 1 / 16  # is added before the logarithm, so that a sharp frame has a finite one
MOST = 2.0  # periods; exposures of the paper's protocol overlap (11 of 8)
STEPS = 16  # samples a motion
LAGS = 27  # of 1/16 of the motion each: up to 1.6 periods
COARSE = 2  # places are cells of 2 x 2 places of the motion
QUANTILES = (0.5, 0.75, 0.9, 0.99)  # of the speed, over a frame
SLOPE = 0.2  # of LeakyReLU below 0
NEAR = 5  # places to a side of the square over which curves are averaged


class ExposureEstimate(NamedTuple):
    """What the head finds of a frame, each b."""

    log_exposure: Tensor  # log(exposure + LEAST)
    log_deviation: Tensor  # log of the expected error
    sharp: Tensor  # logit of the probability that the frame's blur extent is under a pixel


def exposure_of(log_exposure: Tensor) -> Tensor:
    """Fraction of the period, 0 to MOST."""
    return (log_exposure.exp() - LEAST).clamp(0.0, MOST)


def mean_estimate(found: Sequence[ExposureEstimate]) -> ExposureEstimate:
    """Of one frame, by several pairs."""
    return ExposureEstimate(*(torch.stack(values).mean(0) for values in zip(*found, strict=True)))


def autocorrelation(luma: Tensor, path: Tensor) -> Tensor:
    """Of the luma's derivative along a path, at lags of 0 ... LAGS - 1 sixteenths of it.

    luma: b 1 h w in [0, 1]. path: b 2 h/s w/s, pixels. Returns b LAGS h/s w/s, in thousandths: sums over 1.6 paths to
    each side, not normalised.
    """
    h, w = luma.shape[-2:]
    rows, columns = path.shape[-2:]
    u = (torch.arange(columns, device=luma.device) + 0.5) * (2 / columns) - 1
    v = ((torch.arange(rows, device=luma.device) + 0.5) * (2 / rows) - 1)[:, None]
    at = (torch.arange(1 - LAGS, LAGS, device=luma.device) / STEPS).view(-1, 1, 1)
    places = torch.stack((u + path[:, :1] * (at * 2 / w), v + path[:, 1:] * (at * 2 / h)), 1)  # b 2 k h w
    seen = sampled(luma, places)
    slope = seen.reshape(-1, len(at), rows, columns).diff(dim=1)
    n = slope.shape[1]
    return 1e3 * torch.stack([(slope[:, : n - lag] * slope[:, lag:]).sum(1) for lag in range(LAGS)], 1)


class ExposureHead(nn.Module):
    """Reads the autocorrelation along and across the motion: (luma b 1 h w, motion b 2 h/4 w/4) -> ExposureEstimate."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        c = channels
        self.first = Conv(4 * LAGS + 6, c, 1)
        self.res = nn.ModuleList(Conv(c, c, k, 1, k // 2) for k in (3, 1, 3, 1))
        self.last = Conv(c, 5, 1)
        self.whole = nn.Sequential(
            nn.Linear(2 * LAGS + 2 * c + 1 + 2 * len(QUANTILES), 96),
            nn.LeakyReLU(SLOPE),
            nn.Linear(96, 96),
            nn.LeakyReLU(SLOPE),
            nn.Linear(96, 3),
        )
        for layer in (self.last, self.whole[-1]):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, luma: Tensor, motion: Tensor) -> ExposureEstimate:
        with torch.autocast(luma.device.type, enabled=False):
            curves, coarse, speeds = _measured(luma.float(), motion.float())
        return self._read(curves, coarse, speeds)

    def _read(self, curves: Tensor, motion: Tensor, speeds: Tensor) -> ExposureEstimate:
        kind = self.first.weight.dtype
        speed = motion.square().sum(1, keepdim=True).add(0.01).sqrt()
        near = F.avg_pool2d(channels_last(curves), NEAR, 1, NEAR // 2, count_include_pad=False)  # so, 4 times as fast
        near = channels_first(near)
        energy = _energies(near) + 0.02  # b 2 h w: along, across
        known = (
            _normalised(near, energy),
            _normalised(curves, _energies(curves) + 0.05),
            speed.log(),
            energy.log(),
            (energy / (speed + 0.1)).log(),
            (energy[:, :1] / energy[:, 1:]).log(),
        )
        x = self.first(torch.cat(known, 1).to(kind), slope=SLOPE)
        for layer in self.res:
            x = layer(x, x, slope=SLOPE)
        value, weight, deviation, sharp, place = channels_first(self.last(x)).float().flatten(2).unbind(1)
        weight = (weight + speed.flatten(1).clamp(max=8).log()).softmax(1)  # b (h w)
        log = (value * weight).sum(1)
        total = (curves.flatten(2) * weight[:, None]).sum(2)[..., None, None]  # energies are summed, then divided by
        total = _normalised(total, _energies(total) + 0.01).flatten(1)
        features, log_speeds = channels_first(x).float().flatten(2), (speeds + 0.1).log()
        means = (features * weight[:, None]).sum(2), features.mean(2)
        whole = (total, *means, log[:, None], log_speeds, log_speeds + log[:, None])
        more = self.whole(torch.cat(whole, 1).to(kind)).float()
        return ExposureEstimate(
            log + more[:, 0], (deviation * weight).sum(1) + more[:, 1], (sharp * place.softmax(1)).sum(1) + more[:, 2]
        )


def _measured(luma: Tensor, motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Curves along and across the motion (b 2 LAGS h/8 w/8), the motion there, quantiles of the speed (b 4)."""
    speeds = torch.quantile(motion.square().sum(1).sqrt().flatten(1), luma.new_tensor(QUANTILES), dim=1).T
    coarse = F.avg_pool2d(motion, COARSE)
    across = torch.stack((-coarse[:, 1], coarse[:, 0]), 1)
    return torch.cat((autocorrelation(luma, coarse), autocorrelation(luma, across)), 1), coarse, speeds


def _energies(curves: Tensor) -> Tensor:
    """Both curves at lag 0: b 2 h w."""
    return curves[:, ::LAGS]


def _normalised(curves: Tensor, energies: Tensor) -> Tensor:
    """Each of two curves by an energy of its own."""
    return torch.cat([c / e for c, e in zip(curves.chunk(2, 1), energies.chunk(2, 1), strict=True)], 1)
