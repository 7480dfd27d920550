"""Every video codec that the program ffmpeg writes, as a further video, in every container: its packets come through,
or it is left out and the container indeed does not hold it."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from alanet.errors import AlanetError
from alanet.video.input.probe import probe
from tests.stress.test_pairs import OUTPUTS
from tests.support.doubling import restored
from tests.support.witness import ffprobe, packets, program, times

pytestmark = pytest.mark.stress

SOURCES = (".mkv", ".mov", ".nut", ".avi", ".ts", ".mp4", ".wmv", ".mxf", ".webm")
SIZES = {"dvvideo": "720x576", "dnxhd": "1920x1080", "roqvideo": "128x128", "speedhq": "128x96"}
HARDWARE = ("_nvenc", "_qsv", "_vaapi", "_v4l2m2m", "_omx", "_mf", "_amf", "_videotoolbox", "_vulkan")
NOT_FILES = ("wrapped_avframe", "vnull")  # pointers, nothing
RAW = ("ayuv", "v308", "v408", "v410")  # raw video in later versions of FFmpeg; the program's own does not read it
REFRAMED = {("vc2", ".ts")}  # the end of the sequence is a packet of its own there
DROPPED = {"utvideo"}  # a limit, stated in docs/video.md
OPTIONS = {"dnxhd": ("-profile:v", "dnxhr_lb"), "librav1e": ("-speed", "10"), "libaom-av1": ("-cpu-used", "8")}


@cache
def encoders() -> list[str]:
    """Names of the program's video encoders that need no hardware."""
    try:
        run = subprocess.run(["ffmpeg", "-hide_banner", "-encoders"], capture_output=True, text=True, check=False)
    except OSError:
        return []
    lines = [line.split() for line in run.stdout.splitlines() if line.startswith(" V") and "=" not in line]
    return [name for _, name, *_ in lines if not name.endswith(HARDWARE) and name not in NOT_FILES + RAW]


def source_of(encoder: str, folder: Path) -> Path | None:
    """A film of 10 frames, and a shorter video of this encoder, in the first container that takes both."""
    size = SIZES.get(encoder, "176x144")
    second = ("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d=0.24")
    film = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=0.4")
    coded = ("-map", "0", "-map", "1", "-c:v:0", "libx264", "-c:v:1", encoder, *OPTIONS.get(encoder, ()))
    for ending in SOURCES:
        path = folder / f"in{ending}"
        video = ("-c:v:0", "libvpx") if ending == ".webm" else ("-c:v:0", "wmv2") if ending == ".wmv" else ()
        command = [program("ffmpeg"), "-v", "error", "-y", *film, *second, *coded, *video, "-strict", "-2", str(path)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            continue
        try:
            if packets(path, "v:1") and probe(path, stream=0):
                return path
        except (AssertionError, LookupError, AlanetError):
            continue
    return None


def takes(source: Path, ending: str, folder: Path) -> bool:
    """Whether the program copies the second video into such a file, and finds the same packets and pictures in it."""
    out = folder / f"witness{ending}"
    command = [program("ffmpeg"), "-v", "error", "-y", "-i", str(source), "-map", "0:v:1", "-c", "copy", str(out)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return False
    try:
        names = [coded(path, at) for path, at in ((source, 1), (out, 0))]
        same = len(packets(out, "v:0")) == len(packets(source, "v:1"))
        return same and None not in names and names[0] == names[1] and bool(times(out))
    except (AssertionError, LookupError):
        return False


def coded(path: Path, number: int) -> Any:
    """The codec of a video stream."""
    return [stream for stream in ffprobe(path)["streams"] if stream["codec_type"] == "video"][number].get("codec_name")


@pytest.mark.parametrize("encoder", encoders())
def test_a_further_video_comes_through_or_the_message_is_true(encoder: str, tmp_path: Path) -> None:
    source = source_of(encoder, tmp_path)
    if source is None:
        pytest.skip(f"{encoder}: of {', '.join(SOURCES)} none holds it beside another video")
    given = packets(source, "v:1")
    for ending, codec in OUTPUTS.items():
        out, notes = restored(source, tmp_path / f"out{ending}", codec=codec)
        copied = [line for line in notes.kept if line.startswith("video 1") and line.endswith("packets copied")]
        left = [line for line in notes.left_out if line.startswith("video 1")]
        assert len(copied) + len(left) == 1, (ending, notes)
        if copied:
            kept = packets(out, "v:1")
            assert len(kept) == len(given) + ((encoder, ending) in REFRAMED), (ending, encoder)
            spans = [each[len(given) - 1][0] - each[0][0] for each in (kept, given)]
            assert abs(spans[0] - spans[1]) < 0.002, (ending, encoder)
        else:
            assert encoder in DROPPED or not takes(source, ending, tmp_path), (ending, left)
        out.unlink()
