"""How evenly things move before and after: `python -m tests.stress.evenness` prints two tables of `docs/video.md`.

on_twos.mp4     centroid of a disc in the restored frames, --duplicates keep and skip
telecine.vob    number of the film's frame that each frame shows, --telecine keep and remove
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Literal

import av
import numpy as np

import alanet
from alanet.restoration.options import RestoreOptions
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from tests.stress import faults_inputs as made
from tests.support.media import ffmpeg

__all__ = ["disc_steps", "film_steps", "main"]


def disc_steps(folder: Path, duplicates: Literal["keep", "skip"]) -> np.ndarray:
    """Pixels that the disc moves from each restored frame to the next (x2, alanet-plus)."""
    options = RestoreOptions(duplicates=duplicates)
    at = []
    for frame in alanet.Restorer(device="cpu").frames(made.on_twos(folder), options):
        red = frame.pixels[..., 0].astype(float) - frame.pixels[..., 2]
        weight = np.clip(red - 60, 0, None).sum(axis=0)
        at.append(float((weight * np.arange(len(weight))).sum() / weight.sum()))
    return np.diff(at[:-4])  # the last drawing is held


def film_steps(folder: Path, telecine: Literal["keep", "remove"]) -> np.ndarray:
    """Frames of the film that pass from each frame of the reader to the next."""
    source = made.telecine(folder)
    film = folder / "film.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x240:r=24000/1001:d=1.2", "-c:v", "ffv1", str(film))
    with av.open(str(film)) as container:
        originals = np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)]).astype(float)
    shown = []
    for frame in decode(probe(source, telecine=telecine)):
        luma = frame.pixels @ np.array([0.299, 0.587, 0.114])
        shown.append(int(np.abs(originals - luma).mean(axis=(1, 2)).argmin()))
    return np.diff(shown)


def main() -> int:
    """Both tables."""
    print("| `--duplicates` | mean step | standard deviation | frames without motion |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="alanet-evenness-") as folder:
        for duplicates in ("keep", "skip"):
            steps = disc_steps(Path(folder), duplicates)
            still = f"{(np.abs(steps) < 0.2).sum()} of {len(steps)}"
            print(f"| {duplicates} | {steps.mean():.2f} px | {steps.std():.2f} px | {still} |", flush=True)
        print(
            "\n| `--telecine` | frames | steps of 0, 1 and more film frames | standard deviation |\n|---|---|---|---|"
        )
        for telecine in ("keep", "remove"):
            steps = film_steps(Path(folder), telecine)
            kinds = f"{(steps == 0).sum()}, {(steps == 1).sum()} and {(steps > 1).sum()}"
            print(f"| {telecine} | {len(steps) + 1} | {kinds} | {steps.std():.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
