"""PSNR and SSIM against numbers worked out by hand and against scikit-image."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from alanet.errors import DataError
from alanet.evaluation.metrics import psnr, ssim


def pair(height=40, width=57, noise=20.0):
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    ours = np.clip(truth + rng.normal(0, noise, truth.shape), 0, 255).astype(np.uint8)
    return ours, truth


def test_psnr_of_one_step_everywhere_is_what_the_formula_says():
    truth = np.full((8, 9, 3), 100, np.uint8)
    assert psnr(truth + np.uint8(1), truth) == pytest.approx(20 * math.log10(255))
    assert psnr(truth - np.uint8(10), truth) == pytest.approx(20 * math.log10(25.5))  # no wrap-around of uint8


def test_equal_pictures_are_infinitely_good():
    _, truth = pair()
    assert psnr(truth, truth) == math.inf
    assert ssim(truth, truth) == pytest.approx(1)


@pytest.mark.parametrize("noise", [1.0, 20.0, 90.0])
def test_both_agree_with_scikit_image(noise):
    ours, truth = pair(noise=noise)
    theirs = structural_similarity(
        ours, truth, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(ours, truth) == pytest.approx(theirs, abs=1e-9)
    assert psnr(ours, truth) == pytest.approx(peak_signal_noise_ratio(truth, ours), abs=1e-9)


def test_ssim_is_symmetric_and_falls_with_noise():
    a, b = pair()
    assert ssim(a, b) == pytest.approx(ssim(b, a))
    assert ssim(*pair(noise=5)) > ssim(*pair(noise=20)) > ssim(*pair(noise=80))


def test_what_cannot_be_compared_is_refused_in_one_line():
    ours, truth = pair()
    for other in (truth[:-1], truth.astype(np.float32) / 255, truth[..., 0]):
        with pytest.raises(DataError, match="both must be uint8 of the same height"):
            psnr(ours, other)
    with pytest.raises(DataError, match="at least 11x11"):
        ssim(ours[:10], truth[:10])
