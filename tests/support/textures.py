"""Random pictures, motion-blurred, and the motion: tests of blur and exposure use these."""

from __future__ import annotations

import torch


def textures(count: int, seed: int, size: int = 96) -> torch.Tensor:
    """Random pictures with detail at every size: b 3 h w."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, 3, size, size)
    for cell in (1, 2, 4, 8):
        noise = torch.rand(count, 1, size // cell, size // cell, generator=generator)
        total += torch.nn.functional.interpolate(noise, scale_factor=float(cell)) * cell**0.5
    return total / total.amax()


def motion_blurred(frames: torch.Tensor, pixels: int, axis: int = -1) -> torch.Tensor:
    """Frames that moved by these numbers of pixels during the exposure."""
    return torch.stack([frames.roll(k, axis) for k in range(pixels)]).mean(0)


def moving(count: int, pixels: float, axis: int = -1, size: int = 96) -> torch.Tensor:
    flow = torch.zeros(count, 2, size // 4, size // 4)
    flow[:, 0 if axis == -1 else 1] = pixels
    return flow
