"""How long a segment is: what Ctrl-C waits for and a kill costs, in seconds of work; decided once a job."""

from __future__ import annotations

import os
import signal
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from alanet.model.alanet import ALANet, ALANetConfig
from alanet.notes import Notes
from alanet.restoration.job import segment_of
from alanet.restoration.loaded import LoadedNetwork
from alanet.restoration.options import EncodeOptions, RestoreOptions
from alanet.restoration.plan import SEGMENT, segment_length, stated_frames
from alanet.restoration.progress import RestoreProgress, RunProgress
from alanet.restoration.restorer import Restorer
from alanet.restoration.workdir import read_job
from alanet.restoration.writer import VideoWriter
from alanet.signals import deferred_signals
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from alanet.video.output.destination import work_folder
from alanet.video.output.segments import recorded
from tests.support.media import make_video

LOSSLESS = RestoreOptions(encode=EncodeOptions(codec="ffv1", threads=1))


@pytest.mark.parametrize(
    ("rate", "work", "expected"),
    [
        (48, 0.1, "4"),
        (48, 15, "4"),  # a minute
        (48, 16, "2"),
        (48, 38, "1"),  # 1080p on two cores
        (48, 500, "1/2"),  # 24 frames: key frames no closer than half a second
        (20, 500, "1"),  # 1/2 s would be 10 frames
        (2, 500, "4"),
        (Fraction(60000, 1001), 70, "1/2"),
    ],
)
def test_a_segment_takes_a_minute_of_work_but_is_no_shorter_than_key_frames_bear(rate, work, expected):
    assert segment_length(Fraction(rate), work) == Fraction(expected)


def test_its_length_is_the_jobs_whatever_a_later_run_would_choose(tmp_path, monkeypatch):
    """A slow network's first run, and a fast one's that goes on: borders stay a function of the frames' times."""
    torch.manual_seed(0)
    restorer = Restorer(ALANet(ALANetConfig(width=0.0625, residual=True)), device="cpu", precision="fp32")
    source, out = make_video(tmp_path / "a.mp4", frames=45, rate=15, size=(32, 32)), tmp_path / "b.mkv"
    monkeypatch.setattr(LoadedNetwork, "nominal_seconds", lambda *_: 9.0)
    assert restorer.plan(source, out, LOSSLESS).segment == Fraction(1, 2)
    told: list[RestoreProgress] = []

    def stop(progress: RestoreProgress) -> None:
        told.append(progress)
        if progress.finished == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restorer.restore(source, out, LOSSLESS, on_progress=stop)
    assert [segment.end for segment in recorded(work_folder(out))] == [Fraction(1, 2), Fraction(1)]
    job = read_job(work_folder(out))
    assert job is not None
    assert segment_of(job) == Fraction(1, 2)
    waits = [progress.wait for progress in told[:12]]
    assert waits[:4] == [None] * 4 or waits[:3] == [None] * 3
    assert all(wait is not None and 0 <= wait < 60 for wait in waits[4:])
    monkeypatch.undo()
    plan = restorer.plan(source, out, LOSSLESS)
    assert plan.segment == Fraction(1, 2)
    ends: list[Fraction] = []
    restorer.run(plan, on_progress=lambda p: ends.extend(s.end for s in recorded(work_folder(out))))
    assert sorted(set(ends))[:5] == [Fraction(k, 2) for k in range(1, 6)]
    assert restorer.plan(source, tmp_path / "c.mkv", LOSSLESS).segment == SEGMENT


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [("0", "1/10", 3), ("0", "1/25", 1), ("1/10", "1/5", 3), ("1/10", "9", 10), ("0", "9", 12), ("2/25", "3/25", 1)],
)
def test_a_part_has_as_many_frames_as_its_plan_says(start: str, end: str, frames: int, tmp_path: Path) -> None:
    """Frames of 1/25 s: those shown at some moment of the part, its borders in the middle of frames too."""
    info = probe(make_video(tmp_path / "a.mp4", frames=12, rate=25))
    part = Fraction(start), Fraction(end)
    assert stated_frames(info, RestoreOptions(start=part[0], end=part[1])) == frames
    assert len(list(decode(info, start=part[0], end=part[1]))) == frames


@pytest.mark.parametrize(
    ("wait", "calls", "text"),
    [
        (21.6, 3, "Finishing the current segment (about 22 s). Press Ctrl-C again to stop now."),
        (150.0, 1, "Stopping now: the current segment needs about 2 min 30 s more, and is not kept."),
        (None, 1, "Stopping now: the current segment has just begun, and is not kept."),
    ],
)
def test_ctrl_c_finishes_a_segment_that_needs_little_more(wait: float | None, calls: int, text: str) -> None:
    said: list[str] = []
    made: list[int] = []

    def interrupted() -> None:
        with deferred_signals(said.append) as safe_place:
            safe_place(0, None)
            os.kill(os.getpid(), signal.SIGINT)
            for finished, left in ((0, wait), (0, 40.0), (1, None)):
                made.append(finished)
                safe_place(finished, left)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (said, len(made)) == ([text], calls)


def test_the_wait_is_the_last_frames_and_not_the_first_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of 1/4 s that take 2 s each, after one of 100 s: 13 of 16 are left after the third measured one."""
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    writer = SimpleNamespace(segments=[], job="a job", path=tmp_path / "a.mkv")
    waits: list[float | None] = []
    run = RunProgress(None, SEGMENT, cast(VideoWriter, writer), Notes(), lambda shown: waits.append(shown.wait))
    for i, seconds in enumerate((100.0, 2.0, 2.0, 2.0, 30.0, 2.0)):  # a busy moment changes nothing
        clock[0] += seconds
        run.counts.frames_in = i + 1
        run.report(Fraction(i, 4))
    assert waits == [None, None, None, 26.0, 24.0, 22.0]
