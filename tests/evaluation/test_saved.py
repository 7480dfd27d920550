"""Frames that another program restored are a method like any other."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from alanet.cli import run
from alanet.errors import DataError
from alanet.evaluation.baselines import BASELINES
from alanet.evaluation.evaluate import evaluate
from alanet.evaluation.protocols import parse_protocols
from alanet.evaluation.result import load_results
from alanet.evaluation.saved import saved_frames, saving_to
from tests.evaluation.test_detail import moving_footage

BLEND = [method for method in BASELINES if method.name == "blend"]


@pytest.mark.parametrize("protocol", ["all-blurry", "all-blurry x4"])
def test_saved_frames_score_as_the_method_that_made_them(tmp_path, protocol):
    (wanted,) = parse_protocols(protocol)
    first = evaluate(BLEND, [moving_footage()], wanted, on_restored=saving_to(tmp_path))
    assert len(list((tmp_path / "blend" / "pan").glob("*.png"))) == len(first.scores)
    inputs = sorted((tmp_path / "inputs" / "pan").glob("*.png"))
    assert len(inputs) == wanted.exposure.available(40)
    again = evaluate([saved_frames("theirs", tmp_path / "blend")], [moving_footage()], wanted)
    assert [score.psnr for score in again.scores] == [score.psnr for score in first.scores]


def test_frames_that_do_not_fit_are_left_out_with_the_reason(tmp_path):
    (tmp_path / "pan").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "pan" / "0.png")
    (protocol,) = parse_protocols("all-blurry")
    few = evaluate([*BLEND, saved_frames("few", tmp_path)], [moving_footage()], protocol)
    assert "1 pictures; allowed: " in dict(few.refused)["few"]
    for k in range(1, 12):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "pan" / f"{k:02d}.png")
    small = evaluate([*BLEND, saved_frames("small", tmp_path)], [moving_footage()], protocol)
    assert "8x8, the inputs are 64x48" in dict(small.refused)["small"]
    with pytest.raises(DataError, match="no such folder"):
        saved_frames("none", tmp_path / "nowhere")


def test_from_the_command_line_with_plots(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    np.save(tmp_path / "pan.npy", moving_footage().frames)
    words = ["evaluate", str(tmp_path / "pan.npy"), "--no-model", "--without", "minterpolate"]
    assert run([*words, "--save-frames", str(tmp_path / "frames"), "-q"]) == 0
    words += ["--frames", f"theirs={tmp_path / 'frames' / 'blend'}", "-o", str(tmp_path / "r"), "--plots", "-q"]
    assert run(words) == 0
    (result,) = load_results(tmp_path / "r.json")
    assert [name for name, _ in result.methods] == ["copy", "blend", "theirs"]
    assert {path.name for path in tmp_path.glob("r-*.png")} == {
        f"r-{k}.png" for k in ("time", "frame", "extent", "cost")
    }
    assert run([*words[:-4], "--plots"]) == 2
    assert run([*words[:3], "--frames", "nothing"]) == 2
    assert "give NAME=FOLDER" in capsys.readouterr().err


def test_a_plot_without_matplotlib_is_one_line():
    code = "import sys; sys.modules['matplotlib'] = None; import importlib.util as u; old = u.find_spec\n"
    code += "u.find_spec = lambda name, *rest: None if name == 'matplotlib' else old(name, *rest)\n"
    code += "from alanet.cli import run; sys.exit(run(['evaluate', 'a.npy', '--plots', '-o', 'r']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode in (2, 5)
    assert done.stderr.count("\n") == 1
