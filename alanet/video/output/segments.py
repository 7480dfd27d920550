"""The picture's track on its way: short files of video only, each beginning with a key frame, joined by packet copy.

    work folder:  00000.mp4  00001.mp4  ...  segments.jsonl (a line for each complete one)

Inside a segment times count from its first frame; the index says where on the video's time line that is. So a segment
is the same whatever came before it, and a run can go on after the last complete one.
Joined, presentation times are the frames' own. Decoding times are made anew: packet n is decoded when the n-th shown
frame, `delay` frames earlier, is shown. Shifted old ones could overlap where the rate varies.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import av
from av.video.reformatter import VideoReformatter

from alanet.files import sync_folder, write_text
from alanet.frames.estimate_sums import EstimateSums
from alanet.frames.frame import Frame
from alanet.video.output.captions import Captions
from alanet.video.output.format import OutputPlan
from alanet.video.output.planes import planes
from alanet.video.tags import set_color

__all__ = [
    "INDEX",
    "Segment",
    "SegmentWriter",
    "finished_in",
    "joined",
    "line_of",
    "name_of_segment",
    "record",
    "recorded",
    "rewrite",
    "segment_in",
]

INDEX = "segments.jsonl"
TIMES = ("start", "end", "shortest")  # of a segment: fractions, written as text


@dataclass(frozen=True, slots=True)
class Segment:
    """A complete segment. Times in seconds on the input's time line."""

    name: str
    frames: int
    start: Fraction  # of its first frame
    end: Fraction  # when its last frame has been shown
    shortest: Fraction  # least time that one of its frames is shown
    delay: int  # frames that coding order runs ahead of showing order
    size: int  # bytes of the file
    sha256: str  # of the file
    seconds: float = 0.0  # of work
    passed: int = 0  # of its frames: the network came to nothing there
    untouched: int = 0  # of its frames: input frames, left as they were
    estimates: EstimateSums = field(default_factory=EstimateSums)  # of its input frames


KEYS = tuple(each.name for each in fields(Segment))


class SegmentWriter:
    """Encodes frames into one segment file; `close` completes it and says what it holds."""

    def __init__(self, folder: Path, number: int, plan: OutputPlan, start: Fraction) -> None:
        self.start = start
        self._plan = plan
        self._name = name_of_segment(number, plan)
        self._shown: list[int] = []  # ticks, in the order given
        self._coded: list[int] = []  # ticks, in the order the encoder returns them
        self._end = start
        self._path = folder / self._name
        self._container = av.open(f"file:{self._path}", "w", format=plan.codec.segment)
        self._stream = _video_stream(self._container, plan)
        self._reformatter = VideoReformatter()
        self._captions = Captions()

    def add(self, frame: Frame) -> None:
        """Encode a frame; its time must be later than the one before."""
        picture = planes(frame, self._plan, self._reformatter)
        if self._plan.captions:
            picture = self._captions.on(picture, frame)
        ticks = round((frame.time - self.start) / self._plan.tick)
        if self._shown:  # repaired times need not be whole ticks, so two may meet
            ticks = max(ticks, self._shown[-1] + 1)
        picture.pts, picture.time_base = ticks, self._plan.tick
        picture.pict_type = 0  # a decoded frame's type would be forced on the encoder
        set_color(picture, self._plan.tags)  # some encoders read the frame's tags, not their own settings
        self._shown.append(ticks)
        self._end = max(self._end, frame.time + frame.duration)
        self._mux(self._stream.encode(picture))

    def close(self) -> Segment:
        """Flush the encoder, complete the file on disk, and return its entry for the index."""
        self._mux(self._stream.encode(None))
        self._container.close()
        with open(self._path, "rb+") as file:
            os.fsync(file.fileno())
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        ends = [*self._shown[1:], round((self._end - self.start) / self._plan.tick)]
        shortest = min(max(1, b - a) for a, b in zip(self._shown, ends, strict=True)) * self._plan.tick
        rank = {ticks: i for i, ticks in enumerate(self._shown)}
        delay = max(n - rank[ticks] for n, ticks in enumerate(self._coded))
        return Segment(self._name, len(self._shown), self.start, self._end, shortest, delay, size, digest)

    def abandon(self) -> None:
        """Let go of the file without completing it."""
        with suppress(av.FFmpegError, OSError):
            self._container.close()

    def _mux(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            self._coded.append(round(packet.pts * packet.time_base / self._plan.tick))
            self._container.mux(packet)


def _video_stream(container: Any, plan: OutputPlan) -> Any:
    """The encoder, set up by the plan."""
    stream = container.add_stream(plan.codec.encoder, rate=plan.rate)
    context = stream.codec_context
    context.width, context.height = plan.size
    context.pix_fmt = plan.pixel_format
    context.time_base = stream.time_base = plan.tick
    context.sample_aspect_ratio = plan.info.pixel_aspect
    context.options = dict(plan.encoder_options)
    context.thread_count = plan.options.threads
    set_color(context, plan.tags)
    return stream


def record(folder: Path, segment: Segment) -> None:
    """Append a complete segment to the work folder's index, on disk before this returns.

    Other processes may do so at the same time: the line is appended by one write. What a process that was killed in the
    middle of it has left is ended first.
    """
    with open(folder / INDEX, "ab+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        ended = file.read(1) in (b"", b"\n")
        file.write((b"" if ended else b"\n") + line_of(segment).encode())
        os.fsync(file.fileno())
    sync_folder(folder)


def rewrite(folder: Path, segments: Sequence[Segment]) -> None:
    """The index with these segments only, replaced atomically."""
    write_text(folder / INDEX, "".join(map(line_of, segments)))


def recorded(folder: Path) -> list[Segment]:
    """The segments that the index names, from the first one on, up to one that is not finished."""
    finished = finished_in(folder)
    return [finished[i] for i in takewhile(finished.__contains__, count())]


def finished_in(folder: Path) -> dict[int, Segment]:
    """The segments that the index names, by their numbers, whichever was finished first (several processes may be at
    work); a line that was cut off by a loss of power counts for none."""
    found: dict[int, Segment] = {}
    try:
        lines = (folder / INDEX).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    for segment in filter(None, map(segment_in, lines)):
        found.setdefault(int(Path(segment.name).stem), segment)
    return dict(sorted(found.items()))


def segment_in(line: str) -> Segment | None:
    """The segment that a line of the index names; None for a line that names none."""
    try:
        said = json.loads(line)
        values: dict[str, Any] = {key: Fraction(said[key]) if key in TIMES else said[key] for key in KEYS}
        segment = Segment(**{**values, "estimates": EstimateSums(**said["estimates"])})
        number = int(Path(segment.name).stem)
    except (ValueError, TypeError, KeyError):
        return None
    whole = Path(segment.name).stem == _number(number) and Path(segment.name).name == segment.name
    return segment if whole else None


def name_of_segment(number: int, plan: OutputPlan) -> str:
    """The name of a segment's file."""
    return f"{_number(number)}.{plan.codec.segment}"


def line_of(segment: Segment) -> str:
    """A segment as a line of the index."""
    return json.dumps(asdict(segment), default=str) + "\n"


def _number(i: int) -> str:
    return f"{i:05d}"


def joined(folder: Path, segments: Sequence[Segment], tick: Fraction, origin: Fraction) -> Iterator[Any]:
    """All packets of all segments in coding order, times in ticks from `origin`; holds the times of one segment.

    A packet's duration is its picture's. Only the very last packet differs where pictures are shown in another order
    than coded: MP4 takes a track's length from it, first decoding time to last, and it must be exact.
    """
    delay = max(segment.delay for segment in segments)
    step = max(1, round(min(segment.shortest for segment in segments) / tick))
    first = round((segments[0].start - origin) / tick)
    decoding = deque(first - step * (delay - i) for i in range(delay))
    for i, segment in enumerate(segments):
        end = segments[i + 1].start if i + 1 < len(segments) else segment.end
        shift = round((segment.start - origin) / tick)
        order = sorted(shift + time for time, _ in _packets(folder / segment.name, tick))
        stop = round((end - origin) / tick)
        until = dict(zip(order, [*order[1:], stop], strict=True))
        decoding.extend(order)
        for n, (time, packet) in enumerate(_packets(folder / segment.name, tick), start=1):
            packet.time_base = tick
            packet.pts, packet.dts = shift + time, decoding.popleft()
            packet.duration = until[packet.pts] - packet.pts
            if i == len(segments) - 1 and n == segment.frames:
                packet.dts = max(packet.dts, packet.pts - delay * step)
                packet.duration = stop - packet.dts - delay * step
            yield packet


def _packets(path: Path, tick: Fraction) -> Iterator[tuple[int, Any]]:
    """(time in ticks from the segment's start, packet) in coding order."""
    with av.open(f"file:{path}") as container:
        for packet in container.demux(video=0):
            if packet.size:
                yield round(Fraction(packet.pts or 0) * packet.time_base / tick), packet
