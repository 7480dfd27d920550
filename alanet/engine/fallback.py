"""What can go wrong while the network works, and need not end a run: a GPU that is full, a result that is no number.

    out of memory     tiles of half the size, from the frame in hand on; what waits in the ring is made again for them
    NaN, infinity     the frame once more in fp32; None where that does not help, and the stream shows the input

Each frame is judged by itself, so that a run that goes on after another one comes to the same pictures. (Where a GPU
was full, to pictures within the tiles' tolerance.) On a CPU memory is planned and nothing is tried twice: the kernel
ends what takes too much without asking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any
from weakref import WeakSet

import torch

from alanet.engine.memory import is_full_gpu
from alanet.engine.runner import Runner
from alanet.engine.stream import Judged
from alanet.engine.tiled import AlignedRunner, TiledRunner, TileMode, smaller_tiles, tiled
from alanet.errors import ResourceError
from alanet.frames.frame import Pixels
from alanet.frames.tiles import Tile
from alanet.notes import Notes

__all__ = ["SteadyRunner"]


class _Kept:
    """What was made of a frame (or a pair, which has no pixels), and by whom: it is of no use to another runner."""

    def __init__(self, pixels: Pixels | None = None) -> None:
        self.pixels = pixels
        self._made: Any = None
        self._by: object = None

    def get(self, runner: object, make: Callable[[], Any]) -> Any:
        if self._by is not runner:
            self.forget()  # the old one goes before the new one comes
            self._made, self._by = make(), runner
        return self._made

    def forget(self) -> None:
        self._made = self._by = None


class SteadyRunner:
    """Takes the place of a runner in a stream; frames are restored in `tiles`, whole where there is at most one."""

    def __init__(self, runner: Runner, tiles: Sequence[Tile], mode: TileMode, notes: Notes) -> None:
        self.runner, self.tiles, self.mode, self.notes = runner, tuple(tiles), mode, notes
        self._at_work = self._working(runner)
        self._exact: Runner | TiledRunner | AlignedRunner | None = None  # the same in fp32
        self._kept: WeakSet[_Kept] = WeakSet()

    def encode(self, pixels: Pixels) -> _Kept:
        """A frame, whose features are made when a restored frame looks at it: there errors can be dealt with."""
        return self._new(pixels)

    def judge(
        self, window: Mapping[int, _Kept], i: int, relations: Mapping[int, _Kept | None] = MappingProxyType({})
    ) -> Judged | None:
        """What the network thinks of frame i of a window; None where it has no opinion."""
        pixels = window[i].pixels
        assert pixels is not None
        while True:
            at_work: Any = self._at_work
            try:
                features, pairs = self._known(window, relations)
                judged: Judged | None = at_work.judge(features, i, pairs)
            except RuntimeError as error:
                if not is_full_gpu(error):
                    raise
            else:
                return judged
            self._take_smaller(pixels)

    def relate(self, a: _Kept, b: _Kept) -> _Kept:
        """A pair, likewise."""
        return self._new()

    def generate(
        self,
        window: Mapping[int, _Kept],
        times: Sequence[float],
        like: Pixels,
        relations: Mapping[int, _Kept | None] = MappingProxyType({}),
    ) -> Iterator[Pixels | None]:
        """The frames at `times`; None for one that is not finite in fp32 either.

        Raises ResourceError where even the smallest tiles do not fit a GPU.
        """
        done = 0
        while done < len(times):
            try:
                for picture in self._pictures(window, times[done:], like, relations):
                    done += 1
                    yield picture
            except RuntimeError as error:
                if not is_full_gpu(error):
                    raise
            else:
                return
            self._take_smaller(like)  # after the error is gone, and all that its traceback held

    def _pictures(
        self,
        window: Mapping[int, _Kept],
        times: Sequence[float],
        like: Pixels,
        relations: Mapping[int, _Kept | None],
    ) -> Iterator[Pixels | None]:
        at_work: Any = self._at_work
        features, pairs = self._known(window, relations)
        for at, picture in zip(times, at_work.generate(features, times, like, pairs), strict=True):
            yield self._in_fp32(window, at, like, relations) if picture is None else picture

    def _known(
        self, window: Mapping[int, _Kept], relations: Mapping[int, _Kept | None]
    ) -> tuple[dict[int, Any], dict[int, Any]]:
        """Frames and pairs as what is at work now makes them, once."""
        at_work: Any = self._at_work
        features = {i: kept.get(at_work, partial(at_work.encode, kept.pixels)) for i, kept in window.items()}
        return features, {
            i: pair and pair.get(at_work, partial(at_work.relate, features[i], features[i + 1]))
            for i, pair in relations.items()
        }

    def _in_fp32(
        self, window: Mapping[int, _Kept], at: float, like: Pixels, relations: Mapping[int, _Kept | None]
    ) -> Pixels | None:
        """One frame, everything it looks at made again and nothing kept."""
        if self.runner.precision == "fp32":
            return None
        self.notes.warn("where bf16 gave NaN or infinity, frames were made again in fp32")
        if self._exact is None:
            self._exact = self._working(Runner(self.runner.model, self.runner.device, "fp32"))
        exact: Any = self._exact
        features = {i: exact.encode(kept.pixels) for i, kept in window.items()}
        pairs = {i: pair and exact.relate(features[i], features[i + 1]) for i, pair in relations.items()}
        (picture,) = exact.generate(features, [at], like, pairs)
        made: Pixels | None = picture
        return made

    def _take_smaller(self, like: Pixels) -> None:
        tiles = smaller_tiles(self.runner.model, self.tiles, like.shape[0], like.shape[1], self.mode)
        if tiles is None:
            size = f"{like.shape[1]}x{like.shape[0]}"
            raise ResourceError(
                f"the GPU ran out of memory restoring {size}, and smaller tiles are not to be had; end what else uses "
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

    def _working(self, runner: Runner) -> Runner | TiledRunner | AlignedRunner:
        return tiled(runner, self.tiles, self.mode, self.notes) if len(self.tiles) > 1 else runner

    def _new(self, pixels: Pixels | None = None) -> _Kept:
        kept = _Kept(pixels)
        self._kept.add(kept)
        return kept
