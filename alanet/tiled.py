"""A frame too large to be restored in one piece: tile by tile, with the untiled result.

What a tile cannot know by itself is what the gates look at, the mean of the latent over the whole frame. So a frame is
encoded twice: tile by tile when it arrives, keeping only that descriptor; and again, with the other frames of its
window, tile by tile when restored frames are made. That is one encoding and then one a frame of the window, instead of
one in all: the price of memory that depends on the tile and not on the frame.

"exact" tiles have a halo as wide as the receptive field. "feather" is cheaper: a narrow halo, blended; its tiles do not
agree with the whole frame exactly, and by how much is measured on the first restored frame and noted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alanet.errors import ResourceError
from alanet.frames.color import to_float, to_integer
from alanet.frames.frame import Pixels, VideoInfo
from alanet.frames.tiles import (
    MemoryCost,
    Tile,
    add,
    crop_back,
    cut,
    least_tile_pixels,
    pad_to_multiple,
    paste,
    plan_for_memory,
    plan_tiles,
    round_up,
    weights_of,
)
from alanet.memory import free_memory, memory_cost
from alanet.model.alanet import ALANet, Features
from alanet.model.alanet_plus import ALANetPlus
from alanet.notes import Notes
from alanet.runner import Runner

__all__ = ["FEATHER", "TileMode", "TiledFrame", "TiledRunner", "plan_tiles_for"]

TileMode = Literal["exact", "feather"]
FEATHER = 64  # px, halo of feathered tiles
SPATIAL = (0, 1)  # h w c


@dataclass(frozen=True, slots=True)
class TiledFrame:
    """What a stream keeps of a frame that is restored in tiles."""

    pixels: Pixels  # h' w' 3, padded to the stride
    descriptor: Tensor  # 1 c, over the whole padded frame


class TiledRunner:
    """Encodes and generates in tiles; takes the place of `Runner` in a stream.

    `tiles` partition the padded frame (`plan_for_memory`); `mode` says how wide their halo is meant to be.
    """

    def __init__(self, runner: Runner, tiles: Sequence[Tile], mode: TileMode, notes: Notes) -> None:
        assert isinstance(runner.model, ALANet), "only the paper's network is restored in tiles"
        self.runner, self.model, self.tiles, self.mode, self.notes = runner, runner.model, list(tiles), mode, notes
        self._compared = mode == "exact"

    def encode(self, pixels: Pixels) -> TiledFrame:
        """The descriptor of the whole frame, gathered over the tiles' cores; nothing else is kept."""
        padded = pad_to_multiple(pixels[..., :3], self.runner.model.stride, SPATIAL)
        total = sum(_core_sum(self._encode(padded, tile), tile, self.runner.model.stride) for tile in self.tiles)
        assert isinstance(total, Tensor)
        places = padded.shape[0] * padded.shape[1] // self.runner.model.stride**2
        return TiledFrame(padded, total / places)

    def relate(self, a: TiledFrame, b: TiledFrame) -> None:
        """The paper's network keeps nothing of a pair."""

    def generate(
        self, window: Mapping[int, TiledFrame], times: Sequence[float], like: Pixels, relations: object = None
    ) -> Iterator[Pixels]:
        """The frames at `times`, one after the other, all made from one encoding of each tile of the window."""
        made = self._blended(window, times, like) if self.mode == "feather" else self._exact(window, times, like)
        if not self._compared:
            self._compared = True
            self._compare(made[0], window, times[0], like)
        yield from made

    def _exact(self, window: Mapping[int, TiledFrame], times: Sequence[float], like: Pixels) -> list[Pixels]:
        shape = next(iter(window.values())).pixels.shape
        made = [np.empty(shape, like.dtype) for _ in times]
        for tile in self.tiles:
            for canvas, values in zip(made, self._tile(window, times, tile), strict=True):
                paste(canvas, to_integer(values, like.dtype.itemsize * 8), tile, SPATIAL)
        return [crop_back(canvas, *like.shape[:2], SPATIAL) for canvas in made]

    def _blended(self, window: Mapping[int, TiledFrame], times: Sequence[float], like: Pixels) -> list[Pixels]:
        shape = next(iter(window.values())).pixels.shape
        sums = [np.zeros(shape, np.float32) for _ in times]
        for tile in self.tiles:
            weights = weights_of(tile, *shape[:2])[..., None]
            for canvas, values in zip(sums, self._tile(window, times, tile), strict=True):
                add(canvas, values * weights, tile, SPATIAL)
        return [crop_back(to_integer(c, like.dtype.itemsize * 8), *like.shape[:2], SPATIAL) for c in sums]

    def _tile(
        self, window: Mapping[int, TiledFrame], times: Sequence[float], tile: Tile
    ) -> Iterator[npt.NDArray[np.float32]]:
        """One tile's outer box at every time: h w 3, float32, not clamped."""
        with torch.inference_mode(), self.runner.autocast():
            features = {i: replace(self._encode(frame.pixels, tile), descriptor=frame.descriptor)
                        for i, frame in window.items()}  # fmt: skip
            for at in times:
                restored = self.model.generate(features, at)
                yield restored[0].permute(1, 2, 0).float().cpu().numpy()

    def _encode(self, padded: Pixels, tile: Tile) -> Features:
        frame = torch.from_numpy(to_float(cut(padded, tile, SPATIAL))).to(self.runner.device)
        frame = frame.permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)  # b c h w
        with torch.inference_mode(), self.runner.autocast():
            return self.model.encode(frame)

    def _compare(self, made: Pixels, window: Mapping[int, TiledFrame], at: float, like: Pixels) -> None:
        """Note how far feathering is from the exact result, on this frame, with the smallest exact tiles."""
        height, width = next(iter(window.values())).pixels.shape[:2]
        model = self.model
        grid = {"halo": model.receptive_radius, "stride": model.stride}
        allowed = max(least_tile_pixels(height, width, **grid), *(tile.outer.pixels for tile in self.tiles))
        tiles = plan_tiles(height, width, **grid, max_tile_pixels=allowed)
        exact = TiledRunner(self.runner, tiles, "exact", self.notes)._exact(window, [at], like)[0]
        top = float(np.iinfo(like.dtype).max)
        error = np.abs(made.astype(np.float32) - exact.astype(np.float32)) / top
        self.notes.warn(
            f"feathered tiles: the first restored frame differs from the exact one by {error.max() * 255:.1f} of 255 "
            f"at most, {error.mean() * 255:.3f} on average"
        )


def _core_sum(features: Features, tile: Tile, stride: int) -> Tensor:
    """The sum of the latent over the tile's core, 1 c, float32."""
    core, outer = tile.core, tile.outer
    top, left = (core.top - outer.top) // stride, (core.left - outer.left) // stride
    latent = features.latent[..., top : top + core.height // stride, left : left + core.width // stride]
    return latent.sum(dim=(-2, -1), dtype=torch.float32)


def plan_tiles_for(runner: Runner, info: VideoInfo, memory: int | None, mode: TileMode) -> list[Tile]:
    """The tiles with which frames of this video stay within `memory` bytes; a single one where whole frames do.

    memory None: most of what is free on the device now. Raises ResourceError with the least that would do.
    """
    model = runner.model
    budget = free_memory(runner.device) if memory is None else memory
    cost = memory_cost(runner, info)
    if not isinstance(model, ALANet):
        return _whole(model, info, cost, budget)
    halo = FEATHER if mode == "feather" else model.receptive_radius
    return plan_for_memory(info.height, info.width, cost, budget, halo=halo, stride=model.stride)


def _whole(model: ALANetPlus, info: VideoInfo, cost: MemoryCost, budget: int | None) -> list[Tile]:
    """The frame as one tile, where it fits. Its motion may reach across the frame, so that no halo would be exact."""
    height, width = round_up(info.height, model.stride), round_up(info.width, model.stride)
    needed = cost.fixed + (cost.per_frame_pixel + cost.per_tile_pixel) * height * width
    if budget is not None and needed > budget:
        raise ResourceError(
            f"{info.width}x{info.height} needs {math.ceil(needed / 2**20)} MiB with a network that aligns frames, "
            f"which cannot work in tiles, and {budget / 2**20:.0f} MiB are allowed; allow as much, take a smaller "
            "video or the paper's network"
        )
    return plan_tiles(height, width, halo=0, stride=model.stride)
