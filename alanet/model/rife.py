"""Optical flow between two frames at any time between them: the coarse blocks of RIFE 4.25.

The network is IFNet of RIFE (Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation",
ECCV 2022; version 4.25 by hzwer, MIT licence), its first four blocks, on frames of half the size. Its public weights
are the start of training.

Axes: b batch, c channels, h w. Flow is b 2 h w (x, y) in pixels of the half-size frames, from the frame at `phase` to
frame a (channels 0, 1) and to frame b (channels 2, 3). Phase is 0 at a, 1 at b. Flow and warps are float32.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from alanet.model.layers import Conv, channels_first, channels_last, compute_type, enlarged, reduced

__all__ = ["CoarseFlow", "halved"]

WIDTHS = (192, 128, 96, 64)  # of the blocks, coarse to fine
SCALES = (8, 4, 2, 1)  # each block works on frames reduced by this
SLOPE = 0.2  # of LeakyReLU below 0
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
        return self.between(self.known(a), self.known(b), phase)

    def known(self, frame: Tensor) -> Tensor:
        """A half-size frame and its features, b 7 h w."""
        return torch.cat((frame, self.encode(frame).float()), 1)

    def between(self, a: Tensor, b: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """`forward`, of what is known of the frames."""
        flow, rest, _ = list(self._passes(a, b, phase))[-1]
        return flow, rest[:, :1]

    def steps(self, a: Tensor, b: Tensor, phase: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Flow and logit of half-size frames after each block, for training."""
        passes = self._passes(self.known(a), self.known(b), phase)
        return [(flow, enlarged(rest[:, :1], scale)) for flow, rest, scale in passes]

    def _passes(self, a: Tensor, b: Tensor, phase: Tensor) -> Iterator[tuple[Tensor, Tensor, int]]:
        """After each block: the flow, then logit and features (b 9 h/scale w/scale), and the block's scale.

        What a block takes is reduced to its scale. Reducing a map is a mean of four of its pixels a place, so frames
        are warped at these pixels only, and an enlarged map that is reduced to half of that is the map enlarged less.
        """
        flow: Tensor | None = None
        rest: Tensor | None = None
        for block, scale in zip(self.blocks, SCALES, strict=True):
            shape = (-1, 1, a.shape[-2] // scale, a.shape[-1] // scale)
            time = phase.view(-1, 1, 1, 1).expand(shape).to(a.dtype)
            seen = [reduced(x, scale) if flow is None else sample(x, flow[:, 2 * k : 2 * k + 2], scale)
                    for k, x in enumerate((a, b))]  # fmt: skip
            parts = [seen[0][:, :3], seen[1][:, :3], seen[0][:, 3:], seen[1][:, 3:], time]
            if flow is not None and rest is not None:
                parts += [enlarged(rest, 2), reduced(flow, scale) / scale]
            out = block(torch.cat(parts, 1))
            change, rest = enlarged(out[:, :4], scale) * scale, out[:, 4:]
            flow = change if flow is None else flow + change
            yield flow, rest, scale


class FrameFeatures(nn.Module):
    """Four feature channels of a frame at its own size."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn0 = Conv(3, 16, 3, 2, 1)
        self.cnn1 = Conv(16, 16, 3, 1, 1)
        self.cnn2 = Conv(16, 16, 3, 1, 1)
        self.cnn3 = nn.ConvTranspose2d(16, 4, 4, 2, 1)

    def forward(self, frame: Tensor) -> Tensor:
        x = frame.to(self.cnn0.weight.dtype)
        for layer in (self.cnn0, self.cnn1, self.cnn2):
            x = layer(x, slope=SLOPE)
        return channels_first(self.cnn3(x))


class FlowBlock(nn.Module):
    """One scale: a change of the flow (4 channels), the weight's logit (1) and features for the next scale (8)."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(_down(inputs, channels // 2), _down(channels // 2, channels))
        self.convblock = nn.Sequential(*(Residual(channels) for _ in range(8)))
        self.lastconv = nn.Sequential(nn.ConvTranspose2d(channels, 4 * (5 + FEATURES), 4, 2, 1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        """b c h w -> b 13 h w, float32."""
        x = channels_last(x.to(compute_type(x, self.lastconv)))
        for down in self.conv0:
            x = down[0](x, slope=SLOPE)  # type: ignore[index]
        up, shuffle = self.lastconv
        out: Tensor = shuffle(channels_first(up(self.convblock(x)))).float()
        return out


class Residual(nn.Module):
    """x plus a convolution of it, scaled by a learned factor a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv(channels, channels, 3, 1, 1)
        self.beta = nn.Parameter(torch.ones(1, channels, 1, 1))

    def store(self, kind: torch.dtype) -> None:
        """As `Conv.store`; the factor is part of the weights that are kept."""
        self.conv.store(kind, self.beta.flatten())

    def forward(self, x: Tensor) -> Tensor:
        if self.conv.has_stored(x):
            return self.conv(x, x, slope=SLOPE)  # type: ignore[no-any-return]
        return F.leaky_relu(self.conv(x) * self.beta + x, SLOPE)


def sample(x: Tensor, flow: Tensor, scale: int = 1) -> Tensor:
    """x (b c h w) at each pixel's position plus flow (b 2 h w, pixels), with aligned corners as RIFE has it, then
    reduced: b c h/scale w/scale."""
    h, w = x.shape[-2:]
    columns = torch.arange(w, device=x.device, dtype=flow.dtype)
    rows = torch.arange(h, device=x.device, dtype=flow.dtype)[:, None]
    places = torch.stack(((columns + flow[:, 0]) * (2 / (w - 1)) - 1, (rows + flow[:, 1]) * (2 / (h - 1)) - 1), 1)
    if scale == 1:
        return _read(x, places)
    first = scale // 2 - 1  # of the two rows and columns of each place whose mean is taken
    near = places.view(-1, 2, h // scale, scale, w // scale, scale)[:, :, :, first : first + 2, :, first : first + 2]
    four = rearrange(near, "b xy h y w x -> b xy (y x h) w")
    return rearrange(_read(x, four), "b c (k h) w -> k b c h w", k=4).mean(0)


def _read(x: Tensor, places: Tensor) -> Tensor:
    return F.grid_sample(x, places.permute(0, 2, 3, 1), "bilinear", "border", align_corners=True)


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(Conv(inputs, outputs, 3, 2, 1), nn.LeakyReLU(SLOPE, True))


def halved(frame: Tensor) -> Tensor:
    """Half-size frames whose sizes are padded to multiples of 32."""
    half = F.interpolate(frame, scale_factor=0.5, mode="bilinear", antialias=True, align_corners=False)
    height, width = half.shape[-2:]
    return F.pad(half, (0, -width % 32, 0, -height % 32), mode="replicate")
