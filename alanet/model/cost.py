"""What a network costs: parameters, and multiply-accumulates counted while a frame of one stride squared goes through.

A convolution's count grows with the picture's area, a gate's does not; so a tiny frame tells the cost of any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from alanet.model.alanet import ALANet
from alanet.model.alanet_plus import ALANetPlus

__all__ = ["Cost", "count_macs", "count_parameters", "stream_cost"]

Cost = dict[str, float]


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def count_macs(model: nn.Module, call: Callable[[], Any], area: float = 1.0) -> float:
    """Multiply-accumulates of the convolutions and linear layers that `call` runs through `model`, the convolutions'
    times `area`."""
    total = 0.0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        per_value = weight[0].numel()  # inputs seen by one output value
        total += output.numel() * per_value * (area if isinstance(module, nn.Conv2d) else 1.0)

    with _hooks(model, add), torch.inference_mode():
        call()
    return total


def stream_cost(model: ALANet | ALANetPlus, height: int = 352, width: int = 640) -> Cost:
    """GMACs at one size (multiples of the stride): `encoder` an input frame, `motion` a pair, `generator` a restored
    frame (of a deblurred and an interpolated one, the mean), `output` a restored frame at x2 in a stream (half an
    encoder, half a motion and one generator)."""
    weight = next(model.parameters())
    frame = torch.zeros(1, 3, model.stride, model.stride, device=weight.device, dtype=weight.dtype)
    area = height * width / model.stride**2
    encoder = count_macs(model, lambda: model.encode(frame), area) / 1e9
    if isinstance(model, ALANetPlus):
        motion, generator = _aligned_cost(model, frame, area)
    else:
        motion, generator = 0.0, _generator_cost(model, frame, area)
    return {"encoder": encoder, "motion": motion, "generator": generator, "output": (encoder + motion) / 2 + generator}


def _generator_cost(model: ALANet, frame: Tensor, area: float) -> float:
    with torch.inference_mode():
        x = model.encode(frame)
    return count_macs(model, lambda: model.generate({0: x, 1: x}, 0.5), area) / 1e9


def _aligned_cost(model: ALANetPlus, frame: Tensor, area: float) -> tuple[float, float]:
    """Of a pair, and of a restored frame all of which moves: of what rests, no smear is corrected."""
    with torch.inference_mode():
        x = replace(model.encode(frame), exposure=frame.new_ones(1))
        pair = model.relate(x, x)
    if pair is not None:
        far = torch.full_like(pair.forward, 32.0)
        pair = replace(pair, forward=far, backward=-far)
    reach = model.config.window // 2 + model.config.around + 1
    window = dict.fromkeys(range(-reach, reach + 1), x)
    pairs = dict.fromkeys(window, pair)
    restored = sum(count_macs(model, partial(model.generate, window, time, pairs), area) for time in (0.0, 0.5))
    return count_macs(model, lambda: model.relate(x, x), area) / 1e9, restored / 2e9


@contextmanager
def _hooks(model: nn.Module, hook: Callable[..., None]) -> Iterator[None]:
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
