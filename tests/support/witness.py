"""Outside witnesses: what ffprobe, which shares no code with us, says about a file.

A machine without ffprobe skips the tests that need it; where ALANET_WITNESSES=required (our CI) they fail instead,
so that a missing program cannot pass for a passed test.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

__all__ = ["ffprobe", "packets", "program", "times"]


def program(name: str) -> str:
    """Path of an outside program such as "ffprobe" or "ffmpeg"; without it the calling test is skipped or fails."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("ALANET_WITNESSES") == "required":
            pytest.fail(f"{name} is missing and ALANET_WITNESSES=required: install Debian's ffmpeg")
        pytest.skip(f"{name} is not installed")
    return path


def ffprobe(path: str | Path, *arguments: str) -> dict[str, Any]:
    """What ffprobe says as a dictionary; without arguments: "streams", "format" and "chapters"."""
    asked = arguments or ("-show_streams", "-show_format", "-show_chapters")
    command = [program("ffprobe"), "-v", "error", *asked, "-of", "json", f"file:{path}"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, f"ffprobe {path}: {done.stderr.decode(errors='replace').strip()}"
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def times(path: str | Path, stream: str = "v:0") -> list[Fraction]:
    """Exact time in seconds of every decoded frame of a stream, in the order shown."""
    said = ffprobe(path, "-select_streams", stream, "-show_frames", "-show_streams")
    base = Fraction(said["streams"][0]["time_base"])
    return [int(frame["best_effort_timestamp"]) * base for frame in said["frames"]]


def packets(path: str | Path, stream: str = "a:0") -> list[tuple[Fraction, str]]:
    """Time in seconds and hash of the data of every packet of a stream, in the order stored."""
    said = ffprobe(path, "-select_streams", stream, "-show_packets", "-show_streams", "-show_data_hash", "md5")
    base = Fraction(said["streams"][0]["time_base"])
    return [(int(packet["pts"]) * base, packet["data_hash"]) for packet in said["packets"]]
