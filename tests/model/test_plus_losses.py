"""What the flow and the exposure head of ALANetPlus are trained by: units, directions, and which part learns."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from alanet.data.augment import ExposureMix
from alanet.data.cutting import Batch
from alanet.model.alanet_plus import ALANetPlus, ALANetPlusConfig
from alanet.model.exposure_head import LEAST, ExposureEstimate
from alanet.model.plus_losses import _flows, exposure_loss, flow_loss
from alanet.model.rife import halved
from alanet.model.warping import warp
from tests.support.clips import made

INNER = (..., slice(8, -8), slice(8, -8))


@pytest.fixture(scope="module")
def batch() -> Batch:
    return made(ExposureMix(sharp=1.0, blurry=0.0)).batch(0, size=4, crop=64)


@pytest.fixture(scope="module")
def blurry() -> Batch:
    return made(ExposureMix(sharp=0.0, blurry=1.0)).batch(0, size=4, crop=64)


def flow_of(batch: Batch) -> torch.Tensor:
    """Of each pair, from its first frame: b t-1 2 h/4 w/4."""
    assert batch.flow is not None
    return batch.flow[:, :, 0]


def pair_of(batch: Batch) -> tuple[int, int, float]:
    """The first in-between time: its place in the batch, its pair, its phase."""
    return next((k, int(t), t % 1) for k, t in enumerate(batch.times[0].tolist()) if t % 1)


def test_known_flow_leads_from_the_frame_between_to_both(batch: Batch) -> None:
    k, i, at = pair_of(batch)
    phase = torch.full((4,), at)
    a, b, truth = (halved(x) for x in (batch.clip[:, i], batch.clip[:, i + 1], batch.truth[:, k]))
    flows = _flows(flow_of(batch)[:, i], 0.0, torch.zeros(4, 4, 32, 32), phase)
    for x, flow in ((a, flows[:, :2]), (b, flows[:, 2:])):
        errors = [float((warp(x, way * flow, 1) - truth)[INNER].abs().mean()) for way in (1, 0, -1)]
        assert errors == sorted(errors)
        assert errors[0] < 0.8 * errors[1]  # motion is even in the target, and not quite in scenes


def test_the_known_flow_has_a_smaller_loss_than_none(batch: Batch) -> None:
    k, i, at = pair_of(batch)
    one = replace(batch, times=batch.times[:, [k]], truth=batch.truth[:, [k]])
    exact = _flows(flow_of(batch)[:, i], 0.0, torch.zeros(4, 4, 32, 32), torch.full((4,), at))
    losses = []
    for flow in (exact, 0.5 * exact, 0 * exact):
        steps = [(flow, torch.zeros(4, 1, 32, 32))] * 4
        losses.append(float(flow_loss(SimpleNamespace(steps=lambda *_, steps=steps: steps), one)))
    assert losses == sorted(losses)
    assert losses[0] < losses[2] - 0.5


def test_a_teacher_s_flow_stands_in_where_none_is_true(batch: Batch) -> None:
    k, i, _ = pair_of(batch)
    half = torch.stack((-flow_of(batch) / 2, flow_of(batch) / 2), 2)
    one = replace(batch, times=torch.full((4, 1), i + 0.5), truth=batch.truth[:, [k]], flow=None, halfway_flow=half)
    flow = half[:, i].flatten(1, 2)
    steps = [(torch.nn.functional.interpolate(flow, scale_factor=2.0) / 2, torch.zeros(4, 1, 32, 32))] * 4
    near = flow_loss(SimpleNamespace(steps=lambda *_: steps), one)
    far = flow_loss(SimpleNamespace(steps=lambda *_: [(x + 8, y) for x, y in steps]), one)
    assert near < far - 1


def test_the_true_exposure_has_the_smallest_loss(blurry: Batch) -> None:
    def loss(times: float, sharp: float) -> float:
        def head(luma: torch.Tensor, motion: torch.Tensor) -> ExposureEstimate:
            right = (times * exposure / 8 + LEAST).log()
            return ExposureEstimate(right, torch.zeros(4), torch.full((4,), sharp))

        exposure = blurry.exposure[:, 0]
        same = replace(blurry, exposure=exposure[:, None].expand(-1, 5))
        return float(exposure_loss(head, [torch.zeros(4, 1, 64, 64)] * 5, [torch.zeros(4, 2, 16, 16)] * 4, same))

    assert loss(1.0, -4.0) < loss(1.5, -4.0) < loss(2.0, -4.0)
    assert loss(1.0, -4.0) < loss(1.0, 4.0)  # blurred over more than a pixel: not sharp


@pytest.mark.parametrize("part", ["flow", "exposure"])
def test_one_part_learns_and_the_others_do_not(part: str, blurry: Batch) -> None:
    torch.manual_seed(0)
    model = ALANetPlus(ALANetPlusConfig((8,) * 4, (8,) * 3, (0,) * 4, (0,) * 4)).requires_grad_(False)
    getattr(model, part).requires_grad_(True)
    loss = model.objective(blurry, 0.0)
    assert loss is not None
    loss.backward()
    learned = {name.split(".")[0] for name, weights in model.named_parameters() if weights.grad is not None}
    assert learned == {part}
    assert all(
        weights.grad.isfinite().all() for weights in getattr(model, part).parameters() if weights.grad is not None
    )
    model.decoder.requires_grad_(True)
    assert model.objective(blurry, 0.0) is None
