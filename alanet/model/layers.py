"""Layers and operations that the networks share.

Axes: b batch, c channels, h w. A map's cell is how many pixels of the frame one of its values stands for, to a side.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from alanet.frames.tiles import Box

__all__ = [
    "CELL",
    "Block",
    "act",
    "blocks",
    "cheap_warp",
    "compute_type",
    "conv",
    "enlarged",
    "exact",
    "in_cells",
    "in_planes",
    "part",
    "reduced",
    "resized",
    "warp",
    "zeroed",
]

CELL = 4  # pixels to a side of a cell in which motion is known


def conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1, gain: float = 1.0) -> nn.Conv2d:
    """A convolution that keeps the size, or divides it by `stride`; He's initialisation, times `gain`."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
    nn.init.kaiming_normal_(layer.weight, a=0.1)
    with torch.no_grad():
        layer.weight.mul_(gain)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with weights of 0: its output is 0 until it is trained."""
    nn.init.zeros_(layer.weight)
    return layer


def act(x: Tensor) -> Tensor:
    """LeakyReLU 0.1 in place: x must be a layer's output that nothing else needs."""
    return F.leaky_relu(x, 0.1, inplace=True)


class Block(nn.Module):
    """x + two convolutions of it, which begin small, so that deep stacks begin near the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv(channels, channels, 3)
        self.second = conv(channels, channels, 3, gain=0.2)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.second(act(self.first(x))).add_(x)
        return changed


def blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(channels) for _ in range(count)))


def exact(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer in its weights' own precision, whatever autocast says."""
    weight = next(layer.parameters())
    with torch.autocast(x.device.type, enabled=False):
        done: Tensor = layer(x.to(weight.dtype))
    return done


def compute_type(x: Tensor, layer: nn.Module) -> torch.dtype:
    """The type in which a layer computes: autocast's where it is on, else that of its weights."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return next(layer.parameters()).dtype


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
        return moved.contiguous(memory_format=torch.channels_last)  # as convolutions want it: else each copies it again
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


def resized(x: Tensor, cell: int, wanted: int) -> Tensor:
    """A map of cells of `cell` pixels in cells of `wanted` pixels: a mean, or bilinear; values keep their unit."""
    if wanted > cell:
        return F.avg_pool2d(x, wanted // cell)
    if wanted < cell:
        return enlarged(x, cell // wanted)
    return x


def in_cells(x: Tensor) -> Tensor:
    """Each 2 x 2 pixels as a cell, row by row: b c h w -> b h/2 w/2 c 4."""
    cells = F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
    b, _, h, w = cells.shape
    return cells.permute(0, 2, 3, 1).view(b, h, w, x.shape[1], 4)


def in_planes(x: Tensor) -> Tensor:
    """The inverse of `in_cells`."""
    return rearrange(x, "b h w c (y x) -> b c (h y) (w x)", y=2, x=2)


def enlarged(x: Tensor, times: int) -> Tensor:
    """A map with `times` as many rows and columns, bilinear. Whole sizes, because a graph with dynamic sizes cannot
    multiply them by a fraction."""
    height, width = x.shape[-2:]
    return x if times == 1 else F.interpolate(x, (height * times, width * times), mode="bilinear", align_corners=False)


def reduced(x: Tensor, times: int) -> Tensor:
    """A map with a `times`-th of the rows and columns, which are multiples of `times`; bilinear, as `enlarged`."""
    height, width = x.shape[-2:]
    return (
        x if times == 1 else F.interpolate(x, (height // times, width // times), mode="bilinear", align_corners=False)
    )


def part(x: Tensor, cell: int, within: Box | None) -> Tensor:
    """Of a map of cells of `cell` pixels, what lies within a box of the frame; None: all."""
    if within is None:
        return x
    return x[..., within.top // cell : within.bottom // cell, within.left // cell : within.right // cell]
