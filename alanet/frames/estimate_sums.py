"""What a network estimated of a video's input frames, summed, so that segments and runs add up."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import Any

__all__ = ["MOST_UNCERTAIN", "EstimateSums", "shown_exposure"]

MOST_UNCERTAIN = math.log(2)  # expected error of an exposure's logarithm from which it is not shown: a factor of two


def shown_exposure(exposure: float, uncertainty: float) -> float | None:
    """An exposure as people are shown it, at most one frame period; None where it is not known.

    Nothing moves there, or too little: a shutter that is open for long leaves no trace on what stands still.
    """
    return None if uncertainty > MOST_UNCERTAIN else min(1.0, exposure)


@dataclass(frozen=True, slots=True)
class EstimateSums:
    """Counts of input frames, and sums over those whose exposure is known."""

    classified: int = 0  # estimated: sharp or not
    sharp: int = 0  # of these, classified as sharp
    known: int = 0  # of these, with an exposure that is known within a factor of two
    exposures: float = 0.0  # their sum, frame periods
    uncertainties: float = 0.0  # sum of their expected errors, frame periods

    def __add__(self, other: EstimateSums) -> EstimateSums:
        return EstimateSums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: EstimateSums) -> EstimateSums:
        return EstimateSums(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def with_frame(self, exposure: float, uncertainty: float, *, sharp: bool) -> EstimateSums:
        """These and one more frame. exposure: frame periods; uncertainty: expected error of its natural logarithm."""
        shown = shown_exposure(exposure, uncertainty)
        if shown is None:
            return self + EstimateSums(1, int(sharp))
        return self + EstimateSums(1, int(sharp), 1, shown, shown * uncertainty)

    @property
    def exposure(self) -> float | None:
        """The mean exposure, frame periods; None where it is known of no frame."""
        return self.exposures / self.known if self.known else None

    @property
    def uncertainty(self) -> float | None:
        """The mean expected error of an exposure, frame periods."""
        return self.uncertainties / self.known if self.known else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; exposure and uncertainty in frame periods, or None."""
        return {
            "classified": self.classified,
            "sharp": self.sharp,
            "exposure_known": self.known,
            "exposure": self.exposure,
            "exposure_uncertainty": self.uncertainty,
        }
