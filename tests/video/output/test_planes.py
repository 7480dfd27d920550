"""Pixels and colours of what is written: untouched planes, restored pixels, tags, depth, sizes, HDR."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from alanet.frames.frame import Frame
from alanet.notes import Notes
from alanet.restoration.options import EncodeOptions
from alanet.restoration.writer import open_writer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from alanet.video.output.format import plan_output
from tests.support.doubling import restored
from tests.support.media import make_video, number_of
from tests.support.witness import ffprobe, times


def video(path: Path) -> dict[str, Any]:
    return next(s for s in ffprobe(path)["streams"] if s["codec_type"] == "video")


def written(path: Path) -> list[Frame]:
    return list(decode(probe(path)))


@pytest.mark.parametrize("shape", ["yuv420p", "yuv422p10le", "yuv444p", "yuv420p12le", "gray", "bgr0"])
def test_an_untouched_frame_keeps_its_planes(tmp_path: Path, shape: str) -> None:
    source = make_video(tmp_path / "a.mkv", frames=3, codec="ffv1", pix_fmt=shape)
    out, _ = restored(source, codec="ffv1")

    def planes(path: Path) -> list[list[bytes]]:
        with av.open(str(path)) as container:
            return [[bytes(plane) for plane in frame.planes] for frame in container.decode(video=0)]

    assert video(out)["pix_fmt"] == shape
    assert planes(out)[::2] == planes(source)


WEIGHTS = {"bt709": (0.2126, 0.0722), "smpte170m": (0.299, 0.114), "bt2020nc": (0.2627, 0.0593)}


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("levels", ["tv", "pc"])
@pytest.mark.parametrize("shape", ["yuv444p", "yuv420p10le"])
def test_restored_pixels_become_the_yuv_of_the_tags(tmp_path: Path, matrix: str, levels: str, shape: str) -> None:
    """Against the equations of the standards: Y = kr R + (1 - kr - kb) G + kb B and so on."""
    info = probe(
        make_video(tmp_path / "a.mkv", frames=1, codec="ffv1", pix_fmt=shape, color=(matrix, None, None, levels))
    )
    depth = 10 if "10" in shape else 8
    plan = plan_output(info, None, EncodeOptions(codec="ffv1"), Notes())
    rgb = np.array([0.8, 0.1, 0.3])
    peak, dtype = (65535, np.uint16) if depth == 10 else (255, np.uint8)
    pixels = np.broadcast_to(np.rint(rgb * peak), (48, 64, 3)).astype(dtype)
    with open_writer(plan) as writer:
        writer.write(Frame(pixels, Fraction(0), Fraction(1, 30)))
        out = writer.finish()
    kr, kb = WEIGHTS[matrix]
    y = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2]
    cb, cr = (rgb[2] - y) / (2 - 2 * kb), (rgb[0] - y) / (2 - 2 * kr)
    step = 1 << (depth - 8)
    top = (1 << depth) - 1
    scale = [(16 * step, 219 * step), (128 * step, 224 * step)] if levels == "tv" else [(0, top), (128 * step, top)]
    expected = [scale[0][0] + scale[0][1] * y, scale[1][0] + scale[1][1] * cb, scale[1][0] + scale[1][1] * cr]
    with av.open(str(out)) as container:
        planes = next(container.decode(video=0)).planes
        found = [np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)[8, 8] for plane in planes]
    assert np.abs(np.array(found, float) - expected).max() <= 1.5  # libswscale rounds full-range chroma down
    assert video(out)["color_space"] == matrix
    assert video(out)["color_range"] == levels


@pytest.mark.parametrize("codec", ["x264", "x265", "prores", "ffv1"])
def test_what_was_untagged_stays_untagged(tmp_path: Path, codec: str) -> None:
    source = make_video(tmp_path / "a.mp4", frames=2, size=(64, 66))
    out, _ = restored(source, codec=codec)
    said = video(out)
    assert not {"color_space", "color_primaries", "color_transfer"} & set(said)


def test_all_tags_are_written(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=2, color=("bt2020nc", "bt2020", "arib-std-b67", "tv"))
    out, _ = restored(source)
    tags = ("color_space", "color_primaries", "color_transfer", "color_range")
    assert [video(out)[tag] for tag in tags] == ["bt2020nc", "bt2020", "arib-std-b67", "tv"]


@pytest.mark.parametrize(
    ("shape", "codec", "expected"),
    [
        ("yuv420p10le", "x264", "yuv420p10le"),
        ("yuv422p", "x264", "yuv422p"),
        ("yuv444p10le", "x265", "yuv444p10le"),
        ("yuv420p12le", "x265", "yuv420p12le"),
        ("yuv420p10le", "av1", "yuv420p10le"),
        ("yuv420p", "prores", "yuv422p10le"),
        ("yuv444p12le", "ffv1", "yuv444p12le"),
        ("bgr0", "x264", "yuv444p"),
        ("yuva444p", "ffv1", "yuva444p"),
        ("yuva444p", "prores", "yuva444p12le"),  # as ProRes 4444 is decoded
    ],
)
def test_depth_chroma_and_alpha_are_kept(tmp_path: Path, shape: str, codec: str, expected: str) -> None:
    source = make_video(tmp_path / "a.mkv", frames=2, codec="ffv1", pix_fmt=shape, size=(64, 64))
    out, notes = restored(source, codec=codec)
    assert video(out)["pix_fmt"] == expected
    assert not notes.left_out
    assert len(times(out)) == 4
    assert [number_of(frame.pixels) for frame in written(out)][::2] == [0, 1]


@pytest.mark.parametrize(
    ("shape", "codec", "line"),
    [
        ("yuv420p12le", "x264", "depth and chroma: 12-bit 4:2:0 became 10-bit 4:2:0, the most of x264"),
        ("yuv444p", "av1", "depth and chroma: 8-bit 4:4:4 became 8-bit 4:2:0, the most of av1"),
        ("yuva444p", "x264", "alpha: x264 has none; --codec prores, ffv1 or png keeps it"),
    ],
)
def test_what_a_codec_cannot_keep_is_one_line(tmp_path: Path, shape: str, codec: str, line: str) -> None:
    notes = Notes()
    info = probe(make_video(tmp_path / "a.mkv", frames=1, codec="ffv1", pix_fmt=shape))
    plan_output(info, None, EncodeOptions(codec=codec), notes)
    assert notes.left_out == [line]


@pytest.mark.parametrize("codec", ["x264", "x265", "av1", "prores", "ffv1"])
@pytest.mark.parametrize("size", [(65, 67), (66, 65)])
def test_odd_sizes_stay(tmp_path: Path, codec: str, size: tuple[int, int]) -> None:
    source = make_video(tmp_path / "a.mkv", frames=2, codec="ffv1", pix_fmt="yuv420p", size=size)
    out, _ = restored(source, codec=codec)
    assert (video(out)["width"], video(out)["height"]) == size
    found, given = written(out)[0].pixels, written(source)[0].pixels
    assert np.abs(found / np.iinfo(found.dtype).max - given / 255).mean() < 0.02


@pytest.mark.parametrize("size", [(2, 2), (16, 16)])
def test_tiny_pictures(tmp_path: Path, size: tuple[int, int]) -> None:
    source = make_video(tmp_path / "a.mkv", frames=2, codec="ffv1", size=size)
    out, _ = restored(source)
    assert (video(out)["width"], video(out)["height"]) == size
    assert len(times(out)) == 4


def test_compatible_is_8_bit_420_of_even_size(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mkv", frames=2, codec="ffv1", pix_fmt="yuv444p10le", size=(65, 49))
    out, notes = restored(source, compatible=True)
    assert video(out)["pix_fmt"] == "yuv420p"
    assert (video(out)["width"], video(out)["height"]) == (66, 50)
    assert any("65x49 became 66x50" in line for line in notes.warnings)
    assert not any("players" in line for line in notes.warnings)
    assert np.abs(written(out)[0].pixels[:49, :65] - (written(source)[0].pixels / 257.0)).mean() < 6


@pytest.mark.parametrize("codec", ["x264", "x265", "av1"])
def test_hdr_data_survive(tmp_path: Path, codec: str) -> None:
    source = make_video(tmp_path / "a.mp4", frames=2, hdr=True, size=(64, 64))
    given = probe(source).side_data
    out, _ = restored(source, codec=codec)
    found = probe(out).side_data
    assert found["content_light"] == given["content_light"]
    for name in ("red", "green", "blue", "white"):
        pairs = zip(getattr(found["mastering_display"], name), getattr(given["mastering_display"], name), strict=True)
        assert all(abs(a - b) < Fraction(1, 30000) for a, b in pairs)
    assert found["mastering_display"].max_luminance == 1000
    assert video(out)["color_transfer"] == "smpte2084"
