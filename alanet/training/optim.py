"""Muon: steps of momentum whose matrices are made orthogonal, so that every direction of a layer moves alike.

A convolution's weights (o i k k) are taken as a matrix o x (i k k). Its momentum has a few large singular values and
many small ones; an orthogonal matrix with the same singular vectors has them all 1, and what is rare in the data is
learned as fast as what is common. (Jordan et al. 2024, "Muon: an optimizer for hidden layers"; torch.optim has it from
2.9 on and for matrices only.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Muon", "orthogonal"]

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
        """One step on the gradients at hand."""
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
