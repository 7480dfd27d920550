"""The progress of a run: frames counted and reported, and those that an earlier run has restored already."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from alanet.engine.counts import Counts
from alanet.errors import OutputError
from alanet.frames.frame import Frame
from alanet.notes import Notes
from alanet.restoration.tally import Tally, TallyKeeper
from alanet.restoration.writer import VideoWriter
from alanet.video.output.destination import work_folder

__all__ = ["Pass", "RestoreProgress", "RunProgress"]

ENOUGH, ENOUGH_SECONDS = 8, 2.0  # input frames and seconds of this run, from which its speed is known


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
    wait: float | None = None  # seconds until the current one is finished, at the pace so far

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
        self.counts = Counts()
        self.skip = sum(segment.frames for segment in writer.segments)
        if self.skip:
            seconds = float(writer.segments[-1].end - writer.segments[0].start)
            notes.keep(f"earlier run: {self.skip:,} restored frames, {seconds:.1f} s, reused")
        self._tallies = TallyKeeper(work_folder(writer.path) if writer.job else None, resumed=bool(self.skip))
        self._kept = len(writer.segments)
        self._started = time.perf_counter()
        self._began, self._reported, self._earlier_in = self._started, 0, 0
        self._first: Fraction | None = None  # position when `_began`

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
        self._tally()
        if self._on_progress is None or counts.frames_in <= self._reported:
            return
        skipping = counts.frames_out < self.skip
        if skipping:
            self._began, self._earlier_in = time.perf_counter(), counts.frames_in
        if skipping or self._first is None:
            self._first = position
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
                wait=self._wait(self._first, position),
            )
        )

    def _wait(self, first: Fraction, position: Fraction) -> float | None:
        """Seconds until the current segment, or the video, is finished."""
        segments = self._writer.segments
        if self._writer.job is None or position <= first:
            return None
        seconds = time.perf_counter() - self._began
        begins = segments[-1].end if segments else first
        wait = seconds * float(max(Fraction(0), begins + self._segment - position) / (position - first))
        if self._total is None:
            return wait
        frames = self.counts.frames_in - self._earlier_in
        return min(wait, seconds / max(1, frames) * max(0, self._total - self.counts.frames_in))

    def _tally(self) -> None:
        made = self.counts.frames_out - self.skip
        if made > 0:
            self._tallies.add(self.counts, time.perf_counter() - self._started, made)
        segments = self._writer.segments
        if len(segments) > self._kept:
            self._kept = len(segments)
            self._tallies.keep(sum(segment.frames for segment in segments) - self.skip)

    def whole(self) -> Tally:
        """Counts of the run from its beginning, interrupted runs included."""
        made = max(0, self.counts.frames_out - self.skip)
        return self._tallies.whole(self.counts, time.perf_counter() - self._started, made)

    def check_reached(self) -> None:
        """Raises OutputError where the input ended before what is there already: it is another, or read differently."""
        if self.counts.frames_out < self.skip:
            raise OutputError(
                f"{self._writer.path}: {self.skip} restored frames were finished before, and now the input gives only "
                f"{self.counts.frames_out}; use --restart to start over"
            )
