"""A bank: scenes rendered once into a few big files, from which any number of different clips are drawn.

    bank.json          the options, the seed, how many scenes, from which stills
    sharp-0000.npy     n frames h w c    uint8: the sharp sub-frames, so that exposures can be drawn again
    flow-0000.npy      n t-1 2 2 h/4 w/4 float16 \\  motion in pixels, see `render.py`
    sweep-0000.npy     n t 2 h/4 w/4     float16 /

Files are read memory-mapped. Scene k of a bank is scene (seed, k): rendering again extends a bank or finishes one
that was interrupted, and never changes a scene.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alanet.data.synthetic.render import Stills, find_stills, render, scene_motion
from alanet.data.synthetic.scenes import SceneOptions, draw_scene
from alanet.errors import DataError, OptionError
from alanet.files import atomic_write, write_json
from alanet.frames.exposure import Exposure

__all__ = ["Bank", "render_bank"]

SHARD = 50  # scenes a file
FORMAT = 1


class Bank:
    """An open bank. `exposure` is the longest exposure its clips have room for; a clip has at most `t` frames.

    Its files stay on disk, memory-mapped, for a CPU; for any other device all of them are copied to it.
    """

    def __init__(self, folder: Path | str, device: torch.device | str = "cpu") -> None:
        self.folder = Path(folder)
        try:
            about = json.loads((self.folder / "bank.json").read_text())
            if about["format"] != FORMAT:
                raise DataError(
                    f"the scenes in {self.folder} have format {about['format']}, this version reads {FORMAT}; "
                    "render them again"
                )
            self.options = SceneOptions(**{**about["options"], "layers": tuple(about["options"]["layers"])})
            self.exposure = Exposure(about["longest"], self.options.period)
            self.scenes = int(about["scenes"])
            self.seed = int(about["seed"])
            shards = range(-(-self.scenes // SHARD))
            self._sharp, self._flow, self._sweep = (
                [_tensor(shard_path(self.folder, kind, k)).to(device) for k in shards] for kind in KINDS
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, FileNotFoundError):
                reason = f"{Path(error.filename).name} is missing"
            elif isinstance(error, KeyError) and error.args == ("scenes",):  # written last
                reason = "rendering has not finished"
            raise DataError(
                f"no complete scenes in {self.folder} ({reason}); "
                "alanet data scenes renders or finishes them; alanet data build makes a dataset of videos"
            ) from None
        self.t = self.exposure.available(self.options.frames)

    def __len__(self) -> int:
        return self.scenes

    def sharp(self, scene: int) -> Tensor:
        """The sub-frames of a scene: frames h w c, uint8."""
        return self._sharp[scene // SHARD][scene % SHARD]

    def flow(self, scene: int) -> Tensor:
        """t-1 2 2 h/4 w/4, float16"""
        return self._flow[scene // SHARD][scene % SHARD]

    def sweep(self, scene: int) -> Tensor:
        """t 2 h/4 w/4, float16"""
        return self._sweep[scene // SHARD][scene % SHARD]

    def motions(self) -> Tensor:
        """How far the content of each scene moves, pixels a period: the mean over its places and frames."""
        return torch.cat([sweep.float().square().sum(dim=2).sqrt().mean(dim=(1, 2, 3)).cpu() for sweep in self._sweep])


KINDS = ("sharp", "flow", "sweep")


def _tensor(path: Path) -> Tensor:
    # Copy-on-write, as torch needs writable memory; nothing is written.
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def shard_path(folder: Path, kind: str, shard: int) -> Path:
    """The file of a shard."""
    return folder / f"{kind}-{shard:04d}.npy"


def render_bank(
    stills: Path,
    folder: Path,
    scenes: int,
    options: SceneOptions,
    *,
    seed: int = 0,
    longest: int = 15,
    held_out: bool = False,
    workers: int = 1,
    each: Callable[[Callable[[int], int], Sequence[int]], Iterable[object]] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Bank:
    """Render `scenes` scenes from the stills of a folder into a bank, or extend the bank that is there.

    longest: the longest exposure in sub-frames. each: maps a function over shards instead of `workers`
    (`ray_session.each`), on machines that all see the folders. `on_progress` gets the number of scenes that are done.
    Raises DataError if the folder holds another bank.
    """
    if scenes < 1:
        raise OptionError(f"{scenes} scenes; allowed: 1 or more")
    exposure = Exposure(longest, options.period)
    if exposure.available(options.frames) < 2:
        raise OptionError(f"{options.frames} sub-frames make no clip; allowed: {exposure.needed(2)} or more")
    paths = find_stills(stills, held_out=held_out)
    about = {
        "format": FORMAT,
        "options": asdict(options),
        "longest": longest,
        "seed": seed,
        "held_out": held_out,
        "stills": [path.name for path in paths],
    }
    folder.mkdir(parents=True, exist_ok=True)
    _check_same(folder, about)
    work = partial(_render_shard, _Job(paths, folder, options, seed, exposure, scenes))
    shards = range(-(-scenes // SHARD))
    made = _each(work, shards, workers) if each is None else each(work, shards)
    for done, _ in enumerate(made, 1):
        if on_progress:
            on_progress(min(done * SHARD, scenes))
    write_json(folder / "bank.json", {**about, "scenes": scenes})
    return Bank(folder)


def _check_same(folder: Path, about: dict[str, Any]) -> None:
    """Note what is being rendered, or compare it with what already is."""
    file = folder / "bank.json"
    if not file.exists():
        write_json(file, about)
        return
    there = json.loads(file.read_text())
    there.pop("scenes", None)
    if there != json.loads(json.dumps(about)):
        raise DataError(
            f"{folder} holds scenes with other options, seed or photographs; choose another folder, or remove it"
        )


def _each(work: Callable[[int], int], shards: range, workers: int) -> Any:
    if workers <= 1:
        yield from map(work, shards)
        return
    # Spawned, as a forked child of a process with threads may hang; one thread each, as more would fight for the cores.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, torch.set_num_threads, (1,)) as pool:
        for future in as_completed([pool.submit(work, shard) for shard in shards]):
            yield future.result()


@dataclass(frozen=True, slots=True)
class _Job:
    """The inputs of a worker."""

    paths: tuple[Path, ...]
    folder: Path
    options: SceneOptions
    seed: int
    exposure: Exposure
    scenes: int


def _render_shard(job: _Job, shard: int) -> int:
    """Render one file of each kind, unless it is there and whole. The last shard may be short."""
    indices = range(shard * SHARD, min((shard + 1) * SHARD, job.scenes))
    if all(_length(shard_path(job.folder, kind, shard)) == len(indices) for kind in KINDS):
        return shard
    stills = _stills(job.paths)
    parts: dict[str, list[npt.NDArray[Any]]] = {kind: [] for kind in KINDS}
    for index in indices:
        scene = draw_scene(job.options, job.seed, index)
        frames = (render(scene, stills) * 255).round_().to(torch.uint8)
        motion = scene_motion(scene, job.exposure)
        parts["sharp"].append(frames.permute(0, 2, 3, 1).numpy())
        parts["flow"].append(motion.flow.astype(np.float16))
        parts["sweep"].append(motion.sweep.astype(np.float16))
    for kind in KINDS:
        with atomic_write(shard_path(job.folder, kind, shard)) as file:
            np.save(file, np.stack(parts[kind]))
    return shard


_opened: dict[tuple[Path, ...], Stills] = {}


def _stills(paths: tuple[Path, ...]) -> Stills:
    """Decoded stills live as long as the worker does."""
    if paths not in _opened:
        _opened.clear()
        _opened[paths] = Stills(paths)
    return _opened[paths]


def _length(path: Path) -> int:
    try:
        return len(np.load(path, mmap_mode="r"))
    except (OSError, ValueError):
        return 0


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m alanet.data.bank", description="Render a bank of scenes from stills."
    )
    parser.add_argument("stills", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=2500)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--t", type=int, default=5, help="input frames of a clip")
    parser.add_argument("--period", type=int, default=8)
    parser.add_argument("--longest", type=int, default=15, help="longest exposure, sub-frames")
    parser.add_argument("--displacement", type=float, default=24.0, help="at most, pixels a period")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--held-out", action="store_true", help="from the held-out stills")
    args = parser.parse_args()
    frames = Exposure(args.longest, args.period).needed(args.t)
    options = SceneOptions(args.height, args.width, frames, args.period, args.displacement)
    render_bank(args.stills, args.out, args.scenes, options, seed=args.seed, longest=args.longest,
                held_out=args.held_out, workers=args.workers,
                on_progress=lambda done: print(f"{done} of {args.scenes} scenes", flush=True))  # fmt: skip


if __name__ == "__main__":
    _main()
