"""What motion does not explain, by the shipped `alanet-plus`: captions, fades, dissolves and flashes are kept.

Each bound is the PSNR of the restored frame over the truth, a dB or two below what the weights reach (in the
comments). The pictures are parts of a frame of the bundled sample.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import alanet
from alanet.model.weights import load_model
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe

SAMPLE = Path(alanet.__file__).parent / "sample" / "bikes.mp4"
H, W = 192, 256
CAPTION = (slice(150, 174), slice(20, 120))


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return load_model("alanet-plus").eval()


@pytest.fixture(scope="module")
def picture() -> Tensor:
    """c h w in [0, 1], wider than a frame."""
    frame = next(iter(decode(probe(SAMPLE))))
    return torch.from_numpy(np.ascontiguousarray(frame.pixels[..., :3])).permute(2, 0, 1).float() / 255


def view(picture: Tensor, x: float) -> Tensor:
    return picture[:, 40 : 40 + H, round(x) : round(x) + W]


def pan(picture: Tensor, step: int) -> list[Tensor]:
    return [view(picture, 20 + step * k) for k in range(4)]


def quality(network: torch.nn.Module, frames: list[Tensor], time: float, truth: Tensor, where: object = ...) -> float:
    with torch.inference_mode():
        out = network(torch.stack(frames)[None], [time])[0, 0].clamp(0, 1)
    value = -10 * math.log10(float((out - truth)[where].square().mean()) + 1e-10)
    print(f"{value:.1f} dB")
    return value


@pytest.mark.parametrize(("step", "least"), [(6, 49), (16, 31)])  # 51.7, 32.8
def test_a_caption_stays_still_on_a_moving_picture(network, picture, step, least):
    marks = torch.rand(12, 50, generator=torch.Generator().manual_seed(0)) > 0.5
    marks = marks.float().repeat_interleave(2, 0).repeat_interleave(2, 1)
    frames = [frame.clone() for frame in pan(picture, step)]
    for frame in frames:
        frame[:, *CAPTION] = marks
    assert quality(network, frames, 1.5, frames[0], (slice(None), *CAPTION)) > least


@pytest.mark.parametrize(("step", "least"), [(0, 55), (6, 39)])  # 57.4, 41.5
def test_a_fade_stays_even(network, picture, step, least):
    frames = [frame * (1 - 0.25 * k) for k, frame in enumerate(pan(picture, step))]
    assert quality(network, frames, 1.5, view(picture, 20 + 1.5 * step) * (1 - 0.375)) > least


@pytest.mark.parametrize(("time", "least"), [(1.5, 42), (1.0, 52)])  # 43.2, 55.2
def test_a_dissolve_stays_even(network, picture, time, least):
    other = view(picture.flip(2), 100)
    frames = [torch.lerp(view(picture, 30), other, k / 3) for k in range(4)]
    assert quality(network, frames, time, torch.lerp(view(picture, 30), other, time / 3)) > least


@pytest.mark.parametrize(("time", "least"), [(1.0, 43), (1.5, 42), (2.0, 42)])  # 46.1, 43.8, 44.2
def test_a_flash_is_kept(network, picture, time, least):
    rest = view(picture, 30)
    frames = [rest, rest, 0.3 * rest + 0.7, rest]
    assert quality(network, frames, time, torch.lerp(rest, frames[2], time - 1)) > least


def test_motion_of_ninety_pixels_is_followed(network, picture):  # 24.9; blend 17.6
    frames = [view(picture, 5 + 90 * k) for k in range(3)]
    assert quality(network, frames, 0.5, view(picture, 50)) > 24
