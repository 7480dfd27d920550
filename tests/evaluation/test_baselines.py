"""Copy, blend, minterpolate and a made RIFE on pictures whose in-between frames are known."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from alanet.errors import DataError, ResourceError, WeightsError
from alanet.evaluation.baselines import BASELINES, blend, copy, load_rife, minterpolate, rife_motion
from alanet.evaluation.metrics import psnr
from tests.support.made_rife import IFNET, write_rife

HALF = Fraction(1, 2)


def flat(value, size=(64, 96)):
    return np.full((*size, 3), value, np.uint8)


def moving(count, step=8, size=(96, 128)):
    """Smooth texture moving right by `step` px a frame, made larger than the picture: every frame is known."""
    coarse = np.random.default_rng(0).uniform(0, 255, (1, 3, 16, 40))
    big = torch.nn.functional.interpolate(torch.from_numpy(coarse), scale_factor=8, mode="bicubic").clamp(0, 255)
    texture = big[0].permute(1, 2, 0).numpy().astype(np.uint8)
    return lambda time: texture[: size[0], 100 - int(step * time) :][:, : size[1]], count


@pytest.mark.parametrize("method", BASELINES, ids=lambda method: method.name)
def test_inputs_come_back_bit_for_bit_at_integer_times(method):
    at, count = moving(4)
    inputs = [at(i) for i in range(count)]
    times = [Fraction(k, 2) for k in range(2 * count - 1)]
    restored = method.restore(inputs, times)
    assert len(restored) == len(times)
    assert all(np.array_equal(a, b) for a, b in zip(restored[::2], inputs, strict=True))


def test_copy_takes_the_nearest_and_the_earlier_of_two():
    inputs = [flat(0), flat(100), flat(200)]
    times = [Fraction(1, 4), HALF, Fraction(3, 4), 1 + HALF, 1 + Fraction(5, 8)]
    assert [int(p[0, 0, 0]) for p in copy(inputs, times)] == [0, 0, 100, 100, 200]


def test_blend_weights_by_nearness_without_overflow():
    inputs = [flat(200), flat(240), flat(0)]
    times = [Fraction(1, 4), HALF, 1 + HALF, 1 + Fraction(7, 8)]
    assert [int(p[0, 0, 0]) for p in blend(inputs, times)] == [210, 220, 120, 30]


@pytest.mark.parametrize("factor", [2, 4])
def test_minterpolate_follows_motion_at_the_right_time_in_every_interval(factor):
    at, count = moving(4)
    inputs = [at(i) for i in range(count)]
    times = [Fraction(k, factor) for k in range((count - 1) * factor + 1)]
    for made, mixed, time in zip(minterpolate(inputs, times), blend(inputs, times), times, strict=True):
        if time % 1:
            assert psnr(made, at(time)) > psnr(mixed, at(time)) + 1


def test_minterpolate_keeps_colours():
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [250, 120, 10]], np.uint8)
    picture = np.repeat(np.repeat(colours[None], 16, axis=1), 64, axis=0)  # 64 x 64
    middle = minterpolate([picture] * 3, [HALF])[0]
    assert np.abs(middle.astype(int) - picture).max() <= 3


def test_minterpolate_of_one_or_two_frames_and_of_too_small_ones():
    assert np.array_equal(minterpolate([flat(7)], [Fraction(0)])[0], flat(7))
    assert len(minterpolate([flat(7), flat(9)], [Fraction(0), HALF, Fraction(1)])) == 3
    with pytest.raises(DataError, match="at least 32x32"):
        minterpolate([flat(1, (16, 16)), flat(2, (16, 16))], [HALF])


def test_an_ffmpeg_without_the_filter_is_named(monkeypatch):
    import av

    class Poor:  # what PyAV does for a filter that its FFmpeg was built without
        def add_buffer(self, **_):
            return None

        def add(self, name, _=""):
            raise ValueError(f"no filter {name}")

    monkeypatch.setattr(av.filter, "Graph", Poor)
    with pytest.raises(ResourceError, match="no minterpolate filter"):
        minterpolate([flat(1), flat(2)], [HALF])


def test_rife_is_padded_cropped_and_asked_for_the_right_time(tmp_path):
    rife = load_rife(*write_rife(tmp_path))
    at, count = moving(3, size=(50, 70))
    inputs = [at(i) for i in range(count)]
    times = [Fraction(k, 4) for k in range(9)]
    for made, mixed in zip(rife.restore(inputs, times), blend(inputs, times), strict=True):
        assert made.shape == (50, 70, 3)
        assert np.abs(made.astype(int) - mixed).max() <= 1
    assert len(rife.weights) == 64


def test_rife_teaches_flows_to_the_earlier_and_to_the_later_frame(tmp_path):
    teacher = rife_motion(*write_rife(tmp_path))
    a, b = torch.rand(2, 1, 3, 40, 64).unbind()
    with torch.inference_mode():
        to_a, to_b = teacher(a, b)
    torch.testing.assert_close(to_a, torch.cat((a[:, :1], 2 * a[:, :1]), dim=1))
    torch.testing.assert_close(to_b, torch.cat((b[:, :1], 2 * b[:, :1]), dim=1))


def test_rife_files_that_do_not_fit_are_refused(tmp_path):
    network, weights = write_rife(tmp_path)
    torch.save({"other": torch.ones(1)}, weights)
    with pytest.raises(WeightsError, match=r"no weights for the IFNet of .*Missing|Error"):
        load_rife(network, weights)
    with pytest.raises(WeightsError, match="no weights for the IFNet"):
        load_rife(network, tmp_path / "none.pkl")
    with pytest.raises(WeightsError, match="no Python file"):
        load_rife(tmp_path / "none.py", weights)
    network.write_text("x = 1")
    with pytest.raises(WeightsError, match="no IFNet can be made from it"):
        load_rife(network, weights)
    network.write_text(IFNET)
    torch.save(torch.nn.Conv2d(1, 1, 1), weights)  # a pickled object, not tensors: nothing of it is run
    with pytest.raises(WeightsError, match="no weights for the IFNet"):
        load_rife(network, weights)
