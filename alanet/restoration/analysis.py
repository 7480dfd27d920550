"""One pass over a video: cuts, duplicates, blur, and where a network is given the exposure of its frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from alanet.frames.estimate_sums import EstimateSums, shown_exposure

if TYPE_CHECKING:
    from alanet.engine.runner import Runner
    from alanet.engine.stream import Estimate
    from alanet.frames.cuts import Scores
    from alanet.frames.frame import Frame, Pixels

    Estimator = Callable[[Pixels, Pixels | None], Estimate | None]

__all__ = ["Analysis", "FrameEstimates", "analyse"]


@dataclass(slots=True)
class Analysis:
    """What decoding a video found. Times in seconds on the video's own time line."""

    frames: int = 0
    start: Fraction = Fraction(0)
    end: Fraction = Fraction(0)
    shortest: Fraction | None = None  # between two frames
    longest: Fraction | None = None
    times: list[Fraction] = field(default_factory=list)  # a frame each
    cuts: list[bool] = field(default_factory=list)  # a frame each: whether it starts a new shot
    cut_times: list[Fraction] = field(default_factory=list)
    duplicates: int = 0
    blurs: list[float | None] = field(default_factory=list)  # a frame each
    exposures: list[float | None] = field(default_factory=list)  # a frame each, of the last estimate before it: frame
    # periods, at most 1; None where too little moves
    estimates: EstimateSums = field(default_factory=EstimateSums)  # of the frames that a network looked at

    @property
    def variable(self) -> bool:
        """Whether intervals differ by more than the rounding to a container's milliseconds."""
        return (
            self.shortest is not None and self.longest is not None and self.longest - self.shortest > Fraction(1, 400)
        )


def analyse(
    frames: Iterable[tuple[Frame, Scores, bool]],
    estimator: Estimator | None = None,
    every: int = 1,
) -> Analysis:
    """One pass over (frame, its scores, whether it starts a new shot); the first frame starts none.

    estimator: a network's estimate of a frame, given the one before in its shot; called for one frame in `every`.
    """
    found = Analysis()
    before: Fraction | None = None
    shown: Pixels | None = None
    for frame, scores, cut in frames:
        if before is None:
            found.start = frame.time
        else:
            gap = frame.time - before
            found.shortest = gap if found.shortest is None else min(found.shortest, gap)
            found.longest = gap if found.longest is None else max(found.longest, gap)
        shown = None if cut else shown
        said = estimator(frame.pixels, shown) if estimator is not None and found.frames % every == 0 else None
        if said is not None:
            found.estimates = found.estimates.with_frame(said.exposure, said.uncertainty, sharp=said.sharp)
            exposure = shown_exposure(said.exposure, said.uncertainty)
            found.exposures += [exposure] * (found.frames - len(found.exposures))
        if found.estimates.classified:
            found.exposures.append(found.exposures[-1] if said is None else exposure)
        found.frames += 1
        found.times.append(frame.time)
        found.cuts.append(cut)
        if cut:
            found.cut_times.append(frame.time)
        found.duplicates += scores.duplicate
        found.blurs.append(scores.blur)
        before, found.end = frame.time, frame.time + frame.duration
        shown = frame.pixels
    return found


class FrameEstimates:
    """A network's, by the motion from the frame before, where there is one; a restoration also has the motion to the
    next one. Frames that follow each other are encoded once each."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.last: tuple[Pixels | None, Any] = None, None

    def __call__(self, pixels: Pixels, before: Pixels | None) -> Estimate | None:
        from alanet.model.network import Window

        features: dict[int, Any] = {1: self.runner.encode(pixels)}
        if before is not None:
            seen, earlier = self.last
            features[0] = earlier if seen is before else self.runner.encode(before)
        self.last = pixels, features[1]
        pairs = {0: self.runner.relate(features[0], features[1])} if 0 in features else {}
        return self.runner.estimate(Window(features, pairs), 1)
