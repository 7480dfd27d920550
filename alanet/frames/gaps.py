"""Gaps: intervals between frames that are too long to interpolate across.

Recorders write no frame while nothing changes, and cameras drop frames. Halfway through such a gap the picture is not
halfway between its two ends. `is_gap` is the rule; `Gaps` applies it to a stream, in constant memory.

    usual period known      a gap is longer than 2.5 usual periods
    no usual period         a gap is longer than 0.5 s

The usual period is the median of the last 25 intervals once four are known, gaps included, so that a lasting change of
rate becomes usual; before that, the period of an input whose rate is constant by its header. Limits: the 2:3 rhythm of
telecine and mixes of 24 and 30 fps are no gaps; up to one lost frame in a row is none either; after a change to less
than 0.4 of the rate, 13 intervals are gaps.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from statistics import median_low

__all__ = ["Gaps", "is_gap"]

PERIODS = Fraction(5, 2)
SECONDS = Fraction(1, 2)  # where there is no usual period
MEMORY, LEAST = 25, 4  # intervals that the usual period is the median of


def is_gap(interval: Fraction, usual: Fraction | None) -> bool:
    """Whether no frame is interpolated in an interval between two frames. Both in seconds; usual: None is unknown.

    >>> is_gap(Fraction(3, 30), Fraction(1, 30)), is_gap(Fraction(2, 30), Fraction(1, 30))
    (True, False)
    """
    return interval > (SECONDS if usual is None else PERIODS * usual)


class Gaps:
    """The gaps of one video, in order. period: seconds between frames, where the input states a constant rate."""

    def __init__(self, period: Fraction | None = None) -> None:
        self._period = period
        self._intervals: deque[Fraction] = deque(maxlen=MEMORY)
        self.count = 0
        self.longest: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))  # seconds of the longest, and its time

    def between(self, time: Fraction, following: Fraction) -> bool:
        """Whether there is a gap between the frames at two times, seconds; called once for each pair."""
        interval = following - time
        usual = median_low(self._intervals) if len(self._intervals) >= LEAST else self._period
        found = is_gap(interval, usual)
        self._intervals.append(interval)
        if found:
            self.count += 1
            self.longest = max(self.longest, (interval, time))
        return found
