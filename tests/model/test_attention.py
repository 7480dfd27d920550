"""Descriptors of a frame, and the gates that see them."""

from __future__ import annotations

import torch

from alanet.model.attention import ChannelAttention, attend, describe


def test_a_descriptor_is_the_mean_over_the_frame_in_float32_at_least() -> None:
    latent = torch.rand(2, 3, 4, 6)
    torch.testing.assert_close(describe(latent), latent.mean((-2, -1)))
    assert describe(latent.bfloat16()).dtype == torch.float32


def test_a_gate_weighs_channels_between_0_and_1() -> None:
    torch.manual_seed(0)
    gate, latent = ChannelAttention(6), torch.rand(2, 6, 3, 4)
    weights = gate(describe(latent))
    assert weights.shape == (2, 6)
    assert ((weights > 0) & (weights < 1)).all()
    torch.testing.assert_close(attend(latent, weights), latent * weights[..., None, None])
