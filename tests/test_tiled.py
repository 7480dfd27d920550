"""Tiles give what the whole frame gives: gates of the whole frame, a halo as wide as the receptive field."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from alanet.frames.tiles import plan_tiles
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.notes import Notes
from alanet.runner import Runner
from alanet.tiled import FEATHER, TiledRunner

SIZE = (90, 1230)  # h w: padded to 96 x 1248; long enough that the middle tile has a whole halo on both sides


@pytest.fixture(scope="module")
def runner():
    torch.manual_seed(0)
    return Runner(ALANet(ALANetConfig(width=0.125)), torch.device("cpu"), "fp32")


@pytest.fixture(scope="module")
def frames():
    """Dark left, bright right: a gate pooled over a tile alone would weigh the channels otherwise."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 40_000, SIZE[1])[None, :, None]
    return [(ramp + rng.integers(0, 20_000, (*SIZE, 3))).astype(np.uint16) for _ in range(3)]


def restored(runner, frames):
    window = {i: runner.encode(frame) for i, frame in enumerate(frames)}
    return np.stack(list(runner.generate(window, [1.0, 1.5], frames[0]))).astype(np.float64) / 65535


def tiled(runner, halo, mode, notes):
    tiles = plan_tiles(96, 1248, halo=halo, stride=32, max_tile_pixels=96 * (96 + 2 * halo))
    assert len(tiles) >= 3
    return TiledRunner(runner, tiles, mode, notes)


def test_tiled_equals_untiled(runner, frames):
    exact = tiled(runner, 288, "exact", Notes())
    assert np.abs(restored(exact, frames) - restored(runner, frames)).max() < 1e-4


def test_a_halo_below_the_receptive_field_does_not(runner, frames):
    """The test above can fail: with little halo the error is far above its bound."""
    narrow = tiled(runner, 32, "exact", Notes())
    assert np.abs(restored(narrow, frames) - restored(runner, frames)).max() > 1e-3


def test_the_gates_see_the_whole_frame(runner, frames):
    exact = tiled(runner, 288, "exact", Notes())
    whole = runner.encode(frames[0]).descriptor
    torch.testing.assert_close(exact.encode(frames[0]).descriptor, whole, rtol=1e-4, atol=1e-5)
    part = runner.encode(frames[0][:, :320]).descriptor
    assert (part - whole).abs().max() > 1e-3


def test_feathering_is_close_and_says_how_close(runner, frames):
    notes = Notes()
    feather = tiled(runner, FEATHER, "feather", notes)
    error = np.abs(restored(feather, frames) - restored(runner, frames))
    assert error.mean() < 0.01
    (note,) = notes.warnings
    assert "feathered" in note
    said = float(note.split(" by ")[1].split(" of ")[0])
    assert error[0].max() * 255 / 3 < said < error[0].max() * 255 + 0.1
