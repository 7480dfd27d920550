"""Tiles give what the whole frame gives: gates of the whole frame, a halo as wide as the receptive field."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from alanet.engine.runner import Runner
from alanet.engine.tiled import FEATHER, TiledRunner, exact_halo, passes
from alanet.frames.tiles import overhead, plan_tiles
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.alanet_plus import ALANetPlus
from alanet.model.network import Window
from alanet.notes import Notes
from tests.support.networks import random_network

SIZE = (90, 1230)  # h w: padded to 96 x 1248; long enough that the middle tile has a whole halo on both sides


@pytest.fixture(scope="module")
def runner():
    torch.manual_seed(0)
    return Runner(ALANet(ALANetConfig(width=0.125)), torch.device("cpu"), "fp32")


@pytest.fixture(scope="module")
def aligning():
    """A network that aligns, every output layer at random: motion, weights and corrections all have an effect."""
    return Runner(random_network(1), torch.device("cpu"), "fp32")


@pytest.fixture(scope="module")
def frames():
    """Dark left, bright right: a gate pooled over a tile alone would weigh the channels otherwise."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 40_000, SIZE[1])[None, :, None]
    return [(ramp + rng.integers(0, 20_000, (*SIZE, 3))).astype(np.uint16) for _ in range(3)]


def restored(runner, frames):
    window = {i: runner.encode(frame) for i, frame in enumerate(frames)}
    pairs = {i: runner.relate(window[i], window[i + 1]) for i in (0, 1)}
    return np.stack(list(runner.generate(Window(window, pairs), [1.0, 1.5], frames[0]))).astype(np.float64) / 65535


def in_tiles(runner, halo, mode, notes):
    tiles = plan_tiles(96, 1248, halo=halo, stride=32, max_tile_pixels=96 * (96 + 2 * halo))
    assert len(tiles) >= 3
    return TiledRunner(runner, tiles, mode, notes)


def test_tiled_equals_untiled(runner, frames):
    exact = in_tiles(runner, 288, "exact", Notes())
    assert np.abs(restored(exact, frames) - restored(runner, frames)).max() < 1e-4


def test_a_halo_below_the_receptive_field_does_not(runner, frames):
    """The test above can fail: with little halo the error is far above its bound."""
    narrow = in_tiles(runner, 32, "exact", Notes())
    assert np.abs(restored(narrow, frames) - restored(runner, frames)).max() > 1e-3


def test_with_motion_across_the_frame_too(aligning, frames):
    """Tiles of a network that aligns read from anywhere, and frames are encoded and related once, whole."""
    halo = exact_halo(aligning.model)
    exact = in_tiles(aligning, halo, "exact", Notes())
    whole = restored(aligning, frames)
    motion = aligning.relate(aligning.encode(frames[0]), aligning.encode(frames[1]))
    assert motion.motion.abs().max() > 1
    aligning.encodes = aligning.relates = 0
    assert np.abs(restored(exact, frames) - whole).max() < 1e-3  # rounding, which weights at random magnify
    assert (aligning.encodes, aligning.relates) == (3, 2)
    narrow = in_tiles(aligning, 32, "exact", Notes())
    assert np.abs(restored(narrow, frames) - whole).max() > 1e-2
    assert np.abs(whole[0] - frames[1] / 65535).mean() > 0.01  # it does something


def test_what_tiles_cost(runner, aligning):
    tiles = plan_tiles(96, 1248, halo=160, stride=32, max_tile_pixels=96 * 416)
    work = overhead(tiles)
    assert work > 1.5
    assert passes(aligning.model, tiles) == (1.0, work)
    assert passes(runner.model, tiles) == (work * 4, work)
    assert passes(runner.model, plan_tiles(96, 1248, halo=160, stride=32)) == (1.0, 1.0)


def test_the_halo_of_a_network_that_aligns_is_narrow():
    assert 96 < exact_halo(ALANetPlus()) <= 320


def test_the_gates_see_the_whole_frame(runner, frames):
    exact = in_tiles(runner, 288, "exact", Notes())
    whole = runner.encode(frames[0]).descriptor
    torch.testing.assert_close(exact.encode(frames[0]).mean, whole, rtol=1e-4, atol=1e-5)
    part = runner.encode(frames[0][:, :320]).descriptor
    assert (part - whole).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["runner", "aligning"])
def test_feathering_is_close_and_says_how_close(kind, frames, request):
    runner = request.getfixturevalue(kind)
    notes = Notes()
    feather = in_tiles(runner, FEATHER, "feather", notes)
    error = np.abs(restored(feather, frames) - restored(runner, frames))
    assert error.mean() < 0.01
    (note,) = notes.warnings
    assert "feathered" in note
    said = float(note.split(" by ")[1].split(" of ")[0])
    assert error[0].max() * 255 / 3 < said < error[0].max() * 255 + 0.1
