"""Pad, cut and blend back, each with its undo: how a frame of any size goes through a network of a fixed stride.

Sizes and positions are in pixels. Everything takes numpy arrays and tensors alike: `axes` names the two that are
height and width, (-2, -1) for b c h w, (0, 1) for h w c.

A tile has a *core*, the pixels it owns, and an *outer* box: the core and a halo around it that the network reads too.

    +---------+----------------+      Cores partition the frame: every pixel is owned once. Origins lie on multiples of
    |  core   :                |      the stride, so that a tile pools the same pixels together as the whole frame does.
    |     +---:------+         |      At the frame's border there is no halo: the network's own padding is there, as it
    |- - -|- -:- - - |         |      is for the whole frame. With a halo of at least the receptive radius the cores
    |     +---:------+ <- outer|      are exactly those of the whole frame (apart from what the network pools globally);
    +---------+----------------+      with less, blend the outer boxes by `weights_of` and accept a small error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from alanet.errors import ResourceError

__all__ = [
    "Box",
    "MemoryCost",
    "Tile",
    "add",
    "crop_back",
    "cut",
    "least_tile_pixels",
    "overhead",
    "pad_to_multiple",
    "paste",
    "plan_for_memory",
    "plan_tiles",
    "round_up",
    "weights_of",
]

SPATIAL = (-2, -1)  # b c h w


class _Array(Protocol):
    @property
    def shape(self) -> Any: ...
    def __getitem__(self, key: Any) -> Any: ...


A = TypeVar("A", bound=_Array)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels; bottom and right are excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def pixels(self) -> int:
        return self.height * self.width


@dataclass(frozen=True, slots=True)
class Tile:
    """What it owns, what it reads, and the halo it was planned with (less of it exists where the frame ends)."""

    core: Box
    outer: Box
    halo: int


@dataclass(frozen=True, slots=True)
class MemoryCost:
    """Memory that a network needs while it runs, in bytes. Measured, or counted by the network."""

    per_tile_pixel: float  # while a tile is computed: grows with the tile's outer box
    per_frame_pixel: float = 0.0  # whatever the tiles: frames and features that wait in the ring
    fixed: int = 0  # weights, the process itself


def round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def pad_to_multiple(x: A, multiple: int, axes: tuple[int, int] = SPATIAL) -> A:
    """`x` continued at the bottom and right, mirrored without repeating the edge, to multiples of `multiple`.

    Where the picture is smaller than what is missing it is mirrored back and forth (one pixel: repeated). `x` itself
    where nothing is missing. `crop_back` undoes it.
    """
    for axis in axes:
        size = x.shape[axis]
        wanted = round_up(size, multiple)
        if wanted != size:
            key: list[Any] = [slice(None)] * len(x.shape)
            key[axis] = _mirrored(size, wanted)
            x = x[tuple(key)]
    return x


def crop_back(x: A, height: int, width: int, axes: tuple[int, int] = SPATIAL) -> A:
    """The undo of `pad_to_multiple`: the top left height x width of `x`, a view."""
    view: A = x[_key(x, Box(0, 0, height, width), axes)]
    return view


def cut(x: A, tile: Tile, axes: tuple[int, int] = SPATIAL) -> A:
    """The part of `x` that this tile reads, a view. `paste` undoes it; so does `add` of all tiles, weighted."""
    view: A = x[_key(x, tile.outer, axes)]
    return view


def paste(canvas: Any, seen: A, tile: Tile, axes: tuple[int, int] = SPATIAL) -> None:
    """Write the part of `seen` (the size of the tile's outer box) that the tile owns into the frame, in place."""
    core, outer = tile.core, tile.outer
    inside = Box(core.top - outer.top, core.left - outer.left, core.bottom - outer.top, core.right - outer.left)
    canvas[_key(canvas, core, axes)] = seen[_key(seen, inside, axes)]


def add(canvas: Any, weighted: Any, tile: Tile, axes: tuple[int, int] = SPATIAL) -> None:
    """Add what was seen, times its `weights_of`, to a frame that began as zeros, in place."""
    canvas[_key(canvas, tile.outer, axes)] += weighted


def weights_of(tile: Tile, height: int, width: int) -> npt.NDArray[np.float32]:
    """Feathering weights of the tile's outer box, h w, in [0, 1]; all tiles of a height x width frame sum to one.

    Across every border between cores a ramp rises from 0 to 1, from one halo before to one halo after it. A tile's
    weight is the ramp at its start minus the ramp at its end, so the sum telescopes, also where three tiles overlap.
    """
    rows = _ramps(tile.core.top, tile.core.bottom, height, tile)[tile.outer.top : tile.outer.bottom]
    columns = _ramps(tile.core.left, tile.core.right, width, tile)[tile.outer.left : tile.outer.right]
    return np.outer(rows, columns).astype(np.float32)


def overhead(tiles: Sequence[Tile]) -> float:
    """How many times the frame's pixels are computed in all: 1.0 without tiles."""
    return sum(tile.outer.pixels for tile in tiles) / sum(tile.core.pixels for tile in tiles)


def plan_tiles(height: int, width: int, *, halo: int, stride: int, max_tile_pixels: int | None = None) -> list[Tile]:
    """The grid of tiles that computes the fewest pixels with no tile (outer box) above `max_tile_pixels`, row by row.

    height, width: of the padded frame, multiples of `stride`. halo: px, rounded up to the stride. Without a limit, or
    where the frame is within it, one tile: the frame itself.

    Raises ResourceError where even cores of one stride are too large with their halo.
    """
    assert (height % stride, width % stride) == (0, 0), f"pad {width}x{height} to multiples of {stride} first"
    halo = round_up(halo, stride)
    rows, columns = _splits(height, halo, stride), _splits(width, halo, stride)
    allowed = height * width if max_tile_pixels is None else max_tile_pixels
    fitting = [
        (row_sum * column_sum, m * n, m, n)
        for (m, (row_most, row_sum)), (n, (column_most, column_sum)) in product(rows.items(), columns.items())
        if row_most * column_most <= allowed
    ]
    if not fitting:
        least = least_tile_pixels(height, width, halo=halo, stride=stride)
        raise ResourceError(
            f"tiles of at most {allowed} pixels were asked for; with a halo of {halo} pixels a {width}x{height} frame "
            f"needs tiles of {least}: allow at least that many"
        )
    _, _, m, n = min(fitting)
    return [
        Tile(core, _outer(core, halo, height, width), halo)
        for top, bottom in _parts(height, m, stride)
        for left, right in _parts(width, n, stride)
        for core in [Box(top, left, bottom, right)]
    ]


def least_tile_pixels(height: int, width: int, *, halo: int, stride: int, most_work: float = math.inf) -> int:
    """The least that the largest outer box of a grid can have, in pixels, with an `overhead` of at most `most_work`."""
    halo = round_up(halo, stride)
    rows, columns = _splits(height, halo, stride).values(), _splits(width, halo, stride).values()
    return min(
        row_most * column_most
        for (row_most, row_sum), (column_most, column_sum) in product(rows, columns)
        if row_sum * column_sum <= most_work * height * width
    )


def plan_for_memory(
    height: int,
    width: int,
    cost: MemoryCost,
    budget: int | None,
    *,
    halo: int,
    stride: int,
    most_work: float = math.inf,
    room: int = 0,
) -> list[Tile]:
    """Tiles with which the network stays within `budget` bytes; one tile, the whole frame, where that fits.

    height, width: of the frame as it is; the tiles are those of the frame padded to the stride. budget None: no limit.
    most_work: the largest `overhead` worth having; in little memory tiles are nearly all halo. room: pixels that must
    fit into the memory of a tile, whatever the tiles are.

    Raises ResourceError, with the least memory that would do.
    """
    high, wide = round_up(height, stride), round_up(width, stride)
    if budget is None:
        return plan_tiles(high, wide, halo=halo, stride=stride)
    waiting = cost.fixed + cost.per_frame_pixel * high * wide
    allowed = int((budget - waiting) // cost.per_tile_pixel)
    least = least_tile_pixels(high, wide, halo=halo, stride=stride, most_work=most_work)
    least = max(least, min(room, high * wide))
    if allowed < least:
        mebibytes = math.ceil((waiting + cost.per_tile_pixel * least) / 2**20)
        raise ResourceError(
            f"{budget / 2**20:.0f} MiB of memory can be taken, and {width}x{height} needs at least {mebibytes} MiB "
            f"even in tiles; use --memory {mebibytes}M or more, or a smaller video"
        )
    return plan_tiles(high, wide, halo=halo, stride=stride, max_tile_pixels=allowed)


def _mirrored(size: int, wanted: int) -> list[int]:
    """Indices 0 1 2 ... size-1 ... 2 1 0 1 2 ..., `wanted` of them; a list, which numpy and torch read alike."""
    period = max(1, 2 * (size - 1))
    return [min(i % period, period - i % period) if size > 1 else 0 for i in range(wanted)]


def _key(x: _Array, box: Box, axes: tuple[int, int]) -> tuple[slice, ...]:
    key = [slice(None)] * len(x.shape)
    key[axes[0]] = slice(box.top, box.bottom)
    key[axes[1]] = slice(box.left, box.right)
    return tuple(key)


def _parts(size: int, count: int, stride: int) -> list[tuple[int, int]]:
    """`size` in `count` nearly equal parts whose borders are multiples of the stride."""
    units = size // stride
    return list(pairwise(units * k // count * stride for k in range(count + 1)))


def _splits(size: int, halo: int, stride: int) -> dict[int, tuple[int, int]]:
    """For every number of parts along one side: the longest part with its halo, and the sum of all of them."""
    splits = {}
    for count in range(1, size // stride + 1):
        lengths = [min(end + halo, size) - max(start - halo, 0) for start, end in _parts(size, count, stride)]
        splits[count] = max(lengths), sum(lengths)
    return splits


def _outer(core: Box, halo: int, height: int, width: int) -> Box:
    return Box(
        max(core.top - halo, 0),
        max(core.left - halo, 0),
        min(core.bottom + halo, height),
        min(core.right + halo, width),
    )


def _ramps(start: int, end: int, size: int, tile: Tile) -> npt.NDArray[np.float64]:
    """Weight along one side of the frame: up around `start`, down around `end`, flat at the frame's own borders."""
    centres = np.arange(size) + 0.5

    def ramp(border: int) -> npt.NDArray[np.float64]:
        return np.clip((centres - border) / max(2 * tile.halo, 1e-9) + 0.5, 0, 1)

    one = np.ones(size)
    return (ramp(start) if start > 0 else one) - (ramp(end) if end < size else one * 0)
