"""Clips as drawings: sharp frames are smoothed and reduced to a few levels a channel with steep edges between them.

Drawn animation and screens have flat colours and hard edges, which photographs do not show. It is done before frames
are averaged, so that blur is that of the drawing. Frames f c h w, uint8.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["drawn"]

SMOOTHED = 3  # times that a frame is smoothed over 5x5 pixels, less one
LEVELS = (2, 6)  # steps of a channel between its darkest and its brightest value
STEEPNESS = (4.0, 16.0)  # of an edge, in its step's height over the range of the clip


def drawn(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """The same frames as drawings, with another contrast and brightness. All frames are drawn alike."""
    values = frames.float() / 255
    for _ in range(int(rng.integers(SMOOTHED))):
        values = F.avg_pool2d(F.pad(values, (2, 2, 2, 2), mode="replicate"), 5, 1)
    low, high = values.amin(), values.amax()
    levels, shift = float(rng.integers(*LEVELS)), float(rng.random())
    values = (values - low) / (high - low + 1e-3) * levels + shift
    whole = values.floor()
    edge = ((values - whole - 0.5) * float(rng.uniform(*STEEPNESS)) + 0.5).clamp(0, 1)
    flat = (whole + edge - shift) / levels
    flat = flat * float(rng.uniform(0.6, 1.2)) + float(rng.uniform(-0.1, 0.2))
    return (flat.clamp(0, 1) * 255).round().to(torch.uint8)
