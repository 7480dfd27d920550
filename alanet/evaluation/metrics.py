"""How far a restored frame is from the true one: PSNR and SSIM, as pure functions.

Both take two pictures of 8-bit RGB, axes `h w c`, uint8: what a viewer of the file would see, so nothing is gained by
values between the 256 steps or outside them. PSNR is over all pixels and channels at once; SSIM has a Gaussian window
of 11x11 with sigma 1.5, is computed per channel without padding, and averaged (Wang et al. 2004, K1 0.01, K2 0.03).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from alanet.errors import DataError

__all__ = ["Picture", "psnr", "ssim"]

Picture = npt.NDArray[np.uint8]  # h w c

WINDOW = 11  # pixels, each way
SIGMA = 1.5  # pixels
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(ours: Picture, truth: Picture) -> float:
    """Peak signal-to-noise ratio in dB; infinite where the pictures are equal."""
    _same_kind(ours, truth)
    error = float(np.mean(np.square(ours.astype(np.float64) - truth)))
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(ours: Picture, truth: Picture) -> float:
    """Structural similarity, at most 1. Pictures must be at least 11x11."""
    _same_kind(ours, truth)
    if min(ours.shape[:2]) < WINDOW:
        raise DataError(
            f"SSIM of {ours.shape[1]}x{ours.shape[0]} pictures; its window needs at least {WINDOW}x{WINDOW}"
        )
    a, b = (np.ascontiguousarray(x.transpose(2, 0, 1), dtype=np.float64) for x in (ours, truth))  # c h w
    mean_a, mean_b = _smooth(a), _smooth(b)
    both, square = mean_a * mean_b, mean_a**2 + mean_b**2
    covariance = _smooth(a * b) - both
    variances = _smooth(a * a + b * b) - square  # of both, summed: they are only ever needed so
    similarity = (2 * both + C1) * (2 * covariance + C2) / ((square + C1) * (variances + C2))
    return float(similarity.mean())


def _smooth(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """c h w -> c h-10 w-10: the Gaussian mean around each pixel whose window lies inside the picture."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    weights /= weights.sum()
    height, width = (n - WINDOW + 1 for n in x.shape[1:])
    rows = np.zeros((x.shape[0], height, x.shape[2]))
    for k, weight in enumerate(weights):  # the window is separable: down the columns, then along the rows
        rows += weight * x[:, k : k + height]
    smooth = np.zeros((x.shape[0], height, width))
    for k, weight in enumerate(weights):
        smooth += weight * rows[:, :, k : k + width]
    return smooth


def _same_kind(ours: Picture, truth: Picture) -> None:
    for picture in (ours, truth):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape != truth.shape:
            raise DataError(
                f"pictures of {ours.dtype} {ours.shape} and {truth.dtype} {truth.shape} cannot be compared; "
                "both must be uint8 of the same height, width and channels"
            )
