"""Frames that callers hold as NumPy arrays or torch tensors, and the integer pixels that the package works on.

    uint8  -> uint8  -> uint8
    uint16 -> uint16 -> uint16
    float  -> uint16 -> float      [0, 1], rounded to 1/65535

Axes are h w 3. Results come back as what was given: same library, type and device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alanet.errors import OptionError
from alanet.frames.color import to_float, to_integer
from alanet.frames.frame import Pixels

__all__ = ["Picture", "to_pixels"]

Picture = TypeVar("Picture", npt.NDArray[Any], Tensor)
WANTED = "give arrays h w 3 of one size, all uint8, all uint16 or all float in [0, 1]"


def to_pixels(frames: Sequence[Picture]) -> tuple[list[Pixels], Callable[[Pixels], Picture]]:
    """The frames as pixels of their own, and the function that makes of pixels what was given.

    Raises OptionError for no frames, other axes, several sizes or types, and floats outside [0, 1].
    """
    if isinstance(frames, str | bytes) or not hasattr(frames, "__len__") or not hasattr(frames, "__getitem__"):
        raise OptionError(f"frames are of type {type(frames).__name__}; give a sequence of arrays h w 3")
    if not len(frames):
        raise OptionError("no frames were given; give one or more arrays h w 3")
    for number, frame in enumerate(frames):
        if not isinstance(frame, np.ndarray | Tensor):
            raise OptionError(
                f"frame {number} is of type {type(frame).__name__}; give NumPy arrays or torch tensors, h w 3"
            )
    first = frames[0]
    if len({isinstance(frame, Tensor) for frame in frames}) > 1:
        raise OptionError("frames are NumPy arrays and torch tensors; give all of one kind")
    arrays: list[npt.NDArray[Any]] = [
        np.asarray(f) if isinstance(f, np.ndarray) else f.detach().cpu().to(_shared_by_numpy(f.dtype)).numpy()
        for f in frames
    ]
    _check(arrays)
    if arrays[0].dtype.kind == "f":
        return [to_integer(array, depth=16) for array in arrays], lambda pixels: _as(first, to_float(pixels))
    return [array.copy() for array in arrays], lambda pixels: _as(first, pixels)


def _check(arrays: Sequence[npt.NDArray[Any]]) -> None:
    """OptionError unless these are frames of one kind."""
    kinds = sorted({f"{array.shape} {array.dtype}" for array in arrays})
    allowed = all(a.dtype in (np.uint8, np.uint16) or a.dtype.kind == "f" for a in arrays)
    if len(kinds) > 1 or not allowed or arrays[0].ndim != 3 or arrays[0].shape[2] != 3 or not arrays[0].size:
        order = ""
        if arrays[0].ndim == 3 and arrays[0].shape[0] == 3:
            order = "; of c h w make h w c by frame.transpose(1, 2, 0), of tensors by frame.permute(1, 2, 0)"
        raise OptionError(f"frames of {' and '.join(kinds)} were given; {WANTED}{order}")
    for number, array in enumerate(arrays):
        if array.dtype.kind == "f" and not bool(((array >= 0) & (array <= 1)).all()):
            raise OptionError(
                f"frame {number} has values from {array.min():g} to {array.max():g}; allowed: floats from 0 to 1 "
                "(divide 8-bit values by 255)"
            )


def _shared_by_numpy(kind: torch.dtype) -> torch.dtype:
    return torch.float32 if kind == torch.bfloat16 else kind


def _as(given: Picture, values: npt.NDArray[Any]) -> Picture:
    """Values in the library, the type and on the device of what was given."""
    if isinstance(given, np.ndarray):
        return values.astype(given.dtype, copy=False)
    return torch.from_numpy(values).to(given.device, given.dtype)
