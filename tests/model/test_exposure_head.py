"""The exposure head: where the autocorrelation dips, and what the head is without and with training."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from alanet.model.exposure_head import LAGS, LEAST, STEPS, ExposureHead, autocorrelation, exposure_of

SIZE = 192


def blurred(extent: int, angle: float, seed: int = 0, size: int = SIZE) -> torch.Tensor:
    """A smooth random texture, averaged over `extent` pixels along a direction: 1 1 h w."""
    generator = torch.Generator().manual_seed(seed)
    texture = F.avg_pool2d(torch.rand(1, 1, size, size, generator=generator), 3, 1, 1)
    at = torch.linspace(-1, 1, size)
    total = torch.zeros_like(texture)
    for step in torch.linspace(-extent / 2, extent / 2, 4 * extent + 1):
        x, y = at + step * math.cos(angle) * 2 / size, at + step * math.sin(angle) * 2 / size
        grid = torch.stack((x.expand(size, size), y[:, None].expand(size, size)), -1)[None]
        total += F.grid_sample(texture, grid, padding_mode="reflection", align_corners=False)
    return total / (4 * extent + 1)


def moving(pixels: float, angle: float, size: int = SIZE) -> torch.Tensor:
    motion = torch.tensor([math.cos(angle), math.sin(angle)]) * pixels
    return motion.view(1, 2, 1, 1).expand(1, 2, size // 4, size // 4)


@pytest.mark.parametrize("angle", [0.0, 0.6, 2.0])
@pytest.mark.parametrize(("pixels", "exposure"), [(16, 0.5), (24, 0.5), (16, 1.0), (24, 0.75)])
def test_the_autocorrelation_dips_at_the_exposure(pixels, exposure, angle):
    luma = blurred(round(pixels * exposure), angle)
    curve = autocorrelation(luma, moving(pixels, angle))[..., 8:-8, 8:-8].mean((0, 2, 3))
    assert curve.argmax() == 0
    assert abs(int(curve[3:].argmin()) + 3 - exposure * STEPS) <= 1


def test_across_the_motion_there_is_no_dip_at_the_exposure():
    luma, across = blurred(12, 0.0), moving(16, math.pi / 2)
    curve = autocorrelation(luma, across).mean((0, 2, 3))
    assert curve.shape == (LAGS,)
    assert curve[12] > 0.1 * curve[3:].min()  # less deep by far than where the texture itself makes it dip


def test_untrained_it_has_the_mean_exposure_everywhere():
    shutter = ExposureHead()(torch.rand(2, 1, 64, 96), torch.randn(2, 2, 16, 24))
    assert all(torch.equal(value, torch.zeros(2)) for value in shutter)
    torch.testing.assert_close(exposure_of(shutter.log_exposure), torch.full((2,), 1 - LEAST))


def test_it_is_learned_from_blur_and_motion():
    """Extents of 4 to 16 pixels and motions of 8 to 16, independent of each other: neither alone gives the exposure."""
    torch.manual_seed(0)
    head = ExposureHead(16)
    cases = [(extent, pixels, seed) for seed in range(2) for extent in (4, 8, 12) for pixels in (12, 16)]
    luma = torch.cat([blurred(extent, 0.3 * k, seed, 96) for k, (extent, _, seed) in enumerate(cases)])
    motion = torch.cat([moving(pixels, 0.3 * k, 96) for k, (_, pixels, _) in enumerate(cases)])
    true = torch.tensor([extent / pixels for extent, pixels, _ in cases])
    optimizer = torch.optim.AdamW(head.parameters(), 3e-3)
    for _ in range(60):
        loss = ((head(luma, motion).log_exposure.exp() - LEAST) - true).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    other = torch.cat([blurred(extent, 0.3 * k + 1, 7, 96) for k, (extent, _, _) in enumerate(cases)])
    turned = torch.cat([moving(pixels, 0.3 * k + 1, 96) for k, (_, pixels, _) in enumerate(cases)])
    with torch.inference_mode():
        error = (exposure_of(head(other, turned).log_exposure) - true).abs().mean()
    assert error < 0.5 * (true - true.median()).abs().mean()
