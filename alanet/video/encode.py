"""Frames into files: `plan_output` decides and refuses, `open_writer` takes frames, `finish` puts the result in place.

    write(frame) -> small queue -> encoder thread -> work folder beside the target -> finish: one file, fsync, rename

The network and the encoder work at the same time; what goes wrong in the encoder is raised by the next `write` or by
`finish`. Until the last moment nothing exists under the target's name, and a writer that is left without `finish`
removes all it wrote.
"""

from __future__ import annotations

import errno
import os
import queue
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

import av

from alanet.errors import AlanetError, OutputError
from alanet.frames.frame import Frame
from alanet.notes import Notes
from alanet.video.pictures import PictureSink, Y4mSink
from alanet.video.plan import EncodeOptions, OutputPlan, plan_output
from alanet.video.segments import Segment, SegmentWriter, record
from alanet.video.streams import mux
from alanet.video.target import only_pictures, work_folder

try:
    import fcntl
except ImportError:  # Windows: two runs with one output are not told apart there
    fcntl = None  # type: ignore[assignment]

__all__ = ["EncodeOptions", "OutputPlan", "VideoWriter", "open_writer", "plan_output"]

QUEUE = 4  # frames between the network and the encoder
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Sink(Protocol):
    """Where the encoder thread puts frames."""

    def write(self, frame: Frame, new_segment: bool) -> None:
        """Take one frame."""

    def finish(self) -> Path | None:
        """Complete everything; return the finished file or folder to be renamed, None where there is none."""

    def abandon(self) -> None:
        """Let go of open files."""


class VideoWriter:
    """Takes frames in the order shown and makes the output; made by `open_writer`, used as a context manager."""

    def __init__(self, plan: OutputPlan, sink: Sink, lock: IO[bytes] | None) -> None:
        self._plan, self._sink, self._lock = plan, sink, lock
        self._frames: queue.Queue[tuple[Frame, bool] | None] = queue.Queue(QUEUE)
        self._error: BaseException | None = None
        self._done = False
        self._thread = threading.Thread(target=self._encode, name="alanet-encoder", daemon=True)
        self._thread.start()

    def write(self, frame: Frame, *, new_segment: bool = False) -> None:
        """Encode a frame; its time is kept exactly. new_segment: it begins a segment of its own.

        Raises what went wrong with an earlier frame: OutputError for a full disk or a failing encoder.
        """
        self._raise()
        self._frames.put((frame, new_segment))

    def finish(self) -> Path:
        """Encode what is waiting, join, put the result in place and return its path ("-" for standard output)."""
        self._frames.put(None)
        self._thread.join()
        self._raise()
        with writing(self._plan.path):
            made = self._sink.finish()
            if made is not None:
                _put_in_place(made, self._plan)
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
        if self._lock is not None:
            shutil.rmtree(work_folder(self._plan.path), ignore_errors=True)
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
    ) -> None:
        self._plan, self._notes, self._range = plan, notes, (start, end)
        self._longest = segment_seconds
        self._folder = work_folder(plan.path)
        self._segments: list[Segment] = []
        self._writer: SegmentWriter | None = None

    def write(self, frame: Frame, new_segment: bool) -> None:
        """Into the current segment, or a new one where it is asked for or the current one is long enough."""
        if self._writer is not None and (new_segment or frame.time - self._writer.start >= self._longest):
            self._close()
        if self._writer is None:
            self._writer = SegmentWriter(self._folder, len(self._segments), self._plan, frame.time)
        self._writer.add(frame)

    def finish(self) -> Path:
        """Complete the last segment and join all."""
        self._close()
        if not self._segments:
            raise OutputError(f"{self._plan.path}: not one frame came to be written")
        made = self._folder / f"finished{self._plan.path.suffix}"
        start, end = self._range
        mux(self._plan, self._folder, self._segments, made, start=start, end=end, notes=self._notes)
        return made

    def abandon(self) -> None:
        """Close the open segment."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def _close(self) -> None:
        if self._writer is not None:
            segment = self._writer.close()
            self._writer = None
            record(self._folder, segment)
            self._segments.append(segment)


def open_writer(
    plan: OutputPlan,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
    notes: Notes | None = None,
    segment_seconds: Fraction | int = 20,
) -> VideoWriter:
    """A writer for the plan. start, end: the cut the frames are of, seconds of the input; None where it is not cut.

    The output of a cut begins at 0 with its first frame; without `start` times stay the input's.
    """
    if plan.kind == "y4m":
        return VideoWriter(plan, Y4mSink(plan, notes or Notes()), None)
    folder = work_folder(plan.path)
    with writing(plan.path):
        lock = _begin(folder, plan.path)
        if plan.kind == "pictures":
            return VideoWriter(plan, PictureSink(plan, folder), lock)
    sink = SegmentSink(plan, notes or Notes(), start=start, end=end, segment_seconds=Fraction(segment_seconds))
    return VideoWriter(plan, sink, lock)


def _begin(folder: Path, target: Path) -> IO[bytes]:
    """An empty work folder that is ours alone. The lock dies with its process: what a killed run left is cleared."""
    folder.mkdir(exist_ok=True)
    lock = open(folder / "lock", "wb")  # noqa: SIM115  (held as long as the writer lives)
    if fcntl is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise OutputError(f"{target}: another run is writing it; wait for it, or give another name") from None
    for left in folder.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left.name != "lock":
            left.unlink()
    return lock


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what can go wrong while writing into one line. Nothing is read from the input under it but by `mux`."""
    try:
        yield
    except AlanetError:
        raise
    except (OSError, av.FFmpegError) as error:
        number = getattr(error, "errno", None)
        if number in FULL:
            raise OutputError(f"{path}: the disk is full; free some space or give another folder with -o") from error
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"{path}: could not be written ({reason})") from error


def _put_in_place(made: Path, plan: OutputPlan) -> None:
    """Onto the disk, then under the final name in one step."""
    if made.is_file():
        with open(made, "rb+") as file:
            os.fsync(file.fileno())
    if plan.path.is_dir() and made.is_dir() and (plan.options.overwrite or not any(plan.path.iterdir())):
        if not only_pictures(plan.path):
            raise OutputError(f"{plan.path}: has come to hold other files meanwhile; give another name")
        shutil.rmtree(plan.path)
    elif plan.path.exists() and not plan.options.overwrite:
        raise OutputError(f"{plan.path}: has come to exist meanwhile; --overwrite replaces it")
    os.replace(made, plan.path)
    with suppress(OSError):  # not every system lets a folder be opened
        handle = os.open(plan.path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
