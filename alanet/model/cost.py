"""What a network costs: multiply-accumulates, counted on shapes alone (meta tensors: nothing is computed)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from alanet.model.alanet import ALANet

__all__ = ["Cost", "count_macs", "count_parameters", "stream_cost"]

Cost = dict[str, float]


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def count_macs(model: nn.Module, call: Callable[[], Any]) -> int:
    """Multiply-accumulates of the convolutions and linear layers that `call` runs through `model`."""
    total = 0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        per_place = weight[0].numel()  # inputs seen by one output value
        total += output.numel() * per_place

    with _hooks(model, add):
        call()
    return total


def stream_cost(model: ALANet, height: int = 352, width: int = 640) -> Cost:
    """GMACs at one size: `encoder` an input frame, `generator` a restored frame, `output` a restored frame at x2 in a
    stream (half an encoder and one generator)."""
    meta = deepcopy(model).to("meta")
    frame = torch.empty(1, 3, height, width, device="meta")
    features = meta.encode(frame)
    encoder = count_macs(meta, lambda: meta.encode(frame)) / 1e9
    generator = count_macs(meta, lambda: meta.generate({0: features, 1: features}, 0.5)) / 1e9
    return {"encoder": encoder, "generator": generator, "output": encoder / 2 + generator}


@contextmanager
def _hooks(model: nn.Module, hook: Callable[..., None]) -> Iterator[None]:
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
