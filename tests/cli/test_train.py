"""`alanet train` as a person runs it: from each kind of data to weights that load, and every refusal in one line."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from alanet.cli import run
from alanet.cli.progress import training_line
from alanet.data.augment import Degradation, ExposureMix
from alanet.data.clips import ClipOptions
from alanet.data.real.build import build_set
from alanet.data.real.dataset import paper_clips
from alanet.data.real.find import SplitOptions
from alanet.data.real.plan import BuildOptions
from alanet.errors import OptionError
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.alanet_plus import ALANetPlus, ALANetPlusConfig
from alanet.model.weights import file_sha256, load_model, save_weights
from alanet.training.config import PRESETS, Stage
from alanet.training.loop import Progress
from alanet.training.recipe import joined, parse_setting, prepare, read_config, run_config
from tests.support.media import make_video
from tests.support.noise import make_bank

ROOT = Path(__file__).parents[2]
QUARTER = ROOT / "docs/models/alanet-quarter.toml"
TINY = ("--stages", "0:32:2", "--width", "0.02", "--set", "precision=fp32", "--threads", "1", "--set", "workers=0")


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return make_bank(tmp_path_factory.mktemp("scenes")).folder


@pytest.fixture(scope="module")
def stills(bank):
    return bank.parent / "stills"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A built set: one video to train on, one to validate on."""
    source, folder = tmp_path_factory.mktemp("videos"), tmp_path_factory.mktemp("set") / "set"
    for name, frames in {"a": 50, "b": 43}.items():
        make_video(source / f"{name}.mp4", frames=frames, rate=240)
    options = BuildOptions(size=(64, 32), cuts=False, split=SplitOptions(test=0, lists={"val": ("b",)}))
    build_set(source, folder, options)
    return folder


def tell(capsys, *words: object) -> tuple[int, str, str]:
    code = run([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out, told.err


# --- configs ----------------------------------------------------------------------------------------------------------


def test_the_committed_config_is_what_the_shipped_weights_were_trained_with():
    config = run_config(read_config(QUARTER))
    assert config.model == ALANetConfig(width=0.25, residual=True)
    mix = ExposureMix(sharp=0.1, blurry=0.8, alike=0.7, linear=0.2)
    faults = Degradation(noise=0.1, jpeg=0.1)
    assert config.clips == ClipOptions(deblurred=3, between=2, growth=6000, calm=(0.3, 8.0), mix=mix, faults=faults)
    expected = {"optimizer": "muon", "lr": 1e-3, "pixel": "psnr", "fourier": 0.0, "validate_minutes": 8.0}
    changed = {key: value for key, value in asdict(config.train).items() if value != asdict(PRESETS["cpu"])[key]}
    assert changed.pop("stages") == tuple(map(asdict, (Stage(0.0, 64, 8), Stage(0.5, 96, 4), Stage(0.85, 128, 3))))
    assert changed == expected


@pytest.mark.parametrize("path", sorted(QUARTER.parent.glob("*.toml")), ids=lambda path: path.stem)
def test_every_committed_config_is_one(path):
    config = run_config(read_config(path))
    assert config.bank in (Path("bank"), Path("bank-far"))
    assert config.held_out == Path("held-out")
    assert config.train.minutes


def test_a_config_survives_json_and_brings_what_it_leaves_out(tmp_path):
    values = {"preset": "paper", "data": "set", "train": {"epochs": 3}, "clips": {"mix": {"linear": 0.5}}}
    config = run_config(values)
    assert config.clips.mix == ExposureMix(sharp=0.0, blurry=0.0, alike=1.0, linear=0.5, shortest=11)
    assert config.clips.deblurred == paper_clips().deblurred == 5
    assert (config.train.epochs, config.train.optimizer) == (3, "adam")
    (tmp_path / "config.json").write_text(json.dumps(asdict(config), default=str))
    assert run_config(read_config(tmp_path / "config.json")) == config


def test_flags_take_the_place_of_a_files_source_and_budget():
    file = {"bank": "bank", "train": {"minutes": 58, "lr": 1e-3}, "model": {"width": 0.5}}
    values = joined(joined(file, {"stills": "photos", "train": {"steps": 7}}), parse_setting("clips.mix.sharp=0.25"))
    config = run_config(values)
    assert (config.bank, config.stills) == (None, Path("photos"))
    assert (config.train.minutes, config.train.steps, config.train.lr) == (None, 7, 1e-3)
    assert (config.clips.mix.sharp, config.model.width) == (0.25, 0.5)
    assert parse_setting("pixel=l1") == {"train": {"pixel": "l1"}}
    assert parse_setting("displacement=4") == {"displacement": 4}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bnak": "b"}, r"run option 'bnak' is unknown \(did you mean 'bank'\?\)"),
        ({"bank": "b", "train": {"minuts": 1}}, r"training option 'minuts' is unknown \(did you mean 'minutes'\?\)"),
        ({"bank": "b", "clips": {"mix": {"sharpe": 1}}}, r"clips option mix option 'sharpe' is unknown"),
        ({"bank": "b", "model": {"width": "wide"}}, r"model option width is 'wide'; give a number"),
        ({"bank": "b", "model": {"residual": 1}}, r"model option residual is 1; give true or false"),
        ({"bank": "b", "model": {"attention": "none"}}, r"attention is 'none'; allowed: self, cross, both"),
        ({"bank": "b", "train": {"steps": True}}, r"training option steps is True; give a whole number"),
        ({"bank": "b", "train": {"betas": [0.9]}}, r"training option betas has 1 values; give 2"),
        ({"bank": "b", "train": {"stages": 4}}, r"training option stages is 4; give a list"),
        ({"bank": "b", "train": {"stages": [{"start": 0.0}]}}, r"training option stages lacks crop"),
        ({"bank": "b", "train": 4}, r"train is 4; give a table"),
        ({"bank": "b", "data": "d"}, r"data and bank to train on; give one of data"),
    ],
)
def test_a_config_typo_is_told_in_one_line(values, message):
    with pytest.raises(OptionError, match=message):
        run_config(values)


def test_files_that_are_no_config(tmp_path):
    for name, text in {"a.toml": "width = ", "b.json": "[1]", "c.json": "{"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(OptionError, match=r"neither TOML nor JSON|holds no table"):
            read_config(tmp_path / name)


# --- the verb ---------------------------------------------------------------------------------------------------------


def test_a_bank_becomes_weights_and_the_same_command_goes_on(bank, tmp_path, capsys):
    out = tmp_path / "run"
    words = ("train", "--config", QUARTER, "--bank", bank, "--held-out", bank, "-o", out, *TINY, "--set", "log_steps=1")
    code, printed, told = tell(capsys, *words, "--steps", 2, "--sharp-clips", 0.5, "--json")
    assert code == 0, told
    report = json.loads(printed)
    assert (report["step"], report["samples"], report["interrupted"]) == (2, 4, None)
    assert load_model(report["weights"]).config == ALANetConfig(width=0.02, residual=True)
    assert "training: 50.0 %   step 1   loss" in told
    assert "deblurred gain" in told
    config = run_config(read_config(out / "config.json"))
    assert (config.bank, config.train.steps, config.train.minutes) == (bank, 2, None)
    assert (config.clips.mix.sharp, config.clips.growth, config.train.lr) == (0.5, 6000, 1e-3)

    code, printed, told = tell(capsys, "train", "--config", out / "config.json", "-o", out, "--threads", 1,
                               "--steps", 3, "--growth", 5)  # fmt: skip
    assert (code, printed) == (0, "")
    assert "3 steps, 6 clips" in told
    assert "warning    going on with other settings than before: clips.growth 6000 -> 5" in told
    assert "going on with other settings than before: steps 2 -> 3" in told

    page = tmp_path / "results.md"
    code, printed, _ = tell(capsys, "train", "log", out, "--into", f"{page}#runs")
    cells = [cell.strip() for cell in printed.splitlines()[-1].strip("| ").split("|")]
    assert cells[:3] == ["run", "ALANet, width 0.02, residual, both", bank.name]
    assert cells[4:6] == ["3", "6"], "steps and clips"
    assert cells[8].endswith("dB")
    assert printed.strip() in page.read_text()
    code, _, told = tell(capsys, "train", "log", tmp_path)
    assert (code, "is no folder of a training run" in told) == (2, True)
    assert tell(capsys, "train", "log")[0] == 2

    file = tmp_path / "shipped.safetensors"
    code, printed, _ = tell(capsys, "train", "ship", out, "-o", file, "--json")
    assert (code, json.loads(printed)["sha256"]) == (0, file_sha256(file))
    assert load_model(file).config == load_model(out / "last.safetensors").config
    code, _, told = tell(capsys, "train", "ship", out, "-o", file)
    assert (code, told) == (4, f"alanet: {file}: exists already; --overwrite replaces it\n")
    assert tell(capsys, "train", "ship", out, "-q") == (0, "", "")
    assert file_sha256(tmp_path / "run.safetensors") == file_sha256(file)
    assert tell(capsys, "train", "--bank", bank, "-o", out, *TINY, "--steps", 4)[0] == 2, "another network"


def test_real_videos_train_and_validate_on_those_held_out_for_it(videos, tmp_path, capsys):
    out = tmp_path / "run"
    code, printed, told = tell(
        capsys, "train", "--data", videos, "-o", out, "--preset", "quick", *TINY, "--epochs", 1, "-q", "--json"
    )
    assert (code, told) == (0, "")
    report = json.loads(printed)
    assert report["step"] == 1, "an epoch of one video of 50 frames is a clip"
    assert math.isfinite(report["scores"]["interpolated"])


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_that_then_goes_on(number, expected, bank, tmp_path, monkeypatch, capsys):
    @contextmanager
    def interrupting(screen):
        yield lambda progress: os.kill(os.getpid(), number) if progress.step == 1 else None

    words = ("train", "--bank", bank, "-o", tmp_path, *TINY, "--steps", 3, "--json")
    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["alanet.cli.train"], "training_progress", interrupting)
        code, out, err = tell(capsys, *words)
    assert code == expected
    assert json.loads(out)["step"] < 3
    assert "the same command goes on from here" in err
    code, out, _ = tell(capsys, *words)
    assert (code, json.loads(out)["step"]) == (0, 3)


def test_weights_to_start_from_bring_their_network(stills, tmp_path, capsys):
    save_weights(ALANet(ALANetConfig(width=0.02, attention="self")), tmp_path / "init.safetensors")
    words = ("train", "--stills", stills, "-o", tmp_path / "run", "--init", tmp_path / "init.safetensors", "--steps", 1)
    code, _, told = tell(capsys, *words, *TINY, "--attention", "cross")
    assert code == 2
    assert "init.safetensors has attention self, not cross; leave attention out" in told
    assert tell(capsys, *words, *TINY, "-q")[0] == 0
    assert read_config(tmp_path / "run/config.json")["model"]["attention"] == "self"


def test_weights_of_the_network_beyond_the_paper_go_on_being_told_the_motion(stills, tmp_path):
    shape = ALANetPlusConfig((8, 8, 12), (1, 1, 1), (1, 1, 1), motion=8, stem=4)
    save_weights(ALANetPlus(shape), tmp_path / "init.safetensors")
    values = {"stills": stills, "init": str(tmp_path / "init.safetensors"), "train": {"steps": 1}}
    run = prepare(run_config(values), "cpu")
    assert run.config.plus == shape
    batch = run.sampler.batch(0, size=1, crop=32)
    assert batch.flow is not None
    assert batch.sweep is not None


def test_weights_to_start_from_grow_into_the_network_asked_for(stills, tmp_path):
    shape = ALANetPlusConfig((8, 8, 12), (1, 1, 1), (1, 1, 1), motion=8, stem=4, shutter=0, along=0)
    save_weights(ALANetPlus(shape), tmp_path / "init.safetensors")
    wanted = {"channels": [8, 8, 16], "encoder": [1, 1, 1], "generator": [1, 1, 1], "motion": 8, "stem": 4}
    values = {"stills": stills, "init": str(tmp_path / "init.safetensors"), "train": {"steps": 1}}
    run = prepare(run_config({**values, "plus": wanted}), "cpu")
    assert run.model.config.channels == (8, 8, 16)
    weight = load_model(tmp_path / "init.safetensors").encoder.down[2].weight
    assert torch.equal(run.model.encoder.down[2].weight[:12], weight)
    with pytest.raises(OptionError, match=r"channels \(8, 8, 12\) cannot grow into channels \(8, 8, 10\)"):
        prepare(run_config({**values, "plus": {**wanted, "channels": [8, 8, 10]}}), "cpu")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "nothing to train on; give one of data (a set), bank, stills"),
        (("--bank", "nowhere"), "no complete bank of scenes in nowhere"),
        (("--data", "nowhere"), "nowhere: no set of videos"),
        (("--bank", "BANK", "--held-out", "nowhere"), "no complete bank of scenes in nowhere"),
        (("--bank", "BANK", "--stills", "x"), "bank and stills to train on"),
        (("--bank", "BANK", "--preset", "paper"), "no VGG16 weights were given"),
        (("--bank", "BANK", "--preset", "paper", "--vgg", "none.pth"), "none.pth"),
        (("--bank", "BANK", "--set", "foruier=1"), "'foruier' is unknown (did you mean 'fourier'?)"),
        (("--bank", "BANK", "--stages", "96"), "give START:CROP:BATCH"),
        (("--bank", "BANK", "--config", "none.toml"), "none.toml: cannot be read"),
        (("--bank", "BANK", "--threads", "0"), "threads 0 is not a number from 1 up"),
        (("--bank", "BANK", "--widht", "1"), "--widht"),
        (("--data", "SET", "--growth", "5"), "the motion of real video is not known"),
        (("--data", "SET", "--t", "9"), "its longest run has 50 frames, a clip of 9 takes 75"),
        (("--data", "SET", "--held-out", "SET", "--set", "held_out_clips=0"), "has no batch"),
    ],
)
def test_what_cannot_run_is_one_line_and_exit_code_2(words, line, bank, videos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    places = {"BANK": bank, "SET": videos}
    code, out, err = tell(capsys, "train", "-o", "run", *(places.get(word, word) for word in words), "--steps", 1, "-q")
    assert (code, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_run_cannot_be_shipped(tmp_path, capsys):
    code, _, err = tell(capsys, "train", "ship", tmp_path, "-o", tmp_path / "a.safetensors")
    assert code == 2
    assert "holds no checkpoint" in err


def test_a_line_of_progress():
    scores = {"gain": 0.307}
    line = training_line(Progress(1234, 0.123, 100.0, 2470.0, 0.01234, 1e-4, 27.1, 0.2, scores))
    assert line == (
        "12.3 %   step 1,234   loss 0.01234   27.1 clips a second   waits for data 20%   41:10 left   gain +0.31 dB"
    )
    assert "left" not in training_line(Progress(1, 0.0, 0.0, math.inf, 0.1, 1e-4, 1.0, 0.0, {}))


@pytest.mark.slow
def test_under_torchrun_two_processes_train_and_one_tells(bank, tmp_path):
    words = ["--nproc-per-node", "2", "-m", "alanet", "train", "--bank", bank, "-o", tmp_path / "run", "--steps", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *map(str, words), *TINY, "--json"],
        capture_output=True, text=True, env=environment, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["samples"] == 8, "two processes, two steps, two clips each"
    assert done.stderr.count("2 steps, 8 clips") == 1


def test_help_is_instant():
    code = (
        "import sys\nsys.argv = ['alanet', 'train', '--help']\nfrom alanet.cli import main\n"
        "try:\n    main()\nfinally:\n    assert not {'torch', 'av', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60,
                          env={**os.environ, "COLUMNS": "100"}, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for word in ("--config", "--held-out", "--sharp-clips", "ship"):
        assert word in done.stdout
