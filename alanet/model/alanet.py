"""ALANET, the network of the paper (Gupta, Aich, Roy-Chowdhury, ACM MM 2020), on one page.

    frame V_i ──E──> latent x_i ──┐                               eq. 2
    frame V_j ──E──> latent x_j ──┼─ M_S, M_C ─> z ──G──> S       eq. 3 - 6
                 └── skips ───────────────────────────┘

Axes: b batch, t frames of a clip, n restored frames, c channels, h w height and width.
Frames are float32 RGB in [0, 1]. Time is counted in input periods from the clip's first frame: an integer time is a
*deblurred* frame, a half time an *interpolated* one. h and w are multiples of `stride` = 32.
Where the paper is silent `docs/method.md` says what was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from alanet.errors import OptionError, TimeError
from alanet.frames.tiles import Box
from alanet.model.attention import ChannelAttention, attend, describe
from alanet.model.cost import count_macs, small_frame
from alanet.model.layers import act, conv
from alanet.model.network import (
    Cost,
    FrameEstimate,
    Memory,
    Tiling,
    Window,
    check_clip,
    check_config,
    check_fields,
    split_features,
)

__all__ = ["ALANet", "ALANetConfig", "Encoder", "Features", "Generator"]


@dataclass(frozen=True)
class ALANetConfig:
    """What rebuilds the network; stored inside its weights.

    >>> alanet.ALANetConfig(width=0.5).channels
    (16, 32, 64, 128, 256, 256)
    """

    width: float = 1.0  # times the paper's channels 32 ... 512; 0.5 has a quarter of the parameters
    window: int = 2  # W of eq. 5, in frames: W / 2 neighbours on each side
    attention: Literal["self", "cross", "both"] = "both"  # the rows of Table 3
    shared_gate: bool = False  # True: one F for eq. 3 and eq. 4, the literal reading
    residual: bool = False  # True: G predicts a correction to its input (deblurred) or to the mean of both neighbours

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 < self.width <= 4:
            raise OptionError(f"width {self.width} is outside (0, 4]; 1 is the paper's network")
        if self.window < 0 or self.window % 2:
            raise OptionError(f"window {self.window} is not an even number of frames; 2 is one neighbour on each side")
        if self.attention not in ("self", "cross", "both"):
            raise OptionError(f"attention {self.attention!r} is not one of self, cross, both")

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels at scales 1, 1/2, ... 1/32."""
        return tuple(max(4, round(c * self.width)) for c in (32, 64, 128, 256, 512, 512))


@dataclass(frozen=True, slots=True)
class Features:
    """What is kept of an encoded frame. A stream holds these, for the frames of a window only."""

    frame: Tensor  # b 3 h w, the input
    skips: tuple[Tensor, ...]  # b c h/s w/s for s = 1, 2, 4, 8, 16
    latent: Tensor  # b c h/32 w/32: x_i
    descriptor: Tensor  # b c: the latent's mean over the whole frame (of which `latent` may be a tile); local: b c h w


class Encoder(nn.Module):
    """E: the contracting path of the U-Net (sec. 4.1, 4.4)."""

    kernels = (7, 5, 3, 3, 3, 3)

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        inputs = (3, *channels[:-1])
        self.first = nn.ModuleList(conv(i, c, k) for i, c, k in zip(inputs, channels, self.kernels, strict=True))
        self.second = nn.ModuleList(conv(c, c, k) for c, k in zip(channels, self.kernels, strict=True))

    def forward(self, frame: Tensor) -> list[Tensor]:
        """`b 3 h w` -> features at scales 1, 1/2 ... 1/32; the last is the latent."""
        scales: list[Tensor] = []
        x = frame
        for first, second in zip(self.first, self.second, strict=True):
            x = F.avg_pool2d(x, 2) if scales else x
            x = act(second(act(first(x))))
            scales.append(x)
        return scales


class Generator(nn.Module):
    """G: the expanding path, with a skip at every scale; the last convolution is linear (sec. 4.3, 4.4)."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        outputs = channels[-2::-1]  # 512 256 128 64 32
        inputs = (channels[-1], *outputs[:-1])
        self.first = nn.ModuleList(conv(i, o, 3) for i, o in zip(inputs, outputs, strict=True))
        self.second = nn.ModuleList(conv(2 * o, o, 3) for o in outputs)
        self.to_rgb = conv(channels[0], 3, 3)

    def forward(self, z: Tensor, skips: tuple[Tensor, ...]) -> Tensor:
        """`z: b c h/32 w/32`, skips from full size to 1/16 -> `b 3 h w`."""
        x = z
        for first, second, skip in zip(self.first, self.second, reversed(skips), strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = torch.cat((act(first(x)), skip), dim=1)
            x = act(second(x))
        rgb: Tensor = self.to_rgb(x)
        return rgb


class ALANet(nn.Module):
    """The adaptive latent attention network.

    >>> model = alanet.ALANet(alanet.ALANetConfig(width=0.25))
    >>> clip = torch.rand(1, 3, 3, 64, 96)                        # b t c h w
    >>> model(clip, [0.0, 0.5, 1.0]).shape
    torch.Size([1, 3, 3, 64, 96])
    """

    stride: int = 32
    continuous_time: bool = False  # integer and half times only
    around: int = 0
    estimates: bool = False
    sharp_above: float = 1.0  # no frame is passed on

    def __init__(self, config: ALANetConfig | None = None) -> None:
        super().__init__()
        self.config = config = ALANetConfig() if config is None else config
        check_config(config, ALANetConfig)
        self.encoder = Encoder(config.channels)
        self.generator = Generator(config.channels)
        latent = config.channels[-1]
        if config.attention != "cross" or config.shared_gate:
            self.f_self = ChannelAttention(latent)
        if config.attention != "self" and not config.shared_gate:
            self.f_cross = ChannelAttention(latent)
        if config.residual:  # start exactly at the input
            nn.init.zeros_(self.generator.to_rgb.weight)
            nn.init.zeros_(self.generator.to_rgb.bias)  # type: ignore[arg-type]

    @property
    def receptive_radius(self) -> int:
        """How far, in pixels, an input pixel can reach in the output (gates aside): the halo a tile needs."""
        radius = 0
        for level, kernel in enumerate(Encoder.kernels):
            radius += 2**level * (kernel - 1)  # two convolutions
        for level in range(5):
            radius += 2**level * 2  # two 3x3 convolutions of the generator
            radius += 2**level * 2  # the average pool below this scale, and the bilinear way back up
        return radius + 1  # to_rgb

    def can_restore(self, phase: Fraction) -> bool:
        """Whether the frame at `phase` in [0, 1) between two inputs can be asked for."""
        return phase in (0, Fraction(1, 2))

    @property
    def window(self) -> int:
        return self.config.window

    @property
    def tiling(self) -> Tiling:
        """A tile is encoded again with every window; its attention weights need the whole frame's descriptor."""
        return Tiling(self.receptive_radius, _sum_over, _with_descriptor)

    def forward(self, clip: Tensor, times: Sequence[float]) -> Tensor:
        """Restore a clip.

        Args:
            clip: `b t c h w`, float RGB in [0, 1]; h and w multiples of 32, t >= 1.
            times: in input periods from the clip's first frame, each in [0, t - 1] and a multiple of 1/2.

        Returns:
            `b n c h w`, not clamped.

        Raises:
            OptionError: a clip of other axes, type or size.
            TimeError: a time outside the clip, or neither an integer nor a half.
        """
        check_clip(self, clip, times)
        used = self._used(times, clip.shape[1])  # no window holds the others
        features = self.encode(rearrange(clip[:, used], "b t c h w -> (t b) c h w"))
        window = Window(dict(zip(used, split_features(features, len(used)), strict=True)))
        return torch.stack([self.generate(window, time) for time in times], dim=1)  # b n c h w

    def encode(self, frame: Tensor) -> Features:
        """E of eq. 2: `b 3 h w` -> what the window needs of it."""
        *skips, latent = self.encoder(frame)
        return Features(frame, tuple(skips), latent, describe(latent))

    def relate(self, a: Features, b: Features) -> None:
        """The paper's network keeps nothing of a pair."""

    def motion_of(self, relation: Any) -> None:
        """The paper's network estimates no motion."""

    def estimate(self, window: Window, i: int) -> FrameEstimate | None:
        """The paper's network does not estimate exposure."""
        return None

    def objective(self, batch: Any, progress: float) -> Tensor | None:
        """It has no loss of its own."""
        return None

    def cost(self, height: int = 352, width: int = 640) -> Cost:
        frame, area = small_frame(self), height * width / self.stride**2
        with torch.inference_mode():
            pair = Window(dict.fromkeys((0, 1), self.encode(frame)))
        encode, generate = (lambda: self.encode(frame)), (lambda: self.generate(pair, 0.5))
        return Cost(count_macs(self, encode, area) / 1e9, 0.0, count_macs(self, generate, area) / 1e9)

    def memory(self, value: int) -> Memory:
        """The features of a window are a tile's; beside them stand the last scale of G and the rounding."""
        channels = self.config.channels
        features = 3 * 4 + value * sum(c / 4**level for level, c in enumerate(channels))
        last_scale = value * (channels[1] + 9 * channels[0]) + 4 * 3 * 4
        return Memory(0.0, (self.config.window + 1) * features + last_scale)

    def generate(self, window: Window, time: float, within: Box | None = None) -> Tensor:
        """The frame at `time` from the features of the frames around it.

        A deblurred frame i uses every j of the window with |j - i| <= W / 2; neighbours that do not exist (the ends of
        a video, a cut) are not in it. An interpolated frame uses i and i + 1. Returns `b 3 h w`. A part of a frame is
        what features of that part give (see `tiling`), so `within` is None.
        """
        assert within is None, "features of a tile are made by encoding the tile"
        return self._generate(window.features, time)

    def between(self, window: Window, i: int, phase: Tensor) -> Tensor:
        """The frame half-way between i and i + 1: the only phase of this network."""
        return self.generate(window, i + 0.5)

    def _generate(self, window: Mapping[int, Features], time: float) -> Tensor:
        i = int(time // 1)
        if time == i and i in window:
            z, skips, base = self._deblurred(window, i), window[i].skips, window[i].frame
        elif time == i + 0.5 and i in window and i + 1 in window:
            a, b = window[i], window[i + 1]
            z = self._interpolated(a, b)
            skips = tuple((p + q) / 2 for p, q in zip(a.skips, b.skips, strict=True))
            base = (a.frame + b.frame) / 2
        else:
            raise TimeError(
                f"time {time} cannot be restored: the paper's network takes times i and i + 1/2 between frames it is "
                f"given (here {min(window)} to {max(window)}); other times need a time-continuous model"
            )
        restored: Tensor = self.generator(z, skips)
        return base + restored if self.config.residual else restored

    def _used(self, times: Sequence[float], t: int) -> list[int]:
        """The frames of a clip of t that the windows of these times hold, in order (at least one)."""
        reach = self.config.window // 2
        used = {j for time in times for i in [int(time // 1)]
                for j in (range(i - reach, i + reach + 1) if time == i else (i, i + 1))}  # fmt: skip
        return sorted(used & set(range(t))) or [0]

    def _deblurred(self, window: Mapping[int, Features], i: int) -> Tensor:
        """z_i of eq. 5: M_S(x_i) + the sum of M_C(x_j given x_i) over the neighbours j."""
        x = window[i]
        reach = self.config.window // 2
        neighbours = [window[j] for j in range(i - reach, i + reach + 1) if j != i and j in window]
        if self.config.attention == "self" or not neighbours:
            return self._self_attention(x)
        crossed = self._cross_attention(neighbours[0], x)
        for neighbour in neighbours[1:]:
            crossed = crossed + self._cross_attention(neighbour, x)
        return crossed if self.config.attention == "cross" else self._self_attention(x) + crossed

    def _interpolated(self, a: Features, b: Features) -> Tensor:
        """z between two frames, eq. 6: both M_S and both M_C, summed as written."""
        if self.config.attention == "self":
            return self._self_attention(a) + self._self_attention(b)
        crossed = self._cross_attention(a, b) + self._cross_attention(b, a)
        if self.config.attention == "cross":
            return crossed
        return self._self_attention(a) + self._self_attention(b) + crossed

    def _self_attention(self, x: Features) -> Tensor:
        """M_S(x) = x (x) F_self(x), eq. 3. Without an F_self (attention = cross, a lone frame) F_cross stands in."""
        gate = self.f_self if hasattr(self, "f_self") else self.f_cross
        return attend(x.latent, gate(x.descriptor))

    def _cross_attention(self, x_j: Features, x_i: Features) -> Tensor:
        """M_C(x_j given x_i) = x_j (x) F_cross(x_i), eq. 4: frame i decides how its neighbour's channels count."""
        gate = self.f_self if self.config.shared_gate else self.f_cross
        return attend(x_j.latent, gate(x_i.descriptor))


def _sum_over(features: Features, rows: slice, columns: slice) -> Tensor:
    return features.latent[..., rows, columns].sum(dim=(-2, -1), dtype=torch.float32)


def _with_descriptor(features: Features, descriptor: Tensor) -> Features:
    return replace(features, descriptor=descriptor)
