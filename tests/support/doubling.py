"""What a restorer hands to the writer, without a network: every frame untouched, and a mixture half-way to the next."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from alanet.frames.frame import Frame, VideoInfo
from alanet.notes import Notes
from alanet.restoration.options import EncodeOptions
from alanet.restoration.writer import open_writer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from alanet.video.output.format import OutputPlan, plan_output
from tests.support.paths import ROOT

__all__ = ["doubled", "doubled_times", "planned", "restored", "run"]


def doubled(info: VideoInfo, start: Fraction | None = None, end: Fraction | None = None) -> Iterator[Frame]:
    """2N frames, the last one held."""
    frames = list(decode(info, start=start, end=end))
    for frame, following in zip(frames, [*frames[1:], frames[-1]], strict=True):
        half = frame.duration / 2
        yield Frame(frame.pixels, frame.time, half, frame.source)
        mixture = (frame.pixels.astype(np.uint32) + following.pixels) // 2
        yield Frame(mixture.astype(frame.pixels.dtype), frame.time + half, half)


def doubled_times(times: list[Fraction], end: Fraction) -> list[Fraction]:
    """The times of 2N frames from those of N, worked out by hand."""
    following = [*times[1:], end]
    return [t for a, b in zip(times, following, strict=True) for t in (a, (a + b) / 2)]


def restored(
    source: Path,
    output: Path | None = None,
    *,
    seconds: Fraction | int = 20,
    cut: tuple[Fraction | None, Fraction | None] = (None, None),
    input_rate: Fraction | None = None,
    **options: Any,
) -> tuple[Path, Notes]:
    """The whole way: probe, plan, write `doubled`, finish. seconds: of a segment. The rest are EncodeOptions."""
    notes = Notes()
    info = probe(source, input_rate=input_rate)
    if options.get("codec", "x264") in ("x264", "x265"):
        options.setdefault("preset", "ultrafast" if options.get("codec") == "x265" else "veryfast")
    plan = plan_output(info, output, EncodeOptions(**options), notes)
    with open_writer(plan, start=cut[0], end=cut[1], notes=notes, segment_seconds=seconds) as writer:
        for frame in doubled(info, *cut):
            writer.write(frame)
        return writer.finish(), notes


def planned(source: Path, output: Path | str | None = None, **options: Any) -> tuple[OutputPlan, Notes]:
    """What would be written; options are EncodeOptions."""
    notes = Notes()
    return plan_output(probe(source), output, EncodeOptions(**options), notes), notes


def run(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """A Python of its own, with the tests' helpers."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
