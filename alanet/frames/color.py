"""What the numbers of a picture mean: the matrix and range an untagged video is taken to have, integers, floats, light.

Pixels are full-range RGB integers of 8 or 16 bits, h w c; the network takes float32 RGB in [0, 1], gamma-coded alike.
`to_float` and `to_integer` are each other's undo and the only places where one becomes the other.
YUV becomes RGB, and RGB YUV, in `video/convert.py`, by the colours this file completes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alanet.frames.frame import Color, Pixels

__all__ = ["assumed_color", "linear_to_srgb", "srgb_to_linear", "to_float", "to_integer"]


def to_float(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Integers of any shape, uint8 or uint16 -> float32 in [0, 1]; 0 and the largest integer become exactly 0 and 1."""
    return np.divide(pixels, np.float32(np.iinfo(pixels.dtype).max), dtype=np.float32)


def to_integer(values: npt.NDArray[Any], depth: int) -> Pixels:
    """Floats -> uint8 (depth 8) or uint16 (deeper, all 16 bits used), clamped to [0, 1], rounded to the nearest."""
    dtype: type[np.uint8] | type[np.uint16] = np.uint8 if depth <= 8 else np.uint16
    scaled = np.clip(values, 0.0, 1.0) * np.float32(np.iinfo(dtype).max)
    pixels: Pixels = np.rint(scaled, out=scaled).astype(dtype)
    return pixels


def assumed_color(color: Color, width: int, height: int) -> Color:
    """`color` with every missing tag filled by what is then assumed.

    The matrix follows the primaries where those are tagged, else the size: BT.709 from 720 lines or 1280 columns (films
    of 1280 x 544 are cut from 720 lines), else BT.601. Primaries and transfer follow the matrix. The range is "tv".
    """
    by_size = "bt709" if height >= 720 or width >= 1280 else "smpte170m"
    matrix = color.matrix or _MATRIX_OF.get(color.primaries or "", by_size)
    primaries = color.primaries or _PRIMARIES_OF.get(matrix, "bt709")
    transfer = color.transfer or ("iec61966-2-1" if matrix == "gbr" else _TRANSFER_OF.get(primaries, "bt709"))
    levels = color.range or ("pc" if matrix == "gbr" else "tv")
    return replace(color, matrix=matrix, primaries=primaries, transfer=transfer, range=levels)


_MATRIX_OF = {"bt709": "bt709", "smpte170m": "smpte170m", "bt470bg": "bt470bg", "bt2020": "bt2020nc"}
_PRIMARIES_OF = {
    "smpte170m": "smpte170m",
    "bt470bg": "bt470bg",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
    "ictcp": "bt2020",
}
_TRANSFER_OF = {"smpte170m": "smpte170m", "smpte240m": "smpte240m", "bt2020": "bt2020-10"}


def srgb_to_linear(values: Any) -> Any:
    """sRGB-coded values -> linear light, both in [0, 1] (IEC 61966-2-1); a numpy array or torch tensor of any shape."""
    xp = _library(values)
    return xp.where(values <= 0.04045, values / 12.92, ((values.clip(0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(values: Any) -> Any:
    """Linear light -> sRGB-coded values: the undo of `srgb_to_linear`."""
    xp = _library(values)
    return xp.where(values <= 0.0031308, values * 12.92, 1.055 * values.clip(0.0031308) ** (1 / 2.4) - 0.055)


def _library(values: Any) -> Any:
    """The module whose `where` takes these values; torch is imported only by those who use it."""
    if isinstance(values, np.ndarray | np.generic):
        return np
    import torch

    return torch
