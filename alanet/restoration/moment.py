"""One moment of a video, before and after, without restoring the rest of it.

    t_i <= at < t_i+1     the interval of the moment
    phase 0               after: frame i, deblurred                before: input frame i
    any other phase       after: the interpolated frame            before: the blend of input frames i and i + 1

Both pictures show exactly the same time. The time is the one that the whole result shows at `at`, found on a grid of
phases: a target rate that needs more than 64 phases is approximated by the nearest of 64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alanet.engine.counts import Counts
from alanet.engine.tiled import plan_tiles_for
from alanet.errors import OptionError
from alanet.frames.frame import Frame, Picture, Pixels, VideoInfo, shown_pixels
from alanet.frames.gaps import Gaps
from alanet.frames.repeats import LONGEST, Repeats
from alanet.frames.timing import HIGHEST_FACTOR, Factor, Moment, Schedule, moments
from alanet.notes import Notes
from alanet.restoration.pipeline import decoded, period_of, shots, streamed

if TYPE_CHECKING:
    from alanet.restoration.options import RestoreOptions
    from alanet.restoration.restorer import Restorer

__all__ = ["AROUND", "Comparison", "blend", "compare_at", "grid_of"]

AROUND = 4  # input frames read on either side of the moment: more than any window needs


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two pictures (`h w 3` uint8, as a viewer sees them) of the same time."""

    before: Picture
    after: Picture
    time: Fraction  # seconds from the first frame
    interpolated: bool  # False: a deblurred frame
    unchanged: bool  # the input frame is passed through


def compare_at(restorer: Restorer, info: VideoInfo, at: Fraction, options: RestoreOptions) -> Comparison:
    """Before and after at a time of the input, in seconds from its first frame.

    Raises:
        OptionError: no frame is shown at that time.
        TimeError: the network cannot restore the times that the rate needs.
    """
    schedule = options.schedule
    restorer.network.check_times(schedule, info.rate)
    around = AROUND
    if options.duplicates == "skip":
        restorer.network.check_repeats()
        around *= LONGEST + 1
    margin, grid = around / info.rate, grid_of(schedule, info.rate)
    start = at - margin if at > margin else None
    part = replace(options, start=start, end=at + margin, rate=grid, slow=1)
    frames = list(decoded(info, part, Notes()))
    wanted = _counted(at, schedule)
    i = max((i for i, frame in enumerate(frames) if frame.time <= wanted), default=None)
    if i is None or frames[i].time + frames[i].duration <= wanted:
        raise OptionError(f"no frame is shown at {float(at):.3f} s; the video lasts from {_span(info)}")
    moment = _moment(frames, i, wanted, grid, exact=isinstance(schedule, Factor))
    after, before = _restored(restorer, info, frames, part, moment.time), frames[i]
    interpolated = _interpolated(frames, moment.time, info, part)
    source = blend(before, frames[i + 1], moment.phase) if interpolated and moment.phase else before.pixels
    left, right = (shown_pixels(Frame(pixels, wanted, moment.duration), info) for pixels in (source, after.pixels))
    time = moment.time if interpolated else before.time
    return Comparison(left, right, time, interpolated, np.array_equal(left, right))


def grid_of(schedule: Schedule, rate: Fraction) -> Factor:
    """The factor whose phases include those of a schedule, on an input of `rate` frames a second.

    >>> grid_of(TargetRate(Fraction(60)), Fraction(24))
    Factor(n=5, slow=1)
    """
    if isinstance(schedule, Factor):
        return Factor(schedule.n)
    return Factor(min(HIGHEST_FACTOR, (rate / (schedule.rate * schedule.slow)).denominator))


def blend(first: Frame, second: Frame, phase: Fraction) -> Pixels:
    """The average of two frames by their distance to the phase in [0, 1], `h w c`, of their own type."""
    share = float(phase)
    mixed: npt.NDArray[np.float32] = (1 - share) * first.pixels.astype(np.float32) + share * second.pixels.astype(
        np.float32
    )
    rounded = mixed.round()
    return rounded.astype(np.uint8) if first.pixels.dtype == np.uint8 else rounded.astype(np.uint16)


def _counted(at: Fraction, schedule: Schedule) -> Fraction:
    """The time of the result's frame that is shown at `at`, for a target rate, which counts from the first frame."""
    if isinstance(schedule, Factor):
        return at
    sampled = schedule.rate * schedule.slow
    return max(Fraction(0), at * sampled // 1 / sampled)


def _moment(frames: list[Frame], i: int, wanted: Fraction, grid: Factor, *, exact: bool) -> Moment:
    """The moment of the grid at or before a time in frame i's interval; the nearest one where not exact."""
    frame, last = frames[i], i + 1 == len(frames)
    end = frame.time + frame.duration if last else frames[i + 1].time
    steps = (wanted - frame.time) * grid.n / (end - frame.time)
    inside = moments(grid, frame.time, end, origin=frames[0].time, hold=last)
    return inside[min(grid.n - 1, int(steps) if exact else round(steps))]


def _interpolated(frames: list[Frame], time: Fraction, info: VideoInfo, options: RestoreOptions) -> bool:
    """Whether the frame at a time is made of two: not at a frame's own time, the end, before a cut or across a gap.

    With skipped repeats a frame and its repeats are one.
    """
    gaps, shown = Gaps(period_of(info)), list(shots(frames, options, Repeats()))
    for (frame, _), (following, starts) in pairwise(shown):
        gap = gaps.between(frame.repeats[-1] if frame.repeats else frame.time, following.time)
        if time < following.time:
            return frame.time < time and not starts and not gap
    return False


def _restored(restorer: Restorer, info: VideoInfo, frames: list[Frame], part: RestoreOptions, time: Fraction) -> Frame:
    network = restorer.network
    tiles = plan_tiles_for(restorer.runner, info, network.memory, network.tile_mode)
    runner, only = network.runner_for(tiles, restorer.precision, Notes()), _Only(time)
    made = list(streamed(frames, restorer.model, runner, part, only.counts, only, period=period_of(info)))
    if not made:
        raise OptionError(f"no restored frame is shown at {float(time):.3f} s; choose another time")
    return made[0]


class _Only:
    """A pass that makes one restored frame and skips the others (`progress.Pass`)."""

    def __init__(self, time: Fraction) -> None:
        self.time, self.counts = time, Counts()

    def watched(self, frames: Iterable[tuple[Frame, bool]]) -> Iterator[tuple[Frame, bool]]:
        return iter(frames)

    def skips(self, time: Fraction) -> bool:
        return time != self.time


def _span(info: VideoInfo) -> str:
    end = "its end" if info.duration is None else f"{float(info.duration):.3f} s"
    return f"0 s to {end}"
