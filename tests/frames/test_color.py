"""Colour: integers and floats, light, what is assumed of untagged video, and RGB <-> YUV against the formulas."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest

from alanet.frames.color import assumed_color, linear_to_srgb, srgb_to_linear, to_float, to_integer
from alanet.frames.frame import Color
from alanet.video.convert import depth_of, from_rgb, to_rgb

WEIGHTS = {  # of red and blue in luma, from the standards
    "bt709": (0.2126, 0.0722),
    "smpte170m": (0.299, 0.114),
    "bt470bg": (0.299, 0.114),
    "bt2020nc": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
    "fcc": (0.30, 0.11),
}


def noise(shape: tuple[int, ...], dtype: type, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def yuv_by_hand(rgb: np.ndarray, matrix: str, levels: str, depth: int) -> np.ndarray:
    """RGB in [0, 1], h w 3 -> integers of Y, Cb, Cr, by the standards' formulas."""
    red, blue = WEIGHTS[matrix]
    y = rgb @ np.array([red, 1 - red - blue, blue])
    cb, cr = (rgb[..., 2] - y) / (2 - 2 * blue), (rgb[..., 0] - y) / (2 - 2 * red)
    step, top = 2 ** (depth - 8), 2**depth - 1
    if levels == "pc":
        planes = [y * top, cb * top + 128 * step, cr * top + 128 * step]
    else:
        planes = [(219 * y + 16) * step, (224 * cb + 128) * step, (224 * cr + 128) * step]
    return np.clip(np.rint(np.stack(planes, axis=-1)), 0, top)


def frame_of(planes: np.ndarray, pixel_format: str) -> av.VideoFrame:
    """A 4:4:4 frame of these integers, h w 3."""
    height, width = planes.shape[:2]
    frame = av.VideoFrame(width, height, pixel_format)
    dtype = np.uint8 if depth_of(frame.format) == 8 else np.uint16
    for i, plane in enumerate(frame.planes):
        np.frombuffer(memoryview(plane), dtype).reshape(height, -1)[:, :width] = planes[..., i]
    return frame


@pytest.mark.parametrize(("dtype", "depth"), [(np.uint8, 8), (np.uint16, 10), (np.uint16, 16)])
def test_every_integer_survives_the_way_to_float_and_back(dtype: type, depth: int) -> None:
    every: np.ndarray[Any, Any] = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    values = to_float(every)
    assert values.dtype == np.float32
    assert (values[0], values[-1]) == (0, 1)
    back = to_integer(values, depth)
    assert back.dtype == dtype
    assert np.array_equal(back, every)


def test_to_integer_clamps_and_rounds_to_the_nearest() -> None:
    values = np.array([-0.5, 0.4 / 255, 0.6 / 255, 1.5], np.float32)
    assert to_integer(values, 8).tolist() == [0, 0, 1, 255]


def test_srgb_curve_and_its_undo_agree_with_the_standard() -> None:
    values = np.linspace(0, 1, 1001)
    assert np.allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-9)
    assert srgb_to_linear(np.array(0.5)) == pytest.approx(0.21404114)
    assert srgb_to_linear(np.array(0.04)) == pytest.approx(0.04 / 12.92)


def test_srgb_curve_takes_torch_tensors_alike() -> None:
    torch = pytest.importorskip("torch")
    values = np.linspace(0, 1, 101)
    assert np.allclose(srgb_to_linear(torch.from_numpy(values)).numpy(), srgb_to_linear(values))


@pytest.mark.parametrize(
    ("color", "size", "matrix", "primaries"),
    [
        (Color(), (640, 352), "smpte170m", "smpte170m"),
        (Color(), (720, 576), "smpte170m", "smpte170m"),
        (Color(), (1280, 720), "bt709", "bt709"),
        (Color(), (608, 1080), "bt709", "bt709"),
        (Color(), (1280, 544), "bt709", "bt709"),
        (Color(matrix="bt2020nc"), (64, 64), "bt2020nc", "bt2020"),
        (Color(primaries="bt2020"), (64, 64), "bt2020nc", "bt2020"),
        (Color(primaries="bt709"), (64, 64), "bt709", "bt709"),
    ],
)
def test_untagged_colour_is_assumed_by_size_and_by_what_is_tagged(
    color: Color, size: tuple[int, int], matrix: str, primaries: str
) -> None:
    assumed = assumed_color(color, *size)
    assert (assumed.matrix, assumed.primaries, assumed.range) == (matrix, primaries, "tv")
    assert assumed.transfer is not None


def test_tags_are_never_overruled() -> None:
    tagged = Color("smpte170m", "bt709", "iec61966-2-1", "pc")
    assert assumed_color(tagged, 1920, 1080) == tagged


@pytest.mark.parametrize("levels", ["tv", "pc"])
@pytest.mark.parametrize("matrix", sorted(WEIGHTS))
@pytest.mark.parametrize(("pixel_format", "depth", "within"), [("yuv444p", 8, 1.0), ("yuv444p10le", 10, 24.0)])
def test_to_rgb_is_what_the_standards_say(
    matrix: str, levels: str, pixel_format: str, depth: int, within: float
) -> None:
    rgb = noise((16, 16, 3), np.uint16) / 65535
    rgb[0], rgb[1], rgb[2] = 0.0, 1.0, 0.5
    planes = yuv_by_hand(rgb, matrix, levels, depth)
    pixels = to_rgb(frame_of(planes, pixel_format), Color(matrix, range=levels), depth=depth)
    top = np.iinfo(pixels.dtype).max
    # what rounding to YUV codes costs: half a code of each plane, at most about 1.4 luma codes together
    rounding = 1.9 * top / (2**depth - 1) * (255 / 219 if levels == "tv" else 1)
    assert np.abs(pixels - rgb * top).max() <= rounding + within
    assert pixels[0].max() == 0
    assert pixels[1].min() == top


@pytest.mark.parametrize("levels", ["tv", "pc"])
@pytest.mark.parametrize("matrix", sorted(WEIGHTS))
@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv444p10le", "yuva444p10le", "gbrp10le", "rgba"])
def test_rgb_to_yuv_to_rgb_is_within_two_codes(matrix: str, levels: str, pixel_format: str) -> None:
    depth, alpha = depth_of(av.VideoFormat(pixel_format)), "a" in pixel_format
    pixels = noise((16, 16, 4 if alpha else 3), np.uint8 if depth == 8 else np.uint16)
    pixels[0], pixels[1] = 0, np.iinfo(pixels.dtype).max
    color = Color(matrix, range=levels)
    back = to_rgb(from_rgb(pixels, pixel_format, color), color, depth=depth, alpha=alpha)
    assert back.shape == pixels.shape
    code = 1 if depth == 8 else 96  # of 16 bits; one and a half of 10 bits
    assert np.abs(back.astype(int) - pixels).max() <= 2 * code


def test_subsampled_chroma_keeps_smooth_colour() -> None:
    x = np.linspace(0, 255, 64)[None, :, None].repeat(64, axis=0)
    pixels = np.rint(np.concatenate([x, 255 - x, np.full_like(x, 90)], axis=-1)).astype(np.uint8)
    color = Color("bt709", range="tv")
    back = to_rgb(from_rgb(pixels, "yuv420p", color), color, depth=8)
    assert np.abs(back.astype(int) - pixels)[:, 4:-4].max() <= 4


@pytest.mark.parametrize("levels", ["tv", "pc"])
def test_ten_bits_stay_more_than_eight(levels: str) -> None:
    codes = np.zeros((4, 1024, 3))
    codes[..., 0], codes[..., 1:] = np.arange(1024), 512
    pixels = to_rgb(frame_of(codes, "yuv444p10le"), Color("bt709", range=levels), depth=10)
    assert pixels.dtype == np.uint16
    assert len(np.unique(pixels[0, :, 0])) >= (877 if levels == "tv" else 1024)
    assert (np.diff(pixels[0, :, 0].astype(int)) >= 0).all()


def test_the_wrong_matrix_would_be_seen() -> None:
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    as_601 = from_rgb(red, "yuv444p", Color("smpte170m", range="tv"))
    assert to_rgb(as_601, Color("smpte170m", range="tv"), depth=8)[0, 0, 0] >= 253
    assert np.abs(to_rgb(as_601, Color("bt709", range="tv"), depth=8)[0, 0].astype(int) - red[0, 0]).max() > 20


def test_a_picture_of_another_size_is_scaled() -> None:
    frame = from_rgb(noise((20, 30, 3), np.uint8), "yuv420p", Color("bt709", range="tv"))
    assert to_rgb(frame, Color("bt709", range="tv"), depth=8, size=(64, 48)).shape == (48, 64, 3)
