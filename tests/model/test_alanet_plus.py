"""ALANetPlus: the equations it keeps, what it adds, and that the stream does each part once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from alanet.engine.counts import Counts
from alanet.engine.fallback import FallbackRunner
from alanet.engine.runner import Runner
from alanet.engine.stream import stream
from alanet.errors import OptionError, TimeError
from alanet.frames.timing import Factor, TargetRate
from alanet.model.alanet_plus import FAST, PLUS, ALANetPlus, ALANetPlusConfig, Candidate
from alanet.model.cost import count_parameters
from alanet.model.exposure_head import band_energies
from alanet.model.flow import Motion, acceleration_at, motion_mask
from alanet.model.network import Window
from alanet.model.warping import warp
from alanet.model.weights import load_model, save_weights
from alanet.notes import Notes
from tests.engine.test_stream import video
from tests.support.textures import motion_blurred, textures

TINY = ALANetPlusConfig((8, 8, 12), (1, 1, 1), (1, 1, 1), motion=8, stem=4)


def parts(window):
    """Its features and its relations, each by index."""
    return dict(window.features), dict(window.relations)


def make(seed: int = 0, *, untrained: bool = False, **options) -> ALANetPlus:
    """A tiny network, by default with every layer at random, as after training."""
    torch.manual_seed(seed)
    model = ALANetPlus(replace(TINY, **options)).double().eval()
    if not untrained:
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2) if not parameter.any() else None
    return model


def clip_of(t: int, b: int = 1, h: int = 32, w: int = 48) -> torch.Tensor:
    return torch.rand(b, t, 3, h, w, dtype=torch.double)


def without_motion(motion: Motion) -> Motion:
    return Motion(motion.forward * 0, motion.backward * 0)


# --- what is kept of the paper ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("time", [1.0, 0.0, 1.5])
def test_no_motion_and_even_attention_give_equations_5_and_6(time):
    """At every scale: the sum of the frames, at the deepest times their gates, over the number of frames."""
    model = make(untrained=True)  # attention starts even
    window, relations = parts(model.encode_clip(clip_of(4), [time]))
    i = int(time)
    anchors = [i] if time == i else [i, i + 1]
    seen = {j: Candidate(window[j], None, 0.5, abs(time - j), j in anchors) for j in window}
    for level, fusion in enumerate(model.generator.fusions):
        z, _ = fusion(list(seen.values()), [window[j].scales[level] for j in window],
                      None if level == 2 else torch.rand_like(window[i].scales[level]))  # fmt: skip
        terms = [x.scales[level] for x in window.values()]
        if level == 2:
            gates = {(a, j): (fusion.f_self if a == j else fusion.f_cross)(window[a].descriptor)[..., None, None]
                     for j in window for a in anchors}  # fmt: skip
            terms = [window[j].scales[level] * gate for (_, j), gate in gates.items()]
        torch.testing.assert_close(z * len(window), sum(terms))
    flows = model._chained({i: None}, window, {j: without_motion(r) for j, r in relations.items()})
    assert all(flow is None or not flow.any() for flow in flows.values())


@pytest.mark.parametrize("t", [1, 2, 3, 5])
@pytest.mark.parametrize("acceleration", [False, True])
def test_forward_is_encode_relate_and_generate(t, acceleration):
    model = make(acceleration=acceleration)
    clip = clip_of(t, b=2)
    times = [k / 4 for k in range(4 * t - 3)]
    out = model(clip, times)
    assert out.shape == (2, 4 * t - 3, 3, 32, 48)
    window = {i: model.encode(clip[:, i]) for i in range(t)}
    relations = {i: model.relate(window[i], window[i + 1]) for i in range(t - 1)}
    for k in range(4 * t - 3):
        torch.testing.assert_close(out[:, k], model.generate(Window(window, relations), k / 4))


def test_each_clip_of_a_batch_has_its_own_result():
    model = make()
    clip = clip_of(3, b=2)
    torch.testing.assert_close(model(clip.flip(0), [0.5]), model(clip, [0.5]).flip(0))


@pytest.mark.parametrize("unwarped", [False, True])
def test_time_runs_the_same_both_ways(unwarped):
    model = make(exposure=False, unwarped=unwarped)
    clip = clip_of(4)
    times = [k / 4 for k in range(13)]
    torch.testing.assert_close(model(clip.flip(1), times), model(clip, times).flip(1))


def test_a_frame_outside_the_window_has_no_say():
    """Of a deblurred frame's window are both neighbours; between two frames one more on each side tells how they
    moved."""
    model, even = make(), make(acceleration=False)
    clip = clip_of(5)
    other = clip.clone()
    other[:, 4] = 0
    times = [0.0, 0.5, 1.0, 1.75, 2.0]
    torch.testing.assert_close(model(clip, times), model(other, times))
    assert (model(clip, [time + 1 for time in times]) - model(other, [time + 1 for time in times])).abs().amax(
        (0, 2, 3, 4)
    )[3:].min() > 1e-6
    torch.testing.assert_close(
        even(clip, [time + 1 for time in times[:4]]), even(other, [time + 1 for time in times[:4]])
    )


def test_axes_cannot_be_swapped_unnoticed():
    model = make()
    clip = clip_of(3, b=3, h=48, w=48)
    times = [0.0, 0.25, 1.0]
    out = model(clip, times)
    for swapped in (clip.transpose(1, 2), clip.flip(1), clip.flip(2), clip.transpose(3, 4)):
        assert (model(swapped, times) - out).abs().max() > 1e-6


# --- what is added ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [TINY, replace(TINY, stem=2), replace(TINY, stem=1), replace(TINY, align=False), replace(TINY, unwarped=True)],
)
def test_it_starts_at_the_input_and_the_blend(config):
    model = ALANetPlus(config).eval()
    clip = torch.rand(1, 3, 3, 32, 48)
    out = model(clip, [0.0, 0.5, 1.0, 1.25])[0]
    assert torch.equal(out[0], clip[0, 0])
    blends = [clip[0, :2].mean(0), 0.75 * clip[0, 1] + 0.25 * clip[0, 2]]
    wanted = torch.stack((blends[0], clip[0, 1], blends[1]))
    torch.testing.assert_close(out[1:], wanted, rtol=0, atol=2e-5)  # to the rounding of positions


def test_what_both_frames_show_at_a_place_itself_counts_between_them_most_half_way():
    """Whatever the motion: a network that finds none in features it aligns still sees the other frame."""
    model, clip = make(unwarped=True), clip_of(2)
    window, relations = parts(model.encode_clip(clip, [0.0, 1.0]))
    made = {time: model.generate(Window(window, relations), time) for time in (0.0, 0.01, 0.5)}
    for layer in model.generator.unwarped:
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    changed = {time: (model.generate(Window(window, relations), time) - made[time]).abs().mean() for time in made}
    assert changed[0.0] == 0
    assert changed[0.5] > 10 * changed[0.01] > 0


def test_features_stay_as_convolutions_want_them_when_they_are_aligned():
    """Channels last, and the same values: else each convolution after it copies them once more."""
    x, flow = torch.rand(1, 8, 6, 10), 3 * torch.randn(1, 2, 6, 10)
    plain, last = warp(x, flow, 4), warp(x.contiguous(memory_format=torch.channels_last), flow, 4)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert plain.is_contiguous()
    torch.testing.assert_close(last, plain)


def test_without_the_residual_it_does_not():
    out = ALANetPlus(replace(TINY, residual=False)).eval()(torch.rand(1, 1, 3, 32, 32), [0.0])
    assert torch.equal(out, torch.full_like(out, 0.5))


def test_time_is_continuous():
    """Near a time the frame is nearly the same; and each end of an interval is where it should be."""
    model = make()
    clip = clip_of(2)
    out = model(clip, [0.25, 0.250001, 0.75])[0]
    assert 0 < (out[1] - out[0]).abs().max() < 1e-2  # of weights at random, which make much of little
    assert (out[2] - out[0]).abs().mean() > 1e-2
    assert model.can_restore(Fraction(1, 7)) and ALANetPlus.continuous_time  # noqa: PT018


@pytest.mark.parametrize("time", [-0.5, 2.25, 3.0])
def test_times_outside_the_clip_are_refused(time):
    with pytest.raises(TimeError, match="from 0 to 2"):
        make()(clip_of(3), [time])
    x = make().encode(clip_of(1)[:, 0])
    with pytest.raises(TimeError, match="outside the frames given"):
        make().generate(Window({3: x}, {}), 3.5)


def test_a_sharp_frame_is_returned_unchanged():
    model = make()
    clip = clip_of(3, b=2)
    window, relations = parts(model.encode_clip(clip, [1.0, 0.5]))
    sharp = dict(window)
    sharp[1] = replace(window[1], sharp=torch.tensor([9.0, -9.0]).double())
    out = model.generate(Window(sharp, relations), 1.0)
    assert torch.equal(out[0], clip[0, 1])
    assert (out[1] - clip[1, 1]).abs().max() > 1e-3
    assert (
        model.generate(Window(sharp, relations), 0.5) - clip[:, :2].mean(1)
    ).abs().max() > 1e-3  # in between: restored
    assert not torch.equal(model.train().generate(Window(sharp, relations), 1.0)[0], clip[0, 1])


def test_band_energies_show_length_and_direction_of_the_blur():
    frames = textures(4, 0, 48)
    sharp, blurry = band_energies(frames, 16), band_energies(motion_blurred(frames, 5), 16)
    assert sharp.shape == (4, 16, 3, 3)
    change = (sharp - blurry).mean((0, 2, 3)).view(4, 4)  # distances; sideways, down, aslant
    assert (change[:, 0] > change[:, 1] + 0.05)[:2].all()
    assert change[0, 0] > change[2, 0] > change[3, 0]
    assert torch.isfinite(band_energies(torch.zeros(1, 3, 32, 32), 16)).all()


def test_what_is_sharp_is_learned_in_a_few_steps():
    """From detail alone, on pictures never seen: a head that calls all frames sharp would fail."""
    torch.manual_seed(0)
    exposure_head = ALANetPlus(TINY).exposure_head
    optimizer = torch.optim.AdamW(exposure_head.parameters(), 2e-3)

    def sample(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        frames = textures(16, seed, 48)
        blurry = torch.cat([motion_blurred(frames[k : k + 2], 3 + k // 2) for k in range(0, 8, 2)])
        said = exposure_head(torch.cat((blurry, frames[8:])), [torch.zeros(16, 12, 3, 3)])[1]
        return said, (torch.arange(16) >= 8).float()

    for step in range(60):
        said, sharp = sample(step)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(said, sharp)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    said, sharp = sample(1000)
    assert ((said > 0) == (sharp > 0)).all()


def test_what_is_said_of_motion_is_where_frames_are_looked_up():
    """A picture moved by 8 pixels, and that motion: every blend in between is the picture on its way."""
    model = make(untrained=True, motion_mask=False)
    wide = torch.nn.functional.interpolate(
        torch.rand(1, 3, 8, 20, dtype=torch.double), scale_factor=4.0, mode="bicubic"
    )
    a, b = wide[..., 16:64], wide[..., 8:56]  # what is at p in a is at p + 8 in b
    window = {0: model.encode(a), 1: model.encode(b)}
    flow = torch.zeros(1, 2, 8, 12, dtype=torch.double)
    flow[:, 0] = 8.0
    out = model.generate(Window(window, {0: Motion(flow, -flow)}), 0.25)
    torch.testing.assert_close(out[..., 8:40], wide[..., 14:62][..., 8:40], rtol=0, atol=1e-9)


def test_what_speeds_up_is_found_where_it_is_by_then():
    """A picture that has moved by 0, 4, 16 and 36 pixels: between the second and the third it is at 9 and not at 10."""
    model, even = make(untrained=True, motion_mask=False), make(untrained=True, motion_mask=False, acceleration=False)
    wide = torch.nn.functional.interpolate(
        torch.rand(1, 3, 8, 32, dtype=torch.double), scale_factor=4.0, mode="bicubic"
    )
    frames = [wide[..., 40 - q : 104 - q] for q in (0, 4, 16, 36)]
    window = {i: replace(model.encode(frame), exposure=torch.zeros(1).double()) for i, frame in enumerate(frames)}
    flow = torch.zeros(1, 2, 8, 16).double()
    flow[:, 0] = 4.0
    motion = {i: Motion(k * flow, -k * flow) for i, k in enumerate((1, 3, 5))}
    truth = wide[..., 31:95]
    found, missed = (
        (one.generate(Window(window, motion), 1.5) - truth)[..., 16:-16].abs().max() for one in (model, even)
    )
    assert found < 1e-9 < 0.05 < missed
    # Exposed for e periods it lies c e^2 / 24 farther on, in the mean; c is 8.
    exposed = {i: replace(x, exposure=torch.ones(1).double() * 3**0.5) for i, x in window.items()}
    farther = model.generate(Window(exposed, motion), 1.5)
    torch.testing.assert_close(farther[..., 16:-16], wide[..., 32:96][..., 16:-16], rtol=0, atol=1e-9)


def test_accelerated_content_is_read_at_the_centroid_of_its_blur():
    """Exposed for sqrt(3) periods, what goes 4 pixels in one period and 12 in the next lies a pixel farther on."""
    model = make(untrained=True)
    frames = torch.rand(3, 1, 3, 32, 64).double()
    features = [replace(model.encode(x), exposure=x.new_tensor([3**0.5]), sharp=x.new_tensor([-9.0]))
                for x in frames]  # fmt: skip
    flow = torch.zeros(1, 2, 8, 16).double()
    flow[:, 0] = 4.0
    pairs = {0: Motion(flow, -flow), 1: Motion(3 * flow, -3 * flow)}
    window = dict(enumerate(features))
    torch.testing.assert_close(
        model.generate(Window(window, pairs), 1.0)[..., :-1], frames[1][..., 1:], rtol=0, atol=1e-9
    )
    evenly = {0: pairs[0], 1: pairs[0]}
    torch.testing.assert_close(model.generate(Window(window, evenly), 1.0), frames[1], rtol=0, atol=1e-9)
    torch.testing.assert_close(model.generate(Window(window, pairs), 0.0), frames[0], rtol=0, atol=1e-9)  # not known


def test_how_motion_changes_by_hand():
    """Of what goes 2, 6 and then 7 pixels a period: at a it has grown by 4, at b by 1."""
    pairs = [Motion(torch.full((1, 2, 1, 1), m), torch.full((1, 2, 1, 1), -m)) for m in (2.0, 6.0, 7.0)]
    time = torch.tensor(0.25)
    assert acceleration_at(*pairs, time).unique().item() == 0.75 * 4 + 0.25 * 1  # type: ignore[call-arg]
    assert acceleration_at(pairs[0], pairs[1], None, time).unique().item() == 0.75 * 4  # of what is not known, nothing
    assert acceleration_at(None, *pairs[1:], time).unique().item() == 0.25 * 1  # type: ignore[call-arg]
    assert acceleration_at(None, pairs[1], None, time) is None


def test_what_stands_still_is_told_from_what_moves_by_the_frames_themselves():
    """The left half stands still, the right half has moved by 8 pixels, and the flow says so of both."""
    still, moving = torch.rand(2, 1, 3, 16, 48, dtype=torch.double)
    still, moving = (torch.nn.functional.interpolate(x, scale_factor=2.0) for x in (still, moving))
    truth = torch.cat((still, moving[..., 16:]), -1)
    a = torch.cat((still, moving[..., 20:], moving[..., :4]), -1)  # half-way, 4 of the 8 pixels are still to go
    b = torch.cat((still, moving[..., 12:92]), -1)
    flow = torch.zeros(1, 2, 8, truth.shape[-1] // 4, dtype=torch.double)
    flow[:, 0] = 4.0
    believed = motion_mask(a, b, -flow, flow)
    assert believed[..., 2:22].max() < 0.01
    assert believed[..., 27:40].min() > 0.99
    same = torch.full_like(a, 0.3)
    assert (motion_mask(same, same, -flow, flow) == 0.5).all()  # where nothing can be seen either will do

    model, unasked = make(untrained=True), make(untrained=True, motion_mask=False)
    motion = {0: Motion(2 * flow, -2 * flow)}
    restored, spread = (
        one.generate(Window({0: one.encode(a), 1: one.encode(b)}, motion), 0.5) for one in (model, unasked)
    )
    away = [(x - truth).abs()[..., 8:88].mean().item() for x in (restored, spread)]
    assert away[0] < 1e-3 < 0.1 < away[1]
    torch.testing.assert_close(restored[..., 108:160], spread[..., 108:160], rtol=0, atol=1e-3)


def test_motion_through_two_pairs_adds_up():
    model = make(untrained=True)
    window = dict(enumerate(model.encode(frame) for frame in clip_of(1, b=4, h=32, w=32)[:, 0].split(1)))
    step = Motion(torch.full((1, 2, 8, 8), 4.0).double(), torch.full((1, 2, 8, 8), -4.0).double())
    flows = model._chained({1: None}, window, dict.fromkeys(range(3), step))
    assert {j: None if flow is None else float(flow.mean()) for j, flow in flows.items()} == {
        0: -4,
        1: None,
        2: 4,
        3: 8,
    }


def test_the_blur_path_is_that_of_the_restored_frame():
    """Motion to both neighbours, times the frame's own exposure; between two frames, their flows and mean exposure."""
    model = make(untrained=True, motion_mask=False)  # plain pictures say nothing of what moves
    paths: list[Any] = []
    model.generator.register_forward_pre_hook(lambda _, given: paths.append(given[1]))
    window = {j: replace(model.encode(frame), exposure=torch.tensor([1.0 + j]).double())
              for j, frame in enumerate(clip_of(1, b=3)[0].new_ones(3, 1, 3, 32, 48))}  # fmt: skip
    flow = torch.zeros(1, 2, 8, 12).double()
    flow[:, 0] = 2.0
    pairs = {0: Motion(flow, -flow), 1: Motion(3 * flow, -3 * flow)}
    for time in (0.0, 1.0, 2.0, 0.25):
        model.generate(Window(window, pairs), time)
    change = 0.25 * (6 - 2)  # at 0.25, of which one of both pairs of periods is known
    pixels = [2 * 1, (2 + 6) / 2 * 2, 6 * 3, (2 + change * (0.25 - 0.5)) * 1.5]
    assert [float(path[:, 0].mean()) for path in paths] == pytest.approx(pixels, rel=1e-3)
    bends = [None, (6 - 2) / 2 * 2**2, None, change / 2 * 1.5**2]
    assert [float(x[:, 2].mean()) if x.shape[1] > 2 else None for x in paths] == [pytest.approx(b) for b in bends]
    model.generate(Window({1: window[1]}, {}), 1.0)
    assert paths[-1] is None  # a frame alone has no motion


def test_the_blur_path_changes_the_frame_and_gives_no_gradient_to_motion():
    model = make().train()
    clip = clip_of(3)
    silent = make(motion_deblur=0).train()
    silent.load_state_dict({k: v for k, v in model.state_dict().items() if ".motion_deblur." not in k})
    window, relations = parts(model.encode_clip(clip, [1.0]))
    fast = {j: replace(pair, forward=pair.forward + 8, backward=pair.backward - 8) for j, pair in relations.items()}
    restored, without = (one.generate(Window(window, fast), 1.0) for one in (model, silent))
    assert (restored - without).abs().max() > 1e-6
    path = model._blur_path_of(window, 1, relations)
    assert path is not None
    assert not path.requires_grad
    assert window[1].exposure.requires_grad


def test_the_latents_gates_are_those_of_equations_3_and_4():
    """M_S sees the frame itself, M_C the frame that is given; of a neighbour's channels the restored frame decides."""
    model = make()
    a, b = (model.encode(clip_of(1)[:, 0]) for _ in range(2))
    fusion = model.generator.fusions[2]
    here, other = Candidate(a, None, 1.0, 0.0, True), Candidate(b, None, 0.0, 1.0, False)
    torch.testing.assert_close(fusion.gate(here, [here, other]), fusion.f_self(a.descriptor))
    torch.testing.assert_close(fusion.gate(other, [here, other]), fusion.f_cross(a.descriptor))
    both = [here, replace(other, anchor=True)]
    wanted = fusion.f_self(b.descriptor) + fusion.f_cross(a.descriptor)
    torch.testing.assert_close(fusion.gate(both[1], both), wanted)
    assert not any(hasattr(finer, "f_self") for finer in model.generator.fusions[:2])


def test_under_autocast_frames_and_motion_stay_exact():
    model = make().float()
    clip = clip_of(2).float()
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        window, relations = parts(model.encode_clip(clip, [0.5]))
        assert window[0].scales[0].dtype == torch.bfloat16
        assert relations[0].forward.dtype == torch.float32
        assert window[0].sharp.dtype == torch.float32
        assert model.generate(Window(window, relations), 0.5).dtype == torch.float32


@pytest.mark.parametrize("bad", [{"stem": 3}, {"channels": (8, 8)}, {"channels": (8, 8, 5000)}, {"encoder": (1, 1, 99)},
                                 {"window": 3}, {"window": -2}, {"sharp_above": 1.0}])  # fmt: skip
def test_bad_configs_are_refused(bad):
    with pytest.raises(OptionError, match=r"allowed|give|not"):
        replace(TINY, **bad)


# --- costs, weights, the stream --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("config", "gmacs", "parameters"), [(PLUS, 55, 6e6), (FAST, 12, 6e6)])
def test_sizes_keep_their_budgets(config, gmacs, parameters):
    """GMACs an input frame at x2, 640x352: a frame encoded, a pair related, two frames generated."""
    model = ALANetPlus(config)
    cost = model.cost()
    assert 0.75 * gmacs < cost.encode + cost.relate + 2 * cost.generate <= gmacs
    assert cost.output == pytest.approx((cost.encode + cost.relate) / 2 + cost.generate)
    assert count_parameters(model) <= parameters
    assert ALANetPlus(replace(config, motion_deblur=0)).cost().output < 0.99 * cost.output


def test_weights_rebuild_the_model(tmp_path):
    model = make().float()
    save_weights(model, tmp_path / "a.safetensors", half=False)
    again = load_model(tmp_path / "a.safetensors")
    assert type(again) is ALANetPlus
    assert again.config == TINY
    clip, times = clip_of(2).float(), [0.0, 0.3]
    assert torch.equal(again(clip, times), model(clip, times))


@pytest.mark.parametrize("acceleration", [False, True])
def test_a_stream_encodes_each_frame_once_and_relates_each_pair_once(acceleration):
    model = make(acceleration=acceleration).float()
    runner = Runner(model, torch.device("cpu"), "fp32")
    counts, n = Counts(), 6
    frames = video(n, (32, 48), cuts=(4,))
    out = list(
        stream(
            frames,
            FallbackRunner(runner, (), "exact", Notes()),
            Factor(4),
            window=2,
            around=runner.model.around,
            tail="drop",
            counts=counts,
        )
    )
    assert (runner.encodes, runner.relates, counts.cuts) == (n, n - 2, 1)  # no pair across the cut
    whole = torch.stack([torch.from_numpy(f.pixels).permute(2, 0, 1) for f, _ in video(n, (32, 48))])[None] / 255
    with torch.inference_mode():
        expected = model(whole[:, :4], [k / 4 for k in range(13)])
    expected = (expected[0].clamp(0, 1) * 255).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(np.stack([f.pixels for f in out[:13]]) - expected).max() <= 1
    assert out[15].pixels is out[12].pixels  # held until the cut


def test_any_rate_from_one_model():
    runner = Runner(make().float(), torch.device("cpu"), "fp32")
    out = list(
        stream(video(3, (16, 16)), FallbackRunner(runner, (), "exact", Notes()), TargetRate(Fraction(70)), window=2)
    )
    assert [f.time for f in out] == [Fraction(k, 70) for k in range(8)]
    assert (runner.encodes, runner.relates) == (3, 2)
