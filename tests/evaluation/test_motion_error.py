"""Motion is judged by warping sharp frames: exact motion aligns them, none does not."""

import json

import numpy as np
import pytest
import torch

from alanet.cli import run
from alanet.engine.runner import Runner
from alanet.errors import OptionError
from alanet.evaluation.motion_error import as_markdown, motion_errors
from alanet.evaluation.protocols import parse_protocols
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.alanet_plus import ALANetPlus
from alanet.model.weights import save_weights
from tests.evaluation.test_detail import moving_footage
from tests.support.networks import TINY

(PROTOCOL,) = parse_protocols("all-blurry")


class Pan(ALANetPlus):
    """States one motion for all places: x, pixels a period."""

    x = -8.0

    def motion_of(self, relation):
        motion = torch.zeros_like(relation.motion)
        motion[:, 0] = self.x
        return motion


def small(kind=ALANetPlus):
    torch.manual_seed(0)
    return kind(TINY).eval()


def runner(model):
    return Runner(model, torch.device("cpu"), "fp32")


def test_true_motion_aligns_sharp_frames():
    found = list(motion_errors(runner(small(Pan)), moving_footage(), PROTOCOL))  # it pans by 8 pixels a period
    assert len(found) == PROTOCOL.exposure.available(40) - 1
    assert all(error.speed == pytest.approx(8) for error in found)
    assert all(error.warped > 60 for error in found)
    assert all(error.still < 30 for error in found)
    text = as_markdown([("pan", found)])
    assert "| pan | pan | " in text
    assert "8.0" in text


def test_wrong_motion_gains_nothing():
    model = small(Pan)
    model.x = 8.0
    assert all(error.warped < 30 for error in motion_errors(runner(model), moving_footage(), PROTOCOL))


def test_no_motion_gains_nothing():
    model = small(Pan)
    model.x = 0.0
    for error in motion_errors(runner(model), moving_footage(), PROTOCOL):
        assert error.speed == 0
        assert error.gain == pytest.approx(0, abs=1e-3)


def test_a_network_without_motion_is_refused():
    with pytest.raises(OptionError, match="ALANet estimates no motion"):
        next(motion_errors(runner(ALANet(ALANetConfig(width=0.125))), moving_footage(), PROTOCOL))


def test_from_the_command_line(tmp_path, capsys):
    np.save(tmp_path / "pan.npy", moving_footage().frames)
    save_weights(small(), tmp_path / "tiny.safetensors")
    words = ["evaluate", "motion", str(tmp_path / "pan.npy"), "--model", str(tmp_path / "tiny.safetensors")]
    assert run([*words, "--json", "-q"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["pair"] for one in said["motion"]["tiny"]] == [0, 1, 2]
    assert run([*words, "-q"]) == 0
    assert "gain, dB" in capsys.readouterr().out
