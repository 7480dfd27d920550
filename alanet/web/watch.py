"""Copies that every browser plays: H.264, 8-bit 4:2:0, in MP4. Made only where the file itself is not one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from alanet.notes import Notes
from alanet.restoration.options import EncodeOptions, Factor
from alanet.restoration.writer import open_writer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from alanet.video.output.format import plan_output

__all__ = ["playable", "viewing_copy"]

PLAYED = {"h264": ("mp4", "mov"), "vp8": ("webm",), "vp9": ("webm", "mp4"), "av1": ("webm", "mp4")}
FORMATS = ("yuv420p", "yuvj420p")


def playable(path: Path) -> bool:
    """Whether browsers in general play a file."""
    info = probe(path)
    return info.pixel_format in FORMATS and bool({*info.container.split(",")} & {*PLAYED.get(info.codec, ())})


def viewing_copy(source: Path, target: Path) -> Path:
    """The file itself where browsers play it, else a copy at `target`."""
    if playable(source):
        return source
    info, notes = probe(source), Notes()
    options = EncodeOptions(compatible=True, overwrite=True, preset="veryfast")
    plan = plan_output(info, target, options, notes, schedule=Factor(1))
    with open_writer(plan, start=None, end=None, notes=notes, segment_seconds=Fraction(3600)) as writer:
        for frame in decode(info):
            writer.write(frame)
        writer.finish()
    return target
