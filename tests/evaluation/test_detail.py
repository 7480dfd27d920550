"""Sharpness, stability and errors by blur extent, on pictures whose values are known."""

import math

import numpy as np
import pytest

from alanet.evaluation.baselines import BASELINES
from alanet.evaluation.detail import BINS, errors_by_extent, estimated_motion, sharpness, stability
from alanet.evaluation.evaluate import evaluate
from alanet.evaluation.footage import Footage
from alanet.evaluation.metrics import psnr
from alanet.evaluation.protocols import parse_protocols
from alanet.evaluation.report import as_markdown
from alanet.evaluation.result import load_results, to_json

IDLE = [method for method in BASELINES if method.name in ("copy", "blend")]


def smooth_noise(height=64, width=96, seed=0):
    """Noise with a grain of some pixels, that motion can be seen by."""
    coarse = np.random.default_rng(seed).random((height // 4 + 2, width // 4 + 2, 3))
    fine = np.kron(coarse, np.ones((4, 4, 1)))[: height + 4, : width + 4]
    mean = sum(fine[y : y + height, x : x + width] for y in range(4) for x in range(4)) / 16
    return (255 * mean).astype(np.uint8)


def test_sharpness_of_one_bright_pixel_is_worked_out_by_hand():
    picture = np.zeros((12, 12, 3), np.uint8)
    picture[5, 5] = 100
    assert sharpness(picture) == pytest.approx((4 * 100 + 4 * 100) / 100, rel=1e-4)  # itself and its four neighbours


def test_a_blurred_picture_is_less_sharp():
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    blurred = ((picture[:, :-1].astype(int) + picture[:, 1:]) // 2).astype(np.uint8)
    assert sharpness(blurred) < 0.8 * sharpness(picture)


def test_stability_looks_at_what_stands_still():
    truth = np.full((16, 16, 3), 100, np.uint8)
    moved = truth.copy()
    moved[:8] = 200  # the upper half changes
    ours = moved.copy()
    ours[8:] += 5  # flicker below
    assert stability(ours, truth, moved, truth) == pytest.approx(10 * math.log10(255**2 / 25))
    assert stability(moved, truth, moved, truth) == math.inf
    assert stability(ours, truth, np.full_like(truth, 200), truth) is None


def test_errors_are_counted_where_the_blur_is():
    truth = np.full((8, 8, 3), 100, np.uint8)
    ours = truth.copy()
    ours[:4] += 10
    extent = np.array([[5.0, 5.0], [0.0, 0.0]], np.float32)
    errors = errors_by_extent(ours, truth, extent)
    assert errors[BINS.index((4.0, 8.0))] == (4 * 8 * 3 * 100.0, 4 * 8 * 3)
    assert errors[0] == (0.0, 4 * 8 * 3)
    assert sum(count for _, count in errors) == truth.size


@pytest.mark.parametrize("shift", [(3, 0), (0, -2), (-5, 4)])
def test_motion_of_a_shifted_picture_is_found(shift):
    picture = smooth_noise(80, 112)
    a = picture[8:72, 8:104]
    b = picture[8 - shift[1] : 72 - shift[1], 8 - shift[0] : 104 - shift[0]]
    motion = estimated_motion(a, b)
    assert motion.shape == (2, 16, 24)
    inner = motion[:, 3:-3, 3:-3].reshape(2, -1)
    np.testing.assert_allclose(np.median(inner, axis=1), shift, atol=0.2)


def test_what_has_no_texture_does_not_move():
    flat = np.full((64, 64, 3), 120, np.uint8)
    assert np.abs(estimated_motion(flat, flat)).max() == 0


def moving_footage():
    picture = smooth_noise(48, 160)
    return Footage.of("pan", np.stack([picture[:, k : k + 64] for k in range(40)]))  # 8 pixels a period


def test_an_evaluation_measures_all_of_it_and_keeps_it_in_json(tmp_path):
    (protocol,) = parse_protocols("all-blurry")
    result = evaluate(IDLE, [moving_footage()], protocol)
    assert result.sharpness("copy", "deblurred") < 0.8  # blurred over 10 pixels
    values = result.by_extent("copy", "deblurred")
    assert [value is not None for value in values].index(True) <= BINS.index((8.0, 16.0))
    assert values[BINS.index((8.0, 16.0))] is not None  # 8 px a period, an exposure of 10/8
    mean = np.mean([score.psnr for score in result.of("copy", "deblurred")])
    assert values[BINS.index((8.0, 16.0))] == pytest.approx(mean, abs=2.0)
    (tmp_path / "r.json").write_text(to_json([result]))
    assert load_results(tmp_path / "r.json") == (result,)
    text = as_markdown([result])
    assert "PSNR over places by blur extent" in text
    assert "sharpness, deblurred" in text


def test_the_motion_that_a_scene_states_is_used():
    footage = moving_footage()
    footage = Footage(footage.frames, footage.subject, np.full((9, 2, 12, 16), 2.0, np.float32))
    result = evaluate(IDLE, [footage], parse_protocols("all-blurry")[0])
    known = [value is not None for value in result.by_extent("copy", "deblurred")]
    assert known == [False, True, False, False, False]  # 2 sqrt(2) px a period x 10/8


def test_all_places_together_are_the_picture():
    truth, ours = smooth_noise(seed=1), smooth_noise(seed=2)
    errors = errors_by_extent(ours, truth, np.zeros((16, 24), np.float32))
    assert 10 * math.log10(255**2 * errors[0][1] / errors[0][0]) == pytest.approx(psnr(ours, truth))
