"""The correction along the blur path (model/motion_deblur.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from alanet.model import motion_deblur
from alanet.model.alanet_plus import FAST, ALANetPlus
from alanet.model.motion_deblur import (
    FULL_PATH,
    MAX_ACCELERATION,
    MAX_PATH,
    MIN_PATH,
    MULTIPLE,
    REACH,
    STRIP,
    PathCorrection,
    shortened,
)
from alanet.model.network import Window
from tests.support.textures import motion_blurred, moving, textures


def parts(window):
    """Its features and its relations, each by index."""
    return dict(window.features), dict(window.relations)


def trained(minutes_of_steps: int, axis: int, seed: int = 0) -> PathCorrection:
    """A few steps on pictures blurred along one axis by 3 to 9 pixels, with the blur path as the only input."""
    torch.manual_seed(seed)
    stage = PathCorrection(4, 2, 16)
    optimizer = torch.optim.AdamW(stage.parameters(), 5e-3)
    for step in range(minutes_of_steps):
        truth, blurry, path = sample(step, 3 + step % 7, axis)
        loss = (blurry + stage(blurry, blurry, path, torch.zeros(2, 4, 24, 24)) - truth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return stage


def sample(seed: int, pixels: int, axis: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    frames = torch.nn.functional.avg_pool2d(textures(2, seed), 2)  # 48 x 48, a little soft, as lenses are
    truth = frames.roll(pixels // 2, axis)  # in the middle of the way
    return truth, motion_blurred(frames, pixels, axis), moving(2, pixels, axis, 48)


def test_nothing_is_added_before_training_nor_on_short_paths():
    stage = PathCorrection(4, 2, 16)
    frame, x, path = torch.rand(2, 3, 48, 48), torch.rand(2, 4, 24, 24), moving(2, 5.0, size=48)
    assert (stage(frame, frame + 0.1, path, x) == 0).all()
    torch.nn.init.normal_(stage.to_weights.weight)
    assert stage(frame, frame, path, x).abs().max() > 0.1
    assert (stage(frame, 0.9 * frame, path * 0.99 * MIN_PATH / 5, x) == 0).all()
    some, more = (stage(frame, 0.9 * frame, path * part / 5, x).abs().mean() for part in (MIN_PATH + 0.05, FULL_PATH))
    assert 0 < some < 0.2 * more  # and it begins little by little


def test_it_is_the_same_in_every_direction():
    stage = PathCorrection(4, 2, 16).double()
    torch.nn.init.normal_(stage.to_weights.weight)
    frame, x = torch.rand(2, 3, 48, 48).double(), torch.rand(2, 4, 24, 24).double()
    path, bend = 6 * torch.randn(2, 2, 2, 12, 12).double()
    for way, turned in (
        (path, path.flip(1)),
        *[(torch.cat((path, bend), 1), torch.cat((path.flip(1), bend.flip(1)), 1))],
    ):
        out = stage(frame, 0.9 * frame, way, x)
        torch.testing.assert_close(stage(frame.mT, 0.9 * frame.mT, turned.mT, x.mT).mT, out)


def test_a_bent_way_goes_where_what_passed_here_is_in_the_middle(monkeypatch):
    """An accelerated picture, blurred: each place is the mean of the sharp one along its way."""
    monkeypatch.setattr(motion_deblur, "TAPS", tuple((k + 0.5) / 64 - 0.5 for k in range(64)))
    wide = torch.nn.functional.interpolate(textures(1, 0).double(), scale_factor=2.0, mode="bicubic")
    sharp, size = wide[..., :64, :64], wide.shape[-1]
    ways = torch.tensor([9.0, -4.0, 3.0, 5.0]).double()[None, :, None, None].expand(1, 4, 64, 64)
    places = torch.arange(64).double()
    at = (places[:, None], places)
    away = (-motion_deblur._sampled(sharp, ways[:, :2], at), -motion_deblur._sampled(sharp, ways, at))
    passed = []
    for s in motion_deblur.TAPS:
        u, v = (((places + 0.5 - s * ways[0, k, 0, 0] - s * s * ways[0, 2 + k, 0, 0]) * 2 / size - 1) for k in (0, 1))
        grid = torch.stack(torch.broadcast_tensors(u, v[:, None]), -1)[None]
        passed.append(torch.nn.functional.grid_sample(wide, grid, align_corners=False))
    path = torch.stack(passed).mean(0)
    straight, bent = ((path + one.mean(2))[..., 12:-12, 12:-12].abs().max() for one in away)
    assert bent < 1e-9 < 0.01 < straight


def test_what_is_learned_along_rows_serves_along_columns():
    """Trained on blur along rows; measured on other pictures, with blur along rows and along columns."""
    stage = trained(150, -1)
    for axis in (-1, -2):
        for pixels in (4, 7):
            truth, blurry, path = sample(1000 + pixels, pixels, axis)
            with torch.no_grad():
                restored = blurry + stage(blurry, blurry, path, torch.zeros(2, 4, 24, 24))
            before, after = ((x - truth)[..., 12:-12, 12:-12].square().mean() for x in (blurry, restored))
            assert after < 0.7 * before


@pytest.mark.parametrize("height", [STRIP, STRIP + 32, 3 * STRIP])
@pytest.mark.parametrize(("moving", "bent"), [(0.0, False), (0.1, True), (0.9, False), (1.0, True)])
def test_strips_and_places_make_what_the_whole_makes(height, moving, bent):
    """For any share of moving places."""
    stage = PathCorrection(4, 2, 16).double().eval()
    torch.nn.init.normal_(stage.to_weights.weight)
    frame, x = torch.rand(1, 3, height, 32).double(), torch.rand(1, 4, height // 2, 16).double()
    path = 10 * torch.randn(1, 4 if bent else 2, height // 4, 8).double() * (torch.rand(1, 1, height // 4, 8) < moving)
    in_strips = stage(frame, 0.9 * frame, path, x)
    whole = stage.train()(frame, 0.9 * frame, path, x)
    assert (whole != 0).any() == (moving > 0)
    torch.testing.assert_close(in_strips, whole, rtol=0, atol=1e-9)


def test_sizes_are_few_however_much_moves():
    """Each new size costs memory that is never given back: kernels made for it are kept."""
    stage, sizes = PathCorrection(4, 2, 16).eval(), []
    stage.first.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[-2:]))
    frame, x, places = torch.rand(1, 3, STRIP, 128), torch.rand(1, 4, STRIP // 2, 64), STRIP * 128
    for cells in range(1, 33):
        path = moving(1, 9.0, size=128)[..., : STRIP // 4, :]
        path[..., cells:] = 0
        stage(frame, 0.9 * frame, path, x)
    some = [n for rows, n in sizes if rows == 1]
    assert len(sizes) == 32
    assert 0 < len(set(some)) <= places // MULTIPLE
    assert {n % MULTIPLE for n in some} == {0}
    assert {(rows, n) for rows, n in sizes if rows > 1} == {(STRIP, 128)}


def test_long_paths_are_shortened_and_keep_their_direction():
    path = torch.tensor([[3.0, 4.0], [30.0, -40.0], [0.0, 0.0]])[..., None, None]
    wanted = torch.tensor([[3.0, 4.0], [MAX_PATH * 0.6, -MAX_PATH * 0.8], [0.0, 0.0]])
    torch.testing.assert_close(shortened(path)[..., 0, 0], wanted, rtol=1e-5, atol=1e-4)
    bent = shortened(torch.cat((path, torch.tensor([[1.0, 2.0], [0.0, 5.0], [0.0, 99.0]])[..., None, None]), 1))
    torch.testing.assert_close(bent[:, :2], shortened(path))
    shorter = (MAX_PATH / 50) ** 2  # as of a shorter exposure
    bends = torch.tensor([[1.0, 2.0], [0.0, 5.0 * shorter], [0.0, MAX_ACCELERATION]])
    torch.testing.assert_close(bent[:, 2:, 0, 0], bends, rtol=1e-5, atol=1e-4)


def test_no_place_depends_on_what_is_farther_than_said():
    stage = PathCorrection(4, 2, 16)
    torch.nn.init.normal_(stage.to_weights.weight)
    frame, x = torch.rand(1, 3, 48, 128), torch.zeros(1, 4, 24, 64)
    other = frame.clone()
    other[..., 64 + REACH + 1 :] = 0.5
    way = torch.tensor([500.0, 0.0, -999999.0, 0.0])[None, :, None, None].expand(1, 4, 12, 32)
    path = shortened(way)
    a, b = (stage(f, f, path, x) for f in (frame, other))
    assert torch.equal(a[..., :64], b[..., :64])
    assert not torch.equal(a[..., :66], b[..., :66])


def test_the_network_adds_it_where_motion_and_exposure_are_known():
    torch.manual_seed(0)
    model = ALANetPlus(FAST).train()
    torch.nn.init.normal_(model.generator.motion_deblur.to_weights.weight, std=0.3)
    torch.nn.init.normal_(model.motion.last[0].weight, std=1.0)
    clip = motion_blurred(textures(3, 0, 64), 5)[None]
    window, relations = parts(model.encode_clip(clip, [1.0]))
    plain = ALANetPlus(replace(FAST, motion_deblur=0)).train()
    plain.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        for time in (1.0, 0.5):
            assert (
                model.generate(Window(window, relations), time) - plain.generate(Window(window, relations), time)
            ).abs().max() > 0
        assert torch.equal(
            model.generate(Window({1: window[1]}, {}), 1.0), plain.generate(Window({1: window[1]}, {}), 1.0)
        )
