"""Descriptors of a frame or of what lies around each place, and the gates that see them."""

from __future__ import annotations

import pytest
import torch

from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.alanet_plus import ALANetPlus, ALANetPlusConfig
from alanet.model.attention import ChannelAttention, attend, describe

MODELS = (
    lambda: ALANet(ALANetConfig(width=0.05)),
    lambda: ALANetPlus(ALANetPlusConfig((8, 8, 12), (1, 1, 1), (1, 1, 1), motion=8, stem=4)),
)


def test_a_local_descriptor_is_the_mean_around_each_place():
    latent = torch.arange(35, dtype=torch.float64).view(1, 1, 5, 7)
    local = describe(latent, 3)
    assert local.shape == latent.shape
    assert torch.equal(local[0, 0, 1:4, 1:6], latent[0, 0, 1:4, 1:6])  # of a slope it is the middle
    assert local[0, 0, 0, 0] == local[0, 0, 1, 1]  # the outermost whole square
    for size in (0, 7, 100):
        assert torch.equal(describe(latent, size), latent.mean((-2, -1)))
    wide = describe(latent, 6)  # as high as there is
    assert torch.equal(wide, wide[..., :1, :].expand_as(wide))


def test_a_gate_says_of_each_place_what_it_says_of_a_frame():
    torch.manual_seed(0)
    gate, latent = ChannelAttention(6), torch.rand(2, 6, 3, 4)
    weights = gate(latent)
    assert weights.shape == latent.shape
    assert torch.allclose(weights[:, :, 1, 2], gate(latent[:, :, 1, 2]))
    assert torch.equal(attend(latent, weights), latent * weights)


@pytest.mark.parametrize("make", MODELS)
def test_pooling_as_wide_as_the_frame_is_none_and_narrower_is_local(make):
    torch.manual_seed(1)
    model = make().double().eval()
    with torch.no_grad():
        for weight in model.parameters():  # so that gates and outputs say something
            weight += 0.1 * torch.randn_like(weight)
        clip, times = torch.rand(1, 3, 3, 128, 128, dtype=torch.float64), [1.0, 1.5]
        clip[..., :64] *= 0.2
        whole = model(clip, times)
        model.pooling = 128
        assert torch.equal(model(clip, times), whole)
        model.pooling = 32
        local = model(clip, times)
    assert torch.isfinite(local).all()
    assert (local - whole).abs().max() > 1e-6
