"""ALANetPlus: motion and exposure first, then one wide U-Net that has the blur as an input.

    pair  ── coarse flow (rife.py) ──> motion, blend weight ─┐
    frame, motion ── exposure head ──> exposure, sharp ──────┤ blur path = motion x exposure
    frame ── encoder ──> features, descriptor ───────────────┴─> decoder (decoder.py) ──> restored frame

The paper's idea stays: each frame is encoded once; self- and cross-attention weigh the channels of the latents of a
frame and its neighbours (eq. 3 to 6, `Decoder._joined` and `Decoder._scale`); one generator restores deblurred and
interpolated frames. Motion and exposure are estimated by modules of their own, each first trained on its own. The
gradient of the restored frame goes into the motion where that is trained with the decoder, never into the exposure.
Widths are multiples of 32 and no wide layer works at full size, because
bfloat16 convolutions of that shape are fast on CPUs with AMX and on GPUs.

Axes: b batch, t frames of a clip, n restored frames, c channels, h w. Frames are float32 RGB in [0, 1]; h and w are
multiples of `stride`. Flow is in pixels of the full frame at 1/4 of its size. Time counts input periods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from alanet.errors import OptionError, TimeError
from alanet.frames.tiles import Box
from alanet.model.attention import describe
from alanet.model.blur_features import REACH, curvature, limited
from alanet.model.cells import cells_last, in_cells, places_of, sampled
from alanet.model.cost import count_macs, small_frame
from alanet.model.decoder import STRIP, Decoder, Guide, Side
from alanet.model.exposure_head import ExposureEstimate, ExposureHead, exposure_of, mean_estimate
from alanet.model.layers import CELL, SLOPE, blocks, compute_type, conv
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
from alanet.model.plus_losses import exposure_loss, flow_loss
from alanet.model.rife import CoarseFlow, halved
from alanet.model.warping import warp

__all__ = ["ALANetPlus", "ALANetPlusConfig"]

OWN_WEIGHT = 0.98  # of the frame itself in the blend that a deblurred frame begins with
UNALIGNED_WEIGHT = 0.02  # of both neighbours as they are in the blend that an interpolated frame begins with


@dataclass(frozen=True)
class ALANetPlusConfig:
    """What rebuilds the network; stored inside its weights.

    >>> alanet.ALANetPlusConfig().channels
    (32, 96, 160, 192)
    """

    channels: tuple[int, ...] = (32, 96, 160, 192)  # at 1/2, 1/4, 1/8, 1/16
    side: tuple[int, ...] = (48, 64, 96)  # features that a neighbour contributes, at 1/4, 1/8, 1/16
    encoder: tuple[int, ...] = (0, 1, 1, 1)  # residual blocks a scale
    decoder: tuple[int, ...] = (1, 3, 2, 1)
    sharp_above: float = 0.9  # probability from which a frame counts as sharp

    def __post_init__(self) -> None:
        check_fields(self)
        if len(self.channels) != 4 or len(self.side) != 3 or not len(self.encoder) == len(self.decoder) == 4:
            raise OptionError(
                f"{len(self.channels)} channels, {len(self.side)} side, {len(self.encoder)} and {len(self.decoder)} "
                "blocks; give 4, 3, 4 and 4"
            )
        if not all(4 <= c <= 1024 for c in (*self.channels, *self.side)):
            raise OptionError(f"channels {self.channels} and {self.side}; allowed: 4 to 1024")
        if not all(0 <= n <= 16 for n in (*self.encoder, *self.decoder)):
            raise OptionError(f"blocks {self.encoder} and {self.decoder}; allowed: 0 to 16")
        if not 0 < self.sharp_above < 1:
            raise OptionError(f"sharp_above {self.sharp_above} is not a probability between 0 and 1")


@dataclass(frozen=True, slots=True)
class Encoded:
    """What is kept of a frame."""

    frame: Tensor  # b 3 h w
    half: Tensor  # b 7 h/2 w/2, sizes padded to multiples of 32: the frame as an input of the flow network
    luma: Tensor  # b 1 h w, for the exposure head
    own: tuple[Tensor, ...]  # b c h/s w/s, s = 2, 4, 8, 16
    side: tuple[Tensor, ...]  # b c h/s w/s, s = 4, 8, 16
    descriptor: Tensor  # b c


@dataclass(frozen=True, slots=True)
class Pair:
    """What is kept of a frame a and the next one b."""

    flow: Tensor  # b 4 h/4 w/4: from half-way to a, and to b
    logit: Tensor  # b 1 h/2 w/2, padded as `half`: of the weight of a, in the blend half-way
    motion: Tensor  # b 2 h/4 w/4, pixels from a to b, as found half-way
    shutters: tuple[ExposureEstimate, ExposureEstimate]  # of a and of b, by this motion


class ALANetPlus(nn.Module):
    """The adaptive latent attention network with motion and blur as inputs.

    >>> model = alanet.ALANetPlus()
    >>> clip = torch.rand(1, 3, 3, 64, 96)                        # b t c h w
    >>> model(clip, [0.0, 0.25, 1.5]).shape
    torch.Size([1, 3, 3, 64, 96])
    """

    stride: int = 32
    continuous_time: bool = True
    window: int = 2
    around: int = 1  # how motion changes is read from the pairs before and after
    estimates: bool = True

    def __init__(self, config: ALANetPlusConfig | None = None) -> None:
        super().__init__()
        self.config = config = ALANetPlusConfig() if config is None else config
        check_config(config, ALANetPlusConfig)
        self.flow, self.exposure = CoarseFlow(), ExposureHead()
        self.encoder = PyramidEncoder(config)
        self.decoder = Decoder(config.channels, config.side, config.decoder)

    @property
    def sharp_above(self) -> float:
        return self.config.sharp_above

    @sharp_above.setter
    def sharp_above(self, probability: float) -> None:
        self.config = replace(self.config, sharp_above=probability)

    @property
    def tiling(self) -> Tiling:
        """Features and motion are those of whole frames; the decoder works tile by tile."""
        radius = REACH + CELL
        for level, count in enumerate(self.config.decoder):
            radius += 2 ** (level + 1) * (2 * count + 4)  # blocks; joining, rising, the flow's change, the way up
        return Tiling(radius)

    def forward(self, clip: Tensor, times: Sequence[float]) -> Tensor:
        """Restore a clip: `b t c h w` and times, each in [0, t - 1] -> `b n c h w`, not clamped.

        Raises TimeError for a time outside the clip, OptionError for a clip of other axes, type or size.
        """
        check_clip(self, clip, times)
        t = clip.shape[1]
        frames = split_features(self.encode(rearrange(clip, "b t c h w -> (t b) c h w")), t)
        pairs = {i: self.relate(frames[i], frames[i + 1]) for i in range(t - 1)}
        window = Window(dict(enumerate(frames)), pairs)
        return torch.stack([self.generate(window, time) for time in times], dim=1)  # b n c h w

    def encode(self, frame: Tensor) -> Encoded:
        """E of eq. 2: `b 3 h w` -> what the window needs of it."""
        frame = frame.contiguous()  # planes: elementwise operations at full size mix frames with other planes
        own, side = self.encoder(frame)
        with torch.no_grad():
            half = self.flow.known(halved(frame))
        return Encoded(frame, half, frame.mean(1, keepdim=True), tuple(own), tuple(side), describe(own[-1]))

    def relate(self, a: Encoded, b: Encoded) -> Pair:
        """Motion between two frames, how they blend half-way, and both exposures by it, which have no gradient."""
        flow, logit = self._flow_at(a, b, 0.5)
        motion = flow[:, 2:] - flow[:, :2]
        with torch.no_grad():
            shutters = self.exposure(a.luma, motion), self.exposure(b.luma, motion)
        return Pair(flow, logit, motion, shutters)

    def generate(self, window: Window, time: float, within: Box | None = None) -> Tensor:
        """The frame at `time` from the frames around it, or the part `within` of it (multiples of the stride)."""
        i, frames = int(time // 1), window.features
        if i not in frames or (time != i and i + 1 not in frames):
            raise TimeError(
                f"time {time} cannot be restored: it lies outside the frames given, {min(frames)} to {max(frames)}"
            )
        to, before, after = self._deblurred(window, i) if time == i else self._interpolated(window, i, time - i)
        restored: Tensor = self.decoder(to, before, after, within)
        return restored

    def between(self, window: Window, i: int, phase: Tensor) -> Tensor:
        """The frame at i + phase; phase is a tensor without axes."""
        to, before, after = self._interpolated(window, i, phase)
        restored: Tensor = self.decoder(to, before, after)
        return restored

    def motion_of(self, relation: Pair) -> Tensor:
        """The motion between two frames, as found half-way: b 2 h/4 w/4, pixels."""
        return relation.motion

    def estimate(self, window: Window, i: int) -> FrameEstimate | None:
        """The mean of what the pairs with both neighbours give; None for a frame without neighbours."""
        found = self._shutters(window, i)
        if not found:
            return None
        mean = mean_estimate(found)
        return FrameEstimate(exposure_of(mean.log_exposure), mean.log_deviation.exp(), mean.sharp)

    def objective(self, batch: Any, progress: float) -> Tensor | None:
        """Flow and exposure head have losses of their own, each trained alone; the rest has the trainer's loss, and so
        has flow that is trained with it."""
        if any(weights.requires_grad for weights in self.decoder.parameters()):
            return None
        if any(weights.requires_grad for weights in self.flow.parameters()):
            return flow_loss(self.flow, batch)
        with torch.no_grad():
            frames = [
                Encoded(x, self.flow.known(halved(x)), x.mean(1, keepdim=True), (), (), x) for x in batch.clip.unbind(1)
            ]
            flows = [self._flow_at(a, b, 0.5)[0] for a, b in pairwise(frames)]
        motion = [flow[:, 2:] - flow[:, :2] for flow in flows]
        return exposure_loss(self.exposure, [x.luma for x in frames], motion, batch)

    def can_restore(self, phase: Fraction) -> bool:
        return 0 <= phase < 1

    def cost(self, height: int = 352, width: int = 640) -> Cost:
        """Of an interpolated frame half-way; another time takes one more `relate`."""
        frame, area = small_frame(self), height * width / self.stride**2
        with torch.inference_mode():
            x = self.encode(frame)
            pair = self.relate(x, x)
        window = Window(dict.fromkeys((-1, 0, 1), x), dict.fromkeys((-1, 0), pair))
        both = sum(count_macs(self, partial(self.generate, window, time), area) for time in (0.0, 0.5))
        halves = (math.ceil(height / 64) * math.ceil(width / 64) * 64**2) / (height * width)  # padding of half sizes
        return Cost(
            count_macs(self, lambda: self.encode(frame), area) / 1e9,
            count_macs(self, lambda: self.relate(x, x), area * halves / 4) / 1e9,
            both / 2e9,
        )

    def memory(self, value: int) -> Memory:
        """Four frames' features and three pairs; at full size the frames and their warps, and in strips what the finest
        scale makes of them and of the luma along the path."""
        c, side = self.config.channels, self.config.side
        kept = 4 * (3 + 7 / 4 + 1) + value * sum(n / 4 ** (level + 1) for level, n in enumerate(c))
        kept += value * sum(n / 4 ** (level + 2) for level, n in enumerate(side))
        pair = 4 * (6 / 16 + 1 / 4)
        work = 4 * (5 * 3 + 4 + 2 + 1) + value * 4 * c[1] / 16
        strip = 4 * (10 + 8 + 3 * 3 + 16) + 3 * value * 25 + value * 6 * c[0] / 4
        whole = 4 * (3 + 24) + 4 * 2 * 192 / 64
        return Memory(4 * kept + 3 * pair, work, whole, strip, round(1.6 * STRIP))

    def _deblurred(self, window: Window, i: int) -> tuple[Guide, Side, Side]:
        """Frame i from itself and its neighbours (eq. 5); a neighbour that is not there is the frame itself."""
        own: Encoded = window.features[i]
        left, right = window.relations.get(i - 1), window.relations.get(i)
        motions = ([] if left is None else [left.motion]) + ([] if right is None else [right.motion])
        still = own.frame.new_zeros(len(own.frame), 2, *(n // CELL for n in own.frame.shape[-2:]))
        if motions:
            exposure = exposure_of(mean_estimate(self._shutters(window, i)).log_exposure)
            path = torch.stack(motions).mean(0) * exposure[:, None, None, None]
            curved = curvature(motions[-1] - motions[0], exposure)
        else:
            path = curved = still
        before = _side(own if left is None else window.features[i - 1], still if left is None else -left.motion,
                       float(left is not None))  # fmt: skip
        after = _side(own if right is None else window.features[i + 1], still if right is None else right.motion,
                      float(right is not None))  # fmt: skip
        rest = (1 - OWN_WEIGHT) / 2
        prior = own.frame.new_tensor([OWN_WEIGHT, rest, rest]).view(1, 3, 1, 1, 1)
        return Guide(own.frame, own.own, own.descriptor, limited(path), curved, prior), before, after

    def _interpolated(self, window: Window, i: int, phase: float | Tensor) -> tuple[Guide, Side, Side]:
        """The frame at i + phase from frames i and i + 1 (eq. 6)."""
        a, b, pair = window.features[i], window.features[i + 1], window.relations[i]
        half_way = isinstance(phase, float) and phase == 0.5
        flow, logit = (pair.flow, pair.logit) if half_way else self._flow_at(a, b, phase)
        exposure, motion = exposure_of(mean_estimate(pair.shutters).log_exposure), flow[:, 2:] - flow[:, :2]
        path = motion * exposure[:, None, None, None]
        size = a.frame.shape[-2:]
        whole = (2 * logit.shape[-2], 2 * logit.shape[-1])
        weight = sampled(logit, places_of(logit, whole, size)).sigmoid()
        moved = 1 - UNALIGNED_WEIGHT
        prior = torch.cat((torch.full_like(weight, UNALIGNED_WEIGHT), moved * weight, moved * (1 - weight)), 1)
        growth = _growth(window.relations.get(i - 1), motion, window.relations.get(i + 1), phase)
        lag = phase * (1 - phase) / 2 * growth  # what speeds up lags behind its mean (Xu et al. 2019, eq. 4)
        guide = Guide(None, (), None, limited(path), curvature(growth, exposure), prior.clamp(min=1e-3))
        return guide, _side(a, flow[:, :2] + lag, phase), _side(b, flow[:, 2:] + lag, 1 - phase)

    def _flow_at(self, a: Encoded, b: Encoded, phase: float | Tensor) -> tuple[Tensor, Tensor]:
        """Flow to a and b (b 4 h/4 w/4, full-size pixels) and the logit of a's weight (b 1 h/2 w/2, padded)."""
        flow, logit = self.flow.between(a.half, b.half, a.half.new_zeros(len(a.half)) + phase)
        height, width = a.frame.shape[-2:]
        return (2 * F.avg_pool2d(flow, 2))[..., : height // CELL, : width // CELL], logit

    def _shutters(self, window: Window, i: int) -> list[ExposureEstimate]:
        """Of frame i, by each of the pairs that it is in."""
        left, right = window.relations.get(i - 1), window.relations.get(i)
        return ([] if left is None else [left.shutters[1]]) + ([] if right is None else [right.shutters[0]])


class PyramidEncoder(nn.Module):
    """E: pixel-unshuffle, then a convolution and residual blocks a scale; and narrower features for neighbours."""

    def __init__(self, config: ALANetPlusConfig) -> None:
        super().__init__()
        c = config.channels
        inputs = (12, *c[:-1])
        self.down = nn.ModuleList(
            conv(i, n, 3, stride=2 if level else 1) for level, (i, n) in enumerate(zip(inputs, c, strict=True))
        )
        self.blocks = nn.ModuleList(blocks(n, count) for n, count in zip(c, config.encoder, strict=True))
        self.side = nn.ModuleList(conv(n, s, 1) for n, s in zip(c[1:], config.side, strict=True))

    def forward(self, frame: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """`b 3 h w` -> features at 1/2 ... 1/16, and those for neighbours at 1/4 ... 1/16."""
        x = cells_last(in_cells(frame * 2 - 1).to(compute_type(frame, self)))
        own: list[Tensor] = []
        for down, refine in zip(self.down, self.blocks, strict=True):
            x = refine(down(x, slope=SLOPE))
            own.append(x)
        return own, [narrow(features) for narrow, features in zip(self.side, own[1:], strict=True)]


def _side(x: Encoded, flow: Tensor, distance: float | Tensor) -> Side:
    return Side(x.frame, x.side, x.descriptor, flow, flow.new_zeros(len(flow), 1) + distance)


def _growth(before: Pair | None, motion: Tensor, after: Pair | None, phase: float | Tensor) -> Tensor:
    """By how much the motion of a place at `phase` grows in a period, pixels: b 2 h/4 w/4.

    Each neighbouring pair's motion is read where the place was, or will be, half-way; the nearer pair counts more. A
    pair that is not there counts as even motion.
    """
    growth = torch.zeros_like(motion)
    if before is not None:
        growth = growth + (1 - phase) * (motion - warp(before.motion, -motion, CELL))
    if after is not None:
        growth = growth + phase * (warp(after.motion, motion, CELL) - motion)
    return growth
