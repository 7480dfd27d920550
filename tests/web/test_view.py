"""What the page shows of a job: a crash of a decoder is a line of text, and the server answers the next visitor."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alanet.errors import MediaError
from alanet.restoration.options import NetworkOptions
from alanet.web.jobs import Jobs, WebJob
from alanet.web.options import ServerOptions
from alanet.web.view import View
from alanet.web.worker import WebWorker
from tests.support.media import make_video

CRASHED = '<p class="error" role="alert">The decoder crashed on this video (SIGSEGV)</p>'


@pytest.fixture
def view(tmp_path: Path) -> Iterator[View]:
    with Jobs(tmp_path / "jobs", ServerOptions()) as jobs:
        made = View(jobs, WebWorker(jobs, NetworkOptions(model="alanet-plus", device="cpu", threads=1)))
        yield made
        made.close()


def add(view: View) -> WebJob:
    with view.jobs.adding("me", "a.mp4", 1000, ".mp4") as (path, job):
        make_video(path, frames=8, rate=4, size=(64, 48))
    return job


def crash(*given: Any) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_crash_is_said_and_the_next_video_is_shown(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    job, other = add(view), add(view)
    with monkeypatch.context() as broken:
        for name in ("timeline", "compare", "estimate"):
            broken.setattr(f"alanet.web.tasks.{name}", crash)
        assert "64x48, 4 fps" in view.look(job)
        assert CRASHED in view.look(job)
        assert view.compare(job, {}, 0.5) == CRASHED
        assert view.estimate(job, {}) == (CRASHED, True)
    assert "Blur over time" in view.look(other)
    assert "In-between frame at 0.125 s" in view.compare(other, {"rate": "x2"}, 0.125)
    after = view.jobs.path(other, "after.png")
    written = after.stat().st_mtime_ns
    view.compare(other, {"rate": "x2", "crf": 30, "end": "1"}, 0.125)
    assert after.stat().st_mtime_ns == written  # these options do not change it
    assert "at 0.250 s" in view.compare(other, {"rate": "x2"}, 0.25)
    assert after.stat().st_mtime_ns > written
    text, refused = view.estimate(other, {"rate": "x2"})
    assert "Result: 8 fps. Restoring takes" in text
    assert "for 8 frames" in text
    assert "Result: 8 fps, 2 times slower." in view.estimate(other, {"rate": "x2", "slow": 2})[0]
    assert not refused


def test_a_running_job_says_that_it_is_being_cancelled(view: View) -> None:
    job = view.jobs.enqueue(add(view), {"rate": "x2"})
    running = view.jobs.change(job.id, state="running")
    assert running is not None
    assert "Starting" in view.status(running)
    view.worker.cancel(running)
    assert "Cancelling" in view.status(running)


def test_a_cancelled_job_says_whether_there_is_something_to_resume(view: View) -> None:
    job = view.jobs.enqueue(add(view), {"rate": "x2"})
    view.worker.cancel(job)
    cancelled = view.jobs.get(job.id)
    assert cancelled is not None
    assert "Nothing was finished" in view.status(cancelled)
    work = view.jobs.path(job, ".input_x2.mp4.alanet-part")
    work.mkdir()
    (work / "segments.jsonl").touch()
    assert not view.jobs.resumable(cancelled)
    (work / "segments.jsonl").write_text("{}\n")
    assert view.jobs.resumable(cancelled)
    assert "Resume continues after the finished part" in view.status(cancelled)


def test_a_crash_while_an_upload_is_examined_refuses_it(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(view.jobs.folder / "input.mp4", frames=4, rate=4)
    with monkeypatch.context() as broken:
        broken.setattr("alanet.web.tasks.examine", crash)
        with pytest.raises(MediaError, match="crashed"):
            view.examine(path)
    assert view.examine(path).width == 64
