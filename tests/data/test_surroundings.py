"""Still surroundings: one place moves, the rest is the same in all inputs and the ground truth."""

from __future__ import annotations

import numpy as np
import torch

from alanet.data.surroundings import MOVING, hold_still


def clips(b: int = 3) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    random = torch.Generator().manual_seed(0)
    fields = {"flow": torch.ones(b, 2, 2, 2, 16, 24), "sweep": torch.ones(b, 3, 2, 16, 24)}
    return torch.rand(b, 3, 3, 64, 96, generator=random), torch.rand(b, 2, 3, 64, 96, generator=random), fields


def test_most_of_the_frame_stands_still_and_its_motion_is_zero():
    clip, truth, motion = hold_still(*clips(), np.random.default_rng(0), 1.0)
    for i in range(len(clip)):
        frames = torch.cat((clip[i], truth[i]))
        still = frames.std(0).amax(0) < 1e-3  # h w
        assert still.float().mean() > 1 - MOVING[1] - 0.15
        assert not still.all()
        moves = motion["sweep"][i, 0, 0] > 0
        assert torch.equal(motion["flow"][i, 1, 0, 1] > 0, moves)
        assert 0 < moves.float().mean() < MOVING[1] + 0.1
        at_rest = still.view(16, 4, 24, 4).all(3).all(1)
        assert not (moves & at_rest).any()


def test_without_a_share_nothing_changes():
    clip, truth, motion = clips()
    same_clip, same_truth, same_motion = hold_still(clip, truth, motion, np.random.default_rng(0), 0.0)
    assert torch.equal(clip, same_clip)
    assert torch.equal(truth, same_truth)
    assert torch.equal(motion["flow"], same_motion["flow"])
