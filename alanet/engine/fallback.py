"""What can go wrong while the network works, and need not end a run: a GPU that is full, a result that is no number.

    out of memory     tiles of half the size, from the current frame on; what waits in the ring is made again for them
    NaN, infinity     the frame once more in fp32; None where that does not help, and the stream shows the input

Each frame is checked by itself, so that a run that goes on after another one comes to the same pictures. (Where a GPU
was full, to pictures within the tiles' tolerance.) On a CPU memory is planned and nothing is tried twice: the kernel
ends what takes too much without asking.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from weakref import WeakSet

import torch

from alanet.engine.memory import is_full_gpu
from alanet.engine.runner import Runner
from alanet.engine.stream import Estimate, Kept
from alanet.engine.tiled import TiledRunner, TileMode, smaller_tiles
from alanet.errors import ResourceError
from alanet.frames.frame import Pixels
from alanet.frames.tiles import Tile
from alanet.model.network import Window
from alanet.notes import Notes

__all__ = ["FallbackRunner"]


class FallbackRunner:
    """Takes the place of a runner in a stream; frames are restored in `tiles`, whole where there is at most one."""

    def __init__(self, runner: Runner, tiles: Sequence[Tile], mode: TileMode, notes: Notes) -> None:
        self.runner, self.tiles, self.mode, self.notes = runner, tuple(tiles), mode, notes
        self._at_work = self._working(runner)
        self._exact: Runner | TiledRunner | None = None  # the same in fp32
        self._kept: WeakSet[Kept] = WeakSet()

    def estimate(self, window: Window, i: int) -> Estimate | None:
        """The network's estimate of frame i of a window; None where it has none."""
        pixels = window.features[i].pixels
        assert pixels is not None
        while True:
            try:
                found: Estimate | None = self._at_work.estimate(self._made(window, self._at_work), i)
            except RuntimeError as error:
                if not is_full_gpu(error):
                    raise
            else:
                return found
            self._take_smaller(pixels)

    def generate(self, window: Window, times: Sequence[float], like: Pixels) -> Iterator[Pixels | None]:
        """The frames at `times`; None for one that is not finite in fp32 either.

        Raises ResourceError where even the smallest tiles do not fit a GPU.
        """
        done = 0
        while done < len(times):
            try:
                made = self._at_work.generate(self._made(window, self._at_work), times[done:], like)
                for at, picture in zip(times[done:], made, strict=True):
                    shown = self._in_fp32(window, at, like) if picture is None else picture
                    done += 1
                    yield shown
            except RuntimeError as error:
                if not is_full_gpu(error):
                    raise
            else:
                return
            self._take_smaller(like)  # after the error is gone, and all that its traceback held

    def _in_fp32(self, window: Window, at: float, like: Pixels) -> Pixels | None:
        """One frame in fp32, everything it needs made again and nothing kept; None where it was fp32 already."""
        if self.runner.precision == "fp32":
            return None
        self.notes.warn(f"where {self.runner.precision} gave NaN or infinity, frames were computed again in fp32")
        if self._exact is None:
            self._exact = self._working(Runner(self.runner.model, self.runner.device, "fp32"))
        exact = self._exact
        features = {i: exact.encode(kept.pixels) for i, kept in window.features.items()}
        pairs = {i: pair and exact.relate(features[i], features[i + 1]) for i, pair in window.relations.items()}
        (picture,) = exact.generate(Window(features, pairs), [at], like)
        return picture

    def _made(self, window: Window, at_work: Runner | TiledRunner) -> Window:
        """Frames and pairs as the runner at work makes them, once."""
        self._kept.update(kept for kept in (*window.features.values(), *window.relations.values()) if kept is not None)
        features = {i: kept.get(at_work, partial(at_work.encode, kept.pixels)) for i, kept in window.features.items()}
        pairs = {
            i: pair and pair.get(at_work, partial(at_work.relate, features[i], features[i + 1]))
            for i, pair in window.relations.items()
        }
        return Window(features, pairs)

    def _take_smaller(self, like: Pixels) -> None:
        tiles = smaller_tiles(self.runner.model, self.tiles, like.shape[0], like.shape[1], self.mode)
        if tiles is None:
            size = f"{like.shape[1]}x{like.shape[0]}"
            raise ResourceError(
                f"the GPU ran out of memory restoring {size}, and there are no smaller tiles; end what else uses "
                "it, take a smaller video, or --device cpu"
            )
        self.notes.warn("the GPU ran out of memory: from there on frames were restored in smaller tiles")
        for kept in self._kept:
            kept.forget()
        self.tiles, self._exact = tuple(tiles), None
        self._at_work = self._working(self.runner)
        if self.runner.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.runner.device.type == "mps":
            torch.mps.empty_cache()

    def _working(self, runner: Runner) -> Runner | TiledRunner:
        return TiledRunner(runner, self.tiles, self.mode, self.notes) if len(self.tiles) > 1 else runner
