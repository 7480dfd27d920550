"""What has gone through a stream: the counts that progress, reports and resumed runs read."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from alanet.frames.estimate_sums import EstimateSums

__all__ = ["Counts"]


@dataclass(slots=True)
class Counts:
    """What has gone through a stream so far."""

    frames_in: int = 0
    frames_out: int = 0
    cuts: int = 0
    gaps: int = 0  # intervals too long to interpolate across, where no cut is
    longest_gap: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))  # seconds, and when
    duplicates: int = 0
    passed: int = 0  # of frames_out: the network came to nothing, and the input is shown
    first_passed: Fraction | None = None  # time of the first of these
    estimates: EstimateSums = field(default_factory=EstimateSums)  # of input frames
    untouched: int = 0  # of frames_out, holds included: input frames passed through: sharp, or strength 0

    def pass_through(self, time: Fraction) -> None:
        self.passed += 1
        self.first_passed = time if self.first_passed is None else self.first_passed
