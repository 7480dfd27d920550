"""A running mean of the weights: what is validated and shipped, while the optimizer moves the weights themselves."""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["Ema"]


class Ema:
    """`model` is a copy whose every parameter follows mean <- decay * mean + (1 - decay) * weight; buffers are copied.

    The decay starts small, min(decay, (1 + n) / (10 + n)) at update n, so that the random start is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the weights of `model` into the mean."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        mean = [weight.detach() for weight in self.model.parameters()]
        weights = [weight.detach() for weight in model.parameters()]
        torch._foreach_lerp_(mean, weights, 1 - decay)
        for kept, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            kept.copy_(buffer)
