"""What a network costs: parameters, and multiply-accumulates counted while a small frame goes through.

A convolution's count grows with the picture's area, an attention weight's does not; so the counts of a tiny frame give
those of any other. Networks state their cost themselves (`Network.cost`) with what is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["count_macs", "count_parameters", "small_frame"]


def count_parameters(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


def small_frame(model: Any) -> Tensor:
    """A black frame of one stride squared (1 3 h w), in the network's type, on its device."""
    weight = next(model.parameters())
    return torch.zeros(1, 3, model.stride, model.stride, device=weight.device, dtype=weight.dtype)


def count_macs(model: nn.Module, call: Callable[[], Any], area: float = 1.0) -> float:
    """Multiply-accumulates of the convolutions and linear layers that `call` runs through `model`, the convolutions'
    times `area`."""
    total = 0.0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        per_value = weight[0].numel()  # inputs of one output value
        total += output.numel() * per_value * (area if isinstance(module, nn.Conv2d) else 1.0)

    with _hooks(model, add), torch.inference_mode():
        call()
    return total


@contextmanager
def _hooks(model: nn.Module, hook: Callable[..., None]) -> Iterator[None]:
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
