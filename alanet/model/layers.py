"""Layers and operations that the networks share.

Axes: b batch, c channels, h w. A map's cell is how many pixels of the frame one of its values stands for, to a side.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from alanet.frames.tiles import Box

__all__ = [
    "CELL",
    "SLOPE",
    "Block",
    "Conv",
    "Doubling",
    "act",
    "blocks",
    "can_store",
    "channels_first",
    "channels_last",
    "compute_type",
    "conv",
    "enlarged",
    "part",
    "reduced",
    "resized",
    "store_weights",
    "zeroed",
]

SLOPE = 0.1  # of LeakyReLU below 0
CELL = 4  # pixels to a side of a cell in which motion is known


def can_store() -> bool:
    """Whether oneDNN's own functions for bfloat16 are there, and this CPU has what they need."""
    there: bool = hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight") and torch._C._has_mkldnn
    return there and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class KeptWeights(NamedTuple):
    """What a convolution keeps for inference."""

    kind: torch.dtype
    weight: Tensor
    bias: Tensor
    version: int  # of the weights it was made from


class Conv(nn.Conv2d):
    """A convolution that adds to a sum and activates in the same pass.

    For inference in bfloat16 on a CPU it can keep a copy of its weights in the layout of oneDNN's kernels, which then
    also do the sum and the activation.
    """

    _stored: KeptWeights | None = None

    def store(self, kind: torch.dtype, factor: Tensor | None = None, order: Tensor | None = None) -> None:
        """Keep a copy of the weights, as they are now, for inference in this type.

        factor: o, of the outputs. order: o, in which these outputs are then made.
        """
        weight, bias = self.weight.detach(), self.bias
        if kind != torch.bfloat16 or weight.device.type != "cpu" or bias is None or not can_store():
            return
        if factor is not None:
            weight, bias = weight * factor.detach().view(-1, 1, 1, 1), bias * factor
        if order is not None:
            weight, bias = weight[order], bias[order]
        weight = weight.to(kind).contiguous(memory_format=torch.channels_last)
        reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
        packed = reorder(weight.to_mkldnn(), *self._where(), [1, self.in_channels, 64, 64])
        self._stored = KeptWeights(kind, packed, bias.detach().to(kind), self.weight._version)

    def has_stored(self, x: Tensor) -> bool:
        """Whether weights are kept that a call with x uses."""
        kept = self._stored
        if kept is None or self.training or torch.is_grad_enabled() or kept.version != self.weight._version:
            return False
        return kept.kind == compute_type(x, self)

    def _where(self) -> tuple[list[int], list[int], list[int], int]:
        assert not isinstance(self.padding, str)
        return list(self.padding), list(self.stride), list(self.dilation), self.groups

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stored": None}  # oneDNN's layout is not for other processes

    def forward(
        self, x: Tensor, total: Tensor | None = None, *, shift: Tensor | None = None, slope: float | None = None
    ) -> Tensor:
        """conv(x) + shift + total, then LeakyReLU where a slope is given. shift: b o. Arguments stay as they are."""
        done: Tensor
        if not self.has_stored(x) or (shift is not None and len(shift) > 1):
            done = super().forward(x)
            if shift is not None:
                done = done + shift[..., None, None].to(done.dtype)
            if total is not None:
                done = done + total.to(done.dtype)
            return done if slope is None else F.leaky_relu(done, slope, inplace=True)
        assert self._stored is not None
        kind, weight, bias, _ = self._stored
        bias = bias if shift is None else bias + shift[0].to(kind)
        x = channels_last(x.to(kind))
        if total is not None:
            added: Any = ("add", 1.0, None, [], None)
            done = torch.ops.mkldnn._convolution_pointwise.binary(
                x, total.to(kind), weight, bias, *self._where(), *added
            )
            return done if slope is None else F.leaky_relu(done, slope, inplace=True)
        activation = ("none", [], "") if slope is None else ("leaky_relu", [slope], "")
        done = torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *self._where(), *activation)
        return done


class Doubling(Conv):
    """A map of twice the size, o channels: a 1x1 convolution to each cell's 2 x 2 pixels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, 4 * outputs, 1)
        initialize(self)

    def store(self, kind: torch.dtype, factor: Tensor | None = None, order: Tensor | None = None) -> None:
        """As `Conv.store`. Channels of a pixel lie side by side, so that whole pixels are moved."""
        super().store(kind, factor, torch.arange(self.out_channels).view(-1, 4).t().flatten())

    def forward(
        self, x: Tensor, total: Tensor | None = None, *, shift: Tensor | None = None, slope: float | None = None
    ) -> Tensor:
        """b c h w -> b o 2h 2w."""
        cells = super().forward(x, total, shift=shift, slope=slope)
        if not self.has_stored(x):
            return F.pixel_shuffle(cells, 2)
        return rearrange(cells, "b (y x c) h w -> b (h y) (w x) c", y=2, x=2).permute(0, 3, 1, 2)


def conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1, gain: float = 1.0) -> Conv:
    """A convolution that keeps the size, or divides it by `stride`; He's initialisation, times `gain`."""
    return initialize(Conv(inputs, outputs, kernel, stride, padding=kernel // 2), gain)


def initialize(layer: Conv, gain: float = 1.0) -> Conv:
    """He's initialisation, times `gain`."""
    nn.init.kaiming_normal_(layer.weight, a=SLOPE)
    with torch.no_grad():
        layer.weight.mul_(gain)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def store_weights(model: Any, kind: torch.dtype) -> None:
    """Let every convolution of a network keep its weights for inference in this type."""
    for layer in reversed(list(model.modules())):  # outer modules last: their factor replaces the plain copy
        if hasattr(layer, "store"):
            layer.store(kind)


def zeroed(layer: Conv) -> Conv:
    """The layer with weights of 0: its output is 0 until it is trained."""
    nn.init.zeros_(layer.weight)
    return layer


def act(x: Tensor) -> Tensor:
    """LeakyReLU 0.1 in place: x must be a layer's output that nothing else needs."""
    return F.leaky_relu(x, SLOPE, inplace=True)


class Block(nn.Module):
    """x + two convolutions of it, which begin small, so that deep stacks begin near the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv(channels, channels, 3)
        self.second = conv(channels, channels, 3, gain=0.2)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.second(self.first(x, slope=SLOPE), x)
        return changed


def blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(channels) for _ in range(count)))


def compute_type(x: Tensor, layer: nn.Module) -> torch.dtype:
    """The type in which a layer computes: autocast's where it is on, else that of its weights."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return next(layer.parameters()).dtype


def resized(x: Tensor, cell: int, wanted: int) -> Tensor:
    """A map of cells of `cell` pixels in cells of `wanted` pixels: a mean, or bilinear; values keep their unit."""
    if wanted > cell:
        return F.avg_pool2d(x, wanted // cell)
    if wanted < cell:
        return enlarged(x, cell // wanted)
    return x


def channels_last(x: Tensor) -> Tensor:
    """x with its channels innermost in memory, as convolutions need it."""
    if torch.compiler.is_exporting() or len(x) > 1 or not x.is_contiguous() or x.requires_grad:
        return x.contiguous(memory_format=torch.channels_last)
    rows = x[0].flatten(1).t().contiguous()  # a plain transpose is faster
    return rows.view(1, *x.shape[-2:], x.shape[1]).permute(0, 3, 1, 2)


def channels_first(x: Tensor) -> Tensor:
    """x as planes."""
    plain = torch.compiler.is_exporting() or len(x) > 1 or x.requires_grad or x.is_contiguous()
    if plain or not x.is_contiguous(memory_format=torch.channels_last):
        return x.contiguous()
    return x[0].permute(1, 2, 0).flatten(0, 1).t().contiguous().view(x.shape)


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
