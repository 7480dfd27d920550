"""One job, several processes: each takes segments of it, and what one leaves, however it ends, another takes over.

    work folder:  lock (shared)   job.json   segments.jsonl   00000.mp4  00000.claim   00001.claim ...   join.claim

Nobody hands the work out. A process goes over the video and, where a segment begins, takes it by locking that segment's
claim; the system lets the lock go when the process ends, on another machine that shares the folder too. Every attempt
is a line in the claim, so that a segment which ends its processes is given up after TRIES of them. Whoever finds
all segments finished joins them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

from alanet.files import claim
from alanet.frames.frame import Frame
from alanet.video.output.format import OutputPlan
from alanet.video.output.segments import Segment, SegmentWriter, finished_in, name_of_segment, record

__all__ = ["TRIES", "Claim", "ClaimSink", "Share", "Status"]

TRIES = 3


@dataclass
class Claim:
    """A segment that is this process's to make."""

    number: int
    start: Fraction  # time of its first frame
    lock: IO[str]
    given: bool = False  # all its frames have gone to the encoder


@dataclass(frozen=True)
class Status:
    """How the segments of a job stand."""

    finished: Sequence[Segment]  # in order
    failed: Sequence[tuple[int, str]]  # given up: number, and why in a line
    held: int  # others are at work on them
    free: int


class Share:
    """This process's share in the job of a work folder that it has entered."""

    def __init__(self, folder: Path, longest: Fraction) -> None:
        self.folder, self.longest = folder, longest
        self.starts: list[Fraction] = []  # of all segments, as far as the pass in hand has come
        self.turns: list[Claim] = []  # taken and not finished, in order; the encoder's thread removes them
        self.made = self.frames = 0  # segments and frames finished by this process

    def begin_pass(self) -> None:
        """The video is gone over from its beginning."""
        self.starts = []

    def takes(self, time: Fraction) -> bool:
        """Whether the restored frame at `time` is this process's; asked in order. Takes a segment where one begins."""
        if not self.starts or time - self.starts[-1] >= self.longest:
            self.starts.append(time)
            turn = self._take(len(self.starts) - 1, time)
            if turn is not None:
                self.turns.append(turn)
        return any(turn.number == len(self.starts) - 1 for turn in tuple(self.turns))

    def given(self, frame: Frame) -> None:
        """A frame has gone to the encoder."""
        for turn in tuple(self.turns):
            turn.given = turn.given or frame.time + frame.duration - turn.start >= self.longest

    def done(self, turn: Claim, segment: Segment) -> None:
        """Write a finished segment down, and let it go."""
        record(self.folder, segment)
        self.made, self.frames = self.made + 1, self.frames + segment.frames
        self.turns.remove(turn)
        turn.lock.close()

    def fail(self, reason: str, number: int | None = None) -> bool:
        """Let all segments in hand go: one with what went wrong, the number-th or the first whose frames were not all
        made, the others as if untouched. Returns whether there was one to blame."""
        unmade = [turn for turn in self.turns if (turn.number == number if number is not None else not turn.given)]
        for turn in self.turns:
            lines = _lines(turn.lock)[:-1]
            _rewrite(turn.lock, [*lines, reason.replace("\n", " ")] if turn in unmade[:1] else lines)
            turn.lock.close()
        self.turns.clear()
        return bool(unmade)

    def leave(self) -> None:
        """Let all segments in hand go as if untouched."""
        self.fail("", number=-1)

    def standing(self) -> Status:
        """How the segments stand after a whole pass."""
        finished = finished_in(self.folder)
        failed, held, free = [], 0, 0
        for number, start in enumerate(self.starts):
            if number in finished:
                continue
            lock = claim(_claim(self.folder, number))
            if lock is None:
                held += 1
                continue
            with lock:
                tries = _lines(lock)
            if len(tries) < TRIES:
                free += 1
            else:
                ends = [*self.starts, None][number + 1]
                until = "its end" if ends is None else f"{float(ends):.1f} s"
                failed.append((number, f"from {float(start):.1f} s to {until}: {tries[-1]}"))
        there = [finished[number] for number in range(len(self.starts)) if number in finished]
        return Status(there, failed, held, free)

    def _take(self, number: int, start: Fraction) -> Claim | None:
        """The segment, where it is neither finished, given up nor another's."""
        lock = claim(_claim(self.folder, number))
        if lock is None:
            return None
        tries = _lines(lock)
        if len(tries) >= TRIES or number in finished_in(self.folder):
            lock.close()
            return None
        _rewrite(lock, [*tries, f"its process ended in it ({socket.gethostname()}, {os.getpid()})"])
        return Claim(number, start, lock)


class ClaimSink:
    """Frames of the segments that were taken, into these; run by the encoder's thread."""

    def __init__(self, plan: OutputPlan, share: Share) -> None:
        self._plan, self._share = plan, share
        self._turn: Claim | None = None
        self._writer: SegmentWriter | None = None
        self.failed: int | None = None  # the segment in which the encoder failed

    def write(self, frame: Frame, new_segment: bool) -> None:
        """The next frame of the segment in hand, or the first of the next one that was taken."""
        try:
            self._write(frame)
        except BaseException:
            self.failed = None if self._turn is None else self._turn.number
            raise

    def _write(self, frame: Frame) -> None:
        if self._writer is None:
            self._turn = next(turn for turn in tuple(self._share.turns) if turn.start == frame.time)
            (self._share.folder / name_of_segment(self._turn.number, self._plan)).unlink(missing_ok=True)
            self._writer = SegmentWriter(self._share.folder, self._turn.number, self._plan, frame.time)
        self._writer.add(frame)
        if frame.time + frame.duration - self._writer.start >= self._share.longest:
            self._close()

    def finish(self) -> None:
        """Complete the segment that the video's end cut short."""
        try:
            self._close()
        except BaseException:
            self.failed = None if self._turn is None else self._turn.number
            raise

    def abandon(self) -> None:
        """Remove what is not complete."""
        if self._writer is not None and self._turn is not None:
            self._writer.abandon()
            (self._share.folder / name_of_segment(self._turn.number, self._plan)).unlink(missing_ok=True)
        self._writer = self._turn = None

    def _close(self) -> None:
        if self._writer is not None and self._turn is not None:
            self._share.done(self._turn, self._writer.close())
            self._writer = self._turn = None


def _claim(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.claim"


def _lines(file: IO[str]) -> list[str]:
    file.seek(0)
    return file.read().splitlines()


def _rewrite(file: IO[str], lines: Sequence[str]) -> None:
    file.seek(0)
    file.truncate()
    file.write("".join(f"{line}\n" for line in lines))
    file.flush()
