"""The motion that clips of scenes state, and the blur extent by it."""

from __future__ import annotations

import pytest
import torch

from alanet.data.augment import ExposureMix
from alanet.frames.blur_extent import blur_extent
from alanet.model.layers import CELL, resized
from alanet.model.warping import warp
from tests.support.clips import made


@pytest.fixture(scope="module")
def clips():
    return made(ExposureMix(sharp=1.0, blurry=0.0))


def test_the_scenes_flow_is_what_warp_wants(clips):
    """The next frame looked up along the flow that scenes tell is this frame: units, order and direction agree."""
    batch = clips.batch(0, size=4, crop=64)
    for j in range(4):
        here, there = batch.clip[:, j], batch.clip[:, j + 1]
        for way, (a, b) in enumerate(((here, there), (there, here))):
            flow = resized(batch.flow[:, j, way], CELL, 1)
            inner = (..., slice(12, -12), slice(12, -12))
            brought, apart = (warp(b, flow, 1) - a)[inner].abs().mean(), (b - a)[inner].abs().mean()
            assert brought < 0.35 * apart


@pytest.mark.parametrize(("exposure", "pixels"), [(1, 0.0), (5, 4.0), (9, 8.0)])
def test_blur_extent_is_the_motion_during_the_exposure(exposure, pixels):
    """A disc that moves 8 pixels a period; all else stands still. A thing below a hundredth of the frame is not it."""
    sweep = torch.zeros(1, 1, 2, 20, 20)
    sweep[..., 0, :2, :4] = 4.8
    sweep[..., 1, :2, :4] = -6.4
    assert float(blur_extent(torch.tensor([[exposure]]), sweep)) == pytest.approx(pixels)
    sweep[..., 1:, :] = sweep[..., 3:] = 0.0
    assert float(blur_extent(torch.tensor([[exposure]]), sweep)) == 0.0
