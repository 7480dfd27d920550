"""What makes one scene many clips: turns and mirrors, time reversal, exchanged colours, and degradation.

Frames are f c h w; motion is laid out as `render.py` says and follows every turn. Degradation applies to the input
frames only (b t c h w float in [0, 1]); the ground truth stays clean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alanet.errors import OptionError
from alanet.frames.color import linear_to_srgb, srgb_to_linear

__all__ = [
    "Degradation",
    "ExposureMix",
    "Turn",
    "average_highlights",
    "check_shares",
    "defocus",
    "degrade",
    "draw_lengths",
    "draw_turn",
    "jpeg",
    "sensor_noise",
    "turn_motion",
    "turn_pictures",
]


@dataclass(frozen=True, slots=True)
class Turn:
    """A symmetry of a clip; applied in the order of the fields."""

    mirror_x: bool = False
    mirror_y: bool = False
    transpose: bool = False
    reverse: bool = False  # time
    colors: tuple[int, int, int] = (0, 1, 2)


def draw_turn(rng: np.random.Generator) -> Turn:
    """Any symmetry with the same chance; colours are exchanged in half of the clips."""
    mirror_x, mirror_y, transpose, reverse, exchange = (bool(flag) for flag in rng.random(5) < 0.5)
    red, green, blue = (int(c) for c in rng.permutation(3))
    return Turn(mirror_x, mirror_y, transpose, reverse, (red, green, blue) if exchange else (0, 1, 2))


def turn_pictures(frames: Tensor, turn: Turn) -> Tensor:
    """Frames (f c h w) mirrored, transposed and with colours exchanged; their order in time stays."""
    frames = frames.flip(_mirrored(turn)).transpose(-1, -2) if turn.transpose else frames.flip(_mirrored(turn))
    return frames if turn.colors == (0, 1, 2) else frames[:, list(turn.colors)]


def turn_motion(flow: Tensor, sweep: Tensor, turn: Turn) -> tuple[Tensor, Tensor]:
    """Motion (m 2 2 h w and t 2 h w) of the turned clip, time reversal included."""
    if turn.reverse:  # the pairs come in reverse order, and forward is backward
        flow, sweep = flow.flip(0, 1), -sweep.flip(0)
    return _turn_vectors(flow, turn), _turn_vectors(sweep, turn)


def _turn_vectors(field: Tensor, turn: Turn) -> Tensor:
    """Vectors ... 2 h w of (x, y)."""
    sign = field.new_tensor([-1.0 if turn.mirror_x else 1.0, -1.0 if turn.mirror_y else 1.0])
    field = field.flip(_mirrored(turn)) * sign[:, None, None]
    return field.flip(-3).transpose(-1, -2) if turn.transpose else field


def _mirrored(turn: Turn) -> list[int]:
    return [axis for axis, mirror in ((-2, turn.mirror_y), (-1, turn.mirror_x)) if mirror]


@dataclass(frozen=True, slots=True)
class ExposureMix:
    """How exposures are drawn in training: a model must meet every kind of clip."""

    sharp: float = 0.2  # share of clips without a blurry frame
    blurry: float = 0.2  # share of clips whose every frame is blurry; in the rest each frame is blurry with p = 0.5
    same_exposure: float = 0.5  # share of clips whose blurry frames all have one exposure
    linear: float = 0.3  # share of clips averaged in linear light
    shortest: int = 3  # of a blurry frame, in sharp frames
    highlights: float = 0.0  # share of clips whose saturated pixels are brighter than white before they are averaged
    highlight_most: float = 8.0  # their light at most, times white

    def __post_init__(self) -> None:
        check_shares(self, "sharp", "blurry", "same_exposure", "linear", "highlights")
        if not 1 <= self.highlight_most <= 1000:
            raise OptionError(f"highlight_most is {self.highlight_most}; allowed: 1 to 1000")
        if self.sharp + self.blurry > 1 + 1e-9 or self.shortest < 1:
            raise OptionError(
                f"sharp {self.sharp} and blurry {self.blurry} of the clips, shortest exposure {self.shortest}; "
                "allowed: shares of 1 at most in sum, and 1 or more"
            )


def draw_lengths(rng: np.random.Generator, t: int, longest: int, mix: ExposureMix) -> tuple[int, ...]:
    """The exposure of each of `t` frames, odd numbers from 1 (sharp) to `longest`."""
    kind, same = rng.random(2)
    blurred = rng.random(t) < 0.5
    lengths = rng.integers(mix.shortest // 2, longest // 2 + 1, t) * 2 + 1
    if same < mix.same_exposure:
        lengths[:] = lengths[0]
    if kind < mix.sharp:
        blurred[:] = False
    elif kind < mix.sharp + mix.blurry:
        blurred[:] = True
    return tuple(int(n) for n in np.where(blurred, lengths, 1))


SATURATED = 250 / 255  # a sub-frame's value from which it may be clipped light


def average_highlights(frames: Tensor, gain: float) -> Tensor:
    """The mean of the light of sub-frames (n c h w, sRGB) whose saturated values stand for `gain` times white, clipped.

    A sensor adds light and clips then: a moving lamp leaves a white streak. The mean of clipped values is grey.
    """
    light = srgb_to_linear(frames)
    light = torch.where(frames >= SATURATED, light * gain, light).mean(0).clamp(max=1.0)
    return torch.as_tensor(linear_to_srgb(light))


@dataclass(frozen=True, slots=True)
class Degradation:
    """Degradation of real files, by the share of clips that have them."""

    noise: float = 0.25  # share of clips with noise
    noise_most: float = 0.02  # standard deviation at white; dark parts have a third of it
    jpeg: float = 0.2  # share of clips with compression
    jpeg_quality: tuple[int, int] = (40, 95)  # lowest and highest, of 100
    soft: float = 0.0  # share of clips out of focus, inputs and ground truth: defocus is not motion blur
    soft_most: float = 1.2  # standard deviation, pixels
    photons: float = 0.0  # share of clips with the noise of a sensor, before everything else
    full_well: tuple[float, float] = (200.0, 5000.0)  # electrons of a white pixel: few in the dark, many by day
    read_noise: float = 3.0  # standard deviation, electrons

    def __post_init__(self) -> None:
        check_shares(self, "noise", "noise_most", "jpeg", "soft", "photons")
        if not (1 <= self.full_well[0] <= self.full_well[1] < 1e7 and 0 <= self.read_noise < 1e4):
            raise OptionError(
                f"full_well is {self.full_well} and read_noise {self.read_noise}; "
                "allowed: two rising numbers from 1, and 0 or more"
            )
        if not 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100 or not 0 <= self.soft_most <= 100:
            raise OptionError(
                f"jpeg_quality is {self.jpeg_quality} and soft_most {self.soft_most}; "
                "allowed: two rising numbers from 1 to 100, and 0 to 100 pixels"
            )


def check_shares(options: object, *names: str) -> None:
    """Raise OptionError unless these fields are from 0 to 1."""
    for name in names:
        if not 0 <= getattr(options, name) <= 1:
            raise OptionError(f"{name} is {getattr(options, name)}; allowed: from 0 to 1")


def defocus(clip: Tensor, truth: Tensor, rng: np.random.Generator, options: Degradation) -> tuple[Tensor, Tensor]:
    """Clips (b t c h w) and what should come of them (b n c h w), some of both a little out of focus."""
    clip, truth = clip.clone(), truth.clone()
    for i in range(len(clip)):
        chance, part = rng.random(2)
        if chance < options.soft:
            deviation = max(0.2, part * options.soft_most)
            clip[i], truth[i] = _smoothed(clip[i], deviation), _smoothed(truth[i], deviation)
    return clip, truth


def _smoothed(pictures: Tensor, deviation: float) -> Tensor:
    """Pictures (n c h w) blurred by a Gaussian of this sigma in pixels."""
    radius = min(math.ceil(3 * deviation), pictures.shape[-1] - 1, pictures.shape[-2] - 1)
    away = torch.arange(-radius, radius + 1, device=pictures.device, dtype=pictures.dtype)
    weights = (-(away / deviation).square() / 2).exp()
    weights = (weights / weights.sum())[None, None]
    planes = F.pad(pictures.flatten(0, 1)[:, None], (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(planes, weights[..., None]), weights[..., None, :]).reshape(pictures.shape)


def degrade(clip: Tensor, rng: np.random.Generator, options: Degradation) -> Tensor:
    """Input frames (b t c h w) with noise and compression on some clips, rounded to 8 bits.

    The draws come from `rng` on the CPU, so that they do not depend on the device.
    """
    out = clip.clone()  # as others may hold what was given
    for i in range(len(clip)):
        if options.photons and rng.random() < options.photons:
            low, high = options.full_well
            well, seed = low * (high / low) ** rng.random(), int(rng.integers(1 << 62))
            out[i] = sensor_noise(out[i], float(well), options.read_noise, seed)
        with_noise, with_jpeg = rng.random(2) < (options.noise, options.jpeg)
        strength, quality = rng.random() * options.noise_most, rng.integers(*options.jpeg_quality, endpoint=True)
        seed = int(rng.integers(1 << 62))
        if with_noise:
            noise = torch.randn(clip.shape[1:], generator=torch.Generator().manual_seed(seed)).to(clip.device)
            out[i] += noise * strength * (out[i] * 0.9 + 0.1).sqrt()
        if with_jpeg:
            out[i] = jpeg(out[i].clamp(0, 1), int(quality))
    return out.clamp_(0, 1).mul_(255).round_().div_(255)


def sensor_noise(frames: Tensor, full_well: float, read_noise: float, seed: int) -> Tensor:
    """Frames (sRGB in [0, 1]) as a sensor with `full_well` electrons at white records them, with Gaussian read noise.

    Electrons are counted in linear light, so they have a Poisson distribution: their variance is their mean.
    """
    generator = torch.Generator().manual_seed(seed)
    electrons = srgb_to_linear(frames.clamp(0, 1)).cpu() * full_well
    counted = torch.poisson(electrons, generator=generator)
    counted += read_noise * torch.randn(counted.shape, generator=generator)
    light = (counted / full_well).clamp(0, 1).to(frames.device)
    return torch.as_tensor(linear_to_srgb(light))


# ITU-T T.81, annex K: how coarsely each frequency of luma and chroma is kept at quality 50.
LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), (99, 99, 99, 99, 99, 99, 99, 99), (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99), (99, 99, 99, 99, 99, 99, 99, 99),
)  # fmt: skip


def jpeg(frames: Tensor, quality: int) -> Tensor:
    """Frames (t 3 h w in [0, 1]) as JPEG of this quality (1 to 100) would give them back, chroma at half size."""
    h, w = frames.shape[-2:]
    padded = F.pad(frames * 255, (0, -w % 16, 0, -h % 16), mode="replicate")
    red, green, blue = padded.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = torch.stack([(blue - luma) * 0.564, (red - luma) * 0.713], 1)
    luma = _quantised(luma[:, None] - 128, LUMA, quality)[:, 0] + 128
    chroma = F.interpolate(_quantised(F.avg_pool2d(chroma, 2), CHROMA, quality), scale_factor=2.0, mode="bilinear")
    cb, cr = chroma.unbind(1)
    rgb = torch.stack([luma + cr / 0.713, luma - 0.344 * cb - 0.714 * cr, luma + cb / 0.564], 1)
    return (rgb[..., :h, :w] / 255).clamp(0, 1)


def _quantised(planes: Tensor, table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    """Planes (t c h w, about -128 to 128) through the 8x8 cosine transform, rounded to the table's steps, and back."""
    scale = (50 / quality if quality < 50 else 2 - quality / 50) or 0.01
    steps = (torch.tensor(table, dtype=planes.dtype, device=planes.device) * scale).round().clamp(1, 255)
    k = torch.arange(8, dtype=planes.dtype, device=planes.device)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * (torch.pi / 16)) / 2  # frequency, place
    basis[0] /= 2**0.5
    t, c, h, w = planes.shape
    blocks = planes.reshape(t, c, h // 8, 8, w // 8, 8).transpose(3, 4)  # t c y x 8 8
    kept = torch.round(basis @ blocks @ basis.T / steps) * steps
    return (basis.T @ kept @ basis).transpose(3, 4).reshape(t, c, h, w)
