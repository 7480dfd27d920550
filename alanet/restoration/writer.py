"""Frames into files: `plan_output` decides and refuses, `open_writer` takes frames, `finish` puts the result in place.

    write(frame) -> small queue -> encoder thread -> work folder beside the target -> finish: one file, fsync, rename

The network and the encoder work at the same time; what goes wrong in the encoder is raised by the next `write` or by
`finish`. Until the last moment nothing exists under the target's name. A writer that is left without `finish` removes
all it wrote, but for the finished segments of a job (`job.py`): the next writer of that job begins after these.
"""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

import av

from alanet.errors import AlanetError, OutputError
from alanet.files import FINISHED, lock_folder, move_into_place, write_error
from alanet.frames.frame import Frame
from alanet.notes import Notes
from alanet.restoration.job import Job
from alanet.restoration.tally import Tally, tally_of
from alanet.restoration.workdir import begin, joining, keep_finished
from alanet.video.output.destination import only_pictures, work_folder
from alanet.video.output.format import OutputPlan
from alanet.video.output.mux import mux
from alanet.video.output.pictures import PictureSink, Y4mSink
from alanet.video.output.segments import Segment, SegmentWriter, record

__all__ = ["VideoWriter", "open_writer", "put_in_place", "writing"]

QUEUE = 4  # frames between the network and the encoder


class Sink(Protocol):
    """Where the encoder thread puts frames."""

    def write(self, frame: Frame, new_segment: bool, tally: Tally) -> None:
        """Take one frame."""

    def finish(self) -> Path | None:
        """Complete everything; return the finished file or folder to be renamed, None where there is none."""

    def abandon(self) -> None:
        """Let go of open files."""


class VideoWriter:
    """Takes frames in the order shown and makes the output; made by `open_writer`, used as a context manager.

    job: finished segments are kept whatever happens; `segments` are those so far, by which `frames` count on.
    """

    def __init__(self, plan: OutputPlan, sink: Sink, lock: IO[bytes] | None, job: Job | None = None) -> None:
        self.path, self.job = plan.path, job
        self._plan, self._sink, self._lock = plan, sink, lock
        self._frames: queue.Queue[tuple[Frame, bool, Tally] | None] = queue.Queue(QUEUE)
        self._error: BaseException | None = None
        self._done = False
        self._thread = threading.Thread(target=self._encode, name="alanet-encoder", daemon=True)
        self._thread.start()

    @property
    def segments(self) -> Sequence[Segment]:
        """The finished segments of a job, an earlier run's included; none where nothing would be kept."""
        return self._sink.segments if self.job is not None and isinstance(self._sink, SegmentSink) else ()

    def write(self, frame: Frame, *, new_segment: bool = False, tally: Tally = Tally()) -> None:
        """Encode a frame; its time is kept exactly. new_segment: it begins a segment of its own. tally: of the
        whole run up to this frame, kept with the segments.

        Raises what went wrong with an earlier frame: OutputError for a full disk or a failing encoder.
        """
        self._raise()
        self._frames.put((frame, new_segment, tally))

    def finish(self, *, about_to: Callable[[Path], None] | None = None) -> Path:
        """Encode what is waiting, join, put the result in place and return its path ("-" for standard output).

        about_to: called with the path of the complete file, before it is renamed to the result's name.
        """
        self._frames.put(None)
        self._thread.join()
        self._raise()
        with writing(self._plan.path):
            made = self._sink.finish()
            if made is not None:
                if about_to is not None:
                    about_to(made)
                put_in_place(made, self._plan, self.job)
        self._done = True
        self._clean()
        return self._plan.path

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._done:
            return
        self._error = self._error or OutputError("abandoned")
        if self._thread.is_alive():
            self._frames.put(None)
            self._thread.join()
        self._sink.abandon()
        self._clean()

    def _encode(self) -> None:
        """The thread: every frame to the sink; after an error, frames are only taken off the queue."""
        while (item := self._frames.get()) is not None:
            if self._error is not None:
                continue
            try:
                with writing(self._plan.path):
                    self._sink.write(*item)
            except BaseException as error:
                self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _clean(self) -> None:
        if self._lock is None:
            return
        folder = work_folder(self._plan.path)
        if self.segments and not self._done:
            with suppress(OSError):
                keep_finished(folder, self.segments)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        self._lock.close()


class SegmentSink:
    """Frames into segments, and these and the input's other streams into one file."""

    def __init__(
        self,
        plan: OutputPlan,
        notes: Notes,
        *,
        start: Fraction | None,
        end: Fraction | None,
        segment_seconds: Fraction,
        earlier: Sequence[Segment] = (),
    ) -> None:
        self._plan, self._notes, self._range = plan, notes, (start, end)
        self._longest = segment_seconds
        self._folder = work_folder(plan.path)
        self.segments: list[Segment] = list(earlier)  # finished
        self._earlier = len(earlier)
        self._writer: SegmentWriter | None = None
        self._tally = self._recorded = tally_of(earlier)  # up to the last frame, and in the finished segments

    def write(self, frame: Frame, new_segment: bool, tally: Tally) -> None:
        """Into the current segment, or a new one where it is asked for or the current one is long enough."""
        if self._writer is not None and (new_segment or frame.time - self._writer.start >= self._longest):
            self._close()
        if self._writer is None:
            self._check_follows(frame)
            self._writer = SegmentWriter(self._folder, len(self.segments), self._plan, frame.time)
        self._writer.add(frame)
        self._tally = tally

    def finish(self) -> Path:
        """Complete the last segment and join all."""
        self._close()
        if not self.segments:
            raise OutputError(f"{self._plan.path}: not one frame came to be written")
        made = self._folder / f"{FINISHED}{self._plan.path.suffix}"
        start, end = self._range
        mux(self._plan, self._folder, self.segments, made, start=start, end=end, notes=self._notes)
        return made

    def abandon(self) -> None:
        """Close the open segment."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def _check_follows(self, frame: Frame) -> None:
        """Segments of two runs must meet: an input that is read differently the second time is not joined."""
        end = self.segments[-1].end if self.segments else frame.time
        if len(self.segments) == self._earlier and abs(frame.time - end) > self._plan.tick:
            raise OutputError(
                f"{self._plan.path}: the input does not go on where the finished part ends ({float(end):.3f} s, but "
                f"{float(frame.time):.3f} s); use --restart to start over"
            )

    def _close(self) -> None:
        if self._writer is not None:
            segment = (self._tally - self._recorded).on(self._writer.close())
            self._writer, self._recorded = None, self._tally
            record(self._folder, segment)
            self.segments.append(segment)


def open_writer(
    plan: OutputPlan,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
    notes: Notes | None = None,
    segment_seconds: Fraction | int = 20,
    job: Job | None = None,
    restart: bool = False,
) -> VideoWriter:
    """A writer for the plan. start, end: the cut the frames are of, seconds of the input; None where it is not cut.

    The output of a cut begins at 0 with its first frame; without `start` times stay the input's. job: what to keep
    finished segments for, of video only; the writer expects the frames after its `segments`. restart: keep none now.
    """
    notes = notes or Notes()
    if plan.kind == "y4m":
        return VideoWriter(plan, Y4mSink(plan, notes), None)
    folder = work_folder(plan.path)
    with writing(plan.path):
        lock = lock_folder(folder, plan.path)
        try:
            earlier = begin(folder, job if plan.kind == "video" else None, plan.path, notes, restart=restart)
        except BaseException:
            lock.close()
            raise
        if plan.kind == "pictures":
            return VideoWriter(plan, PictureSink(plan, folder, notes), lock)
    length = Fraction(segment_seconds)
    sink = SegmentSink(plan, notes, start=start, end=end, segment_seconds=length, earlier=earlier)
    return VideoWriter(plan, sink, lock, job)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what can go wrong while writing into one line. Nothing is read from the input under it but by `mux`."""
    try:
        yield
    except AlanetError:
        raise
    except (OSError, av.FFmpegError, OverflowError) as error:  # the last: times beyond all counting
        raise write_error(path, error) from error


def put_in_place(made: Path, plan: OutputPlan, job: Job | None) -> None:
    """Onto the disk, then under the final name in one step."""
    if plan.path.is_dir() and made.is_dir() and (plan.options.overwrite or not any(plan.path.iterdir())):
        if not only_pictures(plan.path):
            raise OutputError(f"{plan.path}: has come to hold other files meanwhile; give another name")
        shutil.rmtree(plan.path)
    elif plan.path.exists() and not plan.options.overwrite:
        raise OutputError(f"{plan.path}: has come to exist meanwhile; --overwrite replaces it")
    if job is not None:
        joining(made.parent)
    move_into_place(made, plan.path)
