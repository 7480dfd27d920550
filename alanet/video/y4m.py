"""y4m, raw video for pipes: a header line, then for each frame a line "FRAME" and its planes.

Only what pipes need: `read_header` and `header_line`, `read_frame` and `frame_bytes`, each the other's undo. Files in
this format are read by FFmpeg like any other. Reading takes no byte beyond what was asked for, so that a probe (the
header) leaves the frames to be decoded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

from alanet.errors import MediaError
from alanet.frames.frame import Color, VideoInfo
from alanet.notes import Notes
from alanet.video.convert import depth_of, has_alpha
from alanet.video.open import Limits

__all__ = [
    "PIXEL_FORMATS",
    "Header",
    "frame_bytes",
    "header_line",
    "pictures",
    "probe_stdin",
    "read_frame",
    "read_header",
]

PIXEL_FORMATS = {  # the header's C tag -> FFmpeg's name; the writer takes the first tag of a format
    "420jpeg": "yuv420p",
    "420": "yuv420p",
    "420mpeg2": "yuv420p",
    "420paldv": "yuv420p",
    "411": "yuv411p",
    "422": "yuv422p",
    "444": "yuv444p",
    "444alpha": "yuva444p",
    "mono": "gray",
    **{f"{s}p{d}": f"yuv{s}p{d}le" for s in ("420", "422", "444") for d in (10, 12, 16)},
    **{f"mono{d}": f"gray{d}le" for d in (10, 12, 16)},
}
LINE = 256  # a longer header line is not y4m


@dataclass(frozen=True, slots=True)
class Header:
    """What the first line says."""

    width: int
    height: int
    rate: Fraction
    pixel_format: str = "yuv420p"
    pixel_aspect: Fraction = Fraction(1)
    fields: str = "p"  # "p" progressive, "t" or "b" the top or bottom field first, "m" mixed, "?" unknown
    range: str | None = None  # "tv", "pc" or untold


def read_header(line: bytes) -> Header:
    """The first line, without its newline. Raises MediaError for what is not y4m, or y4m of a kind not known here."""
    magic, _, rest = line.decode("ascii", "replace").partition(" ")
    if magic != "YUV4MPEG2":
        raise MediaError("-: standard input is not y4m; pipe it with: ffmpeg -i IN -f yuv4mpegpipe -strict -1 - | ...")
    words = rest.split()
    tags = {word[0]: word[1:] for word in words if word[0] != "X"}
    extra = dict(word[1:].partition("=")[::2] for word in words if word[0] == "X")
    kind = tags.get("C", "420jpeg")
    if kind not in PIXEL_FORMATS:
        raise MediaError(f"-: y4m of pixel format C{kind} is not known; allowed are {', '.join(PIXEL_FORMATS)}")
    try:
        rate = Fraction(tags["F"].replace(":", "/"))
        aspect_n, aspect_d = (int(part) for part in tags.get("A", "0:0").split(":"))
        header = Header(
            width=int(tags["W"]),
            height=int(tags["H"]),
            rate=rate,
            pixel_format=PIXEL_FORMATS[kind],
            pixel_aspect=Fraction(aspect_n, aspect_d) if aspect_n > 0 and aspect_d > 0 else Fraction(1),
            fields=tags.get("I", "?"),
            range={"FULL": "pc", "LIMITED": "tv"}.get(extra.get("COLORRANGE", "")),
        )
    except (KeyError, ValueError, ZeroDivisionError):
        raise MediaError(f"-: the y4m header lacks a size or a rate, or they are no numbers: {line[:80]!r}") from None
    if header.width < 1 or header.height < 1 or header.rate <= 0:
        raise MediaError(f"-: the y4m header states {header.width}x{header.height} at {header.rate} frames a second")
    return header


def header_line(header: Header) -> bytes:
    """The first line, with its newline."""
    kind = next(tag for tag, name in PIXEL_FORMATS.items() if name == header.pixel_format)
    levels = {"pc": " XCOLORRANGE=FULL", "tv": " XCOLORRANGE=LIMITED"}.get(header.range or "", "")
    rate, aspect = header.rate, header.pixel_aspect
    return (
        f"YUV4MPEG2 W{header.width} H{header.height} F{rate.numerator}:{rate.denominator} I{header.fields} "
        f"A{aspect.numerator}:{aspect.denominator} C{kind}{levels}\n"
    ).encode()


def read_frame(stream: BinaryIO, header: Header) -> av.VideoFrame | None:
    """The next frame; None at the end. Raises EOFError inside a cut-off frame, ValueError where no frame begins."""
    line = stream.readline(LINE)
    if not line:
        return None
    if not line.startswith(b"FRAME"):
        raise ValueError("no frame begins here")
    frame = av.VideoFrame(header.width, header.height, header.pixel_format)
    for rows in _rows(frame):
        data = _read_exactly(stream, rows.size)
        rows[:] = np.frombuffer(data, np.uint8).reshape(rows.shape)
    return frame


def frame_bytes(frame: av.VideoFrame) -> bytes:
    """A frame's line and planes; its pixel format must be one of PIXEL_FORMATS."""
    return b"".join([b"FRAME\n", *(rows.tobytes() for rows in _rows(frame))])


def _rows(frame: av.VideoFrame) -> list[Any]:
    """The planes as views of bytes, height x bytes that belong to the picture (lines in memory are padded)."""
    rows = []
    plane: Any
    for index, plane in enumerate(frame.planes):
        used = plane.width * (
            2 if frame.format.components[min(index, len(frame.format.components) - 1)].bits > 8 else 1
        )
        rows.append(np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, :used])
    return rows


def _read_exactly(stream: BinaryIO, count: int) -> bytes:
    parts, missing = [], count
    while missing:
        part = stream.read(missing)
        if not part:
            raise EOFError
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


@dataclass(slots=True)
class Reader:
    """Standard input after its header was read: carried by VideoInfo from the probe to the decoder."""

    stream: BinaryIO
    header: Header
    used: bool = field(default=False)


def probe_stdin(limits: Limits) -> VideoInfo:
    """What the y4m header on standard input says; the frames stay unread."""
    stream = sys.stdin.buffer
    line = stream.readline(LINE)
    if not line:
        raise MediaError("-: standard input is empty; pipe y4m into it")
    header = read_header(line.rstrip(b"\n"))
    if header.width * header.height > limits.pixels:
        raise MediaError(
            f"-: a picture of {header.width}x{header.height} is beyond the limit of {limits.pixels} pixels"
        )
    shape = av.VideoFormat(header.pixel_format)
    return VideoInfo(
        path=Path("-"),
        container="yuv4mpegpipe",
        codec="rawvideo",
        width=header.width,
        height=header.height,
        rate=header.rate,
        time_base=1 / header.rate,
        start=Fraction(0),
        duration=None,
        frame_count=None,
        pixel_format=header.pixel_format,
        depth=depth_of(shape),
        color=Color(range=header.range),
        pixel_aspect=header.pixel_aspect,
        alpha=has_alpha(shape),
        interlaced=header.fields in ("t", "b", "m"),
        field_order={"t": "tff", "b": "bff"}.get(header.fields),
        pixel_limit=limits.pixels,
        reader=Reader(stream, header),
    )


def pictures(info: VideoInfo, notes: Notes) -> Iterator[Any]:
    """The frames on standard input, pts counting from 0; a pipe that breaks off gives a note."""
    reader: Reader = info.reader  # type: ignore[assignment]
    if reader.used:
        raise MediaError("-: standard input can be read once; give a file to read it again")
    reader.used = True
    count = 0
    try:
        while (frame := read_frame(reader.stream, reader.header)) is not None:
            frame.pts, frame.time_base = count, info.time_base
            frame.color_range = {"tv": 1, "pc": 2}.get(info.color.range or "", 0)
            count += 1
            yield frame
    except (EOFError, ValueError):
        notes.warn(f"standard input broke off inside frame {count + 1}; the {count} whole ones are used")
