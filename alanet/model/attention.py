"""Adaptive latent attention: channel gates within a frame and between frames (sec. 4.2, fig. 3).

Axes: b batch, c channels, h w latent height and width. The input of a gate F has no positions: it is the *descriptor*
of a latent, its mean over the whole frame. The output is one weight in (0, 1) a channel.

    descriptor(x_i) ──> F ──> weights ──┐
                                x_i ───(x)──> M_S(x_i)          self-attention,  eq. 3
                                x_j ───(x)──> M_C(x_j | x_i)    cross-attention, eq. 4

Taking the descriptor rather than the latent keeps the gate of a tile the gate of its whole frame.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

__all__ = ["ChannelAttention", "attend", "describe"]


def describe(latent: Tensor) -> Tensor:
    """The channel descriptor of a latent, its global average: `b c h w -> b c`; float32 under autocast too."""
    return latent.to(torch.promote_types(latent.dtype, torch.float32)).mean(dim=(-2, -1))


class ChannelAttention(nn.Module):
    """F: 1x1 conv to c / reduction, ReLU, 1x1 conv to c, sigmoid (fig. 3b; ref. [33])."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, hidden)  # a 1x1 convolution of a 1x1 picture
        self.excite = nn.Linear(hidden, channels)

    def forward(self, descriptor: Tensor) -> Tensor:
        """`b c -> b c`, each weight in (0, 1)."""
        weights: Tensor = self.excite(self.squeeze(descriptor).relu()).sigmoid()
        return weights


def attend(latent: Tensor, weights: Tensor) -> Tensor:
    """x (x) F(.): every channel of `latent` (b c h w) times its weight (b c)."""
    return latent * rearrange(weights, "b c -> b c 1 1").to(latent.dtype)
