"""The paper's own experiment, `recipes/paper.sh`, runs from videos to both tables on videos made here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alanet.data.real.find import ADOBE240_TEST
from tests.support.media import make_video
from tests.support.paths import ROOT

RECIPE = ROOT / "recipes" / "paper.sh"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "ALANET": f"{sys.executable} -m alanet",
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("VGG", None)
    return subprocess.run(
        ["bash", str(RECIPE), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def moving(seed: int) -> list[np.ndarray]:
    """48 frames of a texture that moves by a pixel a frame."""
    texture = np.random.default_rng(seed).integers(0, 256, (32, 112, 3), np.uint8)
    return [texture[:, k : k + 64] for k in range(48)]


@pytest.mark.stress
def test_it_goes_from_videos_to_both_tables(tmp_path: Path) -> None:
    folder = tmp_path / "original_high_fps_videos"
    folder.mkdir()
    for seed, name in enumerate((*ADOBE240_TEST[:2], "IMG_0001", "IMG_0002")):
        make_video(folder / f"{name}.mp4", frames=moving(seed), rate=240, size=(64, 32), audio=())
    done = run(str(tmp_path), str(tmp_path / "out"), "--smoke")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    table2 = (tmp_path / "out" / "table2.md").read_text()
    table3 = (tmp_path / "out" / "table3.md").read_text()
    assert "| both |" in table2
    assert [f"| {row} |" in table3 for row in ("only self", "only cross", "both")] == [True] * 3


def test_a_wrong_call_is_refused_before_any_work(tmp_path: Path) -> None:
    videos, out = str(tmp_path), tmp_path / "out"
    for arguments, said in (
        ((videos,), "recipes/paper.sh VIDEOS OUT"),
        ((videos, str(out), "--gpus", "3"), "--gpus 3; allowed: 1, 2, 4, 5, 8, 10"),
        ((videos, str(out)), "VGG is not set"),
    ):
        done = run(*arguments)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert not out.exists()
