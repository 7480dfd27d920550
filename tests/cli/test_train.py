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

from alanet.cli import run
from alanet.data.augment import Degradation, ExposureMix
from alanet.data.cutting import ClipOptions
from alanet.data.real.build import build_set
from alanet.data.real.dataset import paper_clips
from alanet.data.real.find import SplitOptions
from alanet.data.real.plan import BuildOptions
from alanet.errors import OptionError
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.alanet_plus import ALANetPlus
from alanet.model.weights import file_sha256, load_model, save_weights
from alanet.training.config import PRESETS, Stage
from alanet.training.loop import TrainProgress
from alanet.training.prepare import prepare
from alanet.training.recipe import make_recipe, merged, parse_setting, read_values
from tests.support.media import make_video
from tests.support.networks import TINY as SMALL
from tests.support.noise import make_bank

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes/table3.toml"
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


def test_the_recipe_of_table_3_is_a_quarter_of_the_papers_width():
    config = make_recipe(read_values(RECIPE))
    assert config.model == {"width": 0.25, "residual": True}
    mix = ExposureMix(sharp=0.1, blurry=0.8, same_exposure=0.7, linear=0.2)
    faults = Degradation(noise=0.1, jpeg=0.1)
    assert config.clips == ClipOptions(
        deblurred=3, between=2, ramp_steps=1000, slow_start=(0.3, 8.0), mix=mix, degradation=faults
    )
    expected = {"optimizer": "muon", "lr": 1e-3, "pixel": "psnr", "fourier": 0.0, "validate_minutes": 6.0}
    changed = {key: value for key, value in asdict(config.train).items() if value != asdict(PRESETS["cpu"])[key]}
    assert changed.pop("stages") == (asdict(Stage(0.0, 64, 8)),)
    assert changed.pop("minutes") == 12
    assert changed == expected


@pytest.mark.parametrize(
    "path", sorted(RECIPE.parent.rglob("*.toml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_committed_config_is_one(path):
    config = make_recipe(read_values(path))
    assert config.dataset == Path("scenes")
    assert config.clips.t == 5 or config.network == "ALANetPlus"
    assert config.held_out == Path("held-out")
    assert config.train.minutes or config.train.steps


def test_a_config_survives_json_and_brings_what_it_leaves_out(tmp_path):
    values = {"preset": "paper", "dataset": "set", "train": {"epochs": 3}, "clips": {"mix": {"linear": 0.5}}}
    config = make_recipe(values)
    assert config.clips.mix == ExposureMix(sharp=0.0, blurry=0.0, same_exposure=1.0, linear=0.5, shortest=11)
    assert config.clips.deblurred == paper_clips().deblurred == 5
    assert (config.train.epochs, config.train.optimizer) == (3, "adam")
    (tmp_path / "config.json").write_text(json.dumps(asdict(config), default=str))
    assert make_recipe(read_values(tmp_path / "config.json")) == config


def test_flags_take_the_place_of_a_files_source_and_budget():
    file = {"dataset": "scenes", "train": {"minutes": 58, "lr": 1e-3}, "model": {"width": 0.5}}
    values = merged(
        merged(file, {"photographs": "photos", "train": {"steps": 7}}), parse_setting("clips.mix.sharp=0.25")
    )
    config = make_recipe(values)
    assert (config.dataset, config.photographs) == (None, Path("photos"))
    assert (config.train.minutes, config.train.steps, config.train.lr) == (None, 7, 1e-3)
    assert (config.clips.mix.sharp, config.model) == (0.25, {"width": 0.5})
    assert parse_setting("pixel=l1") == {"train": {"pixel": "l1"}}
    assert parse_setting("displacement=4") == {"displacement": 4}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"datasett": "b"}, r"recipe option 'datasett' is unknown \(did you mean 'dataset'\?\)"),
        ({"dataset": "b", "train": {"minuts": 1}}, r"training option 'minuts' is unknown \(did you mean 'minutes'\?\)"),
        ({"dataset": "b", "clips": {"mix": {"sharpe": 1}}}, r"clips option mix option 'sharpe' is unknown"),
        ({"dataset": "b", "model": {"width": "wide"}}, r"model option width is 'wide'; give a number"),
        ({"dataset": "b", "model": {"residual": 1}}, r"model option residual is 1; give true or false"),
        ({"dataset": "b", "model": {"attention": "none"}}, r"attention is 'none'; allowed: self, cross, both"),
        ({"dataset": "b", "train": {"steps": True}}, r"training option steps is True; give a whole number"),
        ({"dataset": "b", "train": {"betas": [0.9]}}, r"training option betas has 1 values; give 2"),
        ({"dataset": "b", "train": {"stages": 4}}, r"training option stages is 4; give a list"),
        ({"dataset": "b", "train": {"stages": [{"start": 0.0}]}}, r"training option stages lacks crop"),
        ({"dataset": "b", "train": 4}, r"train is 4; give a table"),
        ({"dataset": "b", "photographs": "d"}, r"dataset and photographs are both given; give one of"),
        ({"dataset": "b", "train": {"betas": [0.9, 1.5]}}, r"betas is 1\.5; allowed: from 0 to below 1"),
        (
            {"dataset": "b", "train": {"steps": 10**400}},
            r"steps is a whole number of 1329 bits; allowed: numbers up to",
        ),
        ({"dataset": "b", "clips": {"mix": {"sharp": 1.5}}}, r"sharp is 1\.5; allowed: from 0 to 1"),
        ({"dataset": "b", "clips": {"mix": {"sharp": 0.6, "blurry": 0.6}}}, r"shares of 1 at most in sum"),
        ({"dataset": "b", "clips": {"degradation": {"noise": float("nan")}}}, r"noise is nan; allowed: from 0 to 1"),
        ({"dataset": "b", "clips": {"degradation": {"jpeg_quality": [95, 40]}}}, r"jpeg_quality is \(95, 40\)"),
        ({"dataset": "b", "extra_share": -0.5}, r"extra_share is -0\.5; allowed: 0 to 1"),
        ({"dataset": "b", "train": {"validate_minutes": -5}}, r"validate_minutes is -5\.0; allowed: above 0"),
        ({"photographs": "p", "second_dataset": "x"}, r"second_dataset x needs a dataset; give both"),
    ],
)
def test_a_config_typo_is_told_in_one_line(values, message):
    with pytest.raises(OptionError, match=message):
        make_recipe(values)


def test_files_that_are_no_config(tmp_path):
    for name, text in {"a.toml": "width = ", "b.json": "[1]", "c.json": "{"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(OptionError, match=r"neither TOML nor JSON|holds no table"):
            read_values(tmp_path / name)


# --- the verb ---------------------------------------------------------------------------------------------------------


def test_a_bank_becomes_weights_and_the_same_command_goes_on(bank, tmp_path, capsys):
    out = tmp_path / "run"
    words = (
        "train",
        "--config",
        RECIPE,
        "--dataset",
        bank,
        "--held-out",
        bank,
        "-o",
        out,
        *TINY,
        "--set",
        "log_steps=1",
    )
    code, printed, told = tell(capsys, *words, "--steps", 2, "--sharp-clips", 0.15, "--json")
    assert code == 0, told
    report = json.loads(printed)
    assert (report["step"], report["samples"], report["interrupted"]) == (2, 4, None)
    assert load_model(report["weights"]).config == ALANetConfig(width=0.02, residual=True)
    assert "training: 50.0 %   step 1   loss" in told
    assert "deblurred gain" in told
    config = make_recipe(read_values(out / "config.json"))
    assert (config.dataset, config.train.steps, config.train.minutes) == (bank, 2, None)
    assert (config.clips.mix.sharp, config.clips.ramp_steps, config.train.lr) == (0.15, 1000, 1e-3)

    code, printed, told = tell(capsys, "train", "--config", out / "config.json", "-o", out, "--threads", 1,
                               "--steps", 3, "--ramp-steps", 5)  # fmt: skip
    assert (code, printed) == (0, "")
    assert "3 steps, 6 clips" in told
    assert "warning    resuming with other settings than before: clips.ramp_steps 1000 -> 5" in told
    assert "resuming with other settings than before: steps 2 -> 3" in told

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
    assert tell(capsys, "train", "--dataset", bank, "-o", out, *TINY, "--steps", 4)[0] == 2, "another network"


def test_real_videos_train_and_validate_on_those_held_out_for_it(videos, tmp_path, capsys):
    out = tmp_path / "run"
    code, printed, told = tell(
        capsys, "train", "--dataset", videos, "-o", out, "--preset", "quick", *TINY, "--epochs", 1, "-q", "--json"
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

    words = ("train", "--dataset", bank, "-o", tmp_path, *TINY, "--steps", 3, "--json")
    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["alanet.cli.train"], "training_progress", interrupting)
        code, out, err = tell(capsys, *words)
    assert code == expected
    assert json.loads(out)["step"] < 3
    assert "the same command resumes from here" in err
    code, out, _ = tell(capsys, *words)
    assert (code, json.loads(out)["step"]) == (0, 3)


def test_weights_to_start_from_bring_their_network(stills, tmp_path, capsys):
    save_weights(ALANet(ALANetConfig(width=0.02, attention="self")), tmp_path / "init.safetensors")
    words = (
        "train",
        "--photographs",
        stills,
        "-o",
        tmp_path / "run",
        "--init",
        tmp_path / "init.safetensors",
        "--steps",
        1,
    )
    code, _, told = tell(capsys, *words, *TINY, "--attention", "cross")
    assert code == 2
    assert "init.safetensors has attention self, not cross; leave attention out" in told
    assert tell(capsys, *words, *TINY, "-q")[0] == 0
    assert read_values(tmp_path / "run/config.json")["model"]["attention"] == "self"


def test_weights_of_the_network_with_motion_get_the_motion_of_scenes(stills, tmp_path):
    save_weights(ALANetPlus(SMALL), tmp_path / "init.safetensors")
    values = {"photographs": stills, "init": str(tmp_path / "init.safetensors"), "train": {"steps": 1}}
    run = prepare(make_recipe(values), "cpu")
    assert run.model.config == SMALL
    batch = run.data.sampler.batch(0, size=1, crop=32)
    assert batch.flow is not None
    assert batch.sweep is not None


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "no training data is given; give one of dataset"),
        (("--dataset", "nowhere"), "no complete scenes in nowhere"),
        (("--dataset", "BANK", "--held-out", "nowhere"), "no complete scenes in nowhere"),
        (("--dataset", "BANK", "--photographs", "x"), "dataset and photographs are both given"),
        (("--dataset", "BANK", "--preset", "paper"), "no VGG16 weights were given"),
        (("--dataset", "BANK", "--preset", "paper", "--vgg", "none.pth"), "none.pth"),
        (("--dataset", "BANK", "--set", "foruier=1"), "'foruier' is unknown (did you mean 'fourier'?)"),
        (("--dataset", "BANK", "--stages", "96"), "give START:CROP:BATCH"),
        (("--dataset", "BANK", "--config", "none.toml"), "none.toml: cannot be read"),
        (("--dataset", "BANK", "--threads", "0"), "threads 0 is not a whole number from 1 to"),
        (("--dataset", "BANK", "--widht", "1"), "--widht"),
        (("--dataset", "SET", "--ramp-steps", "5"), "the motion of real video is not known"),
        (("--dataset", "BANK", "--stages", "0:32:2,0.5:4096:1"), "stage 2 has crops of 4096 pixels"),
        (("--dataset", "SET", "--t", "9"), "its longest run has 50 frames, a clip of 9 takes 75"),
        (("--dataset", "SET", "--held-out", "SET", "--set", "held_out_clips=0"), "no batch to validate on"),
    ],
)
def test_what_cannot_run_is_one_line_and_exit_code_2(words, line, bank, videos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    places = {"BANK": bank, "SET": videos}
    stages = () if "--stages" in words else ("--stages", "0:32:2")
    given = [places.get(word, word) for word in words]
    code, out, err = tell(capsys, "train", "-o", "run", *given, *stages, "--steps", 1, "-q")
    assert (code, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_run_cannot_be_shipped(tmp_path, capsys):
    code, _, err = tell(capsys, "train", "ship", tmp_path, "-o", tmp_path / "a.safetensors")
    assert code == 2
    assert "holds no checkpoint" in err
    code, _, err = tell(capsys, "train", "ship", tmp_path / "run", "-o", tmp_path / "a.safetensors")
    assert code == 2
    assert f"{tmp_path / 'run'} is not there; give the folder of a training run" in err


def test_a_line_of_progress():
    scores = {"gain": 0.307}
    line = str(TrainProgress(1234, 0.123, 100.0, 2470.0, 0.01234, 1e-4, 27.1, 0.2, scores))
    assert line == (
        "12.3 %   step 1,234   loss 0.01234   27.1 clips a second   waits for data 20%   41:10 left   gain +0.31 dB"
    )
    assert "left" not in str(TrainProgress(1, 0.0, 0.0, math.inf, 0.1, 1e-4, 1.0, 0.0, {}))


@pytest.mark.slow
def test_under_torchrun_two_processes_train_and_one_tells(bank, tmp_path):
    words = [
        "--nproc-per-node",
        "2",
        "-m",
        "alanet",
        "train",
        "--dataset",
        bank,
        "-o",
        tmp_path / "run",
        "--steps",
        "2",
    ]
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
