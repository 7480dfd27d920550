"""The recipe of ALANetPlus, `recipes/alanet-plus.sh`, runs from photographs and videos to a weights file."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alanet.model.weights import load_model
from tests.support.made_rife import write_rife
from tests.support.media import make_video
from tests.support.paths import ROOT
from tests.training.test_paper_recipe import moving

RECIPE = ROOT / "recipes" / "alanet-plus.sh"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ALANET": f"{sys.executable} -m alanet"}
    return subprocess.run(["bash", str(RECIPE), *arguments], env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_it_goes_from_photographs_and_videos_to_weights(tmp_path: Path) -> None:
    stills, clips = tmp_path / "stills", tmp_path / "clips"
    stills.mkdir()
    clips.mkdir()
    for k in range(24):
        pixels = np.random.default_rng(k).integers(0, 256, (24, 32, 3), np.uint8)
        Image.fromarray(pixels).resize((256, 192), Image.Resampling.BICUBIC).save(stills / f"{k}.png")
    for seed in range(2):
        frames = [np.repeat(np.repeat(frame, 2, 0), 2, 1)[:, :96] for frame in moving(seed)]
        make_video(clips / f"{seed}.mp4", frames=frames, rate=240, size=(96, 64), audio=())
    module, weights = write_rife(tmp_path)
    out = tmp_path / "out"
    done = run(*map(str, (stills, clips, module, weights, out)), "--processes", "1", "--smoke")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    runs = [load_model(out / run / "last.safetensors").state_dict() for run in ("01-flow", "02-exposure", "03-decoder")]
    states = [load_model(out / "start.safetensors").state_dict(), *runs]
    learned = []
    for before, after in pairwise(states):
        learned.append({name.split(".")[0] for name in after if not before[name].equal(after[name])})
    assert learned == [{"flow"}, {"exposure"}, {"encoder", "decoder", "flow"}]
    assert load_model(out / "alanet-plus.safetensors")


def test_a_wrong_call_says_how_to_call_it(tmp_path: Path) -> None:
    done = run(str(tmp_path))
    assert done.returncode == 2
    assert "recipes/alanet-plus.sh PHOTOGRAPHS CLIPS RIFE_MODULE RIFE_WEIGHTS OUT" in done.stderr
