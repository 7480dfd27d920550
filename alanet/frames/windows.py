"""Which frames a restored frame looks at, and what happens at the ends of a shot.

Times and indices are in input periods from the video's first frame: an integer time i is a deblurred frame, any other
an interpolated one between i = floor(time) and i + 1. A shot is the frames `first` to `last`, both included, between
two cuts (or the video's ends); no window leaves it, and none wraps around.

    deblurred at i, w = 2           i-1  [i]  i+1                  within w/2 of i                    (eq. 5)
    interpolated at i + 1/2          i  <  > i+1                   the two it lies between            (eq. 6)
      ... around = 1 (a variant)    i-1  i  <  > i+1  i+2          and `around` more on each side

Past the last frame of a shot there is nothing to interpolate with: its restored frame is held (`held_time`).
A stream keeps a ring of frames: while it restores the times in [i, i+1) it needs frames i - before to i + after, as
`reach` says, of the same shot; nothing older will be asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Reach", "held_time", "reach", "window_of"]


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the windows of the times in [i, i+1) go beyond frame i, in frames."""

    before: int  # frames kept behind
    after: int  # frames of lookahead


def held_time(time: Fraction | float, last: int) -> Fraction | float:
    """The time that is really restored when `time` is shown: past the shot's last frame, that frame is held."""
    return min(time, Fraction(last))


def window_of(time: Fraction | float, w: int, first: int, last: int, *, around: int = 0) -> range:
    """Indices of the frames that the restored frame at `time` looks at, in order; itself is among them.

    time: in input periods, first <= time < last + 1 (a time after `last` is held: the window of `last`).
    w: window W, even: w/2 neighbours on each side of a deblurred frame.
    around: further neighbours on each side of an interpolated frame's two; the paper's network takes none.
    """
    _check(w, around)
    assert first <= time < last + 1, f"time {time} lies outside its shot, frames {first} to {last}"
    time = held_time(time, last)
    i = int(time // 1)
    low, high = (i - w // 2, i + w // 2) if time == i else (i - around, i + 1 + around)
    return range(max(low, first), min(high, last) + 1)


def reach(w: int, *, around: int = 0) -> Reach:
    """How many frames a stream keeps behind and reads ahead, deblurring and interpolating."""
    _check(w, around)
    return Reach(before=max(w // 2, around), after=max(w // 2, 1 + around))


def _check(w: int, around: int) -> None:
    if w < 0 or w % 2 or around < 0:
        raise ValueError(f"window W = {w}, around = {around}; W must be even and 0 or more, around 0 or more")
