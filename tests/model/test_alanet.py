"""The paper's network against its own equations, written out again as plain loops."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from alanet.errors import OptionError, TimeError
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.cost import count_parameters
from alanet.model.network import Window, split_features

TINY = ALANetConfig(width=0.125)


def make(**options) -> ALANet:
    torch.manual_seed(0)
    return ALANet(replace(TINY, **options)).double().eval()


def plain_gate(gate, x):
    """F of fig. 3b for one frame: c h w -> c, one channel at a time."""
    pooled = torch.stack([channel.mean() for channel in x])
    hidden = (gate.squeeze.weight @ pooled + gate.squeeze.bias).clamp(min=0)
    return 1 / (1 + torch.exp(-(gate.excite.weight @ hidden + gate.excite.bias)))


def plain_z(model, latents, time):
    """Equations 3 to 6 as the paper prints them, a channel at a time."""
    kind, reach = model.config.attention, model.config.window // 2
    f_self = getattr(model, "f_self", None) or model.f_cross
    f_cross = f_self if model.config.shared_gate else getattr(model, "f_cross", None)
    times = lambda x, weights: torch.stack([channel * w for channel, w in zip(x, weights, strict=True)])  # noqa: E731
    m_s = lambda i: times(latents[i], plain_gate(f_self, latents[i]))  # noqa: E731
    m_c = lambda j, i: times(latents[j], plain_gate(f_cross, latents[i]))  # noqa: E731
    i = int(time)
    terms = []
    if time == i:
        others = [j for j in range(len(latents)) if j != i and abs(j - i) <= reach]
        if kind != "cross" or not others:
            terms.append(m_s(i))
        if kind != "self":
            terms += [m_c(j, i) for j in others]
    else:
        if kind != "cross":
            terms += [m_s(i), m_s(i + 1)]
        if kind != "self":
            terms += [m_c(i, i + 1), m_c(i + 1, i)]
    return sum(terms)


@pytest.mark.parametrize("shared_gate", [False, True])
@pytest.mark.parametrize("attention", ["self", "cross", "both"])
@pytest.mark.parametrize(("t", "window"), [(1, 2), (2, 2), (4, 2), (5, 4)])
def test_latents_follow_equations_3_to_6(attention, shared_gate, t, window):
    model = make(attention=attention, shared_gate=shared_gate, window=window)
    clip = torch.rand(t, 3, 32, 64, dtype=torch.double)
    features = dict(enumerate(split_features(model.encode(clip), t)))
    latents = [features[i].latent[0] for i in range(t)]
    for k in range(2 * t - 1):
        z = model._deblurred(features, k // 2) if k % 2 == 0 else model._interpolated(
            features[k // 2], features[k // 2 + 1])  # fmt: skip
        torch.testing.assert_close(z[0], plain_z(model, latents, k / 2))


def test_gates_are_two_modules_or_one():
    assert {"f_self", "f_cross"} <= {name for name, _ in make().named_children()}
    assert "f_cross" not in dict(make(shared_gate=True).named_children())


def test_the_current_frame_decides_how_its_neighbour_counts():
    model = make(attention="cross")
    a, b = torch.rand(2, 1, 3, 32, 32, dtype=torch.double)
    x = {0: model.encode(a), 1: model.encode(b)}
    z = model._deblurred(x, 0)
    torch.testing.assert_close(z, x[1].latent * model.f_cross(x[0].descriptor)[..., None, None])


def test_interpolated_skips_are_the_mean_of_both_frames():
    model = make()
    x = {i: model.encode(frame) for i, frame in enumerate(torch.rand(2, 1, 3, 32, 32, dtype=torch.double))}
    skips = tuple((p + q) / 2 for p, q in zip(x[0].skips, x[1].skips, strict=True))
    torch.testing.assert_close(model.generate(Window(x), 0.5), model.generator(model._interpolated(x[0], x[1]), skips))


@pytest.mark.parametrize("t", [1, 2, 3, 5])
def test_forward_is_encode_and_generate(t):
    model = make()
    clip = torch.rand(2, t, 3, 32, 64, dtype=torch.double)
    times = [k / 2 for k in range(2 * t - 1)]
    out = model(clip, times)
    assert out.shape == (2, 2 * t - 1, 3, 32, 64)
    window = {i: model.encode(clip[:, i]) for i in range(t)}
    for k in range(2 * t - 1):
        torch.testing.assert_close(out[:, k], model.generate(Window(window), k / 2))


def test_axes_cannot_be_swapped_unnoticed():
    """Frames, colours, height and width each matter in their own way: a swap changes the result."""
    model = make()
    clip = torch.rand(3, 3, 3, 64, 64, dtype=torch.double)  # b = t = c, h = w: any wrong order would run
    times = [0.0, 0.5, 1.0]
    out = model(clip, times)
    for swapped in (clip.transpose(1, 2), clip.flip(1), clip.flip(2), clip.transpose(3, 4)):
        assert (model(swapped, times) - out).abs().max() > 1e-6
    torch.testing.assert_close(model(clip.flip(0), times), out.flip(0))  # clips of a batch do not touch each other


def test_time_runs_the_same_both_ways():
    """Equation 6 and the window are symmetric: a clip played backwards is restored the same, backwards."""
    model = make()
    clip = torch.rand(1, 4, 3, 32, 32, dtype=torch.double)
    times = [k / 2 for k in range(7)]
    torch.testing.assert_close(model(clip.flip(1), times), model(clip, times).flip(1))


def test_a_frame_outside_the_window_has_no_say():
    model = make()
    clip = torch.rand(1, 4, 3, 32, 32, dtype=torch.double)
    other = clip.clone()
    other[:, 3] = 0
    times = [0.0, 0.5, 1.0, 1.5]
    torch.testing.assert_close(model(clip, times), model(other, times), rtol=0, atol=0)
    assert (model(clip, [time + 1 for time in times]) - model(other, [time + 1 for time in times])).abs().max() > 1e-6


def test_only_frames_that_are_looked_at_are_encoded(monkeypatch):
    model = make()
    counted = []
    encode = model.encode

    def counting(x):
        counted.append(len(x))
        return encode(x)

    monkeypatch.setattr(model, "encode", counting)
    model(torch.rand(1, 7, 3, 32, 32, dtype=torch.double), [3.0, 3.5])
    assert counted == [3]


def test_residual_starts_exactly_at_the_input():
    model = make(residual=True)
    clip = torch.rand(1, 2, 3, 32, 32, dtype=torch.double)
    out = model(clip, [0.0, 0.5, 1.0])
    torch.testing.assert_close(out[0], torch.stack([clip[0, 0], clip[0].mean(0), clip[0, 1]]), rtol=0, atol=0)


@pytest.mark.parametrize(("time", "words"), [(0.25, "time-continuous"), (-0.5, "from 0 to 2"), (2.5, "from 0 to 2")])
def test_other_times_are_refused_and_say_what_can(time, words):
    with pytest.raises(TimeError, match=words):
        make()(torch.rand(1, 3, 3, 32, 32, dtype=torch.double), [time])
    assert not ALANet.continuous_time
    assert [make().can_restore(Fraction(k, 4)) for k in range(4)] == [True, False, True, False]


@pytest.mark.parametrize("bad", [{"width": 0}, {"window": 3}, {"attention": "none"}])
def test_bad_configs_are_refused(bad):
    with pytest.raises(OptionError, match=str(next(iter(bad.values())))):
        ALANetConfig(**bad)


def test_costs_are_the_counted_ones():
    """docs/method.md counts 31.4 and 39.6 GMACs at 640x352 and about 19.8 M parameters at full width."""
    cost = ALANet().cost()
    assert cost.encode == pytest.approx(31.4, abs=0.05)
    assert cost.generate == pytest.approx(39.6, abs=0.05)
    assert count_parameters(ALANet()) == pytest.approx(19.8e6, rel=0.01)
    assert count_parameters(ALANet(ALANetConfig(width=0.5))) == pytest.approx(5e6, rel=0.02)


def test_no_pixel_reaches_farther_than_the_receptive_radius():
    """Through convolutions, pools and upsampling, gates held still; found by following one output's gradient."""
    model = make(attention="self")
    assert model.receptive_radius == 259
    size, at = 640, 320
    frame = torch.rand(1, 3, 32, size, dtype=torch.double, requires_grad=True)
    x = model.encode(frame)
    x = replace(x, descriptor=x.descriptor.detach())
    model.generate(Window({0: x}), 0.0)[0, :, 16, at].sum().backward()
    touched = frame.grad.abs().amax(dim=(0, 1, 2)).nonzero().flatten()
    reach = max(at - int(touched.min()), int(touched.max()) - at)
    assert 259 - 32 < reach <= 259


def test_the_generator_uses_the_latent_and_every_skip():
    model = make()
    x = model.encode(torch.rand(1, 3, 64, 64, dtype=torch.double))
    out = model.generate(Window({0: x}), 0.0)
    assert (model.generate(Window({0: replace(x, latent=x.latent * 0)}), 0.0) - out).abs().max() > 1e-6
    for level in range(5):
        skips = tuple(s * 0 if k == level else s for k, s in enumerate(x.skips))
        assert (model.generate(Window({0: replace(x, skips=skips)}), 0.0) - out).abs().max() > 1e-6
