"""What a summary counts beside frames. It is kept with each finished segment, so that a summary counts the whole run,
however often it was interrupted and whether one process or several made the segments.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace

from alanet.frames.estimate_sums import EstimateSums
from alanet.video.output.segments import Segment

__all__ = ["Tally", "tally_of"]


@dataclass(frozen=True, slots=True)
class Tally:
    """Work, and counts of restored frames and of the estimates of input frames; fields of a `Segment`."""

    seconds: float = 0.0
    passed: int = 0
    untouched: int = 0
    estimates: EstimateSums = field(default_factory=EstimateSums)

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Tally)))

    def __sub__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, each.name) - getattr(other, each.name) for each in fields(Tally)))

    def on(self, segment: Segment) -> Segment:
        """The segment with these counts."""
        return replace(segment, **{each.name: getattr(self, each.name) for each in fields(Tally)})


def tally_of(segments: Iterable[Segment]) -> Tally:
    """Of all segments together."""
    tallies = (Tally(*(getattr(segment, each.name) for each in fields(Tally))) for segment in segments)
    return sum(tallies, Tally())
