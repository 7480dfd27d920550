"""Sampling a map along optical flow, with the exact or a cheap backward pass.

Axes: b batch, c channels, h w. Flow is b 2 h w in pixels of the frame; a cell is as in `layers.py`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["cheap_warp", "warp"]


def warp(x: Tensor, flow: Tensor, cell: int, corner: tuple[int, int] = (0, 0)) -> Tensor:
    """x (b c h w, cells of `cell` pixels) sampled at p + flow(p) (b 2 h w, pixels), bilinear, at least in float32.

    Beyond the edge the last row or column is repeated. A flow of 0 gives x back, to the rounding of a position.
    corner: top and left, in pixels of x, of the part of the frame that the flow is of.
    """
    kind = torch.promote_types(x.dtype, torch.float32)
    height, width = x.shape[-2:]
    columns = torch.arange(flow.shape[-1], device=x.device, dtype=kind) + (0.5 + corner[1] / cell)
    rows = torch.arange(flow.shape[-2], device=x.device, dtype=kind) + (0.5 + corner[0] / cell)
    u = (columns + flow[:, 0].to(kind) / cell) * (2 / width) - 1  # b h w, in [-1, 1]
    v = (rows[:, None] + flow[:, 1].to(kind) / cell) * (2 / height) - 1
    moved = F.grid_sample(x.to(kind), torch.stack((u, v), -1), "bilinear", "border", align_corners=False).to(x.dtype)
    if x.shape[1] > 3 and x.is_contiguous(memory_format=torch.channels_last):
        return moved.contiguous(memory_format=torch.channels_last)  # as convolutions need it: else each copies it again
    return moved


class _CheapWarp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, flow: Tensor, cell: int) -> Tensor:
        ctx.cell = cell
        ctx.save_for_backward(x if flow.requires_grad else None, flow)
        return warp(x, flow, cell)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, flow = ctx.saved_tensors
        to_x = warp(gradient, -flow, ctx.cell) if ctx.needs_input_grad[0] else None
        return to_x, None if x is None else _flow_gradient(gradient, x, flow, ctx.cell), None


def _flow_gradient(gradient: Tensor, x: Tensor, flow: Tensor, cell: int) -> Tensor:
    """By central differences over half a cell to each side."""
    parts, half = [], 0.5 * cell
    for axis in (0, 1):
        step = flow.new_zeros(1, 2, 1, 1)
        step[:, axis] = half
        slope = warp(x, flow + step, cell) - warp(x, flow - step, cell)
        parts.append((gradient.float() * slope.float()).sum(1) / (2 * half))
    return torch.stack(parts, 1)


def cheap_warp(x: Tensor, flow: Tensor, cell: int) -> Tensor:
    """`warp` with an approximate backward pass, for training: on a CPU the exact one takes ten times its forward pass.

    The gradient of x is the output's gradient warped along -flow, which is the adjoint where motion is smooth.
    """
    warped: Tensor = _CheapWarp.apply(x, flow, cell)  # type: ignore[no-untyped-call]
    return warped
