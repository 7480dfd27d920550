"""A larger ALANetPlus begins as what a smaller one has become (model/widen.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from alanet.errors import OptionError
from alanet.model.alanet_plus import ALANetPlus, ALANetPlusConfig
from alanet.model.widen import widen

SMALL = ALANetPlusConfig((8, 12, 16), (0, 1, 1), (1, 1, 1), motion=8, stem=4, motion_deblur=8)
LARGE = replace(SMALL, channels=(12, 20, 32), encoder=(1, 2, 1), generator=(1, 2, 3), motion=12, motion_deblur=12)


def trained(config: ALANetPlusConfig) -> ALANetPlus:
    """Every weight at random, as after training."""
    torch.manual_seed(0)
    model = ALANetPlus(config).double().eval().requires_grad_(False)
    for weight in model.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.2)
    return model


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (SMALL, LARGE),
        (replace(SMALL, exposure_refiner=0, motion_deblur=0), LARGE),
        (replace(SMALL, matching=False), replace(LARGE, matching=False)),
        (replace(SMALL, stem=2, acceleration=False), replace(LARGE, stem=2, acceleration=False)),
        (replace(SMALL, exposure_refiner=8), replace(LARGE, exposure_refiner=12)),
        (SMALL, replace(LARGE, unwarped=True)),
        (replace(SMALL, unwarped=True), replace(LARGE, unwarped=True)),
        (replace(SMALL, align=False), replace(LARGE, align=False)),
    ],
)
def test_the_larger_network_restores_what_the_smaller_one_does(small, large):
    model = trained(small)
    torch.manual_seed(1)
    grown = widen(model.float(), large).double().eval()
    model.double()
    assert grown.config == large
    clip = torch.rand(1, 4, 3, 48, 64).double()
    times = [0.0, 0.5, 1.0, 2.25]
    with torch.no_grad():
        wanted, made = model(clip, times), grown(clip, times)
    assert (wanted - clip[:, [0, 0, 1, 2]]).abs().max() > 0.05
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-5)


def test_all_of_the_larger_network_can_learn():
    """No new channel is left without a say: after a step of training, each has been heard."""
    grown = widen(trained(SMALL).float().requires_grad_(True), LARGE).train()
    before = {name: weight.detach().clone() for name, weight in grown.named_parameters()}
    optimizer = torch.optim.SGD(grown.parameters(), 0.1)
    for _ in range(3):
        out = grown(torch.rand(1, 3, 3, 32, 32), [0.0, 0.5, 1.0])
        optimizer.zero_grad()
        (out - 0.3).square().mean().backward()
        optimizer.step()
    for name in ("encoder.down.1.weight", "generator.join.1.weight", "generator.blocks.1.1.second.weight"):
        assert (grown.get_parameter(name) != before[name]).flatten(1).any(1).all(), name


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"channels": (8, 12, 12)},
            r"channels .* cannot be widened to channels \(8, 12, 12\); allowed: \(8, 12, 16\) or more",
        ),
        (
            {"channels": (8, 12, 16, 16), "encoder": (0, 1, 1, 1), "generator": (1, 1, 1, 1)},
            "channels .* cannot be widened",
        ),
        ({"stem": 2}, "stem 4 cannot be widened to stem 2; allowed: 4"),
        ({"motion": 4}, "motion 8 cannot be widened to motion 4; allowed: 8 or more"),
        ({"matching": False}, "matching True cannot be widened to matching False"),
        ({"motion_deblur": 0}, "motion_deblur 8 cannot be widened to motion_deblur 0"),
    ],
)
def test_what_there_is_no_room_for_is_refused(changes, line):
    with pytest.raises(OptionError, match=line):
        widen(trained(SMALL).float(), replace(SMALL, **changes))
