"""Classification as sharp: both truths, thresholds worked out by hand, and the verb from scenes to weights."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from alanet.cli import run
from alanet.data.synthetic.bank import Bank
from alanet.errors import DataError, OptionError
from alanet.evaluation.footage import Footage
from alanet.evaluation.sharpness import (
    SharpnessEstimate,
    as_markdown,
    estimate_footage,
    estimate_scenes,
    estimating_runner,
    lowest_threshold,
    shares,
)
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.network import Window
from alanet.model.weights import load_model, save_weights
from tests.support.networks import estimating, random_network
from tests.support.noise import make_bank

CPU = torch.device("cpu")


def estimate_of(exposure: int, extent: float | None, logit: float) -> SharpnessEstimate:
    return SharpnessEstimate(exposure, extent, 3.0, logit)


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """Two scenes of noise: all that is used of them is their sub-frames and how they move."""
    return make_bank(tmp_path_factory.mktemp("scenes"), max_displacement=8.0, still=0.0)


@pytest.fixture
def network():
    return random_network()


def test_a_long_exposure_of_what_stands_still_is_sharp_to_the_eye_and_blurry_by_its_exposure():
    still, moving, short, little = (estimate_of(*x, 0.0) for x in ((9, 0.0), (9, 4.0), (1, 0.0), (3, 1.5)))
    assert [one.is_sharp("extent") for one in (still, moving, short, little)] == [True, False, True, False]
    assert [one.is_blurry("extent") for one in (still, moving, short, little)] == [False, True, False, False]
    assert [one.is_sharp("exposure") for one in (still, moving, short, little)] == [False, False, True, False]
    assert [one.is_blurry("exposure") for one in (still, moving, short, little)] == [True, True, False, False]
    with pytest.raises(OptionError, match="the blur extent of a video's frames is not known"):
        estimate_of(9, None, 0.0).is_sharp("extent")


def test_shares_by_hand():
    estimates = [estimate_of(1, 0.0, x) for x in (3.0, 2.0, -1.0, 0.1)] + [estimate_of(9, 4.0, x) for x in (2.5, -1.0)]
    assert shares(estimates, 0.5, "extent") == (0.75, 0.5)
    assert shares(estimates, 1 / (1 + math.exp(-2.7)), "extent") == (0.25, 0.0)
    assert math.isnan(shares(estimates[:4], 0.5, "extent")[1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("most", [0.0, 0.005, 0.1])
def test_the_threshold_is_the_lowest_that_passes_so_few(seed, most):
    rng = np.random.default_rng(seed)
    estimates = [estimate_of(1, 0.0, x) for x in rng.normal(3, 2, 300)] + [
        estimate_of(9, 4.0, x) for x in rng.normal(1, 1, 400)
    ]
    chosen = lowest_threshold(estimates, "extent", most)
    assert shares(estimates, chosen, "extent")[1] <= most
    assert shares(estimates, chosen - 1e-6, "extent")[1] > most


def test_the_threshold_is_never_below_a_half_nor_useless():
    apart = [estimate_of(1, 0.0, 5.0), estimate_of(9, 4.0, -5.0)]
    assert lowest_threshold(apart, "extent") == 0.5
    with pytest.raises(DataError, match="no blurry frame by extent among 1"):
        lowest_threshold(apart[:1], "extent")
    with pytest.raises(DataError, match=r"more than 0.5% of the blurry frames have a probability of 1"):
        lowest_threshold([estimate_of(9, 4.0, 80.0)], "extent")
    with pytest.raises(OptionError, match="a share of 2"):
        lowest_threshold(apart, "extent", 2)


def test_what_the_threshold_says_is_what_the_network_then_does(network, bank):
    """The chosen number, put into the config, passes exactly the frames that it was said to pass."""
    runner = estimating_runner(network, CPU)
    estimates = list(estimate_scenes(runner, bank))
    chosen = lowest_threshold(estimates, "extent", 0.2)
    network.config = replace(network.config, sharp_above=chosen)
    again = list(estimate_scenes(runner, bank))
    assert again == estimates
    limit = math.log(chosen / (1 - chosen))
    there = estimating(0.0)
    there.sharp_above = chosen
    runner = estimating_runner(there, CPU)
    features = runner.encode(np.zeros((32, 32, 3), np.uint8))
    for one in estimates:
        torch.nn.init.constant_(there.exposure.whole[-1].bias, one.logit)
        window = Window({0: features, 1: features}, {0: runner.relate(features, features)})
        assert runner.estimate(window, 0).sharp == (one.logit > limit)


def test_scenes_give_every_exposure_its_own_smear(network, bank):
    estimates = list(estimate_scenes(estimating_runner(network, CPU), bank))
    assert len(estimates) == 2 * bank.t * 8
    by_exposure: dict[int, list[Any]] = {n: [one.extent for one in estimates if one.exposure == n] for n in (1, 5, 9)}
    assert set(by_exposure[1]) == {0.0}
    assert by_exposure[9] == pytest.approx([2 * x for x in by_exposure[5]])
    assert max(by_exposure[9]) > 0.5
    assert len(list(estimate_scenes(estimating_runner(network, CPU), bank, 1))) == bank.t * 8


def test_frames_are_means_around_their_centre(network, monkeypatch):
    """A film of grey levels 0, 2, 4 ...: whatever the exposure, the mean is the middle frame, which is estimated."""
    seen = []
    runner = estimating_runner(network, CPU)
    encode = runner.encode

    def recorded(pixels):
        seen.append(int(pixels[0, 0, 0]))
        return encode(pixels)

    monkeypatch.setattr(runner, "encode", recorded)
    frames = np.broadcast_to(np.arange(0, 64, 2, dtype=np.uint8)[:, None, None, None], (32, 32, 32, 3))
    estimates = list(estimate_footage(runner, Footage.of("a", frames)))
    assert seen == [14, 30, 46] * 8  # a clip at each exposure, as a stream would see it
    assert [one.exposure for one in estimates[::3]] == [1, 3, 5, 7, 9, 11, 13, 15]
    assert runner.relates == 2 * 8
    assert {one.extent for one in estimates} == {None}
    with pytest.raises(DataError, match="has 14 frames; exposures up to 15 need as many"):
        list(estimate_footage(runner, Footage.of("a", frames[:14])))


def test_only_networks_that_estimate_exposure():
    with pytest.raises(OptionError, match="ALANet does not estimate exposure"):
        estimating_runner(ALANet(ALANetConfig(width=0.125)), CPU)
    broken = random_network()
    torch.nn.init.constant_(broken.exposure.whole[-1].bias, torch.nan)
    with pytest.raises(DataError, match="NaN or infinite"):
        list(estimate_footage(estimating_runner(broken, CPU), Footage.of("a", np.zeros((31, 32, 32, 3), np.uint8))))


def test_the_table_shows_where_all_estimates_are_alike():
    estimates = [estimate_of(n, 0.5 * (n - 1), 3.0) for n in (1, 5, 9) for _ in range(4)]
    text = as_markdown(estimates, 0.9)
    assert "| 0.9 (now) | 100.0% | 100.0% | 100.0% | 100.0% |" in text
    assert "| 9 | 4 | 100.0% | 3.0 | 100.0% | 0.953 | 0.953 | 0.953 |" in text
    assert "12 frames: 4 sharp and 8 blurry by extent, 4 sharp and 8 blurry by exposure" in text
    assert "by extent" not in as_markdown([estimate_of(1, None, 1.0), estimate_of(9, None, -1.0)], 0.9)


def test_the_verb_writes_weights_with_the_threshold(tmp_path, capsys, network, bank):
    save_weights(network, tmp_path / "w.safetensors")
    words = ["evaluate", "sharpness", "--model", str(tmp_path / "w.safetensors"), "--scenes", str(bank.folder)]
    words += ["--device", "cpu", "--most", "0.1"]
    out = tmp_path / "calibrated.safetensors"
    assert run([*words, "--json", "--write", str(out)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert len(said["frames"]) == 2 * Bank(bank.folder).t * 8
    made, before = load_model(out), load_model(tmp_path / "w.safetensors")
    assert made.config.sharp_above == said["chosen"] != before.config.sharp_above == said["sharp_above"]
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), before.parameters(), strict=True))
    assert run([*words, "--write", str(out)]) == 4
    assert "exists already; --overwrite" in capsys.readouterr().err
    page = tmp_path / "page.md"
    assert run([*words, "--by", "exposure", "--into", f"{page}#sharpness"]) == 0
    told = capsys.readouterr()
    assert "(chosen)" in page.read_text().split("<!-- sharpness -->")[1]
    assert "by exposure" in told.err
    assert "(chosen)" in told.out
