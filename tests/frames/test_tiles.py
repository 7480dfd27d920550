"""Padding, tiles and blending: each with its undo, and tiles that give a small network the whole frame's result."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from alanet.errors import ResourceError
from alanet.frames.tiles import (
    MemoryCost,
    Tile,
    add,
    crop_back,
    cut,
    least_tile_pixels,
    overhead,
    pad_to_multiple,
    paste,
    plan_for_memory,
    plan_tiles,
    round_up,
    weights_of,
)

HALO, STRIDE = 259, 32  # the paper's network
SIZES = [(1, 1), (2, 2), (1, 40), (16, 16), (31, 33), (37, 53), (64, 32), (352, 640)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_padding_and_its_undo_are_the_identity(height: int, width: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    padded = pad_to_multiple(pixels, 32, axes=(0, 1))
    assert padded.shape == (round_up(height, 32), round_up(width, 32), 3)
    assert np.array_equal(crop_back(padded, height, width, axes=(0, 1)), pixels)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    assert torch.equal(pad_to_multiple(tensor, 32), torch.from_numpy(padded).permute(2, 0, 1)[None])
    assert torch.equal(crop_back(pad_to_multiple(tensor, 32), height, width), tensor)


def test_padding_mirrors_like_torch_where_torch_can() -> None:
    x = torch.rand(1, 3, 21, 27)
    assert torch.equal(pad_to_multiple(x, 32), nn.functional.pad(x, (0, 5, 0, 11), mode="reflect"))


def test_padding_mirrors_again_and_again_where_the_picture_is_tiny() -> None:
    assert pad_to_multiple(np.array([[1, 2, 3]]), 8, axes=(0, 1)).tolist() == [[1, 2, 3, 2, 1, 2, 3, 2]] * 8
    assert pad_to_multiple(np.array([[1, 2]]), 4, axes=(0, 1))[0].tolist() == [1, 2, 1, 2]
    assert pad_to_multiple(np.array([[7]]), 4, axes=(0, 1)).tolist() == [[7] * 4] * 4


def test_nothing_is_copied_where_nothing_is_missing() -> None:
    x = torch.rand(1, 3, 64, 96)
    assert pad_to_multiple(x, 32) is x


@pytest.mark.parametrize(
    ("height", "width", "halo", "most"),
    [
        (1088, 1920, HALO, 700_000),
        (2176, 3840, HALO, 1_500_000),
        (352, 640, 64, 50_000),
        (96, 3200, 32, 20_000),
        (32, 32, 64, 1024),
    ],
)
class TestGrid:
    def plan(self, height: int, width: int, halo: int, most: int) -> list[Tile]:
        return plan_tiles(height, width, halo=halo, stride=STRIDE, max_tile_pixels=most)

    def test_every_pixel_is_owned_once(self, height: int, width: int, halo: int, most: int) -> None:
        owned = np.zeros((height, width), np.uint8)
        for tile in self.plan(height, width, halo, most):
            owned[tile.core.top : tile.core.bottom, tile.core.left : tile.core.right] += 1
        assert (owned == 1).all()

    def test_tiles_lie_on_the_stride_with_their_halo_and_fit(
        self, height: int, width: int, halo: int, most: int
    ) -> None:
        for tile in self.plan(height, width, halo, most):
            core, outer = tile.core, tile.outer
            assert all(
                edge % STRIDE == 0 for box in (core, outer) for edge in (box.top, box.left, box.bottom, box.right)
            )
            assert outer.pixels <= most
            assert outer.top == 0 or core.top - outer.top >= halo
            assert outer.left == 0 or core.left - outer.left >= halo
            assert outer.bottom == height or outer.bottom - core.bottom >= halo
            assert outer.right == width or outer.right - core.right >= halo
            assert outer.top >= 0
            assert outer.bottom <= height
            assert outer.left >= 0
            assert outer.right <= width

    def test_cut_and_paste_is_the_identity(self, height: int, width: int, halo: int, most: int) -> None:
        frame = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
        merged = np.zeros_like(frame)
        for tile in self.plan(height, width, halo, most):
            seen = cut(frame, tile, axes=(0, 1))
            assert seen.shape == (tile.outer.height, tile.outer.width, 3)
            paste(merged, seen, tile, axes=(0, 1))
        assert np.array_equal(merged, frame)

    def test_feathered_cut_and_add_is_the_identity(self, height: int, width: int, halo: int, most: int) -> None:
        frame = torch.rand(1, 2, height, width)
        merged, total = torch.zeros_like(frame), np.zeros((height, width))
        for tile in self.plan(height, width, halo, most):
            weights = weights_of(tile, height, width)
            assert weights.min() >= 0
            add(merged, cut(frame, tile) * torch.from_numpy(weights), tile)
            add(total, weights, tile, axes=(0, 1))
        assert abs(total - 1).max() < 1e-6
        assert torch.allclose(merged, frame, atol=1e-6)


def test_weights_fall_to_nothing_where_a_tile_stops_seeing() -> None:
    tiles = plan_tiles(64, 640, halo=64, stride=32, max_tile_pixels=64 * 320)
    for tile in tiles:
        row = weights_of(tile, 64, 640)[0]
        assert tile.outer.left == 0 or row[0] < 0.01
        assert tile.outer.right == 640 or row[-1] < 0.01
    step = plan_tiles(64, 640, halo=0, stride=32, max_tile_pixels=64 * 320)
    assert all((weights_of(tile, 64, 640) == 1).all() for tile in step)


def test_without_a_limit_or_within_it_the_frame_is_one_tile() -> None:
    for most in (None, 352 * 640, 10**9):
        (tile,) = plan_tiles(352, 640, halo=HALO, stride=STRIDE, max_tile_pixels=most)
        assert tile.core == tile.outer
        assert tile.core.pixels == 352 * 640
        assert overhead([tile]) == 1
        assert (weights_of(tile, 352, 640) == 1).all()


def test_more_memory_never_costs_more_work() -> None:
    limits = (450_000, 700_000, 1_500_000, 4_000_000, 8_400_000)
    work = [overhead(plan_tiles(2176, 3840, halo=HALO, stride=STRIDE, max_tile_pixels=most)) for most in limits]
    assert work == sorted(work, reverse=True)
    assert work[-1] == 1
    assert work[0] > 1


def small_network() -> nn.Module:
    """Convolutions, two poolings and the way back, as in the paper's network: radius 1 + 2 + 4 (+ pooling) < 32 px."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.AvgPool2d(2),
        nn.LeakyReLU(0.1),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False),
        nn.Conv2d(4, 3, 3, padding=1),
    )


@torch.inference_mode()
def test_tiled_equals_whole_with_a_halo_of_the_receptive_radius() -> None:
    network, frame = small_network(), torch.rand(1, 3, 160, 256)
    whole = network(frame)
    tiles = plan_tiles(160, 256, halo=32, stride=32, max_tile_pixels=128 * 128)
    merged = torch.zeros_like(whole)
    for tile in tiles:
        paste(merged, network(cut(frame, tile)), tile)
    assert len(tiles) >= 6
    assert torch.allclose(merged, whole, atol=1e-5)


@torch.inference_mode()
def test_feathering_is_nearly_whole_and_better_than_a_hard_edge() -> None:
    network, frame = small_network(), torch.rand(1, 3, 160, 256)
    whole = network(frame)
    errors = {}
    for halo in (0, 4):  # too little for this network; the stride is 4 here
        merged = torch.zeros_like(whole)
        for tile in plan_tiles(160, 256, halo=halo, stride=4, max_tile_pixels=96 * 96):
            weights = torch.from_numpy(weights_of(tile, 160, 256))
            add(merged, network(cut(frame, tile)) * weights, tile)
        errors[halo] = float((merged - whole).abs().max())
    assert 0 < errors[4] < errors[0] / 2


def test_tiles_that_are_too_small_for_their_halo_are_refused_with_the_least_that_works() -> None:
    least = least_tile_pixels(2176, 3840, halo=HALO, stride=STRIDE)
    assert least == (2 * 288 + 32) ** 2
    with pytest.raises(ResourceError, match=f"needs tiles of {least}: allow at least that many"):
        plan_tiles(2176, 3840, halo=HALO, stride=STRIDE, max_tile_pixels=least - 1)
    assert plan_tiles(2176, 3840, halo=HALO, stride=STRIDE, max_tile_pixels=least)


COST = MemoryCost(per_tile_pixel=600, per_frame_pixel=40, fixed=300_000_000)


@pytest.mark.parametrize(("height", "width"), [(352, 640), (1080, 1920), (2160, 3840), (4320, 7680), (37, 5000)])
def test_the_planned_memory_is_within_the_budget_or_the_least_is_said(height: int, width: int) -> None:
    for budget in (10**8, 6 * 10**8, 10**9, 2 * 10**9, 4 * 10**9, 10**11):
        try:
            tiles = plan_for_memory(height, width, COST, budget, halo=HALO, stride=STRIDE)
        except ResourceError as error:
            said = re.search(r"needs at least (\d+) MiB .* use --memory (\d+)M or more", str(error))
            assert said
            least = int(said[2]) << 20
            assert budget < least
            assert plan_for_memory(height, width, COST, least, halo=HALO, stride=STRIDE)
            with pytest.raises(ResourceError):
                plan_for_memory(height, width, COST, least - (1 << 20), halo=HALO, stride=STRIDE)
            continue
        frame = round_up(height, STRIDE) * round_up(width, STRIDE)
        assert sum(tile.core.pixels for tile in tiles) == frame
        most = max(tile.outer.pixels for tile in tiles)
        assert COST.fixed + COST.per_frame_pixel * frame + COST.per_tile_pixel * most <= budget
        whole = COST.fixed + (COST.per_frame_pixel + COST.per_tile_pixel) * frame
        assert (len(tiles) == 1) == (whole <= budget)


def test_without_a_budget_the_frame_stays_whole() -> None:
    assert len(plan_for_memory(4320, 7680, COST, None, halo=HALO, stride=STRIDE)) == 1
