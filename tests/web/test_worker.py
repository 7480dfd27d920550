"""The worker: one video at a time, cancelled jobs resume, a crash is tried again a few times."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alanet.restoration.options import NetworkOptions
from alanet.video.input.probe import probe
from alanet.web.jobs import Jobs, WebJob
from alanet.web.options import ServerOptions
from alanet.web.worker import ATTEMPTS, WebWorker
from tests.support.media import make_video

NETWORK = NetworkOptions(model="alanet-plus", device="cpu", precision="fp32", threads=1)
VALUES = {"rate": "x2", "preset": "ultrafast"}


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with Jobs(tmp_path / "jobs", ServerOptions()) as made:
        yield made


def add(jobs: Jobs, seconds: int = 1) -> WebJob:
    with jobs.adding("me", "holiday.mp4", 1000, ".mp4") as (path, job):
        make_video(path, frames=4 * seconds, rate=4, size=(64, 48))
    return job


def until(done: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "took too long"
        time.sleep(0.02)


def test_a_video_is_restored_and_can_be_watched(jobs: Jobs) -> None:
    job = jobs.enqueue(add(jobs), VALUES)
    worker = WebWorker(jobs, NETWORK)
    worker.start()
    until(lambda: jobs.get(job.id).state in ("done", "failed"))
    worker.stop()
    done = jobs.get(job.id)
    assert (done.state, done.message, done.result) == ("done", "", "input_x2.mp4")
    assert probe(jobs.path(job, done.result)).rate == 8
    assert done.rows[0][0] == "done"


def test_a_cancelled_job_resumes_after_its_finished_segments(jobs: Jobs) -> None:
    job = jobs.enqueue(add(jobs, seconds=40), VALUES)
    waiting = jobs.enqueue(add(jobs), VALUES)
    worker = WebWorker(jobs, NETWORK)
    worker.start()
    until(lambda: list(jobs.path(job).glob(".*/00001.mp4")) != [])
    assert jobs.get(waiting.id).state == "waiting"
    worker.cancel(job)
    assert worker.cancelling
    until(lambda: jobs.get(job.id).state == "cancelled")
    jobs.enqueue(job, VALUES)
    worker.wake()
    until(lambda: jobs.get(job.id).state in ("done", "failed"))
    assert not worker.cancelling
    worker.stop()
    rows = jobs.get(job.id).rows
    assert any("earlier run" in text for _, text in rows), rows
    assert jobs.get(waiting.id).state == "done"


def test_a_crash_ends_one_job_and_the_next_is_restored(jobs: Jobs) -> None:
    crashed, following = jobs.enqueue(add(jobs, seconds=40), VALUES), jobs.enqueue(add(jobs), VALUES)
    worker = WebWorker(jobs, NETWORK)
    worker.start()
    until(lambda: worker.step is not None and "frames a second" in worker.step.progress)
    os.kill(worker._child._process.pid, signal.SIGSEGV)
    until(lambda: jobs.get(following.id).state in ("done", "failed"))
    worker.stop()
    assert jobs.get(following.id).state == "done"
    assert jobs.get(crashed.id).state == "failed"
    assert jobs.get(crashed.id).message == "the decoder crashed on this video (SIGSEGV)"


def test_a_waiting_job_leaves_the_queue_when_cancelled(jobs: Jobs) -> None:
    job = jobs.enqueue(add(jobs), VALUES)
    WebWorker(jobs, NETWORK).cancel(job)
    assert jobs.queue() == []
    assert jobs.get(job.id).state == "cancelled"


@pytest.mark.parametrize(("attempts", "state"), [(1, "waiting"), (ATTEMPTS, "failed")])
def test_a_job_that_ends_the_server_is_tried_a_few_times(jobs: Jobs, attempts: int, state: str) -> None:
    job = jobs.enqueue(add(jobs), VALUES)
    jobs.change(job.id, state="running", attempts=attempts)
    worker = WebWorker(jobs, NETWORK)
    worker._stop.set()  # the thread ends at once: only what it finds is looked at
    worker.start()
    assert jobs.get(job.id).state == state


def test_a_failure_names_no_path_of_the_server(jobs: Jobs) -> None:
    job = jobs.enqueue(add(jobs), {"rate": "x2", "crf": 99})
    worker = WebWorker(jobs, NETWORK)
    worker.start()
    until(lambda: jobs.get(job.id).state == "failed")
    worker.stop()
    message = jobs.get(job.id).message
    assert "“Quality (CRF)” 99 is out of range" in message
    assert str(jobs.folder) not in message


def test_a_result_beyond_the_disk_limit_is_refused(tmp_path: Path) -> None:
    with Jobs(tmp_path / "jobs", ServerOptions(disk=20_000)) as jobs:
        job = jobs.enqueue(add(jobs, seconds=4), {"codec": "ffv1"})
        worker = WebWorker(jobs, NETWORK)
        worker.start()
        until(lambda: jobs.get(job.id).state in ("done", "failed"))
        worker.stop()
        assert "disk limit" in jobs.get(job.id).message
