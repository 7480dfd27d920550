"""ALANetPlus: what it does before training, that its parts agree with the whole, and what its inputs mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from alanet.engine.counts import Counts
from alanet.engine.fallback import FallbackRunner
from alanet.engine.runner import Runner
from alanet.engine.stream import stream
from alanet.errors import OptionError, TimeError
from alanet.frames.tiles import Box
from alanet.frames.timing import Factor
from alanet.model import decoder
from alanet.model.alanet_plus import ALANetPlus
from alanet.model.blur_features import LONGEST, REACH, blur_features, curvature, limited, luma_along
from alanet.model.cells import in_cells, in_planes
from alanet.model.exposure_head import exposure_of
from alanet.model.network import Window
from alanet.model.rife import CoarseFlow
from alanet.model.warping import cheap_warp, warp
from alanet.model.weights import load_model, save_weights
from alanet.notes import Notes
from alanet.restoration.restorer import Restorer
from tests.engine.test_stream import video
from tests.support.networks import TINY, random_network


def make(*, random: bool = True) -> ALANetPlus:
    """Small; `random`: every output layer has weights too, so that each part has an effect."""
    return random_network() if random else ALANetPlus(TINY).eval()


def clip_of(t: int, b: int = 1, size: tuple[int, int] = (64, 96)) -> torch.Tensor:
    return torch.rand(b, t, 3, *size, generator=torch.Generator().manual_seed(1))


def window_of(model: ALANetPlus, clip: torch.Tensor) -> Window:
    frames = [model.encode(clip[:, i]) for i in range(clip.shape[1])]
    return Window(dict(enumerate(frames)), {i: model.relate(*frames[i : i + 2]) for i in range(len(frames) - 1)})


@torch.inference_mode()
@pytest.mark.parametrize("t", [1, 2, 3])
def test_forward_is_encode_relate_and_generate(t):
    model, clip = make(), clip_of(t, b=2)
    times = [k / 4 for k in range(4 * t - 3)]
    out = model(clip, times)
    window = window_of(model, clip)
    for k, time in enumerate(times):
        torch.testing.assert_close(out[:, k], model.generate(window, time), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_before_training_a_still_clip_comes_back():
    still = clip_of(1).expand(-1, 3, -1, -1, -1)
    out = make(random=False)(still, [0.0, 0.5, 1.0])
    assert (out[:, 0] - still[:, 0]).abs().mean() < 0.02  # 2 % of the blend are neighbours, warped
    assert torch.isfinite(out).all()


@torch.inference_mode()
def test_clips_of_a_batch_do_not_affect_each_other():
    model, clip = make(), clip_of(2, b=2)
    torch.testing.assert_close(model(clip, [0.5, 1.0]).flip(0), model(clip.flip(0), [0.5, 1.0]), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_frame_beyond_the_neighbours_has_no_effect():
    model, clip = make(), clip_of(4)
    other = clip.clone()
    other[:, 3] = 0
    assert torch.equal(model(clip, [0.0, 0.5, 1.0]), model(other, [0.0, 0.5, 1.0]))
    assert not torch.equal(model(clip, [2.0]), model(other, [2.0]))


@torch.inference_mode()
def test_a_part_is_what_the_whole_frame_has_there():
    model, clip = make(), clip_of(3, size=(64, 1024))
    window = window_of(model, clip)
    halo = model.tiling.halo
    box = Box(0, 128, 64, 896)
    for time in (1.0, 1.25):
        whole, made = model.generate(window, time), model.generate(window, time, box)
        inner = slice(halo, 768 - halo)
        assert halo < 300
        assert (made - whole[..., 128:896]).abs()[..., inner].max() < 1e-3
    assert (whole - clip[:, 1]).abs().mean() > 1e-3


@torch.inference_mode()
@pytest.mark.parametrize("within", [None, Box(32, 16, 176, 96)])
@pytest.mark.parametrize("time", [0.5, 1.0])
def test_a_large_frame_is_made_in_strips(monkeypatch, within, time):
    model, seen = make(), []
    window = window_of(model, clip_of(3, size=(192, 96)))
    whole = model.generate(window, time, within)
    model.decoder.head.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[2]))
    monkeypatch.setattr(decoder, "STRIP", 40 * whole.shape[-1])
    torch.testing.assert_close(model.generate(window, time, within), whole, rtol=1e-4, atol=1e-4)
    assert len(seen) == round(whole.shape[-2] / 40)
    assert max(seen) < whole.shape[-2] / 2, "a strip has fewer rows of cells than the frame"


@pytest.mark.parametrize("time", [-0.5, 2.25])
def test_times_outside_the_clip_are_refused(time):
    with pytest.raises(TimeError, match="from 0 to 2"):
        make()(clip_of(3), [time])
    with pytest.raises(TimeError, match="outside the frames given"):
        make().generate(Window({3: make().encode(clip_of(1)[:, 0])}), 3.5)


@pytest.mark.parametrize(
    "fault",
    [{"channels": (8, 8, 8)}, {"side": (8, 8, 2)}, {"decoder": (0, 0, 0, 99)}, {"sharp_above": 1.0}],
)
def test_configs_that_make_no_network_are_refused(fault):
    with pytest.raises(OptionError):
        replace(TINY, **fault)


@pytest.mark.parametrize("flow", [False, True])
def test_no_gradient_goes_into_exposure_and_one_into_flow_if_it_is_trained(flow):
    model = make().train()
    model.flow.requires_grad_(flow)
    model(clip_of(3), [0.25, 0.5, 1.0]).square().mean().backward()
    learned = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert learned == {"encoder", "decoder", *(["flow"] if flow else [])}


def test_the_exposure_is_the_mean_of_both_pairs():
    model, clip = make(), clip_of(3)
    window = window_of(model, clip)
    logs = [window.relations[0].shutters[1].log_exposure, window.relations[1].shutters[0].log_exposure]
    found = model.estimate(window, 1)
    assert found is not None
    torch.testing.assert_close(found.exposure, exposure_of((logs[0] + logs[1]) / 2))
    assert model.estimate(Window({0: window.features[0]}), 0) is None  # alone, nothing shows how it moves


def test_a_path_and_its_reverse_are_the_same_blur():
    path = torch.randn(2, 2, 4, 4)
    torch.testing.assert_close(blur_features(path), blur_features(-path))
    along = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    features = blur_features(along)[0, :, 0, 0]
    torch.testing.assert_close(features[2], torch.tensor(5 / 8), atol=1e-3, rtol=0)  # length, in 8 pixels
    torch.testing.assert_close(features[3:5], torch.tensor([(9 - 16) / 25, 2 * 12 / 25]), atol=1e-3, rtol=0)


def test_cells_hold_two_by_two_pixels_row_by_row():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert in_cells(x)[0, 0, 0, 1].tolist() == [2, 3, 6, 7]
    y = torch.rand(2, 3, 6, 8)
    assert torch.equal(in_planes(in_cells(y)), y)


def test_luma_along_a_path_reads_the_ramp():
    ramp = torch.arange(64.0).expand(1, 3, 16, 64) / 64
    path = torch.zeros(1, 2, 8, 32, 4)
    path[:, 0] = 8.0
    at = torch.tensor([-1.25, -1, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1, 1.25])
    for curved in (0.0, 4.0):
        seen = luma_along(ramp.mean(1, keepdim=True), path, torch.full_like(path, curved))
        torch.testing.assert_close(in_planes(torch.cat(seen, 1))[0, :, 8, 32] * 64, 8 * at - curved * at**2)


def test_what_speeds_up_lies_behind_the_middle_of_its_way():
    """x = v t + c t^2 / 2: half-way in time it has gone v / 2 + c / 8, not half of v + c / 2."""
    v, c = 6.0, 2.0
    model, clip = make(), clip_of(4)
    window = window_of(model, clip)
    pairs = {}
    for i, pair in window.relations.items():  # pair 1 is between frames at t = 0 and 1
        motion = torch.zeros_like(pair.motion)
        motion[:, 0] = v + c * (i - 0.5)
        pairs[i] = replace(pair, motion=motion, flow=torch.cat((-motion / 2, motion / 2), 1))
    _, before, after = model._interpolated(Window(window.features, pairs), 1, 0.5)
    gone = v / 2 + c / 8
    torch.testing.assert_close(before.flow[:, 0].mean(), torch.tensor(-gone))
    torch.testing.assert_close(after.flow[:, 0].mean(), torch.tensor(v + c / 2 - gone))
    _, before, _ = model._interpolated(Window(window.features, {1: pairs[1]}), 1, 0.5)  # alone it counts as even
    torch.testing.assert_close(before.flow[:, 0].mean(), torch.tensor(-(v + c / 2) / 2))


def test_a_long_path_is_shortened():
    path = torch.tensor([300.0, 400.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(limited(path).norm(), torch.tensor(LONGEST), atol=0.01, rtol=0)
    growth = torch.full((1, 2, 1, 1), 100.0)
    reach = 1.25 * limited(path).norm() + 1.25**2 * curvature(growth, torch.ones(1)).norm()
    assert 0.8 * REACH < reach < 1.1 * REACH
    short = path / 100
    torch.testing.assert_close(limited(short), short)


def test_the_cheap_gradient_of_a_shift_is_the_exact_one():
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0] = 4.0
    weights = torch.rand(1, 2, 8, 8)
    found: list[Any] = []
    for sampler in (warp, cheap_warp):
        x = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
        (sampler(x, flow, 4) * weights).sum().backward()
        found.append(x.grad)
    torch.testing.assert_close(found[0][..., 1:-1], found[1][..., 1:-1])  # at the edge, which is repeated, they differ


def test_the_flow_network_takes_a_time_for_each_pair():
    torch.manual_seed(0)
    flow, a, b = CoarseFlow().eval(), torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        both, logit = flow(a, b, torch.tensor([0.25, 0.75]))
        one, _ = flow(a[1:], b[1:], torch.tensor([0.75]))
    assert both.shape == (2, 4, 32, 32)
    assert logit.shape == (2, 1, 32, 32)
    torch.testing.assert_close(both[1:], one, rtol=1e-4, atol=1e-5)


def test_weights_rebuild_it_and_a_restorer_runs_it(tmp_path):
    model = make()
    save_weights(model, tmp_path / "plus.safetensors", half=False)
    again = load_model(tmp_path / "plus.safetensors")
    assert again.config == TINY
    restorer = Restorer(tmp_path / "plus.safetensors", device="cpu", precision="fp32")
    clip = [np.random.default_rng(i).integers(0, 256, (50, 70, 3), np.uint8) for i in range(3)]
    assert [frame.shape for frame in restorer.arrays(clip, rate=Factor(4))] == [(50, 70, 3)] * 9
    assert (restorer.runner.encodes, restorer.runner.relates) == (3, 2)


def test_a_stream_gives_what_the_network_gives_and_relates_no_pair_across_a_cut():
    model, size, n = make(), (32, 64), 6
    runner, counts = Runner(model, torch.device("cpu"), "fp32"), Counts()
    steady = FallbackRunner(runner, (), "exact", Notes())
    about = {"window": model.window, "around": model.around, "tail": "drop", "counts": counts}
    out = list(stream(video(n, size, cuts=(4,)), steady, Factor(4), **about))
    assert (runner.encodes, runner.relates, counts.cuts) == (n, n - 2, 1)
    whole = torch.stack([torch.from_numpy(f.pixels).permute(2, 0, 1) for f, _ in video(n, size)])[None] / 255
    with torch.inference_mode():
        expected = model(whole[:, :4], [k / 4 for k in range(13)])
    expected = (expected[0].clamp(0, 1) * 255).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(np.stack([f.pixels for f in out[:13]]) - expected).max() <= 1
    assert out[15].pixels is out[12].pixels  # held until the cut


def test_under_autocast_frames_and_motion_stay_exact():
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        model = make()
        window = window_of(model, clip_of(2))
        assert window.features[0].own[0].dtype == torch.bfloat16
        assert window.relations[0].motion.dtype == torch.float32
        assert model.estimate(window, 0).sharp.dtype == torch.float32
        assert model.generate(window, 0.5).dtype == torch.float32


@torch.inference_mode()
def test_both_neighbours_as_they_are_can_be_chosen():
    """A caption does not move with the picture, so neither aligned frame has it at its place."""
    model, clip = make(random=False), clip_of(2)
    model.decoder.head.bias.view(-1, 4)[3] += 30  # the weight of the first candidate
    torch.testing.assert_close(model(clip, [0.25])[:, 0], 0.75 * clip[:, 0] + 0.25 * clip[:, 1], rtol=0, atol=1e-4)
