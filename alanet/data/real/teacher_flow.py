"""The motion of real video, estimated by a teacher; scenes have exact motion, real video has none.

For the moment half-way between two inputs a period apart, a teacher (an interpolator that finds flows for that moment,
such as RIFE) estimates the flow to the one and to the other. It runs once for every fourth sharp frame, and its flows
are kept beside the set's runs:

    motion.json              the teacher, and the period
    motion/NAME-000.npy      n 2 2 h/4 w/4 float16: for the frames 4 k and 4 k + period of a run, flows from half-way
                             to the earlier and to the later one; x, y; pixels

Clips whose centres fall on every fourth frame then have their motion (`dataset.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alanet.data.real.video_set import VideoSet
from alanet.data.synthetic.render import CELL
from alanet.errors import DataError, OptionError
from alanet.files import atomic_write, write_json

__all__ = ["EVERY", "HalfwayFlow", "Teacher", "estimate_motion"]

EVERY = 4  # sharp frames from one estimate to the next
FILE = "motion.json"

# Two frames (1 3 h w, RGB in [0, 1]) -> flows from half-way to each of them (1 2 h w, pixels).
Teacher = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class HalfwayFlow:
    """The teacher's flows of the runs of a set. Raises DataError where they are missing or not of this set."""

    every = EVERY  # the flows begin at sharp frames that are multiples of it

    def __init__(self, videos: VideoSet) -> None:
        self.folder = videos.folder
        try:
            about = json.loads((self.folder / FILE).read_text())
            self.period, self.teacher = int(about["period"]), str(about["teacher"])
            self._runs = [torch.from_numpy(np.load(_file(self.folder, run.file), mmap_mode="c")) for run in videos.runs]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.folder}: the motion of its videos is not known ({error}); run alanet data motion on it"
            ) from None
        for run, (width, height), flows in zip(videos.runs, videos.sizes, self._runs, strict=True):
            if flows.shape != (_pair_count(run.frames, self.period), 2, 2, height // CELL, width // CELL):
                raise DataError(f"{self.folder}: motion of another set; run alanet data motion on it again")

    def between(self, run: int, first: int, count: int) -> Tensor:
        """Flows for `count` pairs of frames a period apart, the first pair begun by frame `first`, a multiple of
        EVERY: count 2 2 h/4 w/4, float16."""
        assert first % EVERY == 0
        step = self.period // EVERY
        return self._runs[run][first // EVERY :][: (count - 1) * step + 1 : step]


def estimate_motion(
    folder: Path,
    teacher: Teacher,
    name: str,
    *,
    period: int = 8,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Estimate the flows of every run of a set's training videos; returns the number of pairs.

    `name` goes into the set, for cards. Runs that are done are not done again. Raises DataError, OptionError.
    """
    if period % (2 * EVERY):
        raise OptionError(f"a period of {period} sharp frames; allowed: multiples of {2 * EVERY}")
    videos = VideoSet(folder)
    about = {"format": 1, "teacher": name, "period": period}
    file = folder / FILE
    if file.exists() and json.loads(file.read_text()) != about:
        raise DataError(f"{folder}: holds motion of another teacher or period; remove {file} and {folder / 'motion'}")
    (folder / "motion").mkdir(exist_ok=True)
    write_json(file, about)
    total, done = sum(_pair_count(run.frames, period) for run in videos.runs), 0
    for number, run in enumerate(videos.runs):
        path, pairs = _file(folder, run.file), _pair_count(run.frames, period)
        width, height = videos.sizes[number]
        shape = (pairs, 2, 2, height // CELL, width // CELL)
        if not _is_whole(path, shape):
            flows = np.empty(shape, np.float16)
            for k in range(pairs):
                flows[k] = _teacher_flows(teacher, videos.sharp(number), EVERY * k, period)
                if on_progress:
                    on_progress(done + k + 1, total)
            with atomic_write(path) as out:
                np.save(out, flows)
        done += pairs
    return total


def _teacher_flows(teacher: Teacher, frames: Tensor, first: int, period: int) -> Any:
    a, b = (frames[k].permute(2, 0, 1)[None].float() / 255 for k in (first, first + period))
    with torch.inference_mode():
        to_a, to_b = teacher(a, b)
        flows = torch.nn.functional.avg_pool2d(torch.cat((to_a, to_b)), CELL)
    return flows.half().cpu().numpy()


def _pair_count(frames: int, period: int) -> int:
    return max(0, -(-(frames - period) // EVERY))


def _file(folder: Path, run: str) -> Path:
    return folder / "motion" / Path(run).name


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    try:
        return bool(np.load(path, mmap_mode="r").shape == shape)
    except (OSError, ValueError, EOFError):
        return False
