"""Exposure from the motion (model/exposure_head.py): by hand, and learned."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from alanet.model.alanet_plus import FAST, ALANetPlus
from alanet.model.exposure_head import LAGS, MAX_PLACES, SPEEDS, STATISTICS, ExposureRefiner, frame_statistics
from alanet.model.flow import Motion
from alanet.model.network import Window
from tests.support.textures import motion_blurred, moving, textures


@pytest.mark.parametrize(("pixels", "motion"), [(10, 8.0), (10, 10.0), (10, 20.0), (14, 10.0)])
@pytest.mark.parametrize("axis", [-1, -2])
def test_gradients_correlate_negatively_one_blur_length_further_on(pixels, motion, axis):
    """A shutter open for e periods: of all lags, edges are least like those e motions further on."""
    known = frame_statistics(motion_blurred(textures(4, 0), pixels, axis), moving(4, motion, axis)).view(
        4, len(SPEEDS), -1
    )
    pace = min(range(len(SPEEDS)), key=lambda k: abs(torch.tensor(SPEEDS[k] / motion).log()))
    lags = known[:, pace, : len(LAGS)].mean(0)
    assert LAGS[int(lags.argmin())] == pytest.approx(pixels / motion, abs=0.13)
    assert lags.min() < -0.2


def test_differences_are_small_along_the_motion_of_a_blurry_frame_only():
    frames, flow = textures(4, 0), moving(4, 5.0)
    along = slice(len(LAGS), len(LAGS) + 3)
    sharp, blurry, aside = (
        frame_statistics(x, f).view(4, len(SPEEDS), -1)[:, 1, along]
        for x, f in ((frames, flow), (motion_blurred(frames, 7), flow), (motion_blurred(frames, 7, -2), flow))
    )
    assert sharp.abs().max() < 0.15
    assert blurry[:, 1].max() < -0.3
    assert aside[:, 1].min() > 0.3  # blurred across the stated motion


def test_of_large_frames_fewer_places_tell_the_same():
    """Twice as many pixels each way, looked at half as often: as many places, and blocks of 8 pixels in both."""
    small, large = (motion_blurred(textures(3, 0, size), 10) for size in (256, 512))
    a, b = (
        frame_statistics(x, moving(3, 10.0, size=x.shape[-1])).view(3, len(SPEEDS), -1)[:, 2].mean(0)
        for x in (small, large)
    )
    assert MAX_PLACES == 128**2  # every second pixel of the small one, every fourth of the large one
    torch.testing.assert_close(a, b, rtol=0, atol=0.2)


def test_what_does_not_move_tells_nothing_and_all_is_finite():
    known = frame_statistics(torch.zeros(2, 3, 32, 48), torch.zeros(2, 2, 8, 12))
    assert known.shape == (2, STATISTICS)
    assert torch.isfinite(known).all()
    assert (known.view(2, len(SPEEDS), -1)[..., -1] == 0).all()  # no content of any pace


def test_a_shutter_believes_what_it_was_told_until_it_has_learned():
    exposure, sharp = torch.rand(3), torch.randn(3)
    again = ExposureRefiner(64)(torch.randn(3, STATISTICS), exposure, sharp)
    assert torch.equal(again[0], exposure)
    assert torch.equal(again[1], sharp)


def test_exposure_is_learned_from_blur_and_motion():
    """Smears of 4 to 12 pixels and motions of 6 to 16, independent: neither alone tells the exposure."""
    torch.manual_seed(0)
    exposure_refiner = ExposureRefiner(64)
    optimizer = torch.optim.AdamW(exposure_refiner.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(1)

    def sample(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        frames, known, exposures = textures(8, seed), [], []
        for frame in frames.split(1):
            pixels = int(torch.randint(4, 13, (), generator=generator))
            motion = float(torch.randint(6, 17, (), generator=generator))
            known.append(frame_statistics(motion_blurred(frame, pixels), moving(1, motion)))
            exposures.append(pixels / motion)
        return torch.cat(known), torch.tensor(exposures)

    samples = [sample(seed) for seed in range(24)]
    for step in range(240):
        known, exposure = samples[step % 24]
        said, _ = exposure_refiner(known, torch.ones(8), torch.zeros(8))
        loss = (said - exposure).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    known, exposure = (torch.cat(x) for x in zip(*(sample(100 + k) for k in range(4)), strict=True))
    error = (exposure_refiner(known, torch.ones(32), torch.zeros(32))[0] - exposure).abs().mean()
    assert error < 0.35 * (exposure - exposure.median()).abs().mean()


def test_the_network_refines_exposure_with_the_motion():
    torch.manual_seed(0)
    model = ALANetPlus(FAST).eval().requires_grad_(False)
    torch.nn.init.normal_(model.exposure_refiner.last.weight, std=0.2)
    torch.nn.init.normal_(model.motion.last[0].weight, std=0.3)
    frames = motion_blurred(textures(3, 0, 64), 5)
    window = {i: model.encode(frame) for i, frame in enumerate(frames.split(1))}
    relations = {i: model.relate(window[i], window[i + 1]) for i in (0, 1)}
    alone = model.refine_exposure(window, {})
    assert all(alone[i] is window[i] for i in window)
    informed = model.refine_exposure(window, relations)
    assert all(float(informed[i].sharp) != float(window[i].sharp) for i in window)
    sides = [model.exposure_refiner(pair.statistics[end], window[1].exposure, window[1].sharp)[1] for pair, end in
             ((relations[0], 1), (relations[1], 0))]  # fmt: skip
    assert min(sides) != max(sides)
    both = model.exposure_refiner(
        (relations[0].statistics[1] + relations[1].statistics[0]) / 2, window[1].exposure, window[1].sharp
    )
    torch.testing.assert_close(informed[1].sharp, both[1])
    clip = frames[None]
    together = model.encode_clip(clip, [1.0]).relations
    torch.testing.assert_close(together[0].statistics, relations[0].statistics, rtol=1e-3, atol=1e-3)

    plain = ALANetPlus(replace(FAST, exposure_refiner=0)).eval()
    assert not hasattr(plain, "exposure_refiner")
    assert plain.relate(window[0], window[1]).statistics == ()


def test_the_refined_sharpness_decides_which_frames_are_unchanged():
    """A frame that is believed sharp until its motion is known."""
    torch.manual_seed(0)
    model = ALANetPlus(FAST).eval()
    torch.nn.init.normal_(model.generator.to_rgb.weight, std=0.1)
    with torch.no_grad():
        model.exposure_refiner.last.bias.copy_(torch.tensor([0.0, -10.0]))
    frames = textures(2, 0, 64)
    window = {i: replace(model.encode(x), sharp=torch.tensor([9.0])) for i, x in enumerate(frames.split(1))}
    relations = {0: model.relate(window[0], window[1])}
    assert torch.equal(model.generate(Window({0: window[0]}, {}), 0.0), frames[:1])
    assert not torch.equal(model.generate(Window(window, relations), 0.0), frames[:1])
    unsure = {0: Motion(relations[0].forward, relations[0].backward)}  # no curves: as it was
    assert torch.equal(model.generate(Window(window, unsure), 0.0), frames[:1])
