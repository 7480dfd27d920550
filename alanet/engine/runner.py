"""A network on a device: pixels in, pixels out. Padding and precision live here, and nothing about time.

    pixels (h w c, integers) ─> float ─> pad to the stride ─> encode ─> ring ─> generate ─> crop ─> round ─> pixels
                                                                 relate ─┘ (pairs, where the network wants it)

Axes: h w c for pixels, b c h w for tensors, b = 1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alanet.engine.stream import Judged
from alanet.errors import OptionError, ResourceError
from alanet.frames.color import to_float, to_integer
from alanet.frames.frame import Pixels
from alanet.frames.tiles import crop_back, pad_to_multiple
from alanet.model.alanet import ALANet, Features
from alanet.model.alanet_plus import ALANetPlus, PlusFeatures
from alanet.model.cost import stream_cost
from alanet.model.flow import Motion

__all__ = ["Runner", "is_finite", "pick_device", "pick_precision", "time_a_frame"]

SAMPLE = (192, 320)  # h w of the frame that is timed


class Runner:
    """Encodes and generates whole frames with one model on one device, in one precision.

    `encodes`, `relates` and `generates` count the calls: a stream encodes each frame once and relates each pair once.
    """

    def __init__(self, model: ALANet | ALANetPlus, device: torch.device, precision: str) -> None:
        self.model = model.to(device).eval()
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU
        self.device = device
        self.precision = precision
        self.encodes = 0
        self.relates = 0
        self.generates = 0
        self._seconds_per_gmac: float | None = None

    @property
    def around(self) -> int:
        """Further frames that the network looks at on each side of an interpolated frame's two."""
        return self.model.config.around if isinstance(self.model, ALANetPlus) else 0

    def encode(self, pixels: Pixels) -> Features | PlusFeatures:
        """E of one frame. `pixels: h w 3` (a fourth channel, alpha, is not looked at)."""
        self.encodes += 1
        with torch.inference_mode(), self.autocast():
            features: Features | PlusFeatures = self.model.encode(self.to_tensor(pixels))
            return features

    @property
    def judges(self) -> bool:
        """Whether the network estimates exposure."""
        return isinstance(self.model, ALANetPlus) and self.model.config.exposure

    def judge(
        self,
        window: Mapping[int, Any],
        i: int,
        relations: Mapping[int, Motion | None] = MappingProxyType({}),
    ) -> Judged | None:
        """The estimated exposure of frame i of a window, and whether it is sharp; None from a network that estimates
        none, or nothing that is finite. `relations` to its neighbours make it better, where the network relates."""
        if not isinstance(self.model, ALANetPlus) or not self.model.config.exposure:
            return None
        exposure, sharp = self.opinion(window, i, relations)
        limit = self.model.config.sharp_above
        return Judged(exposure, sharp > math.log(limit / (1 - limit))) if math.isfinite(exposure) else None

    def opinion(
        self, window: Mapping[int, PlusFeatures], i: int, relations: Mapping[int, Motion | None]
    ) -> tuple[float, float]:
        """Exposure of frame i in periods, and the logit of the probability that it is sharp, by an ALANetPlus."""
        assert isinstance(self.model, ALANetPlus)
        with torch.inference_mode(), self.autocast():
            informed = self.model.informed({i: window[i]}, relations)[i]
        return float(informed.exposure), float(informed.sharp)

    def relate(self, a: Features | PlusFeatures, b: Features | PlusFeatures) -> Motion | None:
        """What the network keeps of a pair of neighbours; None for the paper's, which keeps nothing."""
        if not isinstance(self.model, ALANetPlus):
            return None
        assert isinstance(a, PlusFeatures)
        assert isinstance(b, PlusFeatures)
        self.relates += 1
        with torch.inference_mode(), self.autocast():
            return self.model.relate(a, b)

    def generate(
        self,
        window: Mapping[int, Any],
        times: Sequence[float],
        like: Pixels,
        relations: Mapping[int, Motion | None] = MappingProxyType({}),
    ) -> Iterator[Pixels | None]:
        """The frames at `times` from the features around them, as they are made; size and depth are those of `like`.
        None for one that has NaN or infinity.

        `window` and `relations` (of i and i + 1, by i) hold all that any of the times looks at; the model picks what
        each one does.
        """
        for at in times:
            self.generates += 1
            with torch.inference_mode(), self.autocast():
                if isinstance(self.model, ALANetPlus):
                    restored = self.model.generate(window, at, relations)
                else:
                    restored = self.model.generate(window, at)
                yield self.to_pixels(restored, like) if is_finite(restored) else None

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
            cost = stream_cost(self.model, *SAMPLE)
            seconds = time_a_frame(self.model, self.device, self.precision)
            self._seconds_per_gmac = seconds / (cost["encoder"] + cost["motion"] + 2 * cost["generator"])
        return self._seconds_per_gmac

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def is_finite(values: Tensor) -> bool:
    """Whether there is neither NaN nor infinity in it: its sum, in one pass, says so but for sums too large."""
    return bool(values.sum(dtype=torch.float32).isfinite()) or bool(values.isfinite().all())


def pick_device(name: str) -> torch.device:
    """auto: CUDA, else Apple's MPS, else the CPU. A device that is asked for and not there is an error."""
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if here[kind]))
    if name not in here:
        raise OptionError(f"device {name!r} is not one of auto, cpu, cuda, mps")
    if not here[name]:
        built = " (this PyTorch is a CPU build)" if name == "cuda" and torch.version.cuda is None else ""
        raise ResourceError(f"device {name} is not available here{built}; use --device auto or cpu")
    return torch.device(name)


def pick_precision(name: str, model: ALANet | ALANetPlus, device: torch.device) -> str:
    """auto: bf16 where it measures clearly faster than fp32 on a small frame, else fp32.

    fp32 on MPS always: its bf16 is not the same everywhere.
    """
    if name in ("fp32", "bf16"):
        return name
    if name != "auto":
        raise OptionError(f"precision {name!r} is not one of auto, fp32, bf16")
    if device.type == "mps":
        return "fp32"
    seconds = {name: time_a_frame(model, device, name) for name in ("fp32", "bf16")}
    return "bf16" if seconds["bf16"] < 0.9 * seconds["fp32"] else "fp32"


def time_a_frame(model: ALANet | ALANetPlus, device: torch.device, precision: str) -> float:
    """Seconds to encode a frame of SAMPLE size and restore two: the best of three, the first of which warms up."""
    runner = Runner(model, device, precision)
    pixels = np.zeros((*SAMPLE, 3), np.uint8)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        features = runner.encode(pixels)
        pair = {0: runner.relate(features, features)}
        window = {0: features, 1: features}
        list(runner.generate(window, [0.0, 0.5], pixels, pair))  # on the CPU: nothing is under way then
        seconds.append(time.perf_counter() - start)
    return min(seconds)
