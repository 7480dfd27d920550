"""Drawings have flat places and hard edges, and move as the frames do."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch

from alanet.data.cutting import ClipOptions, cut_clip
from alanet.data.drawn import drawn
from alanet.frames.exposure import Exposure


def photograph(seed: int = 0) -> torch.Tensor:
    """A smooth random picture that moves 2 pixels a frame: 3 3 64 64, uint8."""
    values = torch.rand(1, 3, 12, 14, generator=torch.Generator().manual_seed(seed))
    wide = torch.nn.functional.interpolate(values, (64, 72), mode="bicubic")[0].clamp(0, 1)
    return torch.stack([(wide[..., 2 * k : 2 * k + 64] * 255).to(torch.uint8) for k in range(3)])


def test_a_drawing_has_flat_places_and_hard_edges():
    given = photograph()
    made = drawn(given, np.random.default_rng(1))
    assert made.shape == given.shape
    assert made.dtype == torch.uint8
    steps = [frames.int().diff(dim=-1).abs().flatten() for frames in (given, made)]
    assert (steps[1] == 0).float().mean() > 0.6 > (steps[0] == 0).float().mean()
    edges = [float(step[step > 0].float().mean()) for step in steps]
    assert edges[1] > 1.5 * edges[0]


def test_all_frames_are_drawn_alike():
    made = drawn(photograph(), np.random.default_rng(1))
    inner = (..., slice(8, -8))  # smoothing sees other pixels at the borders
    assert torch.equal(made[0][..., 2:][inner], made[1][..., :-2][inner])


def test_clips_are_cut_from_drawings():
    sharp = photograph().permute(0, 2, 3, 1)[[0] * 8 + [1] * 8 + [2] * 8]
    flat = []
    for share in (0.0, 1.0):
        options = ClipOptions(t=2, drawn=share)
        sample, _, _ = cut_clip(np.random.default_rng(0), sharp, Exposure(3, 8), (Fraction(0),), 32, options)
        flat.append(float((sample["truth"].diff(dim=-1) == 0).float().mean()))
    assert flat[0] < 0.4 < flat[1]
