"""ALANetPlus behind the whole path: any rate from file to file, whole and in tiles."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alanet.cli import run
from alanet.cli.tables import _attention, _runs
from alanet.engine.tiled import exact_halo
from alanet.errors import OptionError, ResourceError
from alanet.evaluation.evaluate import of_model
from alanet.frames.tiles import plan_tiles
from alanet.frames.timing import Factor
from alanet.model.alanet_plus import ALANetPlus, ALANetPlusConfig
from alanet.model.weights import load_model, save_weights
from alanet.restoration.options import EncodeOptions, RestoreOptions
from alanet.restoration.restorer import Restorer
from alanet.training.command import main
from alanet.training.log import summarize
from alanet.training.recipe import prepare, run_config
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from tests.support.media import make_video
from tests.support.noise import make_bank
from tests.support.witness import times

TINY = ALANetPlusConfig((8, 8, 12), (1, 1, 1), (1, 1, 1), motion=8, stem=4, unaligned=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "plus.safetensors"
    save_weights(ALANetPlus(TINY), path)
    return path


@pytest.mark.parametrize(("fps", "wanted"), [("60", 12), ("x4", 20), ("60000/1001", 12), ("40", 8)])
def test_any_rate_from_the_command_line(tmp_path, weights, fps, wanted):
    """5 frames at 25 fps; the untrained network gives inputs and blends, so what comes out is known."""
    source = make_video(tmp_path / "a.mkv", frames=5, rate=Fraction(25), codec="ffv1", pix_fmt="bgr0")
    output = tmp_path / "b.mkv"
    words = ["--model", str(weights), "--device", "cpu", "--precision", "fp32", "--codec", "ffv1", "--fps", fps]
    assert run(["restore", str(source), "-o", str(output), "-q", *words]) == 0
    shown = times(output)
    assert len(shown) == wanted
    rate = Fraction(100) if fps == "x4" else Fraction(fps)
    assert all(abs(t - k / rate) < Fraction(1, 900) for k, t in enumerate(shown))  # Matroska counts milliseconds
    inputs = [frame.pixels.astype(float) for frame in decode(probe(source))]
    for k, frame in enumerate(decode(probe(output))):
        i, phase = divmod(k / rate * 25, 1)
        phase = 0 if i >= 4 else float(phase)
        blend = inputs[int(i)] * (1 - phase) + inputs[min(int(i) + 1, 4)] * phase
        assert np.abs(frame.pixels - blend).max() <= 0.6


def test_arrays_at_eight_times_the_rate():
    frames = [np.full((20, 30, 3), 40 * i, np.uint8) for i in range(3)]
    restorer = Restorer(ALANetPlus(TINY), device="cpu", precision="fp32")
    out = restorer.arrays(frames, rate=Factor(8))
    assert [int(frame[0, 0, 0]) for frame in out] == [5 * k for k in range(17)]
    assert restorer.model_name == "ALANetPlus"


def test_the_evaluator_asks_for_any_time():
    method = of_model(ALANetPlus(TINY), device="cpu")
    out = method.restore([np.full((16, 16, 3), 80 * i, np.uint8) for i in range(2)], [Fraction(k, 4) for k in range(5)])
    assert [int(frame[0, 0, 0]) for frame in out] == [0, 20, 40, 60, 80]


def test_too_large_a_frame_is_refused_in_one_line(tmp_path):
    source = make_video(tmp_path / "w.mkv", frames=2, size=(2048, 32), codec="ffv1", pix_fmt="bgr0")
    small = Restorer(ALANetPlus(TINY), device="cpu", precision="fp32", memory=1 << 20)
    with pytest.raises(ResourceError, match=r"2048x32 needs at least \d+ MiB even in tiles") as error:
        small.restore(source)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [source]


def test_tiled_runs_give_the_untiled_file(tmp_path, monkeypatch):
    source = make_video(tmp_path / "w.mkv", frames=3, size=(1280, 32), codec="ffv1", pix_fmt="bgr0")
    torch.manual_seed(0)
    model = ALANetPlus(replace(TINY, sharp_above=0.9999))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1) if not parameter.any() else None
    restorer = Restorer(model, device="cpu", precision="fp32")
    lossless = RestoreOptions(encode=EncodeOptions(codec="ffv1"))
    whole = restorer.restore(source, tmp_path / "whole.mkv", lossless)
    tiles = plan_tiles(32, 1280, halo=exact_halo(model), stride=16, max_tile_pixels=32 * 512)
    monkeypatch.setattr("alanet.restoration.restorer.plan_tiles_for", lambda *_: tiles)
    tiled = restorer.restore(source, tmp_path / "tiled.mkv", lossless)
    assert len(tiles) > 2
    made, expected = (np.stack([frame.pixels for frame in decode(probe(report.output))]).astype(int)
                      for report in (tiled, whole))  # fmt: skip
    assert np.abs(made - expected).max() <= 1  # the last bit of a rounding
    assert (made != expected).mean() < 1e-3


def test_the_training_command_trains_it(tmp_path, capsys):
    make_bank(tmp_path, max_displacement=4.0)
    words = ["--bank", str(tmp_path / "bank"), "--out", str(tmp_path / "run"), "--steps", "3", "--stages", "0:32:2"]
    words += ["--every", "0", "--set", "precision=fp32", "--set", "log_steps=1", "--set", "plus.size=fast"]
    words += ["--set", "plus.channels=[8,8,12]", "--set", "plus.encoder=[1,1,1]", "--set", "plus.generator=[1,1,1]"]
    assert main([*words, "--set", "plus.motion=8", "--set", "plus.stem=4"]) == 0
    assert '"motion"' in (tmp_path / "run" / "metrics.jsonl").read_text()
    assert load_model(tmp_path / "run" / "last.safetensors").config == TINY
    assert main([*words, "--config", str(tmp_path / "run" / "config.json")]) == 0  # a run's config is a config
    assert main([*words[:-10], "--set", "plus.size=huge"]) == 2
    assert "plus.size is 'huge'; allowed: plus, fast" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("only", "shutter", "learns"),
    [("judge", 64, "shutter."), ("judge", 0, "judge."), ("generator", 64, "generator.")],
)
def test_a_part_of_it_can_learn_alone(tmp_path, capsys, only, shutter, learns):
    """After the rest: of the weights it starts from nothing changes but that."""
    make_bank(tmp_path, max_displacement=4.0)
    weights = tmp_path / "init.safetensors"
    save_weights(ALANetPlus(replace(TINY, shutter=shutter)), weights)
    words = ["--bank", str(tmp_path / "bank"), "--steps", "3", "--stages", "0:32:2", "--every", "0", "--set", "lr=0.01"]
    words += ["--set", f"only={only}"]
    assert main([*words, "--out", str(tmp_path / "run"), "--init", str(weights), "--set", "log_steps=1"]) == 0
    before, after = (load_model(path).state_dict() for path in (weights, tmp_path / "run" / "last.safetensors"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(learns) for name in changed)
    told = '"sharp"' in (tmp_path / "run" / "metrics.jsonl").read_text()
    assert told == (only == "judge")
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path / "other"), "--set", "plus.size=fast"]) == 2
    assert f"only {only} is for an ALANetPlus with exposure that has learned the rest; give init" in (
        capsys.readouterr().err
    )


def test_a_run_of_two_banks_has_batches_of_both(tmp_path):
    """Each is one's or the other's: scenes that stand still, and scenes that move."""
    still, moving = tmp_path / "still", tmp_path / "moving"
    still.mkdir()
    moving.mkdir()
    make_bank(still, max_displacement=4.0, still=1.0)
    make_bank(moving, max_displacement=4.0, still=0.0)
    values = {"bank": str(still / "bank"), "bank_too": str(moving / "bank"), "plus": {"size": "fast"}}
    sampler = prepare(run_config({**values, "train": {"steps": 1}})).sampler
    moved = [bool(sampler.batch(k, size=1, crop=32).flow.any()) for k in range(30)]
    assert 8 <= sum(moved) <= 22
    words = ["--bank", values["bank"], "--set", f"bank_too={values['bank_too']}", "--steps", "1", "--stages", "0:32:1"]
    assert main([*words, "--out", str(tmp_path / "run"), "--width", "0.125", "--set", "log_steps=1"]) == 0
    assert summarize(tmp_path / "run").data == "bank, bank"
    with pytest.raises(OptionError, match="bank_too x goes with a bank; give both, or bank alone"):
        run_config({"stills": "stills", "bank_too": "x"})


def test_what_learns_alone_is_one_of_few(tmp_path, capsys):
    make_bank(tmp_path, max_displacement=4.0)
    words = ["--bank", str(tmp_path / "bank"), "--steps", "3", "--stages", "0:32:2", "--out", str(tmp_path / "run")]
    assert main([*words, "--set", "only=motion"]) == 2
    assert "run option only is 'motion'; allowed: all, judge, generator" in capsys.readouterr().err


def test_table_3_is_of_the_papers_network(weights):
    """Its rows are what ALANet's config says; another network has no row there."""
    methods = SimpleNamespace(networks=lambda: [("plus", Restorer(str(weights), device="cpu", precision="fp32"), None)])
    with pytest.raises(OptionError, match="leave ALANetPlus out"):
        _runs(methods, _attention, "Table 3")
