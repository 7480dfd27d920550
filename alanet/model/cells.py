"""Frames in cells of 2 x 2 pixels, the form that convolutions at half size take and give, and samples of a frame there.

Axes: b batch, c channels, h w. In cells a frame is b c h/2 w/2 4, a cell's pixels row by row. Elementwise operations
run on this form at full speed. As channels (b (c 4) h/2 w/2, innermost in memory) it is what a convolution takes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from alanet.model.layers import CELL, enlarged

__all__ = ["cells_first", "cells_last", "in_cells", "in_planes", "per_pixel", "places_of", "sampled", "spread"]


def _as_numbers(x: Tensor) -> bool:
    """Whether several values may be moved as one number: without gradients, and not in an exported graph."""
    return not x.requires_grad and not torch.compiler.is_exporting()


def in_cells(x: Tensor) -> Tensor:
    """Each 2 x 2 pixels as a cell, row by row: b c h w -> b c h/2 w/2 4."""
    if not _as_numbers(x) or x.dtype != torch.float32 or not x.is_contiguous():
        return rearrange(x, "b c (h y) (w x) -> b c h w (y x)", y=2, x=2)
    pairs = rearrange(x.view(torch.float64), "b c (h y) w -> b c h w y", y=2)  # two pixels at a time
    return pairs.contiguous().view(torch.float32)


def in_planes(x: Tensor) -> Tensor:
    """The inverse of `in_cells`."""
    if not _as_numbers(x) or x.dtype != torch.float32 or not x.is_contiguous():
        return rearrange(x, "b c h w (y x) -> b c (h y) (w x)", y=2, x=2)
    pairs = rearrange(x.view(torch.float64), "b c h w y -> b c (h y) w", y=2)
    return pairs.contiguous().view(torch.float32)


def cells_last(x: Tensor) -> Tensor:
    """Cells as channels, innermost in memory, as convolutions at 1/2 need them: b c h w 4 -> b (c 4) h w."""
    b, c, h, w, _ = x.shape
    if b > 1 or not _as_numbers(x) or x.element_size() > 2 or not x.is_contiguous():
        return rearrange(x, "b c h w j -> b h w (c j)").permute(0, 3, 1, 2)
    cells = x.view(torch.int64).view(c, h * w).t().contiguous()  # four values of two bytes at a time
    return cells.view(x.dtype).view(1, h, w, 4 * c).permute(0, 3, 1, 2)


def cells_first(x: Tensor) -> Tensor:
    """The inverse of `cells_last`."""
    b, c, h, w = x.shape
    if b > 1 or not _as_numbers(x) or x.element_size() > 2 or not x.is_contiguous(memory_format=torch.channels_last):
        return rearrange(x, "b (c j) h w -> b c h w j", j=4)
    cells = x.permute(0, 2, 3, 1).view(torch.int64).view(h * w, c // 4).t().contiguous()
    return cells.view(x.dtype).view(1, c // 4, h, w, 4)


def places_of(
    x: Tensor, whole: tuple[int, int], size: tuple[int, int] | None = None, corner: tuple[int, int] = (0, 0)
) -> Tensor:
    """Where the pixels of a part of a frame are in the `whole` (h w), from -1 to 1, in cells: 1 2 h/2 w/2 4, x and y.

    x: a tensor on the same device. size: of the part; None: all.
    """
    (height, width), (top, left) = size or whole, corner
    columns = torch.arange(width, device=x.device, dtype=torch.float32) + (left + 0.5)
    rows = torch.arange(height, device=x.device, dtype=torch.float32) + (top + 0.5)
    u = (columns * (2 / whole[1]) - 1).view(1, -1, 1, 2)  # cell and place in it
    v = (rows * (2 / whole[0]) - 1).view(-1, 1, 2, 1)
    shape = (height // 2, width // 2, 2, 2)
    return torch.stack((u.expand(shape), v.expand(shape))).flatten(3)[None]


def per_pixel(x: Tensor) -> Tensor:
    """Pixels (x, y) as a share of the frame, from -1 to 1, at the size of a frame x (b c h w)."""
    height, width = x.shape[-2:]
    one = x.new_ones(1, 1, 1, 1)  # a tensor made of numbers would fix the size of an exported graph
    return torch.cat((one * (2 / width), one * (2 / height)))


def sampled(x: Tensor, places: Tensor) -> Tensor:
    """x (b c H W) at places (b 2 h w k, from -1 to 1), bilinear, the edge repeated: b c h w k."""
    grid = places.flatten(3).permute(0, 2, 3, 1).expand(len(x), -1, -1, -1)  # planes of x and y: the fast order
    found = F.grid_sample(x, grid, "bilinear", "border", align_corners=False)
    return found.view(*found.shape[:2], *places.shape[2:])


def spread(x: Tensor) -> Tensor:
    """A map of cells of CELL pixels (b c h w) at each pixel, bilinear, in cells of 2 x 2: b c 2h 2w 4."""
    if x.requires_grad:  # for its backward pass
        return in_cells(enlarged(x, CELL))
    return sampled(x, places_of(x, (x.shape[-2] * CELL, x.shape[-1] * CELL)))
