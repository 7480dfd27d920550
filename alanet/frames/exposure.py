"""How a camera makes blurry video: each frame the mean of the sharp frames during which its shutter is open (eq. 7).

A sharp high-rate video (axes t c h w or t h w c, time first; float in [0, 1], numpy or torch alike) is cut into
*periods* of `period` frames, one period to each input frame. The shutter of input frame i is open for an odd number
of frames around its centre; the first centre lies so far inside that the longest exposure fits:

    sharp    0 1 2 3 4 5 6 7 8 9 ...                       frames 5, period 4
    open    [. . c . .]     centre 0 at frame frames // 2
                    [. . c . .]     centre i at i * period + frames // 2
    truth        0 - + - 1 - + - 2     of a time in periods: frame time * period + frames // 2; + are the midpoints

A centre needs an odd exposure and a midpoint an even period. Exposures longer than the period overlap (the paper's 11
of 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from alanet.errors import OptionError
from alanet.frames.color import linear_to_srgb, srgb_to_linear

__all__ = ["BlurryClip", "Exposure", "average", "blur", "draw_blurred", "expose", "to_eight_bits"]


@dataclass(frozen=True, slots=True)
class Exposure:
    """Where the shutter opens: both in frames of the sharp video."""

    frames: int = 11  # the shutter is open for this number of frames; odd
    period: int = 8  # from one centre to the next; even

    def __post_init__(self) -> None:
        if self.frames < 1 or self.frames % 2 == 0:
            raise OptionError(
                f"exposure of {self.frames} frames; allowed: odd numbers from 1 on, so that it has a centre"
            )
        if self.period < 2 or self.period % 2 == 1:
            raise OptionError(
                f"period of {self.period} frames; allowed: even numbers from 2 on, so that it has a midpoint"
            )

    def needed(self, t: int) -> int:
        """Sharp frames that a clip of `t` input frames is made of."""
        if t < 1:
            raise OptionError(f"a clip of {t} frames; allowed: 1 or more")
        return (t - 1) * self.period + self.frames

    def available(self, sharp_frames: int) -> int:
        """Input frames that `sharp_frames` sharp frames give; 0 if they are too few for one."""
        return max(0, (sharp_frames - self.frames) // self.period + 1)

    def centre(self, i: int) -> int:
        """The sharp frame at the centre of input frame `i`."""
        return i * self.period + self.frames // 2

    def window(self, i: int, length: int | None = None) -> slice:
        """The `length` sharp frames (default: `frames`) during which the shutter of input frame `i` is open."""
        length = self.frames if length is None else length
        if not 1 <= length <= self.frames or length % 2 == 0:
            raise OptionError(f"exposure of {length} frames in a clip; allowed: odd numbers from 1 to {self.frames}")
        start = self.centre(i) - length // 2
        return slice(start, start + length)

    def index(self, time: Fraction | float) -> int:
        """The sharp frame at `time` (periods from the first centre). OptionError where there is none."""
        index = Fraction(time) * self.period + self.frames // 2
        if index.denominator != 1:
            raise OptionError(
                f"time {time} lies between two sharp frames; allowed: multiples of 1/{self.period} of a period"
            )
        return int(index)

    def times(self, t: int, factor: int = 2) -> tuple[Fraction, ...]:
        """The (t - 1) * factor + 1 times of a clip of `t` frames, both ends included: 0, 1/factor ... t - 1."""
        if factor < 1 or self.period % factor:
            raise OptionError(f"factor {factor} with a period of {self.period} frames; allowed: its divisors")
        return tuple(Fraction(k, factor) for k in range((t - 1) * factor + 1))


@dataclass(frozen=True, slots=True)
class BlurryClip:
    """Input frames and what a perfect restorer would make of them; arrays are of the kind that was given."""

    clip: Any  # t c h w
    truth: Any  # n c h w
    times: tuple[Fraction, ...]  # n, periods from the clip's first frame
    lengths: tuple[int, ...]  # t, the exposure of each input frame in sharp frames; 1 is a sharp frame


def draw_blurred(
    rng: np.random.Generator, t: int, probability: float = 0.5, *, alike: bool = False
) -> npt.NDArray[np.bool_]:
    """Which of `t` frames are blurry: each by itself with `probability` (sec. 5.2), or all or none of them
    (`alike`)."""
    if not 0 <= probability <= 1:
        raise OptionError(f"probability of a blurry frame is {probability}; allowed: 0 to 1")
    draws = rng.random(t)
    return np.broadcast_to(draws[:1], t) < probability if alike else draws < probability


def average(frames: Any, *, linear: bool = False) -> Any:
    """The mean over the first axis: of sRGB values as they are (the paper's protocol), or of light (what a sensor
    does)."""
    if len(frames) == 1:
        return frames[0]
    if not linear:
        return frames.mean(axis=0)
    return linear_to_srgb(srgb_to_linear(frames).mean(axis=0))


def blur(sharp: Any, exposure: Exposure, lengths: Sequence[int], *, linear: bool = False) -> list[Any]:
    """The input frames (t of c h w): frame i is open for lengths[i] sharp frames around its centre (eq. 7).

    Lengths are odd and at most `exposure.frames`; length 1 gives the sharp frame itself, bit for bit.
    """
    if len(sharp) < exposure.needed(len(lengths)):
        raise OptionError(
            f"{len(sharp)} sharp frames for a clip of {len(lengths)}; it takes {exposure.needed(len(lengths))} "
            f"(exposure {exposure.frames}, period {exposure.period})"
        )
    return [average(sharp[exposure.window(i, length)], linear=linear) for i, length in enumerate(lengths)]


def to_eight_bits(x: Any) -> Any:
    """Rounded to the 256 values an 8-bit file can hold; still float in [0, 1]."""
    return (x.clip(0, 1) * 255).round() / 255


def expose(
    sharp: Any,
    exposure: Exposure,
    blurred: Sequence[bool] | npt.NDArray[np.bool_],
    *,
    factor: int = 2,
    linear: bool = False,
    eight_bits: bool = True,
) -> BlurryClip:
    """A clip of len(blurred) input frames from the first sharp frames, with the ground truth of all its times.

    sharp: t c h w, float in [0, 1], numpy or torch. Where `blurred` is false the input is the centre frame itself.
    `eight_bits` rounds the inputs as a file would; the ground truth is not rounded.
    """
    lengths = tuple(exposure.frames if is_blurred else 1 for is_blurred in blurred)
    times = exposure.times(len(lengths), factor)
    clip = _stack(blur(sharp, exposure, lengths, linear=linear))
    truth = sharp[[exposure.index(time) for time in times]]
    return BlurryClip(to_eight_bits(clip) if eight_bits else clip, truth, times, lengths)


def _stack(frames: list[Any]) -> Any:
    if isinstance(frames[0], np.ndarray):
        return np.stack(frames)
    import torch  # only for those who gave tensors

    return torch.stack(frames)
