"""A frame too large to be restored in one piece: tile by tile, with the untiled result.

The network says how it is tiled (`Network.tiling`). Where features and motion are those of whole frames, which take
little, only `generate` works tile by tile. Where they are a tile's (the paper's network), a frame is encoded twice:
tile by tile when it arrives, to find the mean of its latent over the whole frame, which the attention weights need; and
again, with the other frames of its window, tile by tile when restored frames are made. That is one encoding and then
one a frame of the window, instead of one in all: the price of memory that depends on the tile and not on the frame.

"exact" tiles have a halo as wide as the network's receptive field. "feather" is faster: a narrow halo, blended; its
tiles do not agree with the whole frame exactly, and by how much is measured where four of them meet, and noted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alanet.engine.memory import free_memory, memory_cost, whole_work
from alanet.engine.runner import Runner, is_finite
from alanet.engine.stream import Estimate
from alanet.frames.color import to_float, to_integer
from alanet.frames.frame import Pixels, VideoInfo
from alanet.frames.tiles import (
    Box,
    Tile,
    add,
    crop_back,
    cut,
    least_tile_pixels,
    overhead,
    pad_to_multiple,
    paste,
    plan_for_memory,
    plan_tiles,
    round_up,
    weights_of,
)
from alanet.model.network import Network, Window
from alanet.notes import Notes
from alanet.video.output.format import OutputPlan

__all__ = [
    "FEATHER",
    "TileMode",
    "TiledFrame",
    "TiledRunner",
    "exact_halo",
    "passes",
    "plan_tiles_for",
    "smaller_tiles",
]

TileMode = Literal["exact", "feather"]
_Values = npt.NDArray[np.float32]
_TileMaker = Callable[[Tile], Iterator["_Values | None"]]
FEATHER = 64  # px, halo of feathered tiles
SEEN = 0.9  # of the receptive radius; what is farther counts for nothing. At 224 px of 259 a random network's tiles are
#             off by 4e-6 (rounding alone: 2.6e-6), at 192 by 7e-4; `scripts/bench tiles` measures any weights
MOST_WORK = 4.0  # times a frame's pixels; smaller tiles would be nearly all halo
SPATIAL = (0, 1)  # h w c


@dataclass(frozen=True, slots=True)
class TiledFrame:
    """What a stream keeps of a frame that is restored in tiles."""

    pixels: Pixels  # h' w' 3, padded to the stride
    mean: Tensor  # 1 c, of the latent over the whole padded frame


class TiledRunner:
    """Restores tile by tile; takes the place of `Runner` in a stream.

    `tiles` partition the padded frame (`plan_for_memory`); `mode` says how wide their halo is meant to be.
    """

    def __init__(self, runner: Runner, tiles: Sequence[Tile], mode: TileMode, notes: Notes) -> None:
        self.runner, self.tiles, self.mode, self.notes = runner, list(tiles), mode, notes
        self.tiling = runner.model.tiling
        self._compared = mode == "exact"

    def encode(self, pixels: Pixels) -> Any:
        """Features of the whole frame; or, where these are a tile's, the frame and the mean over it."""
        if self.tiling.mean is None:
            return self.runner.encode(pixels)
        stride = self.runner.model.stride
        padded = pad_to_multiple(pixels[..., :3], stride, SPATIAL)
        total = sum(self.tiling.mean(self._encode(padded, tile), *_core_cells(tile, stride)) for tile in self.tiles)
        assert isinstance(total, Tensor)
        return TiledFrame(padded, total / (padded.shape[0] * padded.shape[1] // stride**2))

    def relate(self, a: Any, b: Any) -> Any:
        """What the network keeps of a pair of whole frames; nothing where features are a tile's."""
        return self.runner.relate(a, b) if self.tiling.mean is None else None

    def estimate(self, window: Window, i: int) -> Estimate | None:
        """As the untiled runner; nothing where features are a tile's."""
        return self.runner.estimate(window, i) if self.tiling.mean is None else None

    def generate(self, window: Window, times: Sequence[float], like: Pixels) -> Iterator[Pixels | None]:
        """The frames at `times`, one after the other, all made from one pass over the tiles; None for one that has NaN
        or infinity."""
        join = self._blended if self.mode == "feather" else self._exact
        padded = tuple(round_up(size, self.runner.model.stride) for size in like.shape[:2])
        made = join(lambda tile: self._tile(window, times, tile), len(times), like, padded)
        if not self._compared and made[0] is not None:
            self._compared = True
            self._compare(made[0], lambda tile: self._tile(window, times[:1], tile), like, padded)
        yield from made

    def _tile(self, window: Window, times: Sequence[float], tile: Tile) -> Iterator[_Values | None]:
        """One tile's outer box at every time: h w 3, float32, not clamped; None where that is not finite."""
        within: Box | None = tile.outer
        with_mean = self.tiling.with_mean
        if with_mean is not None:
            features = {
                i: with_mean(self._encode(frame.pixels, tile), frame.mean) for i, frame in window.features.items()
            }
            window, within = Window(features, window.relations), None
        for at in times:
            with torch.inference_mode(), self.runner.autocast():
                values = _values(self.runner.model.generate(window, at, within))
            yield values

    def _encode(self, padded: Pixels, tile: Tile) -> Any:
        frame = torch.from_numpy(to_float(cut(padded, tile, SPATIAL))).to(self.runner.device)
        frame = frame.permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)  # b c h w
        with torch.inference_mode(), self.runner.autocast():
            return self.runner.model.encode(frame)

    def _exact(self, of: _TileMaker, n: int, like: Pixels, padded: tuple[int, ...]) -> list[Pixels | None]:
        made: list[Pixels | None] = [np.empty((*padded, 3), like.dtype) for _ in range(n)]
        for tile in self.tiles:
            for i, values in enumerate(of(tile)):
                if values is None:
                    made[i] = None
                elif made[i] is not None:
                    paste(made[i], to_integer(values, like.dtype.itemsize * 8), tile, SPATIAL)
        return [
            canvas if canvas is None else crop_back(canvas, like.shape[0], like.shape[1], SPATIAL) for canvas in made
        ]

    def _blended(self, of: _TileMaker, n: int, like: Pixels, padded: tuple[int, ...]) -> list[Pixels | None]:
        sums: list[_Values | None] = [np.zeros((*padded, 3), np.float32) for _ in range(n)]
        for tile in self.tiles:
            weights = weights_of(tile, *padded)[..., None]
            for i, values in enumerate(of(tile)):
                if values is None:
                    sums[i] = None
                elif sums[i] is not None:
                    add(sums[i], values * weights, tile, SPATIAL)
        rounded = (canvas if canvas is None else to_integer(canvas, like.dtype.itemsize * 8) for canvas in sums)
        return [
            canvas if canvas is None else crop_back(canvas, like.shape[0], like.shape[1], SPATIAL) for canvas in rounded
        ]

    def _compare(self, made: Pixels, of: _TileMaker, like: Pixels, padded: tuple[int, ...]) -> None:
        """Note how far feathering is from the exact result, on this frame, at a corner where tiles meet."""
        model = self.runner.model
        tile = _corner(self.tiles, exact_halo(model), model.stride, *padded)
        (values,) = of(tile)
        if values is None:
            return
        exact = np.zeros((*padded, 3), like.dtype)
        paste(exact, to_integer(values, like.dtype.itemsize * 8), tile, SPATIAL)
        core = replace(tile, outer=tile.core)
        a, b = cut(made, core, SPATIAL), cut(crop_back(exact, like.shape[0], like.shape[1], SPATIAL), core, SPATIAL)
        error = np.abs(np.subtract(a, b, dtype=np.float32)) / float(np.iinfo(like.dtype).max)
        self.notes.warn(
            f"feathered tiles: where they meet, the first restored frame differs from the exact one by "
            f"{error.max() * 255:.1f} of 255 at most, {error.mean() * 255:.3f} on average"
        )


def passes(model: Network, tiles: Sequence[Tile]) -> tuple[float, float]:
    """How often each pixel of a frame goes through `encode`, and a restored one's through `generate`."""
    again = overhead(tiles)
    if model.tiling.mean is None:
        return 1.0, again
    return (again if len(tiles) == 1 else again * (1.0 + model.window + 1)), again


def exact_halo(model: Network) -> int:
    """The receptive field's radius that counts, in pixels, a multiple of the stride."""
    return round_up(int(model.tiling.halo * SEEN), model.stride)


def _values(restored: Tensor) -> _Values | None:
    return restored[0].permute(1, 2, 0).float().cpu().numpy() if is_finite(restored) else None


def _corner(tiles: Sequence[Tile], halo: int, stride: int, height: int, width: int) -> Tile:
    """An exact tile around the end of the middle tile, with a core as large as the memory of a feathered one allows."""
    middle = tiles[len(tiles) // 2].core
    most = max(tile.outer.pixels for tile in tiles)
    reach = max(FEATHER, (math.isqrt(most) - 2 * halo) // 2 // stride * stride)

    def around(end: int, size: int) -> tuple[int, int]:
        return (max(end - reach, 0), min(end + reach, size)) if end < size else (max(end - 2 * reach, 0), size)

    (top, bottom), (left, right) = around(middle.bottom, height), around(middle.right, width)
    outer = Box(max(top - halo, 0), max(left - halo, 0), min(bottom + halo, height), min(right + halo, width))
    return Tile(Box(top, left, bottom, right), outer, halo)


def _core_cells(tile: Tile, stride: int) -> tuple[slice, slice]:
    """The rows and columns of the tile's core, in cells of the stride, counted from its outer box."""
    core, outer = tile.core, tile.outer
    top, left = (core.top - outer.top) // stride, (core.left - outer.left) // stride
    return slice(top, top + core.height // stride), slice(left, left + core.width // stride)


def plan_tiles_for(
    runner: Runner, info: VideoInfo, memory: int | None, mode: TileMode, output: OutputPlan | None = None
) -> list[Tile]:
    """The tiles with which restoring this video stays within `memory` bytes; a single one where whole frames do.

    memory: of the process, or of the GPU where the network runs on one; None: most of what is free now. output: how
    the result is written, None where it is not. Raises ResourceError with the least memory worth working in.
    """
    model = runner.model
    budget = free_memory(runner.device) if memory is None else memory
    cost = memory_cost(runner, info, output)
    if mode == "feather":
        canvases = 2 * 3 * 4 + 3 * 4  # bytes a pixel: two frames of floats, and one while it is rounded
        cost = replace(cost, per_frame_pixel=cost.per_frame_pixel + canvases)
    grid, room = _grid(model, mode)
    room = max(room, whole_work(runner, info))
    return plan_for_memory(info.height, info.width, cost, budget, **grid, most_work=MOST_WORK, room=room)


def smaller_tiles(model: Network, tiles: Sequence[Tile], height: int, width: int, mode: TileMode) -> list[Tile] | None:
    """Tiles of at most half the size of these (one or none: of the frame), or of the least size where that is more;
    None where there are no smaller ones."""
    grid, room = _grid(model, mode)
    high, wide = round_up(height, model.stride), round_up(width, model.stride)
    now = max((tile.outer.pixels for tile in tiles), default=high * wide)
    least = max(least_tile_pixels(high, wide, **grid, most_work=MOST_WORK), min(room, high * wide))
    most = max(now // 2, least)
    return plan_tiles(high, wide, **grid, max_tile_pixels=most) if most < now else None


def _grid(model: Network, mode: TileMode) -> tuple[dict[str, int], int]:
    """Halo and stride of the tiles, and the pixels that must fit into the memory of one whatever they are."""
    if mode == "exact":
        return {"halo": exact_halo(model), "stride": model.stride}, 0
    return {"halo": FEATHER, "stride": model.stride}, (2 * FEATHER + 2 * exact_halo(model)) ** 2  # `_compare`
