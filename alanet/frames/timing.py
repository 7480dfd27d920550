"""When each restored frame is shown: exact fractions of a second, for any factor or target rate.

A video is N input frames at strictly increasing times t_0 < t_1 < ...; the last one has a duration of its own, so the
video ends at t_N = t_{N-1} + its duration. The interval of frame i is [t_i, t_{i+1}): its start belongs to it, its
end does not. A restored frame in it has a *phase*, the part of the interval that has passed: 0 = deblurred (time i in
input periods), anything else = interpolated (time i + phase). Constant and variable rate are the same case.

    input            i               i+1      (last)          end
    time             |----------------|--------- ... |---------|
    factor 2         0      1/2       0              0    1/2 = hold

- `Factor(n)`: n restored frames an interval at phases 0, 1/n, 2/n ...: n N in all. A gap gets no more than any other
  interval, and the video ends exactly when the input does.
- `TargetRate(r)`: restored frame k at t_0 + k/r while that is before the video's end, each shown 1/r. The input is
  always covered; the last restored frame may outlive it, by less than one output period.

Slow motion is the same schedule on a stretched clock: what the input shows in a second is shown in `slow` seconds,
counted from the video's first frame. The phases are those of the schedule as it samples the input: `Factor(4, slow=4)`
shows phases 0, 1/4, 1/2, 3/4 at the input's own rate, and `TargetRate(r, slow=4)` samples the input 4 r times a second.

After the last frame, and before a cut, there is nothing to interpolate with: the restored frame before is held, and
the moment says so (`hold`). Everything here is pure; floats would drift within an hour of 29.97 fps and are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from alanet.errors import OptionError

__all__ = [
    "Factor",
    "Moment",
    "Schedule",
    "Tail",
    "TargetRate",
    "merge_holds",
    "moments",
    "output_rate",
    "parse_rate",
    "phases",
    "slow_motion",
]

HIGHEST_FACTOR = 64  # more is a slip of the keyboard: 64 x 30 fps fills a disk in minutes
HIGHEST_RATE = 1000  # frames a second

Tail = Literal["hold", "drop"]


@dataclass(frozen=True, slots=True)
class Factor:
    """n restored frames for every input frame; the video is `slow` times as long.

    >>> alanet.RestoreOptions(alanet.Factor(4)).schedule
    Factor(n=4, slow=1)
    """

    n: int
    slow: int = 1

    def __post_init__(self) -> None:
        check_slow(self.slow)
        if not _whole(self.n):
            raise OptionError(
                f"factor {self.n!r} is not a whole number; give alanet.Factor(2), or alanet.TargetRate(Fraction(60)) "
                "for frames a second"
            )
        if not 1 <= self.n <= HIGHEST_FACTOR:
            raise OptionError(f"a factor of x{self.n} was asked for; x1 to x{HIGHEST_FACTOR} are possible, x2 is usual")

    def __str__(self) -> str:
        return f"x{self.n}"


@dataclass(frozen=True, slots=True)
class TargetRate:
    """Restored frames at a constant rate, in frames a second, whatever the input's rate is.

    >>> alanet.TargetRate(Fraction(60000, 1001)).rate
    Fraction(60000, 1001)
    """

    rate: Fraction
    slow: int = 1

    def __post_init__(self) -> None:
        check_slow(self.slow)
        if not isinstance(self.rate, int | Fraction) or isinstance(self.rate, bool):
            raise OptionError(
                f"rate {self.rate!r} is not an exact number; give alanet.TargetRate(Fraction(60000, 1001)), or "
                'alanet.TargetRate(Fraction("59.94"))'
            )
        object.__setattr__(self, "rate", Fraction(self.rate))
        if not 0 < self.rate <= HIGHEST_RATE:
            raise OptionError(f"a rate of {self.rate} fps was asked for; give one above 0 and up to {HIGHEST_RATE}")

    def __str__(self) -> str:
        return f"{self.rate} fps"


Schedule = Factor | TargetRate


def check_slow(slow: int) -> None:
    """Raise OptionError unless a video can be made `slow` times as long."""
    if not _whole(slow):
        raise OptionError(f"slow {slow!r} is not a whole number; give 4 for a video four times as long")
    if not 1 <= slow <= HIGHEST_FACTOR:
        raise OptionError(f"a video {slow} times as long was asked for; 1 to {HIGHEST_FACTOR} are possible")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def slow_motion(slow: int, rate: Schedule = Factor(1)) -> Schedule:
    """The schedule of a video `slow` times as long, at `rate`: a factor is of the input's rate.

    >>> alanet.slow_motion(4)
    Factor(n=4, slow=4)
    """
    check_slow(slow)
    if not isinstance(rate, Schedule):
        raise OptionError(f"rate is {rate!r}; give an alanet.Factor or an alanet.TargetRate")
    return Factor(rate.n * slow, slow) if isinstance(rate, Factor) else TargetRate(rate.rate, slow)


@dataclass(frozen=True, slots=True)
class Moment:
    """One restored frame: when it is shown, and what it shows."""

    time: Fraction  # seconds
    phase: Fraction  # in [0, 1) of the interval it falls in; 0 = deblurred
    duration: Fraction  # seconds
    hold: bool = False  # True: repeats the restored frame before it (phase 0 of the same interval), restores nothing


def parse_rate(text: str) -> Schedule:
    """ "x2" -> Factor(2); "60", "60000/1001", "12.5" -> TargetRate.

    "23.976", "29.97", "59.94" and their like (two or three decimals of a multiple of 12 or 15, times 1000/1001) mean
    the broadcast rate that they round: 24000/1001, 30000/1001, 60000/1001. Any other decimal is taken as it stands.
    """
    given = text.strip().lower()
    if re.fullmatch(r"x[0-9]{1,6}", given):
        return Factor(int(given[1:]))
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?|[0-9]{1,9}/0*[1-9][0-9]{0,8}", given):
        return TargetRate(_broadcast_rate(given) or Fraction(given))
    raise OptionError(f"'{text}' is no frame rate; give a factor (x2, x4) or frames a second (60, 60000/1001, 59.94)")


def _broadcast_rate(text: str) -> Fraction | None:
    """The N x 1000/1001 that a rate of two or three decimals rounds, if there is one."""
    decimals = len(text.partition(".")[2])
    near = -(-Fraction(text) // 1)  # the whole number above
    rate = near * Fraction(1000, 1001)
    common = near % 12 == 0 or near % 15 == 0
    return rate if decimals in (2, 3) and common and round(rate, decimals) == Fraction(text) else None


def moments(
    schedule: Schedule, start: Fraction, end: Fraction, *, origin: Fraction, hold: bool = False
) -> list[Moment]:
    """The restored frames of one input interval [start, end), in order; may be none for a low target rate.

    start: time of frame i, s. end: time of frame i+1, or, for the last frame, start + its own duration.
    origin: time of the video's first frame, s: where a target rate counts from.
    hold: nothing follows to interpolate with (frame i is the last one, or a cut follows): moments after the interval's
    first picture repeat it. Where the first moment of such an interval has a phase above 0 it is a hold too, of the
    deblurred frame i: callers show phase 0 for every hold.
    Times and durations are those at which they are shown: with slow motion, stretched from `origin` on.
    """
    assert origin <= start < end, f"frame times must increase: {origin}, {start}, {end}"
    if isinstance(schedule, Factor):
        step = (end - start) / schedule.n
        times = [start + k * step for k in range(schedule.n)]
    else:
        sampled = schedule.rate * schedule.slow
        step = 1 / sampled
        first, stop = (-((origin - time) * sampled // 1) for time in (start, end))  # ceil: first k at or after
        times = [origin + k * step for k in range(first, stop)]
    phases = [(time - start) / (end - start) for time in times]
    slow = schedule.slow
    return [Moment(origin + (time - origin) * slow, phase, step * slow, hold and phase > 0)
            for time, phase in zip(times, phases, strict=True)]  # fmt: skip


def merge_holds(interval: list[Moment]) -> list[Moment]:
    """An interval that shows one picture only, as one moment: what tail="drop" makes of the last one."""
    if not interval:
        return []
    return [replace(interval[0], duration=sum((moment.duration for moment in interval), Fraction(0)))]


def phases(schedule: Schedule, rate: Fraction) -> frozenset[Fraction]:
    """Every phase that a constant-rate input of `rate` frames a second needs: known before any work starts.

    With variable rate a factor needs the same phases, but a target rate may need any.
    """
    steps = schedule.n if isinstance(schedule, Factor) else (rate / (schedule.rate * schedule.slow)).denominator
    return frozenset(Fraction(k, steps) for k in range(steps))


def output_rate(schedule: Schedule, rate: Fraction) -> Fraction:
    """Nominal frames a second of the output of an input with `rate` frames a second."""
    return rate * schedule.n / schedule.slow if isinstance(schedule, Factor) else schedule.rate
