"""Further checks of what a restored file holds, by ffprobe; where it is not installed they are passed over."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.witness import ffprobe, packets

__all__ = ["HDR", "attached", "chaptered", "covered", "like", "shaped", "spoken", "subtitled", "tagged", "tracked"]

HDR = ("color_space", "color_primaries", "color_transfer", "color_range", "mastering", "light")
Check = Callable[[Path, Path], None]


def _witnessed(check: Check) -> Check:
    return lambda source, out: check(source, out) if shutil.which("ffprobe") else None


def _picture(path: Path) -> dict[str, Any]:
    """What ffprobe says of the picture's stream, what is told of its first frame besides."""
    said = ffprobe(path, "-select_streams", "v:0", "-show_streams", "-show_frames", "-read_intervals", "%+#1")
    stream: dict[str, Any] = dict(said["streams"][0])
    for entry in [*stream.get("side_data_list", ()), *said["frames"][0].get("side_data_list", ())]:
        stream["rotation"] = entry.get("rotation", stream.get("rotation"))
        kind = entry["side_data_type"]
        name = {"Mastering display metadata": "mastering", "Content light level metadata": "light"}.get(kind)
        if name:
            stream[name] = {key: value for key, value in entry.items() if key != "side_data_type"}
    return stream


def like(*names: str) -> Check:
    """These are in the output what they are in the input, and they are there."""

    def check(source: Path, out: Path) -> None:
        before, after = _picture(source), _picture(out)
        for name in names:
            assert before.get(name) is not None, f"ffprobe says no {name}"
            assert after.get(name) == before[name], f"{name} is {after.get(name)}, was {before[name]}"

    return _witnessed(check)


def shaped(width: int, height: int) -> Check:
    def check(source: Path, out: Path) -> None:
        said = _picture(out)
        assert (said["width"], said["height"]) == (width, height)

    return _witnessed(check)


def _streams(path: Path, kind: str) -> list[tuple[Any, ...]]:
    found = [s for s in ffprobe(path)["streams"] if s["codec_type"] == kind]
    return [
        (
            s["codec_name"],
            s.get("tags", {}).get("language"),
            s.get("tags", {}).get("title"),
            s["disposition"]["default"],
        )
        for s in found
    ]


@_witnessed
def tracked(source: Path, out: Path) -> None:
    """Every track of sound: order, codec, language, title, default; its packets by ffprobe."""
    assert _streams(out, "audio") == _streams(source, "audio")
    for i in range(len(_streams(source, "audio"))):
        assert [data for _, data in packets(out, f"a:{i}")] == [data for _, data in packets(source, f"a:{i}")]


@_witnessed
def spoken(source: Path, out: Path) -> None:
    assert packets(out) == packets(source)


@_witnessed
def subtitled(source: Path, out: Path) -> None:
    assert _streams(out, "subtitle") == _streams(source, "subtitle") != []
    assert packets(out, "s:0") == packets(source, "s:0")


@_witnessed
def chaptered(source: Path, out: Path) -> None:
    said = [(c["tags"]["title"], c["start_time"], c["end_time"]) for c in ffprobe(out)["chapters"]]
    assert said == [("one", "0.000000", "0.100000"), ("two", "0.100000", "0.200000")]


@_witnessed
def attached(source: Path, out: Path) -> None:
    fonts = [s["tags"] for s in ffprobe(out)["streams"] if s["codec_type"] == "attachment"]
    assert [(font["filename"], font["mimetype"]) for font in fonts] == [("a.ttf", "font/ttf")]


@_witnessed
def covered(source: Path, out: Path) -> None:
    found = [s["disposition"]["attached_pic"] for s in ffprobe(out)["streams"] if s["codec_type"] == "video"]
    assert sorted(found) == [0, 1]


@_witnessed
def tagged(source: Path, out: Path) -> None:
    assert ffprobe(out)["format"]["tags"]["title"] == "holiday"
