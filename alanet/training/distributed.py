"""One run on one or several processes: after each step's backward pass all of them hold the same mean gradient.

Processes are started by `torchrun`, which sets WORLD_SIZE, RANK and LOCAL_RANK. One flat all-reduce a step carries the
gradients together with a few numbers all must agree on (the loss, whether to stop, the time used), so that every
process takes the same decisions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["end", "join", "leave", "rank", "share_gradients", "world"]


def join(device: torch.device) -> torch.device:
    """Join the processes torchrun started, if any; returns this one's device."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        return device
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return torch.device("cuda", int(os.environ["LOCAL_RANK"])) if device.type == "cuda" else device


def leave() -> None:
    """Undo of `join`."""
    if dist.is_initialized():
        dist.destroy_process_group()


def end(code: int) -> int:
    """The exit code of a process whose work is done; one of those that torchrun started ends with it at once.

    Gloo's threads may still be letting go of what was shared when the interpreter goes, and then abort the process.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0; only 0 writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


def share_gradients(parameters: Sequence[Tensor], numbers: Sequence[float]) -> list[float]:
    """Replace each gradient by its mean over the processes; returns the sum over the processes of each of `numbers`.

    A parameter without a gradient counts as 0, and stays without one if no process has one.
    """
    count = world()
    if count == 1:
        return list(numbers)
    with_gradient = [float(p.grad is not None) for p in parameters]
    flat = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() / count for p in parameters]
    extra = torch.tensor([*with_gradient, *numbers], dtype=flat[0].dtype, device=flat[0].device)
    everything = torch.cat([*flat, extra])
    dist.all_reduce(everything)
    pieces = torch.split(everything, [p.numel() for p in parameters] + [len(extra)])
    counts: list[float] = pieces[-1].tolist()
    for parameter, piece, has in zip(parameters, pieces, counts, strict=False):
        if has:
            parameter.grad = piece.view_as(parameter).contiguous(memory_format=_format(parameter))
    return counts[len(parameters) :]


def _format(parameter: Tensor) -> torch.memory_format:
    channels_last = parameter.dim() == 4 and parameter.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format
