"""The optimizer whose steps move every direction of a layer alike."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.alanet_plus import ALANetPlus
from alanet.training.config import TrainConfig
from alanet.training.optim import RATIO, Muon, make_optimizers, orthogonal


@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (16, 16), (1, 9)])
def test_orthogonal_keeps_the_directions_and_evens_out_their_sizes(shape) -> None:
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape, dtype=torch.float64), full_matrices=False)
    sizes = torch.logspace(0, -1.3, min(shape), dtype=torch.float64)  # the largest 20 times the smallest
    made = orthogonal(u @ sizes.diag() @ v)
    along = u.T @ made @ v.T  # in its own directions: nothing beside the diagonal
    assert (along - along.diag().diag()).abs().max() < 1e-6
    assert along.diag().min() > 0.3
    assert along.diag().max() < 1.25


def test_the_first_step_is_as_large_as_said_and_goes_down() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(6, 2, 3, 3, dtype=torch.float64))
    before = weight.detach().clone()
    weight.grad = torch.randn_like(weight)
    Muon([weight], lr=1e-3, weight_decay=0.5).step()
    step = weight.detach() - before * (1 - 1e-3 * 0.5)
    assert (step * weight.grad).sum() < 0
    assert torch.linalg.matrix_norm(step.flatten(1), 2).item() == pytest.approx(RATIO * 1e-3, rel=0.25)


@pytest.mark.parametrize(
    ("model", "output"), [(ALANet(ALANetConfig(width=0.05)), "generator.to_rgb"), (ALANetPlus(), "decoder.kind.0")]
)
def test_every_weight_has_one_optimizer_and_outputs_are_not_orthogonal(model, output) -> None:
    muon, adamw = make_optimizers(model, TrainConfig(steps=1, optimizer="muon"))
    names = {weight: name for name, weight in model.named_parameters()}
    owned = [{names[weight] for group in optimizer.param_groups for weight in group["params"]}
             for optimizer in (muon, adamw)]  # fmt: skip
    assert not owned[0] & owned[1]
    assert owned[0] | owned[1] == set(names.values())
    assert f"{output}.weight" in owned[1]
    assert all(name.endswith("weight") for name in owned[0])
    assert sum(weight.numel() for group in muon.param_groups for weight in group["params"]) > 0.8 * sum(
        weight.numel() for weight in names
    )


def test_flow_that_is_trained_with_the_rest_takes_a_share_of_the_rate() -> None:
    model = ALANetPlus()
    _, adamw = make_optimizers(model, TrainConfig(steps=1, optimizer="muon", flow_share=0.1))
    names = {weight: name for name, weight in model.named_parameters()}
    shares = {names[weight]: group.get("share", 1.0) for group in adamw.param_groups for weight in group["params"]}
    assert {name for name, share in shares.items() if share == 0.1} == {
        n for n in names.values() if n.startswith("flow.")
    }
    assert set(shares.values()) == {0.1, 1.0}
