"""Training: clips a second, the share of time that steps wait for data, and how fast scenes render.

Scenes are rendered from frames of the bundled sample: on a GPU as training goes, on a CPU once into a bank.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path

import torch
from PIL import Image

from alanet.data.clips import SceneClips
from alanet.data.cutting import ClipOptions
from alanet.data.synthetic.bank import render_bank
from alanet.data.synthetic.render import Stills, find_stills
from alanet.data.synthetic.scenes import SceneOptions
from alanet.training.prepare import prepare
from alanet.training.recipe import make_recipe, merged
from alanet.training.runlog import summarize
from benchmarks.common import sample, table

LONGEST, T, PERIOD = 15, 5, 8


def training(options: argparse.Namespace, folder: Path) -> None:
    """Some steps of each network, and scenes of 3 frames of 128 x 128 rendered alone."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    stills = folder / "stills"
    stills.mkdir()
    for k, frame in enumerate(islice(sample(640, 352), 0, 24, 3)):
        Image.fromarray(frame).save(stills / f"{k}.png")
    source: dict[str, object] = {"preset": "scenes", "photographs": stills}
    if device == "cpu":
        shape = SceneOptions(128, 128, LONGEST + PERIOD * (T - 1), PERIOD)
        render_bank(stills, folder / "bank", options.scenes, shape, longest=LONGEST)
        source = {"preset": "cpu", "dataset": folder / "bank"}
    size = {"stages": ({"start": 0.0, "crop": options.crop, "batch": options.batch},)}
    budget = {"steps": options.steps, "minutes": None, "log_steps": max(1, options.steps // 5)}
    rows: list[tuple[object, ...]] = []
    for name, network in (("ALANet, quarter width", {"model": {"width": 0.25, "residual": True}}),
                          ("ALANetPlus", {"network": "ALANetPlus"})):  # fmt: skip
        run = prepare(make_recipe(merged(merged(source, network), {"train": {**size, **budget}})), device)
        run.start(folder / name)
        told = summarize(folder / name, skip=1)  # the first steps warm up
        rows.append((name, f"{told.rate:.1f}", f"{100 * told.waiting:.1f} %"))
    print(f"batches of {options.batch}, crops of {options.crop}, {device}, {torch.get_num_threads()} threads\n")
    table(("training", "clips a second", "waiting for data"), *rows)
    print(f"\n3 x 128x128 rendered alone: {rendering(stills, device, options.batch):.1f} clips a second")


def rendering(stills: Path, device: str, batch: int, rounds: int = 4) -> float:
    """Clips a second, the first batch left out."""
    shape = SceneOptions(128, 128, LONGEST + PERIOD * 2, PERIOD)
    clips = SceneClips(Stills(find_stills(stills), device), shape, ClipOptions(t=3), longest=LONGEST)
    began = 0.0
    for k in range(rounds + 1):
        if k == 1:
            began = time.perf_counter()
        float(clips.batch(k, size=batch, crop=128).clip.sum())  # so that it is done
    return rounds * batch / (time.perf_counter() - began)
