"""A video in parts: one decoding finds the segments, and each of them can then be made by itself, on any machine.

    index_parts   decodes the whole video once, without the network: frame times, cuts, gaps, where each segment begins
    make_part     decodes from a key frame before a segment, checks its frames against the index, and restores them

The frames given to the network are those of a run over the whole video, by their times and digests; so are the restored
frames, bit for bit. Where decoding from a key frame gives other frames (damaged clocks, open groups of pictures), the
part is decoded from the video's beginning.
"""

from __future__ import annotations

import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from alanet.engine.counts import Counts
from alanet.engine.memory import READ_AHEAD, exhaustion_told
from alanet.engine.prefetch import read_ahead
from alanet.engine.stream import Since, stream
from alanet.errors import InputError, OptionError, OutputError
from alanet.frames.frame import Frame
from alanet.frames.windows import reach
from alanet.notes import Notes
from alanet.restoration.loaded import LoadedNetwork
from alanet.restoration.pipeline import decoded, restored_frames
from alanet.restoration.plan import RestorePlan, nothing_shown
from alanet.restoration.tally import Tally
from alanet.restoration.work import Made, Part, Seen
from alanet.restoration.writer import VideoWriter
from alanet.video.output.format import OutputPlan
from alanet.video.output.segments import Segment, SegmentWriter, name_of_segment

__all__ = ["index_parts", "make_part"]

CONTEXT = 1  # frames on each side beyond the window: an estimate looks at both neighbours


def index_parts(network: LoadedNetwork, plan: RestorePlan) -> tuple[list[Part], Counts]:
    """The parts of a video, and what was counted of its frames; nothing is restored.

    Raises InputError where the video cannot be read, OptionError where no frame lies between `start` and `end`.
    """
    run = _Index(plan.segment)
    for _ in restored_frames(network, plan, run):
        raise AssertionError("every restored frame is skipped")
    if not run.seen:
        raise OptionError(nothing_shown(plan.info, plan.options))
    return list(run.parts(network, plan)), run.counts


class _Index:
    """A pass over a video that restores nothing and records what a part needs."""

    def __init__(self, longest: Fraction) -> None:
        self.counts = Counts()
        self.seen: list[Seen] = []
        self._longest = longest
        self._starts: list[Fraction] = []  # of segments, seconds of the result
        self._frames: list[int] = []  # restored frames of each

    def watched(self, frames: Iterable[tuple[Frame, bool]]) -> Iterator[tuple[Frame, bool]]:
        """The same frames. A gap before one is known when the next is taken."""
        for frame, cut in frames:
            before = self.counts.gaps
            yield frame, cut
            starts = cut or self.counts.gaps > before
            self.seen.append(Seen(frame.time, frame.duration, starts, _digest(frame), frame.repeats))

    def skips(self, time: Fraction) -> bool:
        """Always; a segment begins with the first frame that is a segment's length after the last one's first."""
        if not self._starts or time - self._starts[-1] >= self._longest:
            self._starts.append(time)
            self._frames.append(0)
        self._frames[-1] += 1
        return True

    def parts(self, network: LoadedNetwork, plan: RestorePlan) -> Iterator[Part]:
        """One for each segment, with all frames of its windows."""
        far = reach(network.model.window, around=network.model.around)
        times, origin, slow = [seen.time for seen in self.seen], self.seen[0].time, plan.options.schedule.slow

        def at(time: Fraction) -> int:
            """The index of the input frame that is shown at a time of the result."""
            return max(0, bisect_right(times, origin + (time - origin) / slow) - 1)

        for number, (start, end) in enumerate(pairwise([*self._starts, None])):
            assert start is not None, "only the last end is open"
            first = max(0, at(start) - far.before - CONTEXT)
            last = len(times) - 1 if end is None else min(len(times) - 1, at(end) + far.after + CONTEXT)
            frames = tuple(self.seen[first : last + 1])
            yield Part(number, start, end, self._frames[number], origin, first, frames)


class _OtherFramesError(Exception):
    """Decoding from a key frame did not give the frames of the whole decoding."""


def make_part(
    network: LoadedNetwork, plan: RestorePlan, part: Part, folder: Path, on_frame: Callable[[], None] | None = None
) -> tuple[Segment, Made]:
    """Restore one part and encode it into a segment file of a folder.

    Raises InputError where its frames are not those of the index any more, OutputError where it cannot be written.
    """
    began = time.perf_counter()
    try:
        try:
            segment, made = _make(network, plan, part, folder, on_frame, from_key_frame=True)
        except _OtherFramesError:
            segment, made = _make(network, plan, part, folder, on_frame, from_key_frame=False)
        counted = {name: getattr(made, name) for name in ("passed", "untouched", "estimates")}
        return replace(segment, seconds=time.perf_counter() - began, **counted), made
    except _OtherFramesError as error:
        raise InputError(
            f"{plan.info.path}: decoded twice, it gives different frames ({error}); restore it without --workers and "
            "--cluster"
        ) from None


def _make(
    network: LoadedNetwork,
    plan: RestorePlan,
    part: Part,
    folder: Path,
    on_frame: Callable[[], None] | None,
    *,
    from_key_frame: bool,
) -> tuple[Segment, Made]:
    notes, counts = Notes(), Counts()
    sink = _PartSink(plan.output, part, folder)
    shots = read_ahead(_frames_of(plan, part, from_key_frame), depth=READ_AHEAD)
    try:
        with exhaustion_told(network.device), VideoWriter(plan.output, sink, None) as writer:
            for frame in stream(
                shots,
                network.runner_for(plan.tiles, plan.precision, notes),
                plan.options.schedule,
                window=network.model.window,
                around=network.model.around,
                tail=plan.options.tail,
                counts=counts,
                skip=lambda time: time < part.start or (part.end is not None and time >= part.end),
                strength=plan.options.strength,
                since=Since(part.origin, part.first),
            ):
                writer.write(frame)
                if on_frame is not None:
                    on_frame()
            writer.finish()
    finally:
        shots.close()
    assert sink.segment is not None, "finished"
    if sink.segment.frames != part.count:
        raise OutputError(f"{sink.segment.name}: {sink.segment.frames} frames instead of {part.count}")
    counted = counts.passed, counts.first_passed, list(notes.warnings), counts.estimates, counts.untouched
    return sink.segment, Made(part.number, part.count, *counted)


def _frames_of(plan: RestorePlan, part: Part, from_key_frame: bool) -> Iterator[tuple[Frame, bool]]:
    """The part's frames and whether a shot starts with them. Raises _OtherFramesError where the index has others."""
    options = replace(plan.options, start=part.frames[0].time) if from_key_frame and part.first else plan.options
    frames = decoded(plan.info, options, Notes())
    try:
        for number, seen in enumerate(part.frames, start=part.first):
            frame = next(frames, None)
            while number == part.first and frame is not None and frame.time < seen.time:
                frame = next(frames, None)
            if frame is None or frame.time != seen.time or (frame.duration != seen.duration and not seen.repeats):
                raise _OtherFramesError(f"frame {number} has another time")
            if _digest(frame) != seen.digest:
                raise _OtherFramesError(f"frame {number} has other pixels")
            if [repeat.time for repeat in islice(frames, len(seen.repeats))] != list(seen.repeats):
                raise _OtherFramesError(f"repeats of frame {number} have other times")
            yield replace(frame, duration=seen.duration, repeats=seen.repeats), seen.starts
    finally:
        if hasattr(frames, "close"):
            frames.close()


def _digest(frame: Frame) -> int:
    return zlib.crc32(np.ascontiguousarray(frame.pixels).data)


class _PartSink:
    """Frames into the one segment of a part; run by the encoder's thread."""

    def __init__(self, plan: OutputPlan, part: Part, folder: Path) -> None:
        self._plan, self._part, self._folder = plan, part, folder
        self._path = folder / name_of_segment(part.number, plan)
        self._writer: SegmentWriter | None = None
        self.segment: Segment | None = None

    def write(self, frame: Frame, new_segment: bool, tally: Tally) -> None:
        """Encode the next frame."""
        if self._writer is None:
            self._path.unlink(missing_ok=True)
            self._writer = SegmentWriter(self._folder, self._part.number, self._plan, self._part.start)
        self._writer.add(frame)

    def finish(self) -> None:
        """Complete the segment."""
        if self._writer is None:
            raise OutputError(f"{self._path.name}: its part of the video gave no frame")
        self.segment = self._writer.close()

    def abandon(self) -> None:
        """Remove what is not complete."""
        if self._writer is not None and self.segment is None:
            self._writer.abandon()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
