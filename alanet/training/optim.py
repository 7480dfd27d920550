"""How weights are moved: the optimizers, the learning rate, and the running mean of the weights.

Muon takes momentum steps whose matrices are made orthogonal, so that all directions of a layer move alike.
A convolution's weights (o i k k) are taken as a matrix o x (i k k). Its momentum has a few large singular values and
many small ones; an orthogonal matrix with the same singular vectors has them all 1, and what is rare in the data is
learned as fast as what is common. (Jordan et al. 2024, "Muon: an optimizer for hidden layers"; torch.optim has it from
2.9 on and for matrices only.)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from alanet.training.config import TrainConfig

__all__ = ["Ema", "Muon", "learning_rate", "make_optimizers", "orthogonal"]

FEW = 3  # outputs of a layer: colours, a flow, an estimate
RATIO = 10.0  # times the learning rate that the other optimizer has: a step's largest singular value
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of the odd polynomial x, x^3, x^5 that takes (0, 1] to about 0.7 ... 1.2


class Muon(torch.optim.Optimizer):
    """For weights of two axes or more. `lr` is that of the AdamW that keeps it company; the step is `RATIO` times it.

    Decay is decoupled and goes with `lr`, as AdamW's.
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step on the current gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                momentum = state["momentum_buffer"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(momentum, group["momentum"])  # Nesterov's
                change = orthogonal(ahead.flatten(1))
                tall = max(1.0, change.shape[0] / change.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(change.reshape(weight.shape), alpha=-RATIO * group["lr"] * tall)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The matrix (r c) with its singular values near 1 (0.7 to 1.2; those near 0 stay smaller), by Newton-Schulz.

    Each step is x <- p(x x^T) x with a polynomial p. All of them are polynomials of the first x x^T, so only that small
    square is carried from step to step, with the product of what x is to be multiplied by in the end.
    """
    a, b, c = NEWTON_SCHULZ
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    x = x.T if x.shape[0] > x.shape[1] else x
    square = x @ x.T
    whole = one = torch.eye(len(x), dtype=x.dtype, device=x.device)
    for _ in range(steps):
        factor = a * one + b * square + c * square @ square
        whole = factor @ whole
        square = factor @ square @ factor
    x = whole @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def make_optimizers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Adam or AdamW of all weights; or Muon of the convolutions that lie between others, and AdamW of the rest.

    Without `decay_all`, tensors of one axis (norms, biases) are not decayed. A group's `share`, if it has one, is the
    share of the learning rate that it gets.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    slow = [p for name, p in named if config.flow_share is not None and name.startswith("flow.")]
    weights = [p for _, p in named if not any(p is q for q in slow)]
    hidden = [p for p in weights if config.optimizer == "muon" and _is_hidden(p)]
    muon = [Muon(hidden, config.lr, weight_decay=config.weight_decay)] if hidden else []
    others = [p for p in weights if not any(p is q for q in hidden)]
    decayed = [p for p in others if config.decay_all or p.dim() > 1]
    free = [p for p in others if not config.decay_all and p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    if config.flow_share is not None:
        groups.append({"params": slow, "weight_decay": config.weight_decay, "share": config.flow_share})
    groups = [g for g in groups if g["params"]]
    return [*muon, *([kind(groups, lr=config.lr, betas=config.betas, fused=True)] if groups else [])]


def _is_hidden(weight: Tensor) -> bool:
    """Whether a weight is a convolution's whose output goes on to another: few outputs (pixels, flows) say
    what they mean in their own units, and take AdamW's steps."""
    return weight.dim() == 4 and weight.shape[0] > FEW


def learning_rate(config: TrainConfig, fraction: float) -> float:
    """The learning rate at `fraction` of the run, in [0, 1]."""
    if fraction < config.warmup:
        return config.lr * max(fraction / config.warmup, 1e-3)
    if config.schedule == "drops":
        return config.lr * 10.0 ** -sum(fraction >= drop for drop in config.drops)
    along = min((fraction - config.warmup) / (1 - config.warmup), 1.0)
    return config.lr * (config.lr_end + (1 - config.lr_end) * 0.5 * (1 + math.cos(math.pi * along)))


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
