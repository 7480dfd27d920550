"""`alanet evaluate` as a person runs it: the same numbers as the library's, on every kind of data, and each refusal."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from alanet.cli import run
from alanet.data.clips import validation_batches
from alanet.data.real.build import build_set
from alanet.data.real.find import SplitOptions
from alanet.data.real.plan import BuildOptions
from alanet.data.synthetic.bank import Bank
from alanet.evaluation.baselines import BASELINES
from alanet.evaluation.evaluate import evaluate, of_model
from alanet.evaluation.footage import Footage, footage_of_scenes, footage_of_set
from alanet.evaluation.protocols import parse_protocols
from alanet.evaluation.result import load_results
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.alanet_plus import ALANetPlus
from alanet.model.weights import file_sha256, save_weights
from alanet.training.validate import validator
from tests.support.media import make_video
from tests.support.networks import TINY as SMALL
from tests.support.noise import make_bank

ROOT = Path(__file__).parents[2]


def tell(capsys, *words: object) -> tuple[int, str, str]:
    code = run([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out, told.err


def textured(count=35, height=32, width=48):
    texture = np.random.default_rng(0).integers(0, 256, (height, width + count, 3), dtype=np.uint8)
    return np.stack([texture[:, i : i + width] for i in range(count)])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "pan.npy"
    np.save(path, textured())
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of each row of Table 3, "both" twice."""
    folder = tmp_path_factory.mktemp("weights")
    for seed, (name, attention) in enumerate({"s": "self", "c": "cross", "b1": "both", "b2": "both"}.items()):
        torch.manual_seed(seed)
        model = ALANet(ALANetConfig(width=0.02, attention=attention, residual=True))
        save_weights(model, folder / f"{name}.safetensors")
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return make_bank(tmp_path_factory.mktemp("scenes"), stills=1, seed=4, max_displacement=6.0, still=0.0).folder


def test_a_report_is_the_librarys_result_in_three_forms(clip, weights, tmp_path, capsys):
    base = tmp_path / "scores"
    words = ("evaluate", clip, "--model", weights["s"], "--protocol", "all-blurry", "--protocol", "mixed", "--seed", 2,
             "--without", "minterpolate", "--limit", 30, "--threads", 1)  # fmt: skip
    code, out, err = tell(capsys, *words, "-o", base)
    assert code == 0, err
    assert out == base.with_suffix(".md").read_text()
    found = load_results(base.with_suffix(".json"))
    assert [result.protocol for result in found] == ["all-blurry", "mixed"]
    assert found[1].seed == 2
    assert dict(found[0].methods) == {"copy": None, "blend": None, "s": file_sha256(weights["s"])}
    assert ("precision", "fp32") in found[0].versions
    library = evaluate(BASELINES[:2], [Footage.of("pan", textured()[:30])], parse_protocols("all-blurry")[0])
    assert [score for score in found[0].scores if score.method != "s"] == list(library.scores)
    assert found[0].subjects[0].pixels == library.subjects[0].pixels
    assert len(list(csv.reader(base.with_suffix(".csv").read_text().splitlines()))) == 1 + sum(
        len(one.scores) for one in found
    )
    assert "Protocol: all-blurry: exposure 11, period 8" in out
    assert "scored" in err

    code, out, err = tell(capsys, *words, "-o", base)
    assert (code, out) == (4, "")
    assert "scores.md exists; choose another name" in err
    code, out, _ = tell(capsys, *words, "--json", "-q")
    assert json.loads(out)["results"] == json.loads(base.with_suffix(".json").read_text())["results"]


def test_scenes_of_a_bank_are_scored_alike_here_and_while_training(bank, weights, capsys):
    code, out, err = tell(capsys, "evaluate", "--scenes", bank, "--no-model", "--without", "minterpolate", "--json")
    assert code == 0, err
    (result,) = json.loads(out)["results"]
    assert [one["name"] for one in result["subjects"]] == ["scene 0 of seed 4", "scene 1 of seed 4"]
    again = [footage.subject.pixels for footage in footage_of_scenes(bank)]
    assert [one["pixels"] for one in result["subjects"]] == again
    assert len(list(footage_of_scenes(bank, count=1, limit=20))) == 1

    torch.manual_seed(5)
    model = ALANet(ALANetConfig(width=0.02, residual=True)).eval()
    told = validator(list(validation_batches(Bank(bank))))(model).scores
    sharp = [footage.frames[2:] for footage in footage_of_scenes(bank)]  # validation begins where 11 of 15 frames do
    footage = [Footage.of(f"scene {k}", frames) for k, frames in enumerate(sharp)]
    evaluated = evaluate([of_model(model, device="cpu"), *BASELINES[:2]], footage, parse_protocols("all-blurry")[0])
    for kind, baseline in (("deblurred", "copy"), ("interpolated", "blend")):
        ours = evaluated.over_images("ours", kind).psnr
        assert told[kind] == pytest.approx(ours, abs=0.02)
        assert told[f"{kind} gain"] == pytest.approx(ours - evaluated.over_images(baseline, kind).psnr, abs=0.05)


def test_drawn_animation_and_a_screen_need_no_file(capsys):
    words = ("--generated", "screen", "--limit", 19, "--no-model", "--without", "minterpolate")
    code, out, err = tell(capsys, "evaluate", *words, "--json")
    assert code == 0, err
    (result,) = json.loads(out)["results"]
    assert [one["name"] for one in result["subjects"]] == ["screen"]
    code, _, err = tell(capsys, "evaluate", "--generated", "screen", "--generated", "screen", "--no-model")
    assert code == 2
    assert "two videos are named screen" in err


def test_the_test_videos_of_a_set_and_low_rates(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name, frames in {"a": 40, "b": 43}.items():
        make_video(tmp_path / f"in/{name}.mp4", frames=frames, rate=30)
    split = SplitOptions(lists={"test": ("b",)})
    build_set(
        tmp_path / "in",
        tmp_path / "set",
        BuildOptions(size=(64, 32), cuts=False, split=split, assume_rate=Fraction(240)),
    )
    (one,) = footage_of_set(tmp_path / "set", limit=20)
    assert one.frames.shape == (20, 32, 64, 3)
    assert one.subject.rate == "30, taken as 240"
    words = ("--no-model", "--without", "minterpolate", "--limit", 19)
    code, out, _ = tell(capsys, "evaluate", "--data", tmp_path / "set", *words)
    assert code == 0
    assert "Data: b.mp4, 19 sharp frames of 64x32, 30, taken as 240 fps" in out
    code, _, err = tell(capsys, "evaluate", tmp_path / "in/a.mp4", *words)
    assert code == 2
    assert "a.mp4: 30 fps; allowed: 120 fps or more, or an assumed rate (--assume-rate 240)" in err
    code, out, err = tell(capsys, "evaluate", tmp_path / "in/a.mp4", *words, "--assume-rate", 240, "--size", "native")
    assert code == 0
    assert "19 sharp frames of 640x480, 30, taken as 240 fps" in out
    assert "a.mp4: 30 fps taken as if 240 fps" in err


def test_many_videos_are_summed_up_in_markdown_and_listed_elsewhere(tmp_path, capsys):
    for k in range(13):
        np.save(tmp_path / f"{k:02d}.npy", textured(19, 12, 12) + np.uint8(k))
    words = (
        "evaluate",
        *sorted(tmp_path.glob("*.npy")),
        "--no-model",
        "--without",
        "minterpolate",
        "--without",
        "blend",
    )
    code, out, _ = tell(capsys, *words, "-o", tmp_path / "scores")
    assert code == 0
    assert "Data: 13 videos, 00 ... 12: 19 sharp frames of 12x12; SHA-256 of their pixels' hashes" in out
    assert "| 07 |" not in out
    assert "07" in {score.video for score in load_results(tmp_path / "scores.json")[0].scores}


def test_table_2_marks_what_is_quoted_and_can_be_made_from_results(clip, tmp_path, capsys):
    words = ("--no-model", "--without", "minterpolate")
    code, out, _ = tell(capsys, "evaluate", "table2", clip, *words, "-o", tmp_path / "two")
    assert code == 0
    assert "| *ALANET, as published on Adobe240" in out
    assert "| copy |" in out
    assert "Protocol: all-blurry" in out
    assert (tmp_path / "two.md").read_text().startswith("# Table 2, all-blurry\n\n| method |")
    assert tell(capsys, "evaluate", "table2", tmp_path / "two.json") == (0, out, "")


def test_table_3_groups_runs_by_what_their_weights_say(clip, weights, tmp_path, capsys):
    models = [word for path in weights.values() for word in ("--model", path)]
    code, out, err = tell(capsys, "evaluate", "table3", clip, *models, "-o", tmp_path / "three", "--threads", 1)
    assert code == 0, err
    rows = {line.split("|")[1].strip(): line.split("|") for line in out.splitlines() if line.startswith("| ")}
    assert [rows[name][-2].strip() for name in ("only self", "only cross", "both")] == ["1", "1", "2"]
    assert "±" in rows["both"][2]
    assert "±" not in rows["only self"][2]
    (result,) = load_results(tmp_path / "three.json")
    runs = [result.over_images(f"both, run {k}", "deblurred").psnr for k in (1, 2)]
    assert rows["both"][2].split()[0] == f"{sum(runs) / 2:.2f}"
    assert dict(result.methods)["only cross, run 1"] == file_sha256(weights["c"])
    assert tell(capsys, "evaluate", "table3", tmp_path / "three.json")[1] == out
    page = tmp_path / "results.md"
    assert tell(capsys, "evaluate", "table3", tmp_path / "three.json", "--into", f"{page}#table3")[0] == 0
    assert out.strip() in page.read_text()
    code, _, err = tell(capsys, "evaluate", "table3", clip, *models, "--into", page)
    assert (code, "give PAGE.md#SECTION" in err) == (2, True)
    tell(capsys, "evaluate", "table2", clip, "--no-model", "--limit", 20, "-o", tmp_path / "two")
    code, _, err = tell(capsys, "evaluate", "table3", tmp_path / "three.json", tmp_path / "two.json")
    assert (code, "different protocols or videos" in err) == (2, True)
    code, _, err = tell(capsys, "evaluate", "table3", tmp_path / "two.json")
    assert (code, "hold no runs of an ablation" in err) == (2, True)


def test_an_ablation_names_runs_by_what_differs_from_the_first_and_says_what_they_cost(clip, weights, tmp_path, capsys):
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"encoder": (0, 0, 0, 0)},
        {},
        {"decoder": (0, 0, 0, 0), "side": (8, 8, 4)},
    )
    torch.manual_seed(1)
    made = []
    for k, change in enumerate(changes):
        save_weights(ALANetPlus(replace(SMALL, **change)), tmp_path / f"{k}.safetensors")
        made += ["--model", tmp_path / f"{k}.safetensors"]
    words = ("evaluate", "ablation", clip, "--threads", 1, "-o", tmp_path / "parts")
    code, out, err = tell(capsys, *words, *made, "--model", weights["c"])
    assert code == 0, err
    rows = {line.split("|")[1].strip(): line.split("|") for line in out.splitlines() if line.startswith("| ")}
    names = ["whole", "encoder = (0, 0, 0, 0)", "side = (8, 8, 4), decoder = (0, 0, 0, 0)"]
    assert list(rows)[2:5] == names
    assert [rows[name][-2].strip() for name in names] == ["2", "1", "1"]
    assert float(rows["whole"][5]) == pytest.approx(ALANetPlus(SMALL).cost().output, abs=0.05)
    assert float(rows["whole"][5]) > float(rows[names[2]][5]) > 0
    assert any(name.startswith("ALANet, width = ") for name in rows)
    assert (tmp_path / "parts.md").read_text().startswith("# Ablation, all-blurry\n\n| network |")
    code, _, err = tell(capsys, "evaluate", "ablation", clip, "--no-model")
    assert (code, "no run for an ablation" in err) == (2, True)


def test_figures_are_drawn_around_the_asked_time(clip, weights, tmp_path, capsys):
    words = ("--model", weights["s"], "--without", "minterpolate", "--threads", 1)
    code, _, err = tell(capsys, "evaluate", "strips", clip, "-o", tmp_path / "s.png", "--inputs", 2, *words)
    assert code == 0, err
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.size == (90 + 3 * (48 + 4), 5 * (32 + 16) + 4 * 4), (
            "input, copy, blend, ours, truth by 0, 1/2, 1"
        )
    code, out, err = tell(capsys, "evaluate", "crops", clip, "-o", tmp_path / "c.png", "--time", "5/2", "--box",
                          "8,4,16x12", "--zoom", 2, *words, "--json")  # fmt: skip
    assert code == 0, err
    assert json.loads(out) == {"picture": str(tmp_path / "c.png")}
    with Image.open(tmp_path / "c.png") as picture:
        truth = np.asarray(picture)[16 : 16 + 24, 3 * 36 : 3 * 36 + 32]
    wanted = textured()[5 + 20, 4:16, 8:24].repeat(2, 0).repeat(2, 1)
    assert np.array_equal(truth, wanted), "sharp frame 5 + 8 * 5/2, at the right place"
    plain = ("--box", "8,4,16x12", "--zoom", 2, "--no-errors", *words)
    assert tell(capsys, "evaluate", "crops", clip, "-o", tmp_path / "p.png", *plain)[0] == 0
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size == (4 * 32 + 3 * 4, 2 * 16 + 24), "copy, blend, ours, truth; no maps, no bar"
    assert tell(capsys, "evaluate", "crops", clip, "-o", tmp_path / "c.png", *words)[0] == 4


def test_an_animation_loops_over_all_times_with_the_same_columns(clip, weights, tmp_path, capsys):
    words = ("-o", tmp_path / "a.webp", "--model", weights["s"], "--without", "minterpolate", "--threads", 1)
    code, _, err = tell(capsys, "evaluate", "animation", clip, "--inputs", 2, "--box", "8,4,16x12", *words)
    assert code == 0, err
    with Image.open(tmp_path / "a.webp") as picture:
        assert (getattr(picture, "n_frames", 1), picture.info["loop"]) == (3, 0), "times 0, 1/2, 1"
        assert picture.size == (4 * 32 + 3 * 4, 2 * 16 + 24), "copy, blend, ours, ground truth"
    code, _, err = tell(capsys, "evaluate", "animation", clip, "--no-model", "-o", tmp_path / "a.gif")
    assert (code, "a name ending in .webp" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            (),
            "no video to evaluate on; give files, folders, .npy arrays, --data SET, --scenes FOLDER or --gen",
        ),
        (("none.mp4",), "none.mp4: no such file"),
        (("CLIP", "CLIP"), "two videos are named pan"),
        (("CLIP", "--protocol", "all-blury"), "choose from all-blurry, mixed, all-sharp, sweep"),
        (("CLIP", "--limit", "18"), "pan: 18 frames are too few for all-blurry; give 19 or more"),
        (("CLIP", "--limit", "0"), "--limit 0 is not a number from 1 up"),
        (("CLIP", "--model", "none.safetensors"), "none.safetensors"),
        (("CLIP", "--model", "."), "holds no last.safetensors"),
        (("CLIP", "--no-model", "--model", "x"), "contradict each other"),
        (("CLIP", "--no-model", "--rife-module", "x.py"), "RIFE needs both"),
        (("CLIP", "--no-model", "--lpips", "none.ckpt"), "none.ckpt"),
        (("--scenes", "none", "--no-model"), "no complete scenes in none"),
        (("--data", "none", "--no-model"), "none: no set of videos"),
        (("table2", "none.json"), "none.json: cannot be read"),
        (("table2", "CLIP", "none.json"), "give one or the other"),
        (("table3", "CLIP", "--no-model"), "no run for Table 3"),
        (("table3", "CLIP", "--protocol", "sweep", "--no-model"), "Table 3 is of one protocol"),
        (("strips", "CLIP", "--no-model", "-o", "a.png", "--first", "3"), "pan gives 4 inputs"),
        (("crops", "CLIP", "--no-model", "-o", "a.png", "--time", "x"), "is not a number of periods"),
        (("CLIP", "--no-model", "-o", "a", "--into", "a.md#b"), "write the same file"),
        (("crops", "CLIP", "--no-model", "-o", "a.png", "--box", "9"), "give X,Y,WxH"),
        (("crops", "CLIP", "--no-model", "-o", "a.png", "--box", "40,0,20x8", "--without", "minterpolate"), "inside"),
        (("crops", "CLIP", "--no-model", "-o", "a.png", "--protocol", "sweep"), "a figure is of one protocol"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line_and_exit_code_2(words, line, clip, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, err = tell(capsys, "evaluate", *(clip if word == "CLIP" else word for word in words), "-q")
    assert (code, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["evaluate"], ["evaluate", "crops"]])
def test_help_is_instant(words):
    code = (
        f"import sys\nsys.argv = {['alanet', *words, '--help']}\nfrom alanet.cli import main\n"
        "try:\n    main()\nfinally:\n    assert not {'torch', 'av', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60,
                          env={**os.environ, "COLUMNS": "100"}, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for word in ("--protocol", "--scenes", "--rife-module"):
        assert word in done.stdout
