"""What is written: frames, times, pixels, colours, and what is refused. ffprobe is the witness of the files."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import Track, make_video, number_of
from witness import ffprobe, packets, times

from alanet.frames.frame import Frame, VideoInfo
from alanet.notes import Notes
from alanet.video.decode import decode
from alanet.video.encode import EncodeOptions, open_writer, plan_output
from alanet.video.probe import probe


def doubled(info: VideoInfo, **cut: Any) -> Iterator[Frame]:
    """Every frame untouched, and a mixture with the next half-way to it: what a restorer would hand to the writer."""
    frames = list(decode(info, **cut))
    for frame, following in zip(frames, [*frames[1:], frames[-1]], strict=True):
        half = frame.duration / 2
        yield Frame(frame.pixels, frame.time, half, frame.source)
        mixture = (frame.pixels.astype(np.uint32) + following.pixels) // 2
        yield Frame(mixture.astype(frame.pixels.dtype), frame.time + half, half)


def restored(
    source: Path, output: Path | None = None, *, seconds: Fraction | int = 20, **options: Any
) -> tuple[Path, Notes]:
    """The whole way: probe, plan, write `doubled`, finish."""
    notes = Notes()
    info = probe(source)
    plan = plan_output(info, output, EncodeOptions(**options), notes)
    with open_writer(plan, notes=notes, segment_seconds=seconds) as writer:
        for frame in doubled(info):
            writer.write(frame)
        return writer.finish(), notes


@pytest.mark.parametrize("seconds", [20, Fraction(1, 10)])
def test_constant_rate_has_exact_times_and_the_same_sound(tmp_path: Path, seconds: Fraction) -> None:
    source = make_video(tmp_path / "a.mp4", frames=10, rate=Fraction(30000, 1001), bframes=2, audio=Track())
    out, _ = restored(source, seconds=seconds)
    assert out == tmp_path / "a_x2.mp4"
    assert times(out) == [Fraction(1001 * i, 60000) for i in range(20)]
    assert packets(out) == packets(source)
    assert Fraction(ffprobe(out)["streams"][0]["duration_ts"], 60000) == Fraction(10010, 30000)
    assert [number_of(frame.pixels) for frame in decode(probe(out))][::2] == list(range(10))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a_x2.mp4"]
