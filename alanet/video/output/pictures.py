"""Outputs that are no container: a folder of numbered PNG pictures, and y4m on standard output.

Neither holds times: pictures are only numbered, and y4m has one constant rate.
"""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from alanet.errors import OutputError
from alanet.frames.frame import Frame
from alanet.notes import Notes
from alanet.video.output.destination import TIMES
from alanet.video.output.format import OutputPlan
from alanet.video.output.planes import planes

__all__ = ["Y4M", "PictureSink", "Y4mSink"]

Y4M = {  # pixel format: its name in a y4m header
    "gray": "mono",
    "yuv420p": "420mpeg2",
    "yuv411p": "411",
    "yuv422p": "422",
    "yuv444p": "444",
    "yuv420p10le": "420p10 XYSCSS=420P10",
    "yuv422p10le": "422p10 XYSCSS=422P10",
    "yuv444p10le": "444p10 XYSCSS=444P10",
    "yuv420p12le": "420p12 XYSCSS=420P12",
    "yuv422p12le": "422p12 XYSCSS=422P12",
    "yuv444p12le": "444p12 XYSCSS=444P12",
}


class PictureSink:
    """00000001.png, 00000002.png ... : 8 bits, 16 for deeper video, alpha where there is some.

    Where the rate varies, times.txt has a line for each picture: its name and its time in seconds.
    """

    def __init__(self, plan: OutputPlan, folder: Path, notes: Notes) -> None:
        self._plan, self._folder, self._notes, self._count = plan, folder / "pictures", notes, 0
        self._times: list[Fraction] = []
        self._folder.mkdir()
        self._reformatter = VideoReformatter()

    def write(self, frame: Frame, *_: object) -> None:
        """One picture."""
        self._count += 1
        self._times.append(frame.time)
        picture = planes(frame, self._plan, self._reformatter)
        context: Any = av.CodecContext.create("png", "w")
        context.width, context.height, context.pix_fmt = picture.width, picture.height, picture.format.name
        context.time_base = self._plan.tick
        data = b"".join(bytes(packet) for packet in [*context.encode(picture), *context.encode(None)])
        with open(self._folder / f"{self._count:08d}.png", "wb") as file:
            file.write(data)

    def finish(self) -> Path:
        """The folder."""
        if not self._count:
            raise OutputError(f"{self._plan.path}: not one frame came to be written")
        rate, first = self._plan.rate, self._times[0]
        if any(abs(time - first - i / rate) * rate > 1 for i, time in enumerate(self._times)):
            lines = (f"{i:08d}.png {float(time):.6f}\n" for i, time in enumerate(self._times, start=1))
            (self._folder / TIMES).write_text("".join(lines), "utf-8")
            self._notes.keep(f"times: {TIMES} has the time of each picture, as the rate varies; --fps makes it even")
        return self._folder

    def abandon(self) -> None:
        """Nothing is open."""


class Y4mSink:
    """y4m, uncompressed, as a stream."""

    def __init__(self, plan: OutputPlan, notes: Notes, out: BinaryIO | None = None) -> None:
        self._plan, self._notes, self._out = plan, notes, out or sys.stdout.buffer
        self._count, self._first = 0, Fraction(0)
        self._reformatter = VideoReformatter()

    def write(self, frame: Frame, *_: object) -> None:
        """One picture, after the header if it is the first."""
        picture = planes(frame, self._plan, self._reformatter)
        try:
            if not self._count:
                self._out.write(_header(self._plan))
                self._first = frame.time
            self._out.write(b"FRAME\n")
            for plane, part in zip(picture.planes, picture.format.components, strict=True):
                self._out.write(_rows(plane, 1 + (part.bits > 8)))
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (so that Python's own flush at exit says nothing)
            raise OutputError("standard output was closed by the program that reads it") from None

        if abs(frame.time - self._first - self._count / self._plan.rate) * self._plan.rate > 1:
            self._notes.warn(
                f"times: y4m has one rate, {float(self._plan.rate):.3f} fps, the video's varies; --fps makes it even"
            )
        self._count += 1

    def finish(self) -> None:
        """Send what is buffered."""
        self._out.flush()

    def abandon(self) -> None:
        """What was sent cannot be taken back."""


def _header(plan: OutputPlan) -> bytes:
    aspect = plan.info.pixel_aspect
    levels = {"tv": "LIMITED", "pc": "FULL"}[plan.color.range or "tv"]
    return (
        f"YUV4MPEG2 W{plan.size[0]} H{plan.size[1]} F{plan.rate.numerator}:{plan.rate.denominator} Ip "
        f"A{aspect.numerator}:{aspect.denominator} C{Y4M[plan.pixel_format]} XCOLORRANGE={levels}\n"
    ).encode()


def _rows(plane: Any, size: int) -> bytes:
    """A plane without the padding at its rows' ends."""
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width * size].tobytes()
