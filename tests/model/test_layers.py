"""Layers: what is kept for inference, and what is computed another way, gives what the plain form gives."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from alanet.model.cells import cells_first, cells_last, in_cells, in_planes, places_of, sampled, spread
from alanet.model.layers import (
    CELL,
    Conv,
    Doubling,
    can_store,
    channels_first,
    channels_last,
    enlarged,
    reduced,
    store_weights,
)
from alanet.model.rife import Residual, sample
from alanet.model.warping import warp

BF16 = torch.bfloat16
needs_store = pytest.mark.skipif(not can_store(), reason="oneDNN has no bfloat16 here")


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def smooth(height: int, width: int, amount: float) -> torch.Tensor:
    return F.interpolate(amount * noise(1, 2, 4, 5), (height, width), mode="bilinear")


def called(layer: torch.nn.Module, *inputs: torch.Tensor, **more: object) -> torch.Tensor:
    with torch.inference_mode(), torch.autocast("cpu", BF16):
        return layer(*inputs, **more).float()


@needs_store
@pytest.mark.parametrize("with_sum", [False, True])
@pytest.mark.parametrize("slope", [None, 0.1])
def test_a_convolution_that_keeps_its_weights_computes_the_same(with_sum, slope):
    layer, x, total = Conv(12, 32, 3, stride=2, padding=1).eval(), noise(1, 12, 16, 20), noise(1, 32, 8, 10)
    more = {"total": total if with_sum else None, "shift": noise(1, 32), "slope": slope}
    plain = called(layer, x, **more)
    layer.store(BF16)
    assert layer.has_stored(x) is False  # in float32, and with gradients, it is the weights themselves that count
    kept = called(layer, x, **more)
    torch.testing.assert_close(kept, plain, rtol=0.02, atol=0.02)
    exact = F.conv2d(x, layer.weight, layer.bias, 2, 1) + more["shift"][..., None, None] + (total if with_sum else 0)
    torch.testing.assert_close(kept, exact if slope is None else F.leaky_relu(exact, slope), rtol=0.02, atol=0.03)


@needs_store
def test_weights_that_change_are_not_used_from_the_copy():
    layer, x = Conv(8, 8, 3, padding=1).eval(), noise(1, 8, 8, 8)
    layer.store(BF16)
    with torch.no_grad():
        layer.weight.zero_()
        assert layer.bias is not None
        layer.bias.zero_()
    assert called(layer, x).abs().max() == 0
    layer.store(BF16)
    assert copy.deepcopy(layer)._stored is None


@needs_store
def test_a_residual_keeps_its_factor_with_its_weights():
    layer, x = Residual(16).eval(), noise(1, 16, 8, 8)
    torch.nn.init.normal_(layer.beta)
    plain = called(layer, x)
    store_weights(layer, BF16)
    torch.testing.assert_close(called(layer, x), plain, rtol=0.02, atol=0.02)


def test_memory_formats_change_no_value():
    for b in (1, 2):
        x = noise(b, 12, 8, 10)
        last = channels_last(x)
        assert torch.equal(last, x)
        assert last.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(channels_first(last), x)
        assert channels_first(last).is_contiguous()


@pytest.mark.parametrize("kind", [torch.float32, BF16])
@pytest.mark.parametrize("b", [1, 2])
def test_cells_as_channels_are_as_pixel_unshuffle_has_them(b, kind):
    x = noise(b, 3, 8, 12)
    cells = in_cells(x)
    assert torch.equal(cells, in_cells(x.clone().requires_grad_()))
    assert torch.equal(in_planes(cells), x)
    assert torch.equal(in_planes(cells.clone().requires_grad_()), x)
    found = cells_last(cells.to(kind))
    assert torch.equal(found, F.pixel_unshuffle(x, 2).to(kind))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(cells_first(found), cells.to(kind))


@needs_store
def test_a_doubling_layer_that_keeps_its_weights_makes_the_same_pixels():
    layer, x = Doubling(8, 16).eval(), noise(1, 8, 6, 10)
    plain = called(layer, x)
    layer.store(BF16)
    assert torch.equal(called(layer, x), plain)


def test_a_map_in_cells_is_the_enlarged_map():
    x = smooth(8, 12, 4.0)
    torch.testing.assert_close(spread(x), in_cells(enlarged(x, CELL)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(spread(x.requires_grad_()), spread(x.detach()), rtol=1e-4, atol=1e-4)


def test_sampling_in_cells_is_warping():
    frame, flow = noise(1, 3, 16, 24), smooth(16, 24, 3.0)
    scale = torch.tensor((2 / 24, 2 / 16)).view(2, 1, 1, 1)
    found = sampled(frame, places_of(frame, (16, 24)) + in_cells(flow) * scale)
    torch.testing.assert_close(found, in_cells(warp(frame, flow, 1)), rtol=1e-4, atol=1e-4)
    part = sampled(frame, places_of(frame, (16, 24), (8, 12), (4, 6)))
    torch.testing.assert_close(part, in_cells(frame[..., 4:12, 6:18]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [2, 4])
def test_samples_of_a_reduced_map_are_the_reduced_samples(scale):
    x, flow = noise(1, 7, 16, 24), smooth(16, 24, 3.0)
    torch.testing.assert_close(sample(x, flow, scale), reduced(sample(x, flow), scale), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("times", [4, 8])
def test_an_enlarged_map_reduced_is_the_map_enlarged_less(times):
    x = noise(1, 3, 5, 7)
    torch.testing.assert_close(reduced(enlarged(x, times), times // 2), enlarged(x, 2), rtol=1e-4, atol=1e-5)


def test_warped_features_stay_as_convolutions_want_them():
    """Channels last, and the same values: else each convolution after it copies them once more."""
    x, flow = torch.rand(1, 8, 6, 10), 3 * torch.randn(1, 2, 6, 10)
    plain, last = warp(x, flow, 4), warp(x.contiguous(memory_format=torch.channels_last), flow, 4)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert plain.is_contiguous()
    torch.testing.assert_close(last, plain)
