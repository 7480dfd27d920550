"""Times of decoded frames made fit to work with: strictly rising, none missing, each frame with its duration.

Times are exact seconds, as the file has them. Only what cannot be right is touched. A frame without a time, or with one
that does not come after the frame before it, is put between its neighbours by the lengths of the frames: all the same,
but for soft telecine, where every second one lasts half a period more. Where the clock of the file itself jumps back
(two recordings joined), or ahead by more than anybody records, the later part follows on the earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import TypeVar

__all__ = ["FAR", "JUMP", "LEAP", "Repairs", "durations", "rising"]

T = TypeVar("T")
PATIENCE = 8  # frames held back at most while waiting for the next good time
JUMP = Fraction(1)  # seconds back that are a new clock, not a wrong time
LEAP = Fraction(86400)  # seconds ahead that are a new clock: no picture is shown for a day
FAR = Fraction(
    2**31
)  # seconds from 0 within which a clock may begin: seconds since 1970 do, and finest ticks can count


@dataclass(slots=True)
class Repairs:
    """What was seen and put right, for the notes."""

    frames: int = 0
    spaced: int = 0  # frames put between their neighbours
    jumps: int = 0  # clocks that began anew
    strays: int = 0  # of spaced: times far off, of one frame each
    gaps: int = 0  # frames shown for more than one and a half periods
    longest: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))  # seconds of the longest gap, and when

    @property
    def missing(self) -> bool:
        """Whether a rate steady otherwise has gaps: frames are lost there. A truly variable rate has many."""
        return 0 < self.gaps <= self.frames / 20


def rising(
    stamped: Iterable[tuple[T, Fraction | None]],
    period: Fraction,
    start: Fraction,
    repairs: Repairs,
    length: Callable[[T], Fraction] | None = None,
) -> Iterator[tuple[T, Fraction]]:
    """(frame, time or None) in the order shown -> (frame, time), times strictly rising; good times are kept exactly.

    period: seconds between frames where nothing else is known; start: the first frame's time if it has none. length:
    seconds that a frame is shown, for those without a time; by default the period.
    """
    last: Fraction | None = None
    shift, shown = Fraction(0), period  # shown: how long the last frame is
    waiting: list[T] = []

    def lengths(*more: T) -> list[Fraction]:
        return [shown, *(period if length is None else length(item) for item in (*waiting, *more))]

    for item, stated in _without_strays(stamped, repairs):
        time = None if stated is None else stated + shift
        if time is not None and last is None and abs(time) >= FAR:
            shift, time = start - time, start
            repairs.jumps += 1
        if time is not None and last is not None and (last - time >= JUMP or time - last >= LEAP):
            shift += last + (len(waiting) + 1) * period - time
            time = last + (len(waiting) + 1) * period
            repairs.jumps += 1
        if time is not None and (last is None or time > last):
            steps = lengths(item)
            before = last if last is not None else time - sum(steps[:-1], Fraction(0))
            scale = (time - before) / sum(steps[:-1], Fraction(0))
            yield from _between(waiting, before, [scale * step for step in steps], repairs)
            waiting, last, shown = [], time, steps[-1]
            yield item, time
            continue
        waiting.append(item)
        if len(waiting) == PATIENCE:
            steps = lengths()
            before = last if last is not None else start - period
            yield from _between(waiting, before, steps, repairs)
            waiting, last, shown = [], before + sum(steps[:-1], Fraction(0)), steps[-1]
    yield from _between(waiting, last if last is not None else start - period, lengths(), repairs)


def _without_strays(
    stamped: Iterable[tuple[T, Fraction | None]], repairs: Repairs
) -> Iterator[tuple[T, Fraction | None]]:
    """A time far off, after which the next frame's goes on where the one before was, is the mistake of one frame: it
    counts for none."""
    last: Fraction | None = None
    held: tuple[T, Fraction, Fraction] | None = None  # one that is far off, its time, the time before
    for item, stated in stamped:
        if held is not None:
            suspect, time, before = held
            stray = stated is not None and before < stated and (stated <= time - JUMP or time <= before - JUMP)
            repairs.strays += stray
            yield suspect, None if stray else time
            held, last = None, before if stray else time
        if stated is not None and last is not None and abs(stated - last) >= JUMP:
            held = item, stated, last
            continue
        last = stated if stated is not None else last
        yield item, stated
    if held is not None:
        yield held[0], held[1]


def _between(items: list[T], before: Fraction, steps: list[Fraction], repairs: Repairs) -> Iterator[tuple[T, Fraction]]:
    """Each item one step after the one before it; `before` is the time of the frame before all."""
    repairs.spaced += len(items)
    yield from zip(items, accumulate(steps[1:], initial=before + steps[0]), strict=False)


def durations(
    timed: Iterable[tuple[T, Fraction]], of_last: Callable[[T], Fraction], period: Fraction, repairs: Repairs
) -> Iterator[tuple[T, Fraction, Fraction]]:
    """(frame, time) -> (frame, time, duration): each is shown until the next, and the last for `of_last(frame)`."""
    held: tuple[T, Fraction] | None = None
    for item, time in timed:
        repairs.frames += 1
        if held is not None:
            duration = time - held[1]
            if 2 * duration > 3 * period:
                repairs.gaps += 1
                repairs.longest = max(repairs.longest, (duration, held[1]))
            yield held[0], held[1], duration
        held = (item, time)
    if held is not None:
        own = of_last(held[0])
        yield held[0], held[1], own if 0 < own < LEAP else period
