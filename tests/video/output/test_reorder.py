"""Video with B frames, copied from MKV beside another video: the times of all its pictures stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.doubling import restored
from tests.support.media import ffmpeg
from tests.support.witness import times


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize("source", ["a.mkv", "a.mp4"])
def test_a_copied_video_keeps_the_times_of_its_pictures(codec: str, source: str, tmp_path: Path) -> None:
    film = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=0.6", "-f", "lavfi", "-i", "testsrc2=s=176x144:r=25:d=0.4")
    frames = ("-bf:v:1", "2", "-pix_fmt", "yuv420p")
    quiet = ("-x265-params", "log-level=error")
    ffmpeg(
        *film, "-map", "0", "-map", "1", "-c:v:0", "libx264", "-c:v:1", codec, *frames, *quiet, str(tmp_path / source)
    )
    wanted = times(tmp_path / source, "v:1")
    for ending in (".mkv", ".mp4", ".mov"):
        out, notes = restored(tmp_path / source, tmp_path / f"out{ending}")
        assert notes.left_out == []
        found = times(out, "v:1")
        assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) < 0.0011, (ending, found)
