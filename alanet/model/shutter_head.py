"""How long the shutter was open, and whether a frame is sharp, from the frame and its motion.

Axes: b batch, c channels, h w. Exposure is a fraction of the frame period. Motion is b 2 h/4 w/4, pixels a period.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alanet.model.blur_features import BLUR_FEATURES, blur_features
from alanet.model.layers import CELL

__all__ = ["LEAST", "MOST", "ExposureHead", "Shutter", "exposure_of"]

LEAST = 1 / 16  # is added before the logarithm, so that a sharp frame has a finite one
MOST = 2.0  # periods; exposures of the paper's protocol overlap (11 of 8)
DETAIL = CELL * CELL + 3


class Shutter(NamedTuple):
    """What the head finds of a frame, each b."""

    log_exposure: Tensor  # log(exposure + LEAST)
    log_deviation: Tensor  # log of the expected error of log_exposure
    sharp: Tensor  # logit of the probability that the frame's blur extent is under a pixel


def exposure_of(log_exposure: Tensor) -> Tensor:
    """Fraction of the period, 0 to MOST."""
    return (log_exposure.exp() - LEAST).clamp(0, MOST)


class ExposureHead(nn.Module):
    """Weighted means over the frame of what each place shows."""

    def __init__(self, channels: int = 48, layers: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(DETAIL + BLUR_FEATURES + 1, channels, 3, 1, 1)
        self.res = nn.ModuleList(nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(layers))
        self.last = nn.Conv2d(channels, 5, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    @staticmethod
    def detail(frame: Tensor) -> Tensor:
        """Local contrast of the luma and mean colour of each cell: b 3 h w -> b 19 h/4 w/4."""
        luma = F.pixel_unshuffle(frame.mean(1, keepdim=True), CELL)
        return torch.cat((4 * (luma - luma.mean(1, keepdim=True)), F.avg_pool2d(frame, CELL) - 0.5), 1)

    def forward(self, detail: Tensor, motion: Tensor) -> Shutter:
        speed = motion.square().sum(1, keepdim=True).add(0.01).sqrt()
        x = torch.cat((detail, blur_features(motion), speed.log()), 1).to(self.first.weight.dtype)
        x = F.leaky_relu(self.first(x.contiguous(memory_format=torch.channels_last)), 0.2)
        for layer in self.res:
            x = F.leaky_relu(layer(x) + x, 0.2)
        value, weight, deviation, sharp, place = self.last(x).float().flatten(2).unbind(1)
        weight = (weight + speed.flatten(1).clamp(max=8).log()).softmax(1)  # b (h w)
        mean = ((value * weight).sum(1), (deviation * weight).sum(1), (sharp * place.softmax(1)).sum(1))
        return Shutter(*mean)
