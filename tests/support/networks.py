"""Small untrained networks: the default's class, one with fixed estimates, and one that blends its neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from alanet.frames.tiles import Box
from alanet.model.alanet_plus import ALANetPlus, ALANetPlusConfig
from alanet.model.exposure_head import LEAST
from alanet.model.network import Cost, FrameEstimate, Memory, Tiling, Window

__all__ = ["BLEND", "TINY", "Blend", "BlendConfig", "estimating", "random_network"]

TINY = ALANetPlusConfig((8, 8, 8, 8), (8, 8, 8), (0, 1, 0, 0), (1, 0, 0, 1))
BLEND = {"Blend": ("tests.support.networks", "Blend", "BlendConfig")}  # a line of weights.NETWORKS
OUTPUTS = ("decoder.head", "decoder.refine", "exposure.last")


def random_network(seed: int = 0, **changes: Any) -> ALANetPlus:
    """A small network whose output layers have weights too, so that each part has an effect."""
    torch.manual_seed(seed)
    model = ALANetPlus(replace(TINY, **changes)).eval()
    for name, parameter in model.named_parameters():
        if name.startswith(OUTPUTS):
            nn.init.normal_(parameter, std=0.02)
    return model


def estimating(sharp: float = 20.0, exposure: float = 0.5) -> ALANetPlus:
    """It estimates this exposure (periods, within 20 %) and this logit of "sharp" for every frame; what it restores is
    noise."""
    torch.manual_seed(0)
    model = ALANetPlus(TINY).eval()
    nn.init.normal_(model.decoder.head.weight, std=1.0)
    with torch.no_grad():  # the weights of this layer and of the one that reads places are 0
        model.exposure.whole[-1].bias.copy_(torch.tensor([math.log(exposure + LEAST), math.log(0.2), sharp]))
    return model


@dataclass(frozen=True)
class BlendConfig:
    start: float = 0.5


class Blend(nn.Module):
    """Scaled blends of the neighbours, with one weight to learn."""

    stride, continuous_time, window, around = 8, True, 0, 0
    estimates, sharp_above = False, 1.0

    def __init__(self, config: BlendConfig = BlendConfig()) -> None:
        super().__init__()
        self.config, self.tiling = config, Tiling(0)
        self.scale = nn.Parameter(torch.tensor(config.start))

    def forward(self, clip: Tensor, times: list[float]) -> Tensor:
        window = Window({i: self.encode(frame) for i, frame in enumerate(clip.unbind(1))})
        return torch.stack([self.generate(window, time) for time in times], 1)

    def encode(self, frame: Tensor) -> Tensor:
        return frame

    def relate(self, a: Tensor, b: Tensor) -> None:
        return None

    def generate(self, window: Window, time: float, within: Box | None = None) -> Tensor:
        i, phase = int(time // 1), time % 1
        a = window.features[i]
        mixed = self.scale * (a if not phase else (1 - phase) * a + phase * window.features[i + 1])
        return mixed if within is None else mixed[..., within.top : within.bottom, within.left : within.right]

    def estimate(self, window: Window, i: int) -> FrameEstimate | None:
        return None

    def objective(self, batch: Any, progress: float) -> Tensor | None:
        return None

    def can_restore(self, phase: Any) -> bool:
        return True

    def cost(self, height: int = 352, width: int = 640) -> Cost:
        return Cost(0.001, 0.0, 0.001)

    def memory(self, value: int) -> Memory:
        return Memory(12.0, 12.0)
