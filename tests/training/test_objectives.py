"""Losses of motion and exposure, in the units and directions of the scenes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from alanet.data.augment import ExposureMix
from alanet.data.clips import SceneClips
from alanet.data.cutting import ClipOptions
from alanet.data.synthetic.render import Stills
from alanet.data.synthetic.scenes import SceneOptions
from alanet.frames.blur_extent import blur_extent
from alanet.model.alanet_plus import ALANetPlus, ALANetPlusConfig
from alanet.model.flow import Motion
from alanet.model.layers import CELL, resized
from alanet.model.warping import warp
from alanet.training import objectives
from alanet.training.checkpoint import Checkpoint, trained_model
from alanet.training.config import Stage, preset
from alanet.training.loss import RestorationLoss
from alanet.training.objectives import exposure_loss, exposure_objective, motion_loss, plus_objective
from alanet.training.trainer import Trainer

TINY = ALANetPlusConfig((8, 8, 12), (1, 1, 1), (1, 1, 1), motion=8, stem=4)
FRAMES = SceneOptions().frames


def parts(window):
    """Its features and its relations, each by index."""
    return dict(window.features), dict(window.relations)


class Textures(Stills):
    """Smooth random pictures instead of files."""

    def __init__(self) -> None:
        super().__init__([])
        noise = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
        picture = torch.nn.functional.interpolate(noise[None], scale_factor=8.0, mode="bicubic")[0].clamp(0, 1)
        self._picture = (picture * 255).to(torch.uint8)

    def picture(self, fraction: float) -> torch.Tensor:
        return self._picture


@pytest.fixture(scope="module")
def clips():
    return made(ExposureMix(sharp=1.0, blurry=0.0))


def made(mix: ExposureMix) -> SceneClips:
    scenes = SceneOptions(64, 64, FRAMES, max_displacement=8.0, still=0.0, layers=(1.0,))
    return SceneClips(Textures(), scenes, ClipOptions(t=5, factor=8, motion=True, mix=mix))


def test_the_scenes_flow_is_what_warp_wants(clips):
    """The next frame looked up along the flow that scenes tell is this frame: units, order and direction agree."""
    batch = clips.batch(0, size=4, crop=64)
    for j in range(4):
        here, there = batch.clip[:, j], batch.clip[:, j + 1]
        for way, (a, b) in enumerate(((here, there), (there, here))):
            flow = resized(batch.flow[:, j, way], CELL, 1)
            inner = (..., slice(12, -12), slice(12, -12))
            brought, apart = (warp(b, flow, 1) - a)[inner].abs().mean(), (b - a)[inner].abs().mean()
            assert brought < 0.35 * apart


def test_the_motion_loss_is_the_logarithm_of_a_distance_in_pixels(clips):
    flow = clips.batch(0, size=2, crop=64).flow

    def motion(j: int, off: float) -> Motion:
        steps = [tuple(resized(flow[:, j, way], CELL, cell) + off for way in (0, 1)) for cell in (16, 8, 4)]
        return Motion(*steps[-1], tuple(steps))  # type: ignore[call-arg]

    exact = {j: motion(j, 0.0) for j in range(4)}
    assert float(motion_loss(exact, flow)) == pytest.approx(math.log1p(0.01), abs=1e-6)  # the round tip
    off = {j: motion(j, 3.0) for j in range(4)}
    assert float(motion_loss(off, flow)) == pytest.approx(math.log1p(18**0.5), abs=1e-4)
    swapped = {0: Motion(exact[0].backward, exact[0].forward, tuple((b, f) for f, b in exact[0].steps))}
    assert float(motion_loss(swapped, flow)) > 0.5


def test_sharp_is_what_shows_no_blur_however_long_the_exposure():
    """Frames: a sharp one, a long exposure of what stands still, the same of what moves, a short one of the same."""
    model = ALANetPlus(TINY)
    window, _ = parts(model.encode_clip(torch.rand(1, 4, 3, 32, 32), [1.0, 2.0]))
    window = {j: replace(x, exposure=torch.tensor([1.0]), sharp=torch.tensor([2.0])) for j, x in window.items()}
    lengths = torch.tensor([[1.0, 9.0, 9.0, 1.0]])
    sweep = torch.zeros(1, 4, 2, 8, 8)
    sweep[:, 2:] = 5.0
    exposure, sharp = exposure_loss(window, lengths, sweep)
    entropy = lambda x: float(np.log1p(np.exp(-x)))  # noqa: E731
    assert float(exposure) == pytest.approx((2 * abs(1 - 1 / 8) + abs(1 - 9 / 8)) / 3)  # the second could be any
    assert float(sharp) == pytest.approx((3 * entropy(2.0) + entropy(-2.0)) / 4, abs=1e-5)
    unknown = exposure_loss(window, lengths, None)
    assert float(unknown[0]) == pytest.approx((2 * abs(1 - 1 / 8) + 2 * abs(1 - 9 / 8)) / 4)
    assert float(unknown[1]) == pytest.approx((2 * entropy(2.0) + 2 * entropy(-2.0)) / 4, abs=1e-5)


def test_only_encoded_frames_have_an_exposure_loss():
    model = ALANetPlus(TINY)
    window, _ = parts(model.encode_clip(torch.rand(1, 4, 3, 32, 32), [3.0]))  # frames 2 and 3
    window = {j: replace(x, exposure=torch.tensor([9 / 8]), sharp=torch.tensor([-20.0])) for j, x in window.items()}
    sweep = torch.zeros(1, 4, 2, 8, 8)
    sweep[:, 2:] = 5.0
    exposure, sharp = exposure_loss(window, torch.tensor([[1.0, 1.0, 9.0, 9.0]]), sweep)
    assert float(exposure) == pytest.approx(0.0, abs=1e-6)
    assert float(sharp) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("exposure", "pixels"), [(1, 0.0), (5, 4.0), (9, 8.0)])
def test_blur_extent_is_the_motion_during_the_exposure(exposure, pixels):
    """A disc that moves 8 pixels a period; all else stands still. A thing below a hundredth of the frame is not it."""
    sweep = torch.zeros(1, 1, 2, 20, 20)
    sweep[..., 0, :2, :4] = 4.8
    sweep[..., 1, :2, :4] = -6.4
    assert float(blur_extent(torch.tensor([[exposure]]), sweep)) == pytest.approx(pixels)
    sweep[..., 1:, :] = sweep[..., 3:] = 0.0
    assert float(blur_extent(torch.tensor([[exposure]]), sweep)) == 0.0


def test_every_part_learns_and_motion_falls():
    """A few steps on one blurry batch: the motion's distance falls, and every weight has moved."""
    torch.manual_seed(0)
    model = ALANetPlus(replace(TINY, sharp_above=0.999))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    config = preset("quick", steps=30, lr=2e-3, warmup=0.0, precision="fp32", stages=(Stage(0, 64, 2),))
    objective = plus_objective(RestorationLoss(), motion=0.1, exposure=0.1)
    trainer = Trainer(model, config, objective, steps=30, device=torch.device("cpu"))
    batch = made(ExposureMix(sharp=0.0, blurry=1.0)).batch(0, size=2, crop=64)
    results = [trainer.take_step(batch, used=0.0) for _ in range(30)]
    assert {"charbonnier", "fourier", "motion", "exposure", "sharp"} == set(results[0].terms)
    assert results[-1].terms["motion"] < 0.7 * results[0].terms["motion"]
    assert results[-1].terms["charbonnier"] < results[0].terms["charbonnier"]
    assert [name for name, value in model.state_dict().items() if torch.equal(value, start[name])] == []


def test_the_refiner_trains_again_on_frames_of_earlier_steps():
    """Each step hears of its own frames and of some before; what they were does not change in the meantime."""
    torch.manual_seed(0)
    model = ALANetPlus(replace(TINY, exposure_refiner=16)).requires_grad_(False)
    model.exposure_refiner.requires_grad_(True)
    read: list[torch.Tensor] = []
    model.exposure_refiner.register_forward_pre_hook(lambda layer, given: read.append(torch.column_stack(given)))
    objective, source = exposure_objective(), made(ExposureMix())
    batches = [source.batch(k, size=2, crop=64) for k in range(3)]
    for batch in batches:
        loss, terms = objective(model, batch, 0.0)
        assert float(loss.detach()) == pytest.approx(float(terms["exposure"] + terms["sharp"]))
    assert [len(x) for x in read] == [10, 20, 30]  # 2 clips of 5 frames, and as many again as there were before
    known = read[0]
    assert all((known == row).all(-1).any() for row in read[1][10:])
    known = torch.cat((known, read[1][:10]))
    assert all((known == row).all(-1).any() for row in read[2][10:])
    model.requires_grad_(False)
    window = model.encoded(batches[0].clip)
    window = model.refine_exposure(window, model.estimate_motion(window))
    exposure, sharp = exposure_loss(window, batches[0].exposure, batches[0].sweep)  # as in `alanet restore`
    _, terms = exposure_objective()(model, batches[0], 0.0)  # with nothing before
    assert float(terms["exposure"]) == pytest.approx(float(exposure), rel=1e-5)
    assert float(terms["sharp"]) == pytest.approx(float(sharp), rel=1e-5)


def test_the_oldest_frames_are_forgotten_and_what_is_not_finite_is_never_kept(monkeypatch):
    monkeypatch.setattr(objectives, "MEMORY_SIZE", 12)
    memory = objectives._Memory()
    for first in (0.0, 10.0, 20.0, 30.0):
        new = (torch.arange(5.0) + first)[None, :, None].expand(1, 5, 5).clone()
        new[0, 4] = torch.nan
        _, length, _ = memory.joined(new)  # rows of alike numbers: each tells which frame it is
    assert length[:4].tolist() == [30.0, 31.0, 32.0, 33.0]
    assert set(length[5:].tolist()) <= {first + k for first in (0.0, 10.0, 20.0) for k in range(4)}
    many = torch.cat([memory.joined(torch.full((1, 1, 5), 40.0))[1][1:] for _ in range(30)])
    assert not set(many.tolist()) & {0.0, 1.0, 2.0, 3.0}


def test_motion_can_be_learned_first_and_alone(clips):
    """Until then no frame is restored and no weight of G moves; from then on it does."""
    torch.manual_seed(0)
    model = ALANetPlus(TINY)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    config = preset("quick", steps=4, lr=2e-3, warmup=0.0, precision="fp32", stages=(Stage(0, 64, 2),))
    objective = plus_objective(RestorationLoss(), motion=0.1, exposure=0.1, motion_warmup=0.5)
    trainer = Trainer(model, config, objective, steps=4, device=torch.device("cpu"))
    batch = clips.batch(0, size=2, crop=64)
    results = [trainer.take_step(batch, used=0.0) for _ in range(2)]
    assert {"motion", "exposure", "sharp"} == set(results[1].terms)
    moved = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, start[name])}
    assert moved == {"encoder", "exposure_head", "motion", "exposure_refiner"}
    assert "charbonnier" in trainer.take_step(batch, used=0.0).terms
    assert not torch.equal(model.generator.to_rgb.weight, start["generator.to_rgb.weight"])


def test_a_checkpoint_becomes_the_model_again(clips):
    config = preset("quick", steps=1, precision="fp32", ema=0.0)
    model = ALANetPlus(TINY)
    trainer = Trainer(model, config, plus_objective(RestorationLoss()), steps=1, device=torch.device("cpu"))
    again = trained_model(Checkpoint(trainer.state().tensors, trainer.state().about))
    assert type(again) is ALANetPlus
    assert again.config == TINY
