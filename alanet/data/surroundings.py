"""Clips most of which stands still, as a still camera films them: motion is seen through a mask that does not move.

In rendered scenes the camera moves, so that all of a frame does. An exposure head trained on such frames only
underestimates the exposure of frames of which a small part moves. b clips, t input frames, n restored frames, c = 3;
pixels float in [0, 1].
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alanet.data.synthetic.render import CELL

__all__ = ["hold_still"]

MOVING = (0.03, 0.6)  # share of the area that goes on moving, drawn evenly in its logarithm
BLOBS = (3, 7)  # values a side from which the mask is interpolated
EDGE = 30.0  # steepness of the mask's edge
OTHER = 0.6  # share of clips whose still part is another clip's frame


def hold_still(
    clip: Tensor, truth: Tensor, motion: dict[str, Tensor], rng: np.random.Generator, share: float
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Clips (b t c h w) and the ground truth (b n c h w), `share` of the clips still but for a part of their area.

    motion: fields of these clips (b ... h/4 w/4), which become 0 where nothing moves.
    """
    stills, clip, truth = truth[:, 0], clip.clone(), truth.clone()
    motion = {name: field.clone() for name, field in motion.items()}
    for i in range(len(clip)):
        if rng.random() >= share:
            continue
        mask = _mask(clip.shape[-2], clip.shape[-1], np.random.Generator(np.random.Philox(int(rng.integers(1 << 62)))))
        mask = mask.to(clip)
        still = stills[(i + (rng.random() < OTHER)) % len(stills)]
        for frames in (clip, truth):
            frames[i] = frames[i] * mask + still * (1 - mask)
        moving = F.avg_pool2d(mask[None], CELL)[0] > 0.5
        for field in motion.values():
            field[i] *= moving.to(field.device)
    return clip, truth, motion


def _mask(h: int, w: int, rng: np.random.Generator) -> Tensor:
    """1 where the picture moves, 0 where it is still: h w, float32."""
    least, most = np.log(MOVING)
    area = float(np.exp(rng.uniform(least, most)))
    blobs = int(rng.integers(*BLOBS))
    values = torch.from_numpy(rng.standard_normal((1, 1, blobs, blobs))).float()
    height = F.interpolate(values, (h, w), mode="bicubic", align_corners=False)[0, 0]
    return ((height - torch.quantile(height, 1 - area)) * EDGE).sigmoid()
