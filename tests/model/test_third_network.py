"""A third network is one class and one line in NETWORKS: it runs whole, in tiles, in two workers, and is trained."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from alanet.engine.fallback import FallbackRunner
from alanet.engine.runner import Runner
from alanet.engine.stream import stream
from alanet.frames.frame import Frame
from alanet.frames.tiles import plan_tiles
from alanet.frames.timing import Factor
from alanet.model import weights
from alanet.notes import Notes
from alanet.restoration.restorer import Restorer
from alanet.training.config import Stage, preset
from alanet.training.loop import Hooks, network_objective, train
from alanet.training.loss import RestorationLoss
from tests.support.media import make_video
from tests.support.networks import BLEND, Blend
from tests.support.paths import ROOT


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A weights file of it, with the line in the table."""
    monkeypatch.setattr(weights, "NETWORKS", {**weights.NETWORKS, **BLEND})
    weights.save_weights(Blend(), tmp_path / "third.safetensors", half=False)
    return tmp_path / "third.safetensors"


def test_whole_and_in_tiles(third):
    restorer = Restorer(third, device="cpu", precision="fp32")
    clip = [np.full((32, 48, 3), 40 * i, np.uint8) for i in range(3)]
    assert [int(frame[0, 0, 0]) for frame in restorer.arrays(clip)] == [0, 10, 20, 30, 40]
    tiles = plan_tiles(32, 48, halo=8, stride=8, max_tile_pixels=32 * 32)
    assert len(tiles) > 1
    runner = FallbackRunner(Runner(Blend(), torch.device("cpu"), "fp32"), tiles, "exact", Notes())
    made = stream(
        ((Frame(p, i, 1), False) for i, p in enumerate(clip)),
        runner,
        Factor(2),
        window=0,
        tail="drop",
        period=Fraction(1),
    )
    assert [int(frame.pixels[-1, -1, 0]) for frame in made] == [0, 10, 20, 30, 40]


@pytest.mark.slow
def test_two_workers_restore_with_it(third, tmp_path):
    """Each process gets the line from a sitecustomize module, as if the table had it."""
    (tmp_path / "sitecustomize.py").write_text(
        f"from alanet.model.weights import NETWORKS\nNETWORKS.update({BLEND!r})\n"
    )
    (tmp_path / "in").mkdir()
    for name in "ab":
        make_video(tmp_path / "in" / f"{name}.mp4", frames=4, rate=25, size=(64, 48))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "alanet",
        "restore",
        tmp_path / "in",
        "-o",
        tmp_path / "out",
        "--recursive",
        "--workers",
        "2",
    ]
    done = subprocess.run(
        [*map(str, command), "--model", str(third), "--device", "cpu"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.mp4"))) == 2


@dataclass(frozen=True)
class Clips:
    clip: Tensor
    times: Tensor
    truth: Tensor


class Doubled:
    """Clips whose ground truth is the clip itself: the scale to learn is 1."""

    def batch(self, index: int, *, size: int, crop: int) -> Clips:
        clip = torch.rand(size, 2, 3, crop, crop, generator=torch.Generator().manual_seed(index))
        return Clips(clip, torch.tensor([[0.0, 1.0]] * size), clip)


def test_the_trainer_trains_it(third, tmp_path):  # `third` puts the line in, by which a checkpoint names it
    model = Blend()
    rare = {"validate_minutes": 99.0, "save_minutes": 99.0}
    settings = preset("quick", precision="fp32", stages=(Stage(0, 16, 2),), steps=20, lr=0.05, **rare)
    train(model, settings, Doubled(), tmp_path / "run", hooks=Hooks(objective=network_objective(RestorationLoss())))
    assert float(model.scale.detach()) > 0.6
