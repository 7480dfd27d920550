"""Training clips of scenes that are rendered from a random texture."""

from __future__ import annotations

import torch

from alanet.data.augment import ExposureMix
from alanet.data.clips import SceneClips
from alanet.data.cutting import ClipOptions
from alanet.data.synthetic.render import Stills
from alanet.data.synthetic.scenes import SceneOptions

__all__ = ["Textures", "made"]

FRAMES = SceneOptions().frames


class Textures(Stills):
    """Smooth random pictures instead of files."""

    def __init__(self) -> None:
        super().__init__([])
        noise = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
        picture = torch.nn.functional.interpolate(noise[None], scale_factor=8.0, mode="bicubic")[0].clamp(0, 1)
        self._picture = (picture * 255).to(torch.uint8)

    def picture(self, fraction: float) -> torch.Tensor:
        return self._picture


def made(mix: ExposureMix) -> SceneClips:
    scenes = SceneOptions(64, 64, FRAMES, max_displacement=8.0, still=0.0, layers=(1.0,))
    return SceneClips(Textures(), scenes, ClipOptions(t=5, factor=8, motion=True, mix=mix))
