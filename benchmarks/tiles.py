"""Tiles: how much a tiled result differs from an untiled one, and how much is computed twice, by halo."""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from alanet.engine.runner import Runner
from alanet.engine.tiled import TiledRunner, exact_halo
from alanet.frames.tiles import overhead, plan_tiles, round_up
from alanet.model.network import Window
from alanet.notes import Notes
from benchmarks.common import restorer, sample, table


def tiles(options: argparse.Namespace, _: Path) -> None:
    """A strip, whose middle tiles have a whole halo on both sides, at 16 bits: the largest difference, by halo."""
    one = restorer(options)
    stride, used = one.model.stride, exact_halo(one.model)
    widest = round_up(one.model.tiling.halo, 32)
    width, height = 96 + 4 * widest, 96
    clip = [frame.astype(np.uint16) * 257 for frame in islice(sample(width, height), 3)]

    def made(runner: Runner | TiledRunner) -> np.ndarray:
        window: dict[int, Any] = {i: runner.encode(frame) for i, frame in enumerate(clip)}
        pairs = {i: runner.relate(window[i], window[i + 1]) for i in (0, 1)}
        return np.stack(list(runner.generate(Window(window, pairs), [1.0, 1.5], clip[0]))).astype(np.float64)  # type: ignore[arg-type]

    def work(halo: int, core: int) -> str:
        grid = plan_tiles(2176, 3840, halo=halo, stride=stride, max_tile_pixels=(core + 2 * halo) ** 2)
        return f"{overhead(grid):.1f}"

    whole, cores = made(one.runner), (256, 512, 1024)
    rows = []
    for halo in sorted({*range(32, widest + 32, 32), used}):
        grid = plan_tiles(height, width, halo=halo, stride=stride, max_tile_pixels=height * (96 + 2 * halo))
        error = np.abs(made(TiledRunner(one.runner, grid, "exact", Notes())) - whole) / 65535
        name = f"{halo} (used)" if halo == used else str(halo)
        rows.append((name, f"{error.max():.1e}", f"{error.mean():.1e}", *(work(halo, core) for core in cores)))
    table(("halo, px", "largest difference", "mean", *(f"work at 4K, cores of {core}" for core in cores)), *rows)
