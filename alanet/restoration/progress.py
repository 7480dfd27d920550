"""The progress of a run: frames counted and reported, and those that an earlier run has restored already."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import Protocol

from alanet.engine.counts import Counts
from alanet.errors import OutputError
from alanet.frames.frame import Frame
from alanet.notes import Notes
from alanet.restoration.tally import Tally, tally_of
from alanet.restoration.writer import VideoWriter

__all__ = ["Pass", "RestoreProgress", "RunProgress"]

ENOUGH, ENOUGH_SECONDS = 8, 2.0  # input frames and seconds of this run, from which its speed is known
RECENT, RECENT_ENOUGH = 7, 3  # input frames whose time tells what the next ones take: at most, at least


@dataclass(frozen=True, slots=True)
class RestoreProgress:
    """How far a run is, after each input frame.

    >>> shown: list[alanet.RestoreProgress] = []
    >>> report = alanet.restore("holiday.mp4", on_progress=shown.append)
    >>> shown[-1].frames_in, shown[-1].frames_in_total
    (4, 4)
    """

    frames_in: int
    frames_in_total: int | None  # as the file states it
    frames_out: int
    seconds: float  # since the run began
    position: Fraction  # time of the last restored frame, seconds
    earlier_in: int = 0  # of frames_in: an interrupted run had done them
    earlier_out: int = 0  # of frames_out
    finished: int | None = None  # segments that an interruption now would not lose; None: no segment is being made
    wait: float | None = None  # seconds until the current one is finished; None until enough frames are measured

    @property
    def rate_in(self) -> float | None:
        """Input frames a second of this run; None until enough of them are done."""
        done = self.frames_in - self.earlier_in
        return done / self.seconds if done >= ENOUGH and self.seconds >= ENOUGH_SECONDS else None

    @property
    def time_left(self) -> float | None:
        """Seconds, at the speed of this run; None where that or the length is not known."""
        if self.frames_in_total is None or self.rate_in is None or self.frames_in > self.frames_in_total:
            return None
        return (self.frames_in_total - self.frames_in) / self.rate_in

    @property
    def rate(self) -> float | None:
        """Restored frames a second of this run; None until enough of them are done."""
        return None if self.rate_in is None else (self.frames_out - self.earlier_out) / self.seconds


class Pass(Protocol):
    """One pass over a video: what is counted, and which restored frames are skipped."""

    counts: Counts

    def watched(self, frames: Iterable[tuple[Frame, bool]]) -> Iterator[tuple[Frame, bool]]:
        """The same frames; each is counted when the next one is taken."""

    def skips(self, time: Fraction) -> bool:
        """Whether the restored frame at a time is skipped. Called once for each, in order."""


class RunProgress:
    """A pass that reports its progress and skips what an earlier run has restored."""

    def __init__(
        self,
        frames_in: int | None,
        segment: Fraction,
        writer: VideoWriter,
        notes: Notes,
        on_progress: Callable[[RestoreProgress], None] | None,
    ) -> None:
        self._total, self._segment, self._writer, self._on_progress = frames_in, segment, writer, on_progress
        earlier = tally_of(writer.segments)
        self.counts = Counts(
            passed=earlier.passed,
            first_passed=next((segment.start for segment in writer.segments if segment.passed), None),
            estimates=earlier.estimates,
            untouched=earlier.untouched,
        )
        self._earlier_seconds = earlier.seconds
        self.skip = sum(segment.frames for segment in writer.segments)
        if self.skip:
            seconds = float(writer.segments[-1].end - writer.segments[0].start)
            notes.keep(f"earlier run: {self.skip:,} restored frames, {seconds:.1f} s, reused")
        self._started = time.perf_counter()
        self._began, self._reported, self._earlier_in = self._started, 0, 0
        self._first: Fraction | None = None  # position of the first report
        self._last: tuple[float, Fraction] | None = None  # clock and position of the last report of this run's own work
        self._recent: deque[tuple[float, Fraction]] = deque(maxlen=RECENT)  # of each input frame: seconds that its work
        # took, and seconds of the result that it gave

    def watched(self, frames: Iterable[tuple[Frame, bool]]) -> Iterator[tuple[Frame, bool]]:
        """The same frames; progress is reported while their results are skipped."""
        for frame, starts in frames:
            yield frame, starts
            if self.counts.frames_out < self.skip:
                self.report(frame.time)

    def skips(self, time: Fraction) -> bool:
        """Whether an earlier run has made the restored frame that comes next."""
        return self.counts.frames_out < self.skip

    def report(self, position: Fraction) -> None:
        """RestoreProgress, once an input frame."""
        counts = self.counts
        if self._on_progress is None or counts.frames_in <= self._reported:
            return
        if self._first is None:
            self._first = position
        skipping = counts.frames_out < self.skip
        if skipping:
            self._began, self._earlier_in = time.perf_counter(), counts.frames_in
        else:
            self._measure(position)
        self._reported = counts.frames_in
        self._on_progress(
            RestoreProgress(
                counts.frames_in,
                self._total,
                counts.frames_out,
                time.perf_counter() - self._began,
                position,
                earlier_in=self._earlier_in,
                earlier_out=min(self.skip, counts.frames_out),
                finished=None if skipping or self._writer.job is None else len(self._writer.segments),
                wait=None if skipping else self._wait(self._first, position),
            )
        )

    def _measure(self, position: Fraction) -> None:
        """Time the input frame that is done. The first one is not measured: it includes the warm-up."""
        now = time.perf_counter()
        if self._last is not None and position > self._last[1]:
            self._recent.append((now - self._last[0], position - self._last[1]))
        self._last = now, position

    def _wait(self, first: Fraction, position: Fraction) -> float | None:
        """Seconds until the current segment, or the video, is finished, at the speed of the last frames."""
        if self._writer.job is None or len(self._recent) < RECENT_ENOUGH:
            return None
        segments = self._writer.segments
        left = (segments[-1].end if segments else first) + self._segment - position
        wait = median(seconds / float(given) for seconds, given in self._recent) * float(max(Fraction(0), left))
        if self._total is None:
            return wait
        frame = median(seconds for seconds, _ in self._recent)
        return min(wait, frame * max(0, self._total - self.counts.frames_in))

    def tally(self) -> Tally:
        """Of the whole run so far, interrupted runs included."""
        counts, seconds = self.counts, self._earlier_seconds + time.perf_counter() - self._started
        return Tally(seconds, counts.passed, counts.untouched, counts.estimates)

    def check_reached(self) -> None:
        """Raises OutputError where the input ended before what is there already: it is another, or read differently."""
        if self.counts.frames_out < self.skip:
            raise OutputError(
                f"{self._writer.path}: {self.skip} restored frames were finished before, and now the input gives only "
                f"{self.counts.frames_out}; use --restart to start over"
            )
