"""Optical flow between two frames at any time between them: the coarse blocks of RIFE 4.25.

The network is IFNet of RIFE (Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation",
ECCV 2022; version 4.25 by hzwer, MIT licence), its first four blocks, on frames of half the size. Its public weights
are the start of training.

Axes: b batch, c channels, h w. Flow is b 2 h w (x, y) in pixels of the half-size frames, from the frame at `phase` to
frame a (channels 0, 1) and to frame b (channels 2, 3). Phase is 0 at a, 1 at b. Flow and warps are float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alanet.model.layers import enlarged, reduced

__all__ = ["CoarseFlow", "halved"]

WIDTHS = (192, 128, 96, 64)  # of the blocks, coarse to fine
SCALES = (8, 4, 2, 1)  # each block works on frames reduced by this
FEATURES = 8  # that a block hands to the next one


class CoarseFlow(nn.Module):
    """Flow to both frames at a time between them, and how much frame a counts there.

    Sizes are multiples of 32 (of the half-size frames).
    """

    def __init__(self) -> None:
        super().__init__()
        self.encode = FrameFeatures()
        inputs = (15, 28, 28, 28)
        self.blocks = nn.ModuleList(FlowBlock(i, c) for i, c in zip(inputs, WIDTHS, strict=True))

    def forward(self, a: Tensor, b: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Half-size frames a, b (b 3 h w) and phase (b) -> flow (b 4 h w) and the logit of a's weight (b 1 h w)."""
        return self.steps(a, b, phase)[-1]

    def steps(self, a: Tensor, b: Tensor, phase: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Flow and logit after each block, for training."""
        feature_a, feature_b = self.encode(a).float(), self.encode(b).float()
        time = phase.view(-1, 1, 1, 1).expand(-1, 1, *a.shape[-2:]).to(a.dtype)
        flow, logit, features = self.blocks[0](torch.cat((a, b, feature_a, feature_b, time), 1), None, SCALES[0])
        found = [(flow, logit)]
        for block, scale in zip(list(self.blocks)[1:], SCALES[1:], strict=True):
            from_a = sample(torch.cat((a, feature_a), 1), flow[:, :2])
            from_b = sample(torch.cat((b, feature_b), 1), flow[:, 2:])
            seen = (from_a[:, :3], from_b[:, :3], from_a[:, 3:], from_b[:, 3:], time, logit, features)
            change, logit, features = block(torch.cat(seen, 1), flow, scale)
            flow = flow + change
            found.append((flow, logit))
        return found


class FrameFeatures(nn.Module):
    """Four feature channels of a frame at its own size."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn0 = nn.Conv2d(3, 16, 3, 2, 1)
        self.cnn1 = nn.Conv2d(16, 16, 3, 1, 1)
        self.cnn2 = nn.Conv2d(16, 16, 3, 1, 1)
        self.cnn3 = nn.ConvTranspose2d(16, 4, 4, 2, 1)

    def forward(self, frame: Tensor) -> Tensor:
        x = frame.to(self.cnn0.weight.dtype)
        for layer in (self.cnn0, self.cnn1, self.cnn2):
            x = F.leaky_relu(layer(x), 0.2)
        features: Tensor = self.cnn3(x)
        return features


class FlowBlock(nn.Module):
    """One scale: a change of the flow (4 channels), the weight's logit (1) and features for the next scale (8)."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(_down(inputs, channels // 2), _down(channels // 2, channels))
        self.convblock = nn.Sequential(*(Residual(channels) for _ in range(8)))
        self.lastconv = nn.Sequential(nn.ConvTranspose2d(channels, 4 * (5 + FEATURES), 4, 2, 1), nn.PixelShuffle(2))

    def forward(self, x: Tensor, flow: Tensor | None, scale: int) -> tuple[Tensor, Tensor, Tensor]:
        x = reduced(x, scale)
        if flow is not None:
            x = torch.cat((x, reduced(flow, scale) / scale), 1)
        x = x.to(next(self.lastconv.parameters()).dtype).contiguous(memory_format=torch.channels_last)
        out = enlarged(self.lastconv(self.convblock(self.conv0(x))).float(), scale)
        return out[:, :4] * scale, out[:, 4:5], out[:, 5:]


class Residual(nn.Module):
    """x plus a convolution of it, scaled by a learned factor a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 1, 1)
        self.beta = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.conv(x) * self.beta + x, 0.2)


def sample(x: Tensor, flow: Tensor) -> Tensor:
    """x (b c h w) at each pixel's position plus flow (b 2 h w, pixels), with aligned corners as RIFE has it."""
    h, w = x.shape[-2:]
    columns = torch.arange(w, device=x.device, dtype=flow.dtype)
    rows = torch.arange(h, device=x.device, dtype=flow.dtype)[:, None]
    u = (columns + flow[:, 0]) * (2 / (w - 1)) - 1
    v = (rows + flow[:, 1]) * (2 / (h - 1)) - 1
    return F.grid_sample(x.float(), torch.stack((u, v), -1).float(), "bilinear", "border", align_corners=True)


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(0.2, True))


def halved(frame: Tensor) -> Tensor:
    """Half-size frames whose sizes are padded to multiples of 32."""
    half = F.interpolate(frame, scale_factor=0.5, mode="bilinear", antialias=True, align_corners=False)
    height, width = half.shape[-2:]
    return F.pad(half, (0, -width % 32, 0, -height % 32), mode="replicate")
