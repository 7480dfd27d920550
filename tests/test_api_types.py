"""A program of a user passes `mypy --strict` against the installed package's types."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PROGRAM = """
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import alanet

Picture = npt.NDArray[np.uint8]


def slow_motion(video: Path, stop: alanet.CancelToken) -> alanet.RestoreReport:
    def show(progress: alanet.RestoreProgress) -> None:
        total: int | None = progress.frames_in_total
        print(progress.frames_in, total)

    options = alanet.RestoreOptions(
        alanet.TargetRate(Fraction(60)), start=Fraction(1), encode=alanet.EncodeOptions(codec="x265", crf=20)
    )
    restorer = alanet.Restorer(device="cpu", precision="fp32", threads=2)
    return restorer.restore(video, "out.mp4", options, on_progress=show, cancel=stop)


def pictures(video: Path) -> Iterator[tuple[Fraction, tuple[int, ...]]]:
    for frame in alanet.Restorer().frames(video):
        yield frame.time, frame.pixels.shape


def middle(a: Picture, b: Picture) -> Picture:
    return alanet.interpolate(a, b, 0.5)


def tensors(frames: list[torch.Tensor]) -> list[torch.Tensor]:
    return alanet.Restorer().arrays(frames, rate=alanet.Factor(4))


def main() -> int:
    schedule: alanet.Schedule = alanet.slow_motion(4)
    stop = threading.Event()
    try:
        report = alanet.restore("in.mp4", rate=schedule, crf=16, cancel=stop)
        slow_motion(report.output, stop)
        with open("in.mp4", "rb") as source, open("out.mp4", "wb") as target:
            alanet.restore(source, target)
    except alanet.AlanetError as error:
        print(error)
        return error.exit_code
    names: list[str] = list(alanet.available_models())
    model = alanet.load_model(names[0])
    restored: torch.Tensor = model(torch.rand(1, 2, 3, 64, 64), [0.0, 0.5])
    return restored.ndim
"""
WRONG = """
import alanet

alanet.Restorer(threads="two")
report: int = alanet.restore("in.mp4")
alanet.RestoreOptions(rate=4)
alanet.nothing
"""


@pytest.mark.slow
def test_a_program_of_a_user_is_type_checked(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, "utf-8")
    (tmp_path / "wrong.py").write_text(WRONG, "utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file", ""]
    command += ["--follow-imports", "silent", str(tmp_path / "program.py"), str(tmp_path / "wrong.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line for line in lines if "program.py" in line] == [], done.stdout + done.stderr
    assert [int(line.split(":")[1]) for line in lines if "wrong.py" in line] == [4, 5, 6, 7], done.stdout
