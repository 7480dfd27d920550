"""Adaptive latent attention: channel gates within a frame and between frames (sec. 4.2, fig. 3).

Axes: b batch, c channels, h w latent height and width. A gate F never sees pixels in place: it sees the *descriptor*
of a latent, its mean over the whole frame, and answers with one weight in (0, 1) a channel.

    descriptor(x_i) ──> F ──> weights ──┐
                                x_i ───(x)──> M_S(x_i)          self-attention,  eq. 3
                                x_j ───(x)──> M_C(x_j | x_i)    cross-attention, eq. 4

Taking the descriptor rather than the latent keeps the gate of a tile the gate of its whole frame.
A *local* descriptor is the mean of what lies around each place, so that a frame larger than any crop in training still
shows the gates means of the size they know (Chu et al. 2022, "Improving Image Restoration by Revisiting Global
Information Aggregation"). Gates take both kinds.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

__all__ = ["ChannelAttention", "attend", "describe", "gated"]


def describe(latent: Tensor, local: int = 0) -> Tensor:
    """The channel descriptor of a latent, its global average: `b c h w -> b c`; float32 under autocast too.

    local: `b c h w`, the mean over squares of `local` places to a side; near an edge, of the outermost whole square.
    """
    latent = latent.to(torch.promote_types(latent.dtype, torch.float32))
    height, width = latent.shape[-2:]
    rows, columns = min(local, height), min(local, width)
    if not local or (rows, columns) == (height, width):
        return latent.mean(dim=(-2, -1))
    means = F.avg_pool2d(latent, (rows, columns), 1)
    left, top = (columns - 1) // 2, (rows - 1) // 2
    return F.pad(means, (left, columns - 1 - left, top, rows - 1 - top), mode="replicate")


def gated(layers: Callable[[Tensor], Tensor], descriptor: Tensor) -> Tensor:
    """What layers over the last axis say of a descriptor's channels, whether it is global or local."""
    return layers(descriptor) if descriptor.dim() == 2 else layers(descriptor.movedim(1, -1)).movedim(-1, 1)


class ChannelAttention(nn.Module):
    """F: 1x1 conv to c / reduction, ReLU, 1x1 conv to c, sigmoid (fig. 3b; ref. [33])."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, hidden)  # a 1x1 convolution of a 1x1 picture
        self.excite = nn.Linear(hidden, channels)

    def forward(self, descriptor: Tensor) -> Tensor:
        """`b c -> b c`, each weight in (0, 1); `b c h w` of a local descriptor."""
        return gated(lambda known: self.excite(self.squeeze(known).relu()).sigmoid(), descriptor)


def attend(latent: Tensor, weights: Tensor) -> Tensor:
    """x (x) F(.): every channel of `latent` (b c h w) times its weight (b c, or b c h w)."""
    weights = rearrange(weights, "b c -> b c 1 1") if weights.dim() == 2 else weights
    return latent * weights.to(latent.dtype)
