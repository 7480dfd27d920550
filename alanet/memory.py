"""How much memory a video will take, told before starting: on a CPU the kernel kills without asking.

    peak = what the process holds already
         + pictures under way (read ahead, in the ring, waiting for the encoder, inside the encoder), a frame pixel
         + the network at work: features of the window and the widest layer, a pixel of the tile in hand

The constants were fitted to peaks of whole runs at 640x352, 1920x1080 and 3840x2160, `scripts/bench memory` measures
them again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from alanet.frames.frame import VideoInfo
from alanet.frames.tiles import MemoryCost
from alanet.model.alanet import ALANet
from alanet.model.alanet_plus import ALANetPlus
from alanet.runner import Runner

__all__ = ["free_memory", "memory_cost", "resident_memory"]

SHARE = 0.8  # of what is free that is taken when nothing is said
PICTURES = 14  # frames of RGB and planes under way outside the network
ENCODER = 100  # bytes a pixel inside x264 at 8 bits: its lookahead of 40 frames, and references
MARGIN = 200 << 20  # decoder, encoder and allocator, whatever the size


def memory_cost(runner: Runner, info: VideoInfo) -> MemoryCost:
    """Bytes a pixel while videos like `info` are restored whole or in tiles."""
    depth = 1 if info.depth <= 8 else 2  # bytes a component
    pictures = PICTURES * (3 + 1.5) * depth + ENCODER * depth
    network = _network_bytes(runner.model, runner.precision)
    if runner.device.type != "cpu":  # the frame's memory and the network's are not the same
        return MemoryCost(per_tile_pixel=network, fixed=256 << 20)
    return MemoryCost(per_tile_pixel=network, per_frame_pixel=pictures, fixed=resident_memory() + MARGIN)


def _network_bytes(model: ALANet | ALANetPlus, precision: str) -> float:
    """Bytes a pixel of a tile: the features of a window and one frame more, and the generator's last scale."""
    value = 2 if precision == "bf16" else 4
    if isinstance(model, ALANetPlus):
        return _plus_bytes(model, value)
    channels = model.config.channels
    features: float = 3 * 4 + value * sum(c / 4**level for level, c in enumerate(channels))
    widest = value * (channels[1] + 4 * channels[0]) + 4 * 3 * 4
    return (model.config.window + 2) * features + widest


def _plus_bytes(model: ALANetPlus, value: int) -> float:
    """The same with motion: aligned features of a window at the finest scale, its aligned frames, their flows."""
    config = model.config
    held = max(config.window + 1, 2 * config.around + 2)
    features: float = 3 * 4 + value * sum(c / cell**2 for c, cell in zip(config.channels, config.cells, strict=True))
    finest = config.channels[0] / config.stem**2
    aligned = (value + 4) * 2 * finest + 4 * (3 + 3 + 2 + 2 + 1)  # features and weighed ones; frame, part, flow, grid
    return (held + 1) * features + held * aligned + value * 4 * finest


def free_memory(device: torch.device) -> int | None:
    """What may be taken now, in bytes: most of what is free; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * SHARE)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() * SHARE)
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return resident_memory() + int(int(line.split()[1]) * 1024 * SHARE)
        return None
    except OSError:
        pass
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 0.5)
    except (AttributeError, ValueError, OSError):
        return None


def resident_memory() -> int:
    """Bytes this process holds now."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        pass
    try:
        import resource
    except ImportError:
        return 500 << 20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
