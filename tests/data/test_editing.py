"""Overlays are at one place in inputs and ground truth; fades and dissolves are even in time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from alanet.data.editing import Editing, edit
from alanet.errors import OptionError

TIMES = torch.tensor([1.0, 1.5])


def clips(b: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.rand(b, 3, 3, 64, 96, generator=random), torch.rand(b, 2, 3, 64, 96, generator=random)


def edited(options: Editing, b: int = 4, seed: int = 0) -> tuple[torch.Tensor, ...]:
    clip, truth = clips(b)
    return (clip, truth, *edit(clip, truth, TIMES, np.random.default_rng(seed), options))


def test_an_overlay_is_at_one_place_in_all_frames():
    clip, truth, new_clip, new_truth = edited(Editing(overlays=1.0))
    for i in range(len(clip)):
        frames = torch.cat((new_clip[i], new_truth[i]))
        changed = (frames != torch.cat((clip[i], truth[i]))).any(1)  # f h w
        place = changed.all(0)
        assert 0.01 < place.float().mean() < 0.65
        assert (changed.any(0) == place).float().mean() > 0.99
        assert frames[:, :, place].std(0).mean() < 0.3 * frames[:, :, ~place].std(0).mean()  # 70 % of it at least


def test_a_fade_is_even_in_time():
    grey = torch.full((8, 3, 3, 8, 8), 0.5)
    clip, truth = edit(grey, grey[:, :2], TIMES, np.random.default_rng(0), Editing(fades=1.0))
    assert clip.std((2, 3, 4)).max() == 0
    inputs, restored = clip[..., 0, 0, 0], truth[..., 0, 0, 0]
    torch.testing.assert_close(inputs.mean(1), inputs[:, 1])
    torch.testing.assert_close(restored, torch.stack((inputs[:, 1], inputs[:, 1:].mean(1)), 1))
    assert inputs[:, 1].std() > 0.05


def test_a_dissolve_leads_to_another_clip_of_the_batch():
    clip, truth, new_clip, _ = edited(Editing(dissolves=1.0), b=2, seed=1)
    other = truth[1, 0]
    change = (new_clip[0] - clip[0]).flatten(1)
    way = (other - clip[0]).flatten(1)
    share = (change * way).sum(1) / way.square().sum(1)
    torch.testing.assert_close(change, share[:, None] * way, rtol=0, atol=1e-5)
    assert share[1] == pytest.approx(float(share[0] + share[2]) / 2, abs=1e-4)


def test_without_options_nothing_changes_and_draws_repeat():
    clip, truth, new_clip, new_truth = edited(Editing())
    assert torch.equal(clip, new_clip)
    assert torch.equal(truth, new_truth)
    all_kinds = Editing(overlays=0.4, fades=0.3, dissolves=0.3)
    assert torch.equal(edited(all_kinds)[2], edited(all_kinds)[2])


def test_shares_are_checked():
    with pytest.raises(OptionError, match=r"overlays is 1\.5; allowed: from 0 to 1"):
        Editing(overlays=1.5)
    with pytest.raises(OptionError, match="1 at most in sum"):
        Editing(overlays=0.5, fades=0.6)
