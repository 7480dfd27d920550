"""Exposure (eq. 7) by what a shutter does to simple scenes, and its arithmetic by hand."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from alanet.errors import OptionError
from alanet.frames.exposure import Exposure, average, blur, draw_blurred, expose, to_eight_bits


def moving_edge(frames: int, width: int = 64) -> np.ndarray:
    """A step from 0 to 1 that moves one pixel to the right a frame: t c h w."""
    x, t = np.arange(width), np.arange(frames)
    step = (x[None] >= t[:, None]).astype(np.float32)
    return np.broadcast_to(step[:, None, None], (frames, 3, 4, width)).copy()


def numbered(frames: int) -> np.ndarray:
    """Frames whose every pixel is their number / 255."""
    return np.broadcast_to((np.arange(frames, dtype=np.float32) / 255)[:, None, None, None], (frames, 3, 2, 2)).copy()


def test_centres_midpoints_and_what_a_clip_needs() -> None:
    paper = Exposure(11, 8)
    assert [paper.centre(i) for i in range(3)] == [5, 13, 21]
    assert paper.index(Fraction(1, 2)) == 9  # "5th and 9th" of the paper, counted from 0
    assert [paper.needed(t) for t in (1, 2, 5)] == [11, 19, 43]
    assert [paper.available(n) for n in (10, 11, 18, 19, 43)] == [0, 1, 1, 2, 5]
    assert paper.window(1) == slice(8, 19)
    assert paper.window(1, 1) == slice(13, 14)


def test_times_fall_on_sharp_frames() -> None:
    exposure = Exposure(11, 8)
    assert exposure.times(3) == tuple(Fraction(k, 2) for k in range(5))
    for factor in (1, 2, 4, 8):
        times = exposure.times(3, factor)
        assert len(times) == 2 * factor + 1
        assert [exposure.index(time) for time in times] == list(range(5, 22, 8 // factor))
    with pytest.raises(OptionError, match="multiples of 1/8"):
        exposure.index(Fraction(1, 3))
    with pytest.raises(OptionError, match="factor 3 with a period of 8"):
        exposure.times(3, 3)


def test_a_still_scene_stays_sharp() -> None:
    picture = np.random.default_rng(0).random((3, 6, 6)).astype(np.float32)
    sharp = np.repeat(picture[None], 43, axis=0)
    for linear in (False, True):
        made = expose(sharp, Exposure(11, 8), [True] * 5, linear=linear, eight_bits=False)
        np.testing.assert_allclose(made.clip, sharp[:5], atol=2e-6)


def test_an_exposure_of_one_frame_is_that_frame() -> None:
    sharp = np.random.default_rng(0).random((17, 3, 4, 4)).astype(np.float32)
    for linear in (False, True):
        made = expose(sharp, Exposure(1, 8), [True] * 3, linear=linear, eight_bits=False)
        np.testing.assert_array_equal(made.clip, sharp[[0, 8, 16]])
        np.testing.assert_array_equal(made.truth, sharp[[0, 4, 8, 12, 16]])


def test_a_moving_edge_becomes_a_ramp_as_wide_as_the_shutter_was_open() -> None:
    sharp = moving_edge(43)
    for length in (3, 11):
        (frame,) = blur(sharp, Exposure(11, 8), [length])
        partly = np.flatnonzero((frame[0, 0] > 0) & (frame[0, 0] < 1))
        assert len(partly) == length - 1
        assert partly.mean() == pytest.approx(5 - 0.5)  # around the place of the edge halfway through
        np.testing.assert_allclose(np.diff(frame[0, 0][partly[0] - 1 : partly[-1] + 2]), 1 / length, atol=1e-6)


def test_truth_is_the_middle_of_the_exposure_and_between_two_middles() -> None:
    made = expose(numbered(43), Exposure(11, 8), [True, False, True, False, True])
    np.testing.assert_allclose(made.truth[:, 0, 0, 0] * 255, np.arange(5, 38, 4), atol=1e-4)
    np.testing.assert_allclose(made.clip[:, 0, 0, 0] * 255, [5, 13, 21, 29, 37], atol=1e-4)
    assert made.lengths == (11, 1, 11, 1, 11)
    assert made.times == tuple(Fraction(k, 2) for k in range(9))


def test_light_is_averaged_brighter_than_its_code_values() -> None:
    black_and_white = np.stack([np.zeros((3, 2, 2)), np.ones((3, 2, 2)), np.zeros((3, 2, 2)), np.ones((3, 2, 2))])
    assert average(black_and_white)[0, 0, 0] == pytest.approx(0.5)
    assert average(black_and_white, linear=True)[0, 0, 0] == pytest.approx(0.7354, abs=1e-4)  # half of the light
    sharp = np.random.default_rng(1).random((11, 3, 4, 4))
    coded, light = (blur(sharp, Exposure(11, 8), [11], linear=linear)[0] for linear in (False, True))
    assert (light > coded).all()


def test_inputs_are_rounded_to_8_bits_and_the_truth_is_not() -> None:
    sharp = np.random.default_rng(0).random((19, 3, 4, 4)).astype(np.float32)
    made = expose(sharp, Exposure(11, 8), [True, False])
    np.testing.assert_allclose(made.clip * 255, (made.clip * 255).round(), atol=1e-4)
    np.testing.assert_array_equal(made.truth, sharp[[5, 9, 13]])
    assert to_eight_bits(np.array([-0.1, 0.5, 1.2])).tolist() == [0.0, 128 / 255, 1.0]


@pytest.mark.parametrize("linear", [False, True])
def test_tensors_and_arrays_give_the_same(linear: bool) -> None:
    sharp = np.random.default_rng(0).random((43, 3, 4, 4)).astype(np.float32)
    blurred = [True, False, True, True, False]
    array = expose(sharp, Exposure(11, 8), blurred, factor=4, linear=linear)
    tensor = expose(torch.from_numpy(sharp), Exposure(11, 8), blurred, factor=4, linear=linear)
    assert isinstance(tensor.clip, torch.Tensor)
    np.testing.assert_allclose(tensor.clip.numpy(), array.clip, atol=1 / 255 + 1e-6)  # a tie may round either way
    np.testing.assert_array_equal(tensor.truth.numpy(), array.truth)


def test_a_frame_is_blurry_with_the_probability_given() -> None:
    rng = np.random.default_rng(0)
    draws = np.stack([draw_blurred(rng, 5, 0.5) for _ in range(400)])
    assert 0.45 < draws.mean() < 0.55
    assert len(np.unique(draws, axis=0)) == 32  # each frame by itself
    alike = np.stack([draw_blurred(rng, 5, 0.5, alike=True) for _ in range(400)])
    assert set(alike.sum(axis=1)) == {0, 5}
    assert 0.4 < alike.mean() < 0.6
    assert draw_blurred(rng, 5, 1.0).all()
    assert not draw_blurred(rng, 5, 0.0).any()
    with pytest.raises(OptionError, match=r"probability of a blurry frame is 1\.5; allowed: 0 to 1"):
        draw_blurred(rng, 5, 1.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Exposure(10, 8), "exposure of 10 frames; allowed: odd numbers"),
        (lambda: Exposure(-1, 8), "exposure of -1 frames; allowed: odd numbers"),
        (lambda: Exposure(11, 7), "period of 7 frames; allowed: even numbers"),
        (lambda: Exposure().needed(0), "a clip of 0 frames; allowed: 1 or more"),
        (lambda: Exposure(5, 4).window(0, 7), "exposure of 7 frames in a clip; allowed: odd numbers from 1 to 5"),
        (lambda: Exposure(5, 4).window(0, 2), "exposure of 2 frames in a clip"),
        (lambda: blur(numbered(18), Exposure(11, 8), [11, 11]), "18 sharp frames for a clip of 2; it takes 19"),
    ],
)
def test_what_has_no_centre_or_midpoint_is_refused(make: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()
