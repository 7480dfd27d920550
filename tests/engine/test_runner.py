"""A runner keeps weights of its own, and restores small frames side by side, with the same result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from alanet.engine.runner import SIDE_BY_SIDE, Runner
from alanet.frames.frame import Pixels
from alanet.model.alanet_plus import ALANetPlus
from alanet.model.layers import can_store
from alanet.model.network import Window
from tests.support.networks import TINY

FRAMES = [np.random.default_rng(i).integers(0, 256, (64, 96, 3), np.uint8) for i in range(2)]


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    made = ALANetPlus(TINY)
    torch.nn.init.normal_(made.decoder.head.weight, std=0.02)
    return made


def window_of(runner: Runner) -> Window:
    features = [runner.encode(frame) for frame in FRAMES]
    return Window(dict(enumerate(features)), {0: runner.relate(*features)})


def restored(runner: Runner) -> list[Pixels | None]:
    return list(runner.generate(window_of(runner), [0.0, 0.25, 0.5], FRAMES[0]))


@pytest.mark.skipif(not can_store(), reason="oneDNN has no bfloat16 here")
def test_the_weights_that_a_bf16_runner_keeps_are_its_own(model):
    exact = Runner(model, torch.device("cpu"), "fp32")
    before = restored(exact)
    rough = restored(Runner(model, torch.device("cpu"), "bf16"))
    assert np.array_equal(before, restored(exact))
    assert 0 < np.abs(np.subtract(before, rough, dtype=np.float32)).mean() < 1  # grey levels


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_frames_side_by_side_are_those_one_after_the_other(model, two_threads, monkeypatch):
    runner = Runner(model, torch.device("cpu"), "fp32")
    assert runner.at_once(64, 96) == 2
    assert runner.at_once(SIDE_BY_SIDE, 2) == 1  # a large frame
    together = restored(runner)
    assert runner.generates == 3
    monkeypatch.setattr(Runner, "at_once", lambda *_: 1)
    assert np.array_equal(together, restored(Runner(model, torch.device("cpu"), "fp32")))


def test_an_error_in_a_thread_is_raised(model, two_threads):
    runner = Runner(model, torch.device("cpu"), "fp32")
    with pytest.raises(KeyError):
        list(runner.generate(Window(window_of(runner).features), [0.25, 0.5], FRAMES[0]))  # without the pair
