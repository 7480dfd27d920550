"""y4m on standard input, and its format both ways, with ffmpeg as the outside witness."""

from __future__ import annotations

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from alanet.errors import MediaError
from alanet.notes import Notes
from alanet.video import y4m
from alanet.video.input.decode import decode
from alanet.video.input.probe import Limits, probe
from tests.support.media import make_video, make_y4m, number_of
from tests.support.witness import program

F = Fraction


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_frames_come_through_standard_input_after_a_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, make_y4m(tmp_path / "a.y4m", frames=5, rate="30000:1001", size=(63, 47)).read_bytes())
    info = probe("-")
    assert (info.path, info.width, info.height) == (Path("-"), 63, 47)
    assert (info.rate, info.pixel_format, info.depth) == (F(30000, 1001), "yuv420p", 8)
    assert info.frame_count is None
    frames = list(decode(info))
    assert [frame.time for frame in frames] == [F(1001 * i, 30000) for i in range(5)]
    assert {frame.duration for frame in frames} == {F(1001, 30000)}
    for i, frame in enumerate(frames):
        assert frame.pixels.shape == (47, 63, 3)
        assert np.abs(frame.pixels.astype(int) - round(10 * i * 255 / 219)).max() <= 1


def test_standard_input_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, make_y4m(tmp_path / "a.y4m").read_bytes())
    info = probe("-")
    assert len(list(decode(info))) == 5
    with pytest.raises(MediaError, match="read once; give a file"):
        list(decode(info))


def test_a_part_of_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, make_y4m(tmp_path / "a.y4m", frames=6, rate="10:1").read_bytes())
    assert [f.time for f in decode(probe("-"), start=F(1, 4), end=F(1, 2))] == [F(2, 10), F(3, 10), F(4, 10)]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p", "gray", "yuv411p"])
def test_what_ffmpeg_pipes_is_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pix_fmt: str) -> None:
    video = make_video(tmp_path / "a.mkv", frames=4, codec="ffv1", size=(62, 46))
    command = [program("ffmpeg"), "-v", "error", "-i", str(video), "-pix_fmt", pix_fmt, "-strict", "-1"]
    piped = subprocess.run([*command, "-f", "yuv4mpegpipe", "-"], capture_output=True, check=True).stdout
    pipe(monkeypatch, piped)
    info = probe("-")
    assert info.pixel_format == pix_fmt
    assert [number_of(frame.pixels) for frame in decode(info)] == [0, 1, 2, 3]


@pytest.mark.parametrize("pix_fmt", sorted(set(y4m.PIXEL_FORMATS.values())))
def test_frames_written_are_the_frames_read(pix_fmt: str) -> None:
    header = y4m.Header(37, 23, F(24000, 1001), pix_fmt, F(4, 3), "t", "pc")
    assert y4m.read_header(y4m.header_line(header).rstrip(b"\n")) == header
    planes = y4m.av.VideoFrame(37, 23, pix_fmt)  # type: ignore[attr-defined]
    for seed, plane in enumerate(planes.planes):
        np.frombuffer(plane, np.uint8)[:] = np.random.default_rng(seed).integers(0, 256, plane.buffer_size)
    data = y4m.frame_bytes(planes)
    back = y4m.read_frame(io.BytesIO(data), header)
    assert back is not None
    assert y4m.frame_bytes(back) == data


def test_what_is_written_ffprobe_reads(tmp_path: Path) -> None:
    header = y4m.Header(64, 48, F(25), "yuv422p10le", F(4, 3), range="pc")
    frame = y4m.av.VideoFrame(64, 48, "yuv422p10le")  # type: ignore[attr-defined]
    path = tmp_path / "a.y4m"
    path.write_bytes(y4m.header_line(header) + 3 * y4m.frame_bytes(frame))
    info = probe(path)
    assert (info.container, info.rate, info.pixel_aspect) == ("yuv4mpegpipe", F(25), F(4, 3))
    assert (info.pixel_format, info.color.range) == ("yuv422p10le", "pc")
    assert len(list(decode(info))) == 3


def test_a_pipe_that_breaks_off_gives_its_whole_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, make_y4m(tmp_path / "a.y4m", frames=5).read_bytes()[:-100])
    notes = Notes()
    assert len(list(decode(probe("-"), notes=notes))) == 4
    assert any("broke off inside frame 5" in line for line in notes.warnings)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "standard input is empty; pipe y4m"),
        (b"RIFF....AVI ", "not y4m; pipe it with: ffmpeg"),
        (b"YUV4MPEG2 W64 H48 F30:1 C420p9\n", "C420p9 is not known; allowed are 420jpeg"),
        (b"YUV4MPEG2 W64 F30:1\n", "lacks a size or a rate"),
        (b"YUV4MPEG2 Wx H48 F30:1\n", "are no numbers"),
        (b"YUV4MPEG2 W64 H48 F30:0\n", "lacks a size or a rate"),
        (b"YUV4MPEG2 W0 H48 F30:1\n", "states 0x48"),
        (b"YUV4MPEG2 W640 H480 F30:1\n", "640x480 is beyond the limit of 10000 pixels"),
    ],
)
def test_other_input_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, data: bytes, message: str) -> None:
    pipe(monkeypatch, data)
    with pytest.raises(MediaError, match=message):
        probe("-", limits=Limits(pixels=10_000))


@pytest.mark.parametrize(("field", "order"), [("t", "tff"), ("b", "bff"), ("p", None), ("?", None)])
def test_interlacing_is_the_headers_word(monkeypatch: pytest.MonkeyPatch, field: str, order: str | None) -> None:
    pipe(monkeypatch, f"YUV4MPEG2 W64 H48 F25:1 I{field}\n".encode())
    info = probe("-")
    assert (info.interlaced, info.field_order) == (order is not None, order)
