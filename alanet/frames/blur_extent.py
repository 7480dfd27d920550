"""How far the blur of a frame reaches, and from where on it is blur that can be seen.

A long exposure of what does not move is as sharp as a short one. So what makes a frame sharp is not its exposure but
its *blur extent*: how many pixels the things seen in it moved while the shutter was open.

b batch, t frames of a clip; exposure and sweep as `clips.py` and `render.py` give them.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["PERIOD", "VISIBLE", "blur_extent"]

PERIOD = 8  # sharp frames a period, of all training data
VISIBLE = 1.0  # pixels: a frame that is blurred over less is sharp
MOST_BLURRED = 0.99  # of a frame's places are blurred over less than its blur extent


def blur_extent(exposure: Tensor, sweep: Tensor, period: int = PERIOD) -> Tensor:
    """Pixels that the most blurred hundredth of each frame is blurred over: b t, float32; 0 for a single sharp frame.

    exposure: b t, in sharp frames of which `period` make a period. sweep: b t 2 h/4 w/4, pixels a period.
    """
    extent = sweep.float().square().sum(2).sqrt().flatten(2)  # b t (h w)
    return torch.quantile(extent, MOST_BLURRED, dim=-1) * (exposure.float() - 1) / period
