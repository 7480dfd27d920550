"""Decoded frames to RGB pixels and back: `to_rgb` and `from_rgb`, each the other's undo.

libswscale converts with every option set: matrix and range on both sides, accurate rounding, full chroma. By default
it assumes BT.601 and limited range. It also writes white as 65280, not 65535, when the RGB has 16 bits
(65280 = 255 * 256; for full range of d bits 2^d - 1 shifted up), so 16-bit values are stretched here and shrunk back.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from alanet.frames.frame import Color, Pixels

__all__ = ["CONVERTED", "depth_of", "from_rgb", "has_alpha", "to_rgb"]

EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)
CONVERTED = {  # matrices libswscale supports; any other is converted as BT.709 and back, which is its own undo
    "bt709": Colorspace.ITU709,
    "smpte170m": Colorspace.ITU601,
    "bt470bg": Colorspace.ITU601,
    "fcc": Colorspace.FCC,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020nc": Colorspace.BT2020,
    "bt2020c": Colorspace.BT2020,
}
WHITE = 65280  # what libswscale takes for white in 16-bit RGB


def to_rgb(
    frame: av.VideoFrame,
    color: Color,
    *,
    depth: int,
    alpha: bool = False,
    size: tuple[int, int] | None = None,
    reformatter: VideoReformatter | None = None,
    threads: int = 0,
) -> Pixels:
    """A decoded frame -> h w c: uint8 for depth 8, uint16 for more; c = 4 where alpha is asked for.

    color: complete (`assumed_color`). size: (width, height) where it shall differ from the frame's.
    reformatter: one kept from frame to frame is faster.
    """
    deep = depth > 8
    matrix = CONVERTED.get(color.matrix or "", Colorspace.ITU709)
    width, height = size or (frame.width, frame.height)
    rgb = (reformatter or VideoReformatter()).reformat(
        frame,
        width=width,
        height=height,
        format={(False, False): "rgb24", (False, True): "rgba", (True, False): "rgb48le", (True, True): "rgba64le"}[
            deep, alpha
        ],
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=_levels(color),
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT,
        threads=threads,
    )
    pixels: Any = rgb.to_ndarray()
    if deep and not frame.format.is_rgb:
        bits, grey = depth_of(frame.format), len(frame.format.components) < 3  # libswscale takes grey for full range
        _stretch(pixels[..., :3], bits if color.range == "pc" or grey else 8)
        _stretch(pixels[..., 3:], bits)
    done: Pixels = pixels
    return done


def from_rgb(
    pixels: Pixels,
    pixel_format: str,
    color: Color,
    *,
    reformatter: VideoReformatter | None = None,
    threads: int = 0,
) -> av.VideoFrame:
    """h w c pixels -> a frame of that pixel format, converted by `color` (complete). Its tags are the caller's.

    reformatter: one kept from frame to frame is faster.
    """
    to_yuv = not av.VideoFormat(pixel_format).is_rgb
    matrix = CONVERTED.get(color.matrix or "", Colorspace.ITU709)
    deep, channels = pixels.dtype == np.uint16, pixels.shape[-1]
    name = {(False, 3): "rgb24", (False, 4): "rgba", (True, 3): "rgb48le", (True, 4): "rgba64le"}[deep, channels]
    values: Any = np.ascontiguousarray(pixels)
    if deep and to_yuv:
        values = values.copy()
        values[..., :3] -= values[..., :3] >> np.uint16(8)  # 65535 -> 65280
    frame = av.VideoFrame.from_ndarray(values, format=name)
    return (reformatter or VideoReformatter()).reformat(
        frame,
        format=pixel_format,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG,
        dst_color_range=_levels(color) if to_yuv else ColorRange.JPEG,
        interpolation=EXACT,
        threads=threads,
    )


def _stretch(pixels: Any, bits: int) -> None:
    """16-bit values whose white has only its `bits` upper bits set -> the full 16 bits, in place, both ends exact."""
    if bits < 16:
        np.minimum(pixels, np.uint16(((1 << bits) - 1) << (16 - bits)), out=pixels)
        pixels += pixels >> np.uint16(bits)


def _levels(color: Color) -> ColorRange:
    return ColorRange.JPEG if color.range == "pc" else ColorRange.MPEG


def depth_of(shape: av.VideoFormat) -> int:
    """Bits a component."""
    return 8 if shape.has_palette else max(part.bits for part in shape.components)


def has_alpha(shape: av.VideoFormat) -> bool:
    """Whether a pixel format can hold alpha (a palette can)."""
    return bool(shape.has_palette or any(part.is_alpha for part in shape.components))
