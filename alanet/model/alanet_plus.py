"""ALANetPlus, the default network: the network of the paper (`alanet.py`, read it first), extended. Same contract.

    frame a ─E─> features a ─┐                 time ─┐
                             ├─ relate ─> motion ────┼─> warp ─ attention over frames x gates F ─ G ─> S
    frame b ─E─> features b ─┘                       └─> blend of the warped frames ───────────────(+)─┘

Kept from the paper: channel gates F weigh the latents of several frames, within a frame and between frames, and the
latents are summed (eq. 3 to 6); one generator for all restored frames; no input states which frames are blurry; any
clip length; each frame is encoded once. Without motion and with uniform attention the sum is that of eq. 5 and 6
divided by the number of frames.

Added:
(1) G predicts a correction to its input (deblurred) or to the blend of the warped neighbours (interpolated).
(2) The encoder starts with pixel-unshuffle.
(3) The optical flow of each pair is estimated once. It warps the neighbours at every scale before each place attends to
    them. A motion mask removes the flow at static places.
(4) Any time can be restored.
(5) The exposure of each frame is estimated, and a frame that is classified as sharp is returned unchanged.
(6) Exposure and sharpness are refined when the motion is known (`exposure_head.py`).
(7) Blur path = motion x exposure. The restored frame is corrected along the blur path (`motion_deblur.py`).
(8) For interpolated frames G also reads both frames without warping: long exposures overlap in time, so both frames may
    show the restored moment at its own place.
(9) Acceleration, from the pairs before and after, changes the flows to an interpolated frame and curves the blur path.

Axes: b batch, t frames of a clip, n restored frames, c channels, h w height and width; cells and flows as in `flow.py`.
Frames are float32 RGB in [0, 1]; h and w are multiples of `stride`. Time is in input periods.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from alanet.errors import OptionError, TimeError
from alanet.frames.tiles import Box
from alanet.frames.windows import window_of
from alanet.model.attention import ChannelAttention, attend, describe
from alanet.model.cost import count_macs, small_frame
from alanet.model.exposure_head import SPACING, ExposureRefiner, FrameExposureHead, frame_statistics, statistics
from alanet.model.flow import KEYS as MATCHED
from alanet.model.flow import Motion, MotionEstimator, acceleration_at, motion_mask, towards
from alanet.model.layers import CELL, act, blocks, conv, exact, part, resized, zeroed
from alanet.model.motion_deblur import REACH, PathCorrection, shortened
from alanet.model.network import Cost, FrameEstimate, Memory, Tiling, Window, check_clip, split_features
from alanet.model.warping import warp

__all__ = ["FAST", "PLUS", "ALANetPlus", "ALANetPlusConfig", "PlusFeatures"]

KEYS = 16  # channels of the keys and queries of attention over frames
SMALL = 0.1  # factor of the output layers, so that one step of Adam changes a pixel by little


@dataclass(frozen=True)
class ALANetPlusConfig:
    """The configuration that rebuilds the network; stored in its weights. `PLUS` and `FAST` are its two sizes.

    >>> alanet.ALANetPlusConfig().cells
    (2, 4, 8, 16)
    """

    channels: tuple[int, ...] = (32, 96, 160, 192)  # at scales 1/stem, 1/(2 stem) ...
    encoder: tuple[int, ...] = (0, 2, 2, 1)  # residual blocks a scale
    generator: tuple[int, ...] = (1, 2, 2, 1)
    motion: int = 32  # channels of the motion estimator
    matching: bool = True  # correlations give a shift by themselves (`Match`)
    motion_mask: bool = True  # the flow is removed at static places of interpolated frames
    acceleration: bool = True  # from the pairs before and after; False: uniform motion
    window: int = 2  # W of eq. 5, in frames
    stem: int = 2  # pixel-unshuffle; 1: 7x7 convolutions at full size, as the paper
    residual: bool = True  # False: G predicts the frame itself
    align: bool = True  # False: no flow, no warping, uniform attention
    exposure: bool = True  # False: not estimated, no frame is returned unchanged
    exposure_refiner: int = 128  # hidden units; 0: none; needs align and exposure
    motion_deblur: int = 24  # channels; 0: none; needs align and exposure
    unwarped: bool = False  # for interpolated frames G also reads both frames without warping
    sharp_above: float = 0.9  # probability from which a frame counts as sharp

    def __post_init__(self) -> None:
        scales = len(self.channels)
        if self.stem not in (1, 2, 4) or not 2 <= scales <= 6 or self.stem * 2 ** (scales - 1) < CELL:
            raise OptionError(f"stem {self.stem} with {scales} scales; allowed: stem 1, 2 or 4 and 2 to 6 scales")
        if not (len(self.encoder) == len(self.generator) == scales):
            raise OptionError(f"{scales} scales, blocks for {len(self.encoder)} and {len(self.generator)}; give equal")
        if not all(4 <= c <= 1024 for c in (*self.channels, self.motion)):
            raise OptionError(f"channels {self.channels}, motion {self.motion}; allowed: 4 to 1024")
        if not all(0 <= n <= 16 for n in (*self.encoder, *self.generator)):
            raise OptionError(f"blocks {self.encoder} and {self.generator}; allowed: 0 to 16")
        if self.window < 0 or self.window % 2:
            raise OptionError(f"window {self.window}; allowed: even, 0 or more")
        for name, most in (("motion_deblur", 256), ("exposure_refiner", 1024)):
            if not ((width := getattr(self, name)) == 0 or 4 <= width <= most):
                raise OptionError(f"{name} {width}; allowed: 0, or 4 to {most} channels")
        if not 0 < self.sharp_above < 1:
            raise OptionError(f"sharp_above {self.sharp_above} is not a probability between 0 and 1")

    @property
    def cells(self) -> tuple[int, ...]:
        """Pixels to a side of a feature at each scale."""
        return tuple(self.stem * 2**level for level in range(len(self.channels)))

    @property
    def estimates_blur(self) -> bool:
        """Whether motion and exposure are both estimated."""
        return self.align and self.exposure

    @property
    def around(self) -> int:
        """Number of further frames on each side of an interpolated frame's two that the acceleration needs."""
        return int(self.align and self.acceleration)

    @property
    def motion_levels(self) -> tuple[int, ...]:
        """The scales at which motion is estimated, coarse to fine: from the latent to cells of 4 pixels."""
        return tuple(level for level, cell in reversed(list(enumerate(self.cells))) if cell >= CELL)


PLUS = ALANetPlusConfig(unwarped=True)
FAST = ALANetPlusConfig((24, 40, 80, 128), (0, 1, 1, 1), (1, 1, 1, 1), motion=24, unwarped=True)


@dataclass(frozen=True, slots=True)
class PlusFeatures:
    """An encoded frame."""

    frame: Tensor  # b 3 h w, the input
    scales: tuple[Tensor, ...]  # b c h/s w/s for s = stem, 2 stem ...; the last is the latent
    descriptor: Tensor  # b c, the latent's mean over the frame; a local one b c h/s w/s
    exposure: Tensor  # b, estimated, in periods
    sharp: Tensor  # b, logit of the probability that the frame is sharp


@dataclass(frozen=True, slots=True)
class Candidate:
    """An input frame as a source of a restored frame."""

    features: PlusFeatures
    flow: Tensor | None  # b 2 h/4 w/4, from the restored frame to it; None: not warped
    share: Tensor | float  # its weight in the blend
    distance: Tensor | float  # from it to the restored frame, in periods
    anchor: bool  # the deblurred frame itself, or one of an interpolated frame's two
    centroid_shift: Tensor | None = None  # b 2 h/4 w/4, where the flow is None: from the place of content in the middle
    #                                       of the exposure to the centroid of its blur; None: no shift


class ALANetPlus(nn.Module):
    """The adaptive latent attention network with optical flow, at any time.

    >>> model = alanet.ALANetPlus()
    >>> clip = torch.rand(1, 3, 3, 64, 96)                        # b t c h w
    >>> model(clip, [0.0, 0.25, 1.5]).shape
    torch.Size([1, 3, 3, 64, 96])
    """

    continuous_time: bool = True
    auxiliary_losses: bool = True
    pooling: int = 0  # side in pixels of the squares over which the gates pool; 0: the whole frame

    def __init__(self, config: ALANetPlusConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PLUS
        self.stride = config.cells[-1]
        self.encoder = PlusEncoder(config)
        self.generator = PlusGenerator(config)
        if config.exposure:
            self.exposure_head = FrameExposureHead(config.channels, config.cells[-1])
        if config.align:
            levels = config.motion_levels
            self.motion = MotionEstimator(
                [config.channels[level] for level in levels],
                [config.cells[level] for level in levels],
                config.motion,
                matching=config.matching,
            )
        if self.refines_exposure:
            self.exposure_refiner = ExposureRefiner(config.exposure_refiner)

    @property
    def refines_exposure(self) -> bool:
        """Whether exposure and sharpness are refined when the motion is known."""
        return self.config.estimates_blur and self.config.exposure_refiner > 0

    @property
    def receptive_radius(self) -> int:
        """Receptive radius of G in pixels: the halo that a part of a frame needs.

        Features and frames are read along the motion, from anywhere in the frame.
        """
        radius = 0
        for level, cell in reversed(list(enumerate(self.config.cells))):
            radius += 3 * cell if level < len(self.config.cells) - 1 else 0  # bilinear upsampling; joining
            radius += 2 * self.config.generator[level] * cell
            radius += 2 * cell if level in self.config.motion_levels else 0  # flow refinement
        reach = REACH if self.config.estimates_blur and self.config.motion_deblur else 0
        return radius + CELL + self.config.stem + reach  # the finest flow change at full size; to_rgb

    def can_restore(self, phase: Fraction) -> bool:
        """Whether the frame at `phase` in [0, 1) between two inputs can be restored: any can."""
        return 0 <= phase < 1

    @property
    def window(self) -> int:
        return self.config.window

    @property
    def around(self) -> int:
        return self.config.around

    @property
    def estimates(self) -> bool:
        return self.config.exposure

    @property
    def sharp_above(self) -> float:
        return self.config.sharp_above

    @sharp_above.setter
    def sharp_above(self, probability: float) -> None:
        self.config = replace(self.config, sharp_above=probability)

    @property
    def tiling(self) -> Tiling:
        """Features and motion are those of whole frames: neighbours are read along the motion, from anywhere."""
        return Tiling(self.receptive_radius)

    def forward(self, clip: Tensor, times: Sequence[float]) -> Tensor:
        """Restore a clip: `b t c h w` and times, each in [0, t - 1] -> `b n c h w`, not clamped.

        Raises TimeError for a time outside the clip, OptionError for a clip of other axes, type or size.
        """
        window = self.encode_clip(clip, times)
        return torch.stack([self.generate(window, time) for time in times], dim=1)  # b n c h w

    def encode_clip(self, clip: Tensor, times: Sequence[float]) -> Window:
        """The frames that the windows of `times` hold, and the motion of the pairs among them."""
        check_clip(clip, times, self.stride)
        t = clip.shape[1]
        windows = [window_of(time, self.config.window, 0, t - 1, around=self.config.around) for time in times]
        window = self.encoded(clip, sorted({j for window in windows for j in window}) or [0])
        return Window(window, self.estimate_motion(window))

    def encoded(self, clip: Tensor, seen: Sequence[int] | None = None) -> dict[int, PlusFeatures]:
        """Features of the frames `seen` of a clip (`b t c h w`), by index, as one batch; None: of all frames."""
        seen = range(clip.shape[1]) if seen is None else seen
        features = self.encode(rearrange(clip[:, list(seen)], "b t c h w -> (t b) c h w"))
        return dict(zip(seen, split_features(features, len(seen)), strict=True))

    def encode(self, frame: Tensor) -> PlusFeatures:
        """E of eq. 2: `b 3 h w` -> its features."""
        scales = self.encoder(frame)
        descriptor = describe(scales[-1], self.pooling // self.stride)
        if self.config.exposure:
            exposure, sharp = self.exposure_head(frame, scales)
        else:
            exposure = sharp = descriptor.new_zeros(len(frame))
        return PlusFeatures(frame, tuple(scales), descriptor, exposure, sharp)

    def relate(self, a: PlusFeatures, b: PlusFeatures) -> Motion | None:
        """The motion from frame a to the next one b, once a pair; None for a network that does not align."""
        if not self.config.align:
            return None
        motion: Motion = self.motion(*([x.scales[level] for level in self.config.motion_levels] for x in (a, b)))
        return self._with_statistics(motion, a.frame, b.frame)

    def _with_statistics(self, motion: Motion, a: Tensor, b: Tensor) -> Motion:
        """A pair's motion, with the statistics of both frames for their exposure."""
        if not self.refines_exposure:
            return motion
        return replace(motion, statistics=(frame_statistics(a, motion.forward), frame_statistics(b, -motion.backward)))

    def refine_exposure(
        self, window: Mapping[int, PlusFeatures], relations: Mapping[int, Motion | None]
    ) -> dict[int, PlusFeatures]:
        """The window with refined exposure and sharpness of each frame whose motion is known."""
        known = dict(window)
        for j, features in window.items() if self.refines_exposure else ():
            if (measured := statistics(j, relations)) is not None:
                exposure, sharp = self.exposure_refiner(measured, features.exposure, features.sharp)
                known[j] = replace(features, exposure=exposure, sharp=sharp)
        return known

    def motion_of(self, relation: Motion | None) -> Tensor | None:
        """The motion from a frame to the next one: b 2 h/4 w/4, pixels; None for a network that does not align."""
        return None if relation is None else relation.forward

    def estimate(self, window: Window, i: int) -> FrameEstimate | None:
        """Exposure and sharpness of frame i, refined by its relations to its neighbours. No uncertainty."""
        if not self.config.exposure:
            return None
        refined = self.refine_exposure({i: window.features[i]}, window.relations)[i]
        return FrameEstimate(refined.exposure, torch.full_like(refined.exposure, math.nan), refined.sharp)

    def objective(self, batch: Any, progress: float) -> Tensor | None:
        """None: the losses of motion and exposure are in `training/objectives.py`."""
        return None

    def cost(self, height: int = 352, width: int = 640) -> Cost:
        """Cost of a restored frame in which every place moves; static places cost less."""
        frame, area = small_frame(self), height * width / self.stride**2
        with torch.inference_mode():
            x = replace(self.encode(frame), exposure=frame.new_ones(1))
            pair = self.relate(x, x)
        if pair is not None:
            far = torch.full_like(pair.forward, 32.0)
            pair = replace(pair, forward=far, backward=-far)
        reach = self.config.window // 2 + self.config.around + 1
        indices = range(-reach, reach + 1)
        window = Window(dict.fromkeys(indices, x), dict.fromkeys(indices, pair))
        both = sum(count_macs(self, functools.partial(self.generate, window, time), area) for time in (0.0, 0.5))
        return Cost(
            count_macs(self, lambda: self.encode(frame), area) / 1e9,
            count_macs(self, lambda: self.relate(x, x), area) / 1e9,
            both / 2e9,
        )

    def memory(self, value: int) -> Memory:
        """Includes each frame of the window warped, weighted, and in float32 during warping."""
        config = self.config
        held = max(config.window + 1, 2 * config.around + 2)
        kept = 3 * 4 + value * sum(c / cell**2 for c, cell in zip(config.channels, config.cells, strict=True))
        finest = config.channels[0] / config.stem**2
        warped = (2 * value + 8) * finest + 4 * (
            3 + 3 + 2 + 2 + 2
        )  # features; a frame and its part, flow, grid, shares
        sampled = 0.0
        if config.estimates_blur and config.motion_deblur:
            sampled = 4 * (4 + 3 + 3 + 3) + value * config.motion_deblur / config.stem**2
        work = max(config.window + 1, 2) * warped + 9 * value * finest + sampled
        encoded = 4 * (3 + 4) + 3 * value * finest  # unshuffled; luma differences; a convolution's
        compared = 2 * 4 * (4 * MATCHED + 2 * (MATCHED + 16) + 3 * config.motion) / CELL**2  # both ways, keys, products
        exposed = 4 + 4 * (2 + 2 + 2 + 4 + 10) / SPACING**2  # luma; motion, paths, speeds, and samples
        return Memory((held + 1) * kept, work, max(encoded, compared, exposed))

    def generate(self, window: Window, time: float, within: Box | None = None) -> Tensor:
        """The frame at `time` from the frames around it.

        Neighbours that do not exist (the ends of a video, a cut) are not in the window. Returns `b 3 h w`. With
        `within` (multiples of the stride) it returns this part of the frame, which equals that part of the whole frame
        except for `receptive_radius` pixels along those of its borders that are not the frame's.
        """
        assert within is None or not self.pooling, "local means are not cut"
        i, known = int(time // 1), window.features
        anchors = (i,) if time == i else (i, i + 1)
        if any(j not in known for j in anchors):
            raise TimeError(
                f"time {time} cannot be restored: it lies outside the frames given, {min(known)} to {max(known)}"
            )
        if time != i:
            return self.between(window, i, known[i].descriptor.new_tensor(time - i), within)
        frames, relations = self._around(window, i, i, self.config.window // 2)
        return self._deblurred(frames, i, relations, within)

    def between(self, window: Window, i: int, phase: Tensor, within: Box | None = None) -> Tensor:
        """The frame at i + phase, or the part `within` of it; phase is a tensor without axes."""
        frames, relations = self._around(window, i, i + 1, self.config.around)
        return self._interpolated(frames, i, phase, relations, within)

    def _around(
        self, window: Window, first: int, last: int, reach: int
    ) -> tuple[dict[int, PlusFeatures], dict[int, Motion | None]]:
        """The frames from first - reach to last + reach and the pairs among them, and nothing else of the window."""
        used = range(first - reach, last + reach + 1)
        relations = {j: window.relations[j] for j in used[:-1] if j in window.relations}
        return self.refine_exposure({j: window.features[j] for j in used if j in window.features}, relations), relations

    def _deblurred(
        self,
        window: Mapping[int, PlusFeatures],
        i: int,
        relations: Mapping[int, Motion | None],
        within: Box | None,
    ) -> Tensor:
        """Frame i from itself and its neighbours within W / 2 (eq. 5); unchanged if it is classified as sharp."""
        flows = self._chained({i: None}, window, relations)
        shift = self._centroid_shift_of(window, i, relations)
        seen = [Candidate(window[j], flow, float(j == i), abs(j - i), j == i, shift if j == i else None)
                for j, flow in sorted(flows.items())]  # fmt: skip
        restored: Tensor = self.generator(seen, self._blur_path_of(window, i, relations), within)
        if self.training or not self.config.exposure:  # sharp frames are restored in training too
            return restored
        sharp = window[i].sharp > math.log(self.config.sharp_above / (1 - self.config.sharp_above))
        return torch.where(rearrange(sharp, "b -> b 1 1 1"), part(window[i].frame, 1, within), restored)

    def _interpolated(
        self,
        window: Mapping[int, PlusFeatures],
        i: int,
        phase: Tensor,
        relations: Mapping[int, Motion | None],
        within: Box | None,
    ) -> Tensor:
        """The frame at i + phase from frames i and i + 1 (eq. 6)."""
        a, b, motion = window[i], window[i + 1], relations[i]
        exposure = (a.exposure + b.exposure) / 2
        to_a = to_b = blur_path = None
        if motion is not None:
            around = (relations.get(i - 1), relations.get(i + 1)) if self.config.acceleration else (None, None)
            acceleration = acceleration_at(around[0], motion, around[1], phase)
            to_a, to_b = towards(motion, phase, acceleration)
            now = to_b - to_a if acceleration is None else to_b - to_a + acceleration * (phase - 0.5)
            if acceleration is not None and self.config.exposure:
                to_a = to_a + _centroid_shift(acceleration, a.exposure)
                to_b = to_b + _centroid_shift(acceleration, b.exposure)
            mask = motion_mask(a.frame, b.frame, to_a, to_b) if self.config.motion_mask else 1.0
            to_a, to_b = mask * to_a, mask * to_b
            if self.config.estimates_blur:
                blur_path = _curved_path(mask * now, None if acceleration is None else mask * acceleration, exposure)
        seen = [Candidate(a, to_a, 1 - phase, phase, True), Candidate(b, to_b, phase, 1 - phase, True)]
        restored: Tensor = self.generator(seen, blur_path, within)
        return restored

    def _blur_path_of(
        self, window: Mapping[int, PlusFeatures], i: int, relations: Mapping[int, Motion | None]
    ) -> Tensor | None:
        """The blur path of input i from its motion to both neighbours; None where neither is known."""
        after, before = relations.get(i), relations.get(i - 1)
        moved = [] if after is None else [after.forward]
        moved += [] if before is None else [-before.backward]
        if not moved or not self.config.exposure:
            return None
        return _curved_path(torch.stack(moved).mean(0), self._acceleration_at(i, relations), window[i].exposure)

    def _centroid_shift_of(
        self, window: Mapping[int, PlusFeatures], i: int, relations: Mapping[int, Motion | None]
    ) -> Tensor | None:
        """Centroid of the blur of input i, from its position in the middle of the exposure; None where not known."""
        acceleration = self._acceleration_at(i, relations) if self.config.exposure else None
        return None if acceleration is None else _centroid_shift(acceleration, window[i].exposure)

    def _acceleration_at(self, i: int, relations: Mapping[int, Motion | None]) -> Tensor | None:
        """Growth of the motion from the period before frame i to the one after it; None where it is not known."""
        after, before = relations.get(i), relations.get(i - 1)
        if after is None or not self.config.acceleration:
            return None
        return acceleration_at(before, after, None, after.forward.new_zeros(()))

    def _chained(
        self,
        flows: dict[int, Tensor | None],
        window: Mapping[int, PlusFeatures],
        relations: Mapping[int, Motion | None],
    ) -> dict[int, Tensor | None]:
        """Flows to farther frames of the window: the flow to the nearer frame, continued by that to the next one."""
        flows = dict(flows)
        while (j := max(flows) + 1) in window:
            motion = relations[j - 1]
            flows[j] = None if motion is None else _onward(flows[j - 1], motion.forward)
        while (j := min(flows) - 1) in window:
            motion = relations[j]
            flows[j] = None if motion is None else _onward(flows[j + 1], motion.backward)
        return flows

    def estimate_motion(self, window: Mapping[int, PlusFeatures]) -> dict[int, Motion | None]:
        """The motion of every pair of neighbours in the window, as one batch."""
        pairs = [j for j in window if j + 1 in window]
        if not pairs or not self.config.align:
            return dict.fromkeys(pairs)
        a, b = ([torch.cat([window[j + k].scales[level] for j in pairs]) for level in self.config.motion_levels]
                for k in (0, 1))  # fmt: skip
        motion = self.motion(a, b)
        parts = zip(*(x.chunk(len(pairs)) for x in (motion.forward, motion.backward)), strict=True)
        steps = [[x.chunk(len(pairs)) for x in step] for step in motion.steps]
        found = {j: Motion(f, g, tuple((x[k], y[k]) for x, y in steps))
                 for k, (j, (f, g)) in enumerate(zip(pairs, parts, strict=True))}  # fmt: skip
        return {j: self._with_statistics(pair, window[j].frame, window[j + 1].frame) for j, pair in found.items()}


class PlusEncoder(nn.Module):
    """E: pixel-unshuffle, then at each scale a convolution and residual blocks."""

    def __init__(self, config: ALANetPlusConfig) -> None:
        super().__init__()
        self.stem = config.stem
        channels = config.channels
        inputs = (3 * self.stem**2, *channels[:-1])
        self.down = nn.ModuleList(
            conv(i, c, 7 if self.stem == 1 and level == 0 else 3, stride=2 if level else 1)
            for level, (i, c) in enumerate(zip(inputs, channels, strict=True))
        )
        self.blocks = nn.ModuleList(blocks(c, n) for c, n in zip(channels, config.encoder, strict=True))

    def forward(self, frame: Tensor) -> list[Tensor]:
        """`b 3 h w` -> features at each scale; the last is the latent."""
        x = F.pixel_unshuffle(frame * 2 - 1, self.stem)
        scales: list[Tensor] = []
        for down, refine in zip(self.down, self.blocks, strict=True):
            x = refine(act(down(x)))
            scales.append(x)
        return scales


class PlusGenerator(nn.Module):
    """G: from the latents up, at each scale the frames are warped, attended to and joined."""

    def __init__(self, config: ALANetPlusConfig) -> None:
        super().__init__()
        self.config = config
        c, levels = config.channels, range(len(config.channels))
        self.fusions = nn.ModuleList(Fusion(config, level) for level in levels)
        self.up = nn.ModuleList(conv(c[level + 1], c[level], 1) for level in levels[:-1])
        self.join = nn.ModuleList(conv(2 * c[level], c[level], 3) for level in levels[:-1])
        self.blocks = nn.ModuleList(blocks(n, m) for n, m in zip(c, config.generator, strict=True))
        if config.motion_deblur and config.estimates_blur:
            self.motion_deblur = PathCorrection(c[0], config.stem, config.motion_deblur)
        if config.unwarped:
            self.unwarped = nn.ModuleList(zeroed(conv(2 * n, n, 1)) for n in c)
        fine = config.motion_levels if config.align else ()
        self.refine = nn.ModuleDict({str(level): Refinement(c[level], config.motion // 2) for level in fine})
        self.to_rgb = zeroed(conv(c[0], 3 * config.stem**2, 3))
        self.share_query = conv(c[0], KEYS, 1)
        self.to_shares = zeroed(conv(KEYS, config.stem**2, 3))

    def forward(self, seen: Sequence[Candidate], blur_path: Tensor | None = None, within: Box | None = None) -> Tensor:
        """The restored frame, or the part `within` of it: b 3 h w.

        seen: its source frames; blur_path: b 2 h/4 w/4, or b 4 with acceleration, pixels. Flows and path are those of
        the whole frame.
        """
        seen = [replace(k, flow=_cut(k.flow, within), centroid_shift=_cut(k.centroid_shift, within)) for k in seen]
        blur_path = _cut(blur_path, within)
        anchors = [k for k in seen if k.anchor]
        x: Tensor | None = None
        changes: list[Tensor | None] = [None] * len(seen)  # of the flows, in cells of the scale before
        keys: list[Tensor] = []
        for level, cell in reversed(list(enumerate(self.config.cells))):
            changes = [None if change is None else resized(change, 2 * cell, cell) for change in changes]
            flows = [_flow_at(k.flow, change, cell) for k, change in zip(seen, changes, strict=True)]
            warped = [_warped(k.features.scales[level], flow, cell, within)
                       for k, flow in zip(seen, flows, strict=True)]  # fmt: skip
            if x is not None:
                x = resized(self.up[level](x), 2 * cell, cell)  # a 1x1 convolution: the same before and after
            z, keys = self.fusions[level](seen, warped, x)
            x = z if x is None else act(self.join[level](torch.cat((x, z), dim=1)))
            if len(anchors) > 1 and self.config.unwarped:
                x = x + self._unwarped(level, anchors, within)
            x = self.blocks[level](x)
            if str(level) in self.refine:
                changes = self._refined(level, x, keys, flows, changes)
        assert x is not None
        stem = self.config.stem
        changes = [None if change is None else resized(change, stem, 1) for change in changes]
        restored = SMALL * F.pixel_shuffle(exact(self.to_rgb, x), stem)
        blend = self._blend(seen, changes, x, keys, within) if self.config.residual else restored.new_full((), 0.5)
        restored = blend + restored
        if blur_path is not None and self.config.motion_deblur and self.config.residual:
            restored = restored + self.motion_deblur(blend, restored, shortened(blur_path), x)
        return restored

    def _unwarped(self, level: int, anchors: Sequence[Candidate], within: Box | None) -> Tensor:
        """Features of both frames of an interpolated one without warping: their mean and absolute difference.

        The weight is largest half-way.
        """
        a, b = (part(k.features.scales[level], self.config.cells[level], within) for k in anchors)
        mean = _sum((k.share * f).to(f.dtype) for k, f in zip(anchors, (a, b), strict=True))
        overlap = 4 * anchors[0].share * anchors[1].share
        added: Tensor = (overlap * self.unwarped[level](torch.cat((mean, (a - b).abs()), dim=1))).to(a.dtype)
        return added

    def _refined(
        self,
        level: int,
        x: Tensor,
        keys: list[Tensor],
        flows: list[Tensor | None],
        changes: list[Tensor | None],
    ) -> list[Tensor | None]:
        """Each flow refined with the features of the restored frame at this scale."""
        cell, refined = self.config.cells[level], list(changes)
        for k, (key, flow, change) in enumerate(zip(keys, flows, changes, strict=True)):
            if flow is not None:
                step = cell * self.refine[str(level)](x, key, flow / (8 * cell))
                refined[k] = step if change is None else change + step
        return refined

    def _blend(
        self,
        seen: Sequence[Candidate],
        changes: Sequence[Tensor | None],
        x: Tensor,
        keys: Sequence[Tensor],
        within: Box | None,
    ) -> Tensor:
        """The blend to which the correction is added: warped frames by their shares, with an offset at each place."""
        query = self.share_query(x)
        offsets = [SMALL * F.pixel_shuffle(exact(self.to_shares, act(query + key)), self.config.stem) for key in keys]
        mean = torch.stack(offsets).mean(0)  # so that shares sum to 1
        flows = [_flow_at(k.centroid_shift if k.flow is None else k.flow, change, 1)
                 for k, change in zip(seen, changes, strict=True)]  # fmt: skip
        frames = [_warped(k.features.frame, flow, 1, within) for k, flow in zip(seen, flows, strict=True)]
        return _sum((k.share + s - mean) * f for k, s, f in zip(seen, offsets, frames, strict=True))


class Fusion(nn.Module):
    """z of eq. 5 and 6 at one scale: attention weighs the places of each warped frame; at the deepest scale, gates F
    weigh its channels."""

    def __init__(self, config: ALANetPlusConfig, level: int) -> None:
        super().__init__()
        c, deepest = config.channels[level], level == len(config.channels) - 1
        self.level, self.gated, self.align = level, deepest, config.align
        if deepest:
            self.f_self, self.f_cross = ChannelAttention(c), ChannelAttention(c)
        if config.align or level == 0:
            self.key = conv(c, KEYS, 1)
        if config.align:
            self.query = zeroed(conv(c if deepest else 2 * c, KEYS, 1))
            self.prior = nn.Linear(2, 1)  # of a frame's distance and exposure: near and sharp frames may weigh more
            nn.init.zeros_(self.prior.weight)
            nn.init.zeros_(self.prior.bias)

    def forward(
        self, seen: Sequence[Candidate], warped: Sequence[Tensor], x: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Warped features (b c h w each) and the features x of the scale below -> z, and each frame's keys."""
        gated = [attend(a, self.gate(k, seen)) if self.gated else a for k, a in zip(seen, warped, strict=True)]
        keys = [self.key(a) for a in warped] if self.align or self.level == 0 else []
        if not self.align:
            return torch.stack(gated).mean(0), keys
        shared = _shared(seen, warped)
        query = self.query(shared if x is None else torch.cat((shared, x), dim=1))
        weights = torch.stack([self.score(query, key, k) for key, k in zip(keys, seen, strict=True)]).softmax(0)
        z = gated[0] * weights[0].to(gated[0].dtype)
        for w, g in zip(weights[1:], gated[1:], strict=True):
            z = torch.addcmul(z, w.to(g.dtype), g)
        return z, keys

    def score(self, query: Tensor, key: Tensor, k: Candidate) -> Tensor:
        """The attention logit of this frame at each place: b 1 h w, at least float32."""
        kind = torch.promote_types(query.dtype, torch.float32)
        about = torch.stack((k.features.exposure, torch.zeros_like(k.features.exposure) + k.distance), dim=-1)  # b 2
        prior = rearrange(exact(self.prior, about), "b 1 -> b 1 1 1")
        return (query.to(kind) * key.to(kind)).sum(1, keepdim=True) / math.sqrt(KEYS) + prior

    def gate(self, k: Candidate, seen: Sequence[Candidate]) -> Tensor:
        """The weights of a frame's channels: M_S of an anchor, and M_C given each other anchor; b c."""
        anchors = [other for other in seen if other.anchor]
        terms = [(self.f_self if other is k else self.f_cross)(other.features.descriptor) for other in anchors]
        return torch.stack(terms).sum(0)


class Refinement(nn.Module):
    """A small change of a flow, in cells."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.reduce = conv(channels, width, 1)
        self.first = conv(width + KEYS + 2, width, 3)
        self.last = zeroed(conv(width, 2, 3))

    def forward(self, x: Tensor, key: Tensor, flow: Tensor) -> Tensor:
        known = torch.cat((self.reduce(x), key.to(x.dtype), flow.to(x.dtype)), dim=1)
        return SMALL * exact(self.last, act(self.first(known)))


def _blur_path(motion: Tensor, exposure: Tensor) -> Tensor:
    """Motion (b 2 h w, pixels a period) x exposure (b, periods), at least float32.

    No gradient: motion and exposure are trained by their own losses, not by that of the restored frames.
    """
    kind = torch.promote_types(motion.dtype, torch.float32)
    return motion.detach().to(kind) * rearrange(exposure.detach().to(kind), "b -> b 1 1 1")


def _curved_path(motion: Tensor, acceleration: Tensor | None, exposure: Tensor) -> Tensor:
    """The blur path of accelerated motion: b 2 h w, or b 4 h w with the acceleration term."""
    path = _blur_path(motion, exposure)
    if acceleration is None:
        return path
    return torch.cat((path, _blur_path(acceleration / 2, exposure.square())), dim=1)


def _centroid_shift(acceleration: Tensor, exposure: Tensor) -> Tensor:
    """Distance from the middle of the blur path to its centroid: acceleration x exposure^2 / 24."""
    return _blur_path(acceleration, exposure.square()) / 24


def _cut(flow: Tensor | None, within: Box | None) -> Tensor | None:
    return None if flow is None else part(flow, CELL, within)


def _flow_at(flow: Tensor | None, change: Tensor | None, cell: int) -> Tensor | None:
    """A flow of cells of 4 pixels in cells of `cell`, plus its change there."""
    if flow is None:
        return None
    flow = resized(flow, CELL, cell)
    return flow if change is None else flow + change


def _warped(x: Tensor, flow: Tensor | None, cell: int, within: Box | None) -> Tensor:
    """The features or the frame x, warped by the flow of that part of the frame; None: not warped."""
    if flow is None:
        return part(x, cell, within)
    return warp(x, flow, cell) if within is None else warp(x, flow, cell, (within.top, within.left))


def _sum(parts: Iterable[Tensor]) -> Tensor:
    """Sum without stacking, which would copy the parts."""
    return functools.reduce(torch.add, parts)


def _shared(seen: Sequence[Candidate], warped: Sequence[Tensor]) -> Tensor:
    """The warped features, weighted by their frames' shares in the blend; for a deblurred frame its own features."""
    counting = [(k.share, a) for k, a in zip(seen, warped, strict=True) if isinstance(k.share, Tensor) or k.share]
    return _sum(a if not isinstance(share, Tensor) and share == 1 else (share * a).to(a.dtype) for share, a in counting)


def _onward(flow: Tensor | None, following: Tensor) -> Tensor:
    return following if flow is None else flow + warp(following, flow, CELL)
