"""How much memory a video will take, computed before starting: on a CPU the kernel ends a process that has too much.

    peak = the process itself: Python, PyTorch, the weights
         + pictures under way, a pixel of the frame: decoded, read ahead, in the ring, waiting for the encoder, and
           inside the encoder, which reads dozens of pictures ahead
         + the network at work, a pixel of the current tile: the features of a window, and the last scale of G; of a
           network that aligns the features are the whole frame's, and so is the work on a frame and on a pair

Everything is counted from what is held at once, but the insides of the encoders and of PyTorch's convolutions, which
were measured; `scripts/bench memory` compares the peaks of whole runs with the sums made here.
On a GPU only the network counts: it is the GPU's memory that is planned.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from alanet.engine.precision import DTYPES
from alanet.engine.runner import Runner
from alanet.errors import ResourceError
from alanet.frames.cuts import LOOKAHEAD
from alanet.frames.frame import VideoInfo
from alanet.frames.tiles import MemoryCost, round_up
from alanet.model.network import Memory
from alanet.video.output.codecs import shape_of
from alanet.video.output.format import OutputPlan

__all__ = [
    "DECODER_THREADS",
    "READ_AHEAD",
    "exhaustion_told",
    "free_memory",
    "is_full_gpu",
    "memory_cost",
    "peak_memory",
    "resident_memory",
    "whole_work",
]

SHARE = 0.8  # of the free memory that is used when no limit is given
READ_AHEAD = 2  # decoded frames that wait for the network
DECODER_THREADS = min(4, os.cpu_count() or 1)  # each holds a frame; four decode faster than any network restores
DECODED = LOOKAHEAD + 1 + READ_AHEAD + 1 + 3  # frames in find_cuts, read ahead, in the ring
REFERENCES = 8  # pictures a decoder keeps, beside one a thread
RESTORED = 4 + 1 + 2  # frames that wait for the encoder, that it converts, that are being made
PADDED = 3  # frames in the ring once more, padded for tiles
ENCODERS = {  # bytes inside the encoder, in pictures of its pixel format, at its default preset, 1 to 16 threads
    "x264": 130,  # it looks 40 frames ahead
    "x265": 150,
    "av1": 160,
    "prores": 8,
    "ffv1": 30,
}
HARDWARE_ENCODER = 16  # the same of one that keeps its pictures on its device; an allowance, not measured
PROCESS = 330 << 20  # bytes once everything is imported; what is held already counts where it is more
MARGIN = 150 << 20  # allocators, buffers of files, threads: whatever the size


def memory_cost(runner: Runner, info: VideoInfo, plan: OutputPlan | None = None) -> MemoryCost:
    """Bytes a pixel while videos like `info` are restored whole or in tiles. plan: how they are written; None: not."""
    needs, pixels = _network_bytes(runner), info.height * info.width
    features, work, strip = needs.features, needs.work, needs.strip * min(needs.strip_pixels, pixels)
    if runner.device.type != "cpu":  # a half more: workspaces of convolutions
        return MemoryCost(1.5 * work, 1.5 * features, (256 << 20) + math.ceil(1.5 * strip))
    rgb = (4 if info.alpha else 3) * (1 if info.depth <= 8 else 2)
    planes = _bytes_a_pixel(info.pixel_format)
    pictures = DECODED * (rgb + planes) + (REFERENCES + DECODER_THREADS) * planes + (RESTORED + PADDED) * rgb
    pictures += RESTORED * planes  # of frames left untouched, which keep theirs
    if plan is not None:
        inside = HARDWARE_ENCODER if plan.codec.hardware else ENCODERS.get(plan.codec.name, 2)
        pictures += inside * _bytes_a_pixel(plan.pixel_format)
    kept = DTYPES[runner.precision].itemsize if runner.precision != "fp32" else 0  # a copy in the compute type
    weights = sum(p.numel() * (p.element_size() + kept) for p in runner.model.parameters())
    at_once = runner.at_once(info.height, info.width)  # frames side by side
    more = math.ceil(at_once * strip + (at_once - 1) * work * pixels)
    return MemoryCost(work, features + pictures, max(resident_memory(), PROCESS + weights) + MARGIN + more)


def whole_work(runner: Runner, info: VideoInfo) -> int:
    """How many pixels a tile has that takes as much memory as the work on whole frames and pairs; 0 without such.

    The memory of a strip is free during that work.
    """
    needs, stride = _network_bytes(runner), runner.model.stride
    pixels = round_up(info.height, stride) * round_up(info.width, stride)
    more = needs.whole * pixels - needs.strip * min(needs.strip_pixels, pixels)
    return math.ceil(min(pixels, max(0.0, more) / needs.work))


def _network_bytes(runner: Runner) -> Memory:
    needs: Memory = runner.model.memory(DTYPES[runner.precision].itemsize)
    return needs


def _bytes_a_pixel(pixel_format: str) -> float:
    shape = shape_of(pixel_format)
    chroma = 0.0 if shape.grey else 2 / 2 ** sum(shape.chroma)
    return (1 + chroma + shape.alpha) * (1 if shape.depth <= 8 else 2)


def free_memory(device: torch.device) -> int | None:
    """What may be taken now, in bytes: most of what is free; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * SHARE)
    if device.type == "mps":
        return int(max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()) * SHARE)
    free = [amount for amount in (_available(), _container_limit()) if amount is not None]
    if free:
        return resident_memory() + int(min(free) * SHARE)
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 0.5)
    except (AttributeError, ValueError, OSError):
        return None


def _available() -> int | None:
    """Bytes that Linux could still give."""
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _container_limit(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes left below the limit of a container (cgroup version 2, else 1), which /proc/meminfo does not state."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # "max": no limit
            return max(0, int((folder / limit).read_text()) - int((folder / used).read_text()))
    return None


@contextmanager
def exhaustion_told(device: torch.device) -> Iterator[None]:
    """Running out of memory in spite of the plan (another program took it), as one line."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        on_a_cpu = isinstance(error, MemoryError) or "allocate memory" in str(error)  # PyTorch's words there
        if not on_a_cpu and not is_full_gpu(error):
            raise
        place = "this machine" if device.type == "cpu" else "the GPU"
        raise ResourceError(f"{place} ran out of memory; allow less with --memory, for smaller tiles") from error


def is_full_gpu(error: BaseException) -> bool:
    """Whether an accelerator had no memory left: CUDA has an error of its own; MPS and CUDA's libraries say so."""
    words = ("out of memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def resident_memory() -> int:
    """Bytes this process holds now."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        pass
    return peak_memory()


def peak_memory() -> int:
    """Bytes this process held at most. On Linux not by getrusage, which counts the program that started it, too."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return 500 << 20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
