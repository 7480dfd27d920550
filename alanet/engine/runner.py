"""A network on a device: pixels in, pixels out. Padding and precision live here, and nothing about time.

    pixels (h w c, integers) ─> float ─> pad to the stride ─> encode ─> ring ─> generate ─> crop ─> round ─> pixels
                                                                 relate ─┘ (pairs, where the network has it)

Axes: h w c for pixels, b c h w for tensors, b = 1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alanet.engine.precision import DTYPES
from alanet.engine.stream import Estimate
from alanet.errors import OptionError, ResourceError
from alanet.frames.color import to_float, to_integer
from alanet.frames.frame import Pixels
from alanet.frames.tiles import crop_back, pad_to_multiple
from alanet.model.layers import store_weights
from alanet.model.network import Network, Window

__all__ = ["Runner", "is_finite", "pick_device", "time_a_frame"]

SIDE_BY_SIDE = 1 << 18  # pixels of the largest frame of which two are restored at the same time
SAMPLE = (192, 320)  # h w of the frame that is timed


class Runner:
    """Encodes and generates whole frames with one model on one device, in one precision.

    `encodes`, `relates` and `generates` count the calls: a stream encodes each frame once and relates each pair once.
    """

    def __init__(self, model: Network, device: torch.device, precision: str) -> None:
        self.model = model.to(device).eval()
        self.model.to(memory_format=torch.channels_last)  # twice as fast on a CPU
        store_weights(model, DTYPES[precision])
        self.device = device
        self.precision = precision
        self.encodes = 0
        self.relates = 0
        self.generates = 0
        self._seconds_per_gmac: float | None = None
        self._pool: ThreadPoolExecutor | None = None

    def encode(self, pixels: Pixels) -> Any:
        """Features of one frame. `pixels: h w 3` (a fourth channel, alpha, is not used)."""
        self.encodes += 1
        with torch.inference_mode(), self.autocast():
            return self.model.encode(self.to_tensor(pixels))

    def relate(self, a: Any, b: Any) -> Any:
        """What the network keeps of a pair of neighbours; None where it keeps nothing."""
        with torch.inference_mode(), self.autocast():
            relation = self.model.relate(a, b)
        self.relates += relation is not None
        return relation

    def estimate(self, window: Window, i: int) -> Estimate | None:
        """The exposure of frame i of a window, and whether it is sharp; None from a network that estimates none, or
        nothing that is finite. Relations to its neighbours make it better, where the network relates."""
        with torch.inference_mode(), self.autocast():
            found = self.model.estimate(window, i)
        if found is None or not math.isfinite(exposure := float(found.exposure)):
            return None
        limit = self.model.sharp_above
        logit = float(found.sharp)
        return Estimate(exposure, logit > math.log(limit / (1 - limit)), logit, float(found.uncertainty))

    def generate(self, window: Window, times: Sequence[float], like: Pixels) -> Iterator[Pixels | None]:
        """The frames at `times`, as they are made; size and depth are those of `like`. None for one that has NaN or
        infinity. The window holds all that any of the times needs; the network picks what each one uses.
        """
        if len(times) == 1 or self.at_once(*like.shape[:2]) == 1:
            for at in times:
                self.generates += 1
                yield self._restored(window, at, like)
            return
        under_way = [self._workers().submit(self._restored, window, at, like) for at in times]
        try:
            for restored in under_way:
                self.generates += 1
                yield restored.result()
        finally:
            for restored in under_way:
                restored.cancel()

    def at_once(self, height: int, width: int) -> int:
        """How many frames of this size are restored at the same time, each by a thread of its own.

        Several of PyTorch's operations (samples, transposes) use one thread only, so frames side by side take less time
        than one after the other with all threads. Larger frames would take too much memory.
        """
        small = self.device.type == "cpu" and height * width <= SIDE_BY_SIDE
        return min(2, torch.get_num_threads()) if small else 1

    def _workers(self) -> ThreadPoolExecutor:
        if self._pool is None:
            threads = torch.get_num_threads()
            self._pool = ThreadPoolExecutor(2, "alanet-restore", torch.set_num_threads, (max(1, threads // 2),))
        return self._pool

    def _restored(self, window: Window, at: float, like: Pixels) -> Pixels | None:
        with torch.inference_mode(), self.autocast():
            restored = self.model.generate(window, at)
            return self.to_pixels(restored, like) if is_finite(restored) else None

    def to_tensor(self, pixels: Pixels) -> Tensor:
        """`h w c` integers -> `1 3 h' w'` float32 in [0, 1] on the device, h' and w' multiples of the stride."""
        frame = torch.from_numpy(to_float(pixels[..., :3])).to(self.device)
        frame = pad_to_multiple(frame.permute(2, 0, 1)[None], self.model.stride)  # b c h w
        return frame.contiguous(memory_format=torch.channels_last)

    def to_pixels(self, restored: Tensor, like: Pixels) -> Pixels:
        """The undo of `to_tensor`: crop, clamp and round to `like`'s size and depth, three channels."""
        height, width = like.shape[:2]
        restored = crop_back(restored, height, width)
        values = restored[0].permute(1, 2, 0).float().cpu().numpy()
        return to_integer(values, depth=8 if like.dtype == np.uint8 else 16)

    def seconds_per_gmac(self) -> float:
        """How long a billion multiply-accumulates take here, timed once on a small frame."""
        if self._seconds_per_gmac is None:
            cost = self.model.cost(*SAMPLE)
            seconds = time_a_frame(self.model, self.device, self.precision)
            self._seconds_per_gmac = seconds / (cost.encode + cost.relate + 2 * cost.generate)
        return self._seconds_per_gmac

    def autocast(self) -> torch.autocast:
        kind = DTYPES[self.precision]
        return torch.autocast(self.device.type, kind, enabled=kind != torch.float32)


def is_finite(values: Tensor) -> bool:
    """Whether there is neither NaN nor infinity in it: its sum shows it in one pass, but for sums too large."""
    return bool(values.sum(dtype=torch.float32).isfinite()) or bool(values.isfinite().all())


def pick_device(name: str) -> torch.device:
    """auto: CUDA, else Apple's MPS, else Intel's XPU, else the CPU. A device that is asked for must be there.

    Raises OptionError for an unknown name, ResourceError for a device that is missing.
    """
    here = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "xpu": torch.xpu.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind in here if here[kind]))
    if name not in here:
        raise OptionError(f"device {name!r} is not one of auto, cpu, cuda, mps, xpu")
    if not here[name]:
        built = " (this PyTorch is a CPU build)" if name == "cuda" and torch.version.cuda is None else ""
        raise ResourceError(f"device {name} is not available here{built}; use --device auto or cpu")
    return torch.device(name)


def time_a_frame(model: Network, device: torch.device, precision: str) -> float:
    """Seconds to encode a frame of SAMPLE size and restore two: the best of three, the first of which warms up."""
    runner = Runner(model, device, precision)
    pixels = np.zeros((*SAMPLE, 3), np.uint8)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        features = runner.encode(pixels)
        window = Window({0: features, 1: features}, {0: runner.relate(features, features)})
        list(runner.generate(window, [0.0, 0.5], pixels))  # on the CPU: nothing is under way then
        seconds.append(time.perf_counter() - start)
    return min(seconds)
