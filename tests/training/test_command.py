"""The plain training command from a bank of scenes to weights that load."""

from __future__ import annotations

import pytest
import torch

from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.weights import load_model, save_weights
from alanet.training.checkpoint import latest
from alanet.training.command import main
from tests.support.noise import make_bank


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return make_bank(tmp_path_factory.mktemp("scenes")).folder


@pytest.fixture(scope="module")
def stills(bank):
    return bank.parent / "stills"


QUICK = ["--steps", "3", "--stages", "0:32:2", "--width", "0.02", "--every", "0", "--set", "precision=fp32"]


def test_a_bank_becomes_weights(bank, tmp_path, capsys) -> None:
    arguments = ["--bank", str(bank), "--held-out", str(bank), "--out", str(tmp_path), "--residual", *QUICK]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(tmp_path / "last.safetensors")
    assert lines[-2].startswith("3 steps, 6 clips")
    assert "deblurred gain" in lines[-2]
    assert "100.0%  step 3" in lines[-3]
    assert load_model(tmp_path / "best.safetensors").config == ALANetConfig(width=0.02, residual=True)


def test_stills_are_rendered_as_training_goes_from_given_weights(stills, tmp_path) -> None:
    torch.manual_seed(1)
    model = ALANet(ALANetConfig(width=0.02, attention="self"))
    save_weights(model, tmp_path / "init.safetensors", half=False)
    arguments = ["--stills", str(stills), "--out", str(tmp_path), "--init", str(tmp_path / "init.safetensors")]
    assert main([*arguments, *QUICK, "--set", "lr=1e-30", "--set", "weight_decay=0"]) == 0
    trained = latest(tmp_path)
    assert trained.about["model"]["config"]["attention"] == "self"  # the weights bring their network
    start = model.state_dict()
    assert all(torch.allclose(value, start[key]) for key, value in trained.part("model").items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bank", "nowhere"], "error: no complete bank of scenes in nowhere"),
        (
            ["--bank", "BANK", "--set", "foruier=1"],
            "error: training option 'foruier' is unknown (did you mean 'fourier'?)",
        ),
        (["--bank", "BANK", "--set", "fourier"], "error: --set fourier: give NAME=VALUE"),
        (["--bank", "BANK", "--set", "clip.t=4"], "error: --set clip.t=4: 'clip' is unknown (did you mean 'clips'?)"),
        (["--preset", "quick"], "error: nothing to train on; give one of data (a set), bank, stills"),
        (["--bank", "BANK", "--preset", "papier"], "error: preset 'papier'; allowed: paper"),
        (["--bank", "BANK", "--preset", "paper"], "error: the perceptual loss has weight 0.2 but no VGG16 weights"),
        (
            ["--bank", "BANK", "--stages", "0:64:2"],
            "error: batch 0 and 3 replacements cannot be used (crops of 64 pixels",
        ),
        (["--stills", "STILLS", "--stages", "0:0:2"], "error: whole frames (crop 0) of scenes that are rendered"),
    ],
)
def test_what_cannot_run_says_so_in_one_line(bank, stills, tmp_path, capsys, arguments, message: str) -> None:
    places = {"BANK": str(bank), "STILLS": str(stills)}
    changed = QUICK[4:] if "--stages" in arguments else QUICK[2:]
    given = [places.get(word, word) for word in arguments]
    assert main([*given, "--out", str(tmp_path / "run"), "--steps", "3", *changed]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(message)
    assert "\n" not in error
