"""Several processes at one video: what comes out is one uninterrupted run's, whoever is killed on the way.

The video of `test_resume.py`: three segments of 16 restored frames.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from alanet.cli import run
from alanet.errors import OptionError, OutputError
from alanet.files import lock_folder
from alanet.frames.frame import Frame
from alanet.model.weights import save_weights
from alanet.restoration.batch import Item, Outcome
from alanet.restoration.dispatch import Dispatch
from alanet.restoration.options import NetworkOptions
from alanet.restoration.pool import Pool
from alanet.restoration.restorer import Restorer
from alanet.restoration.tasks import Tasks
from alanet.restoration.work import Failure, Made, Prepared, Setup
from alanet.video.output.destination import work_folder
from alanet.video.output.segments import SegmentWriter, finished_in, rewrite
from tests.restoration.test_resume import LOSSLESS, make_network, shown, sound
from tests.support.media import Track, make_video
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(make_network(), path)
    return path


@pytest.fixture(scope="module")
def setup(weights) -> Setup:
    network = NetworkOptions(str(weights), device="cpu", precision="fp32", threads=1, memory=8 << 30)
    return Setup(network, LOSSLESS, workers=2)


@pytest.fixture(scope="module")
def tasks(setup) -> Tasks:
    return Tasks(replace(setup, workers=1))


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return make_video(tmp_path_factory.mktemp("made") / "in.mp4", frames=24, rate=2, audio=Track(seconds=12))


@pytest.fixture(scope="module")
def whole(video, tasks, tmp_path_factory) -> list[tuple[Fraction, str]]:
    """What one run that nothing ends shows."""
    return shown(tasks.worker.restorer.restore(video, tmp_path_factory.mktemp("whole") / "out.mkv", LOSSLESS).output)


class Here:
    """A crew of one worker in this process. log: the segments that it made."""

    def __init__(self, tasks: Tasks) -> None:
        self.tasks, self.log = tasks, list[int]()

    def numbers(self) -> tuple[int]:
        return (0,)

    def call(self, number: int, task: str, *given: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(None if task == "start" else self.tasks.run(task, *given))
        if isinstance(done.result(), Made):
            self.log.append(done.result().number)
        return done

    def __getattr__(self, name: str) -> Any:
        return {"frames": lambda: 0}.get(name, lambda *arguments, **named: None)


def restored(crew: Any, video: Path, out: Path) -> Outcome:
    outcomes: list[Outcome] = []
    Dispatch([Item("in.mp4", str(video), output=str(out))], crew, over=outcomes.append).run()
    return outcomes[0]


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_result_is_the_same(setup, video, whole, tmp_path):
    out, killed = tmp_path / "out.mkv", list[int]()

    class Killing(Pool):
        """Ends the worker that gets the second segment."""

        def call(self, number: int, task: str, *given: Any) -> Future[Any]:
            called = super().call(number, task, *given)
            if task == "segment" and given[1].number == 1 and not killed:
                (killed_now,) = self._pools[number]._processes
                killed.append(killed_now)
                os.kill(killed_now, signal.SIGKILL)
            return called

    outcome = restored(Killing(setup), video, out)
    assert killed
    assert (outcome.state, outcome.frames_in, outcome.frames_out) == ("done", 24, 48)
    assert shown(out) == whole
    assert sound(out) == sound(video)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mkv"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_what_is_finished_and_the_parent_loads_no_torch(
    number, weights, video, whole, tasks, tmp_path
):
    """The command in a process of its own; it reports what it has imported when it ends."""
    out = tmp_path / "out.mkv"
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('LOADED', *sys.modules, file=sys.stderr))\n"
        "from alanet.cli import main\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    words = ["restore", str(video), "-o", str(out), "--workers", "2", "--model", str(weights), "--codec", "ffv1"]
    words += ["--precision", "fp32", "--threads", "1", "--memory", "8G", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(script), *words], env=environment, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 120
    while not finished_in(work_folder(out)) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    if process.returncode != 0:  # else the signal came when all was done
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
        assert "of the result are finished and kept; resume with: alanet restore" in said
        kept = set(finished_in(work_folder(out)))
        crew = Here(tasks)
        assert restored(crew, video, out).state == "done"
        assert not kept & set(crew.log)
    assert shown(out) == whole
    assert "torch" not in said.rpartition("LOADED ")[2].split()


def failing_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    add = SegmentWriter.add

    def added(self: Any, frame: Frame) -> None:
        if 4 <= frame.time < 8:
            raise ValueError("as arranged")
        add(self, frame)

    monkeypatch.setattr(SegmentWriter, "add", added)


def failing_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from alanet.engine.stream import stream
    from alanet.restoration import parts

    def failing(*arguments: Any, **named: Any) -> Any:
        for frame in stream(*arguments, **named):
            if frame.time == 6:
                raise ValueError("as arranged")
            yield frame

    monkeypatch.setattr(parts, "stream", failing)


@pytest.mark.parametrize("fail", [failing_encoder, failing_network])
def test_a_segment_that_fails_three_times_is_named_and_the_rest_is_kept(
    fail, video, tasks, whole, tmp_path, monkeypatch
):
    out = tmp_path / "out.mkv"
    with monkeypatch.context() as patch:
        fail(patch)
        outcome = restored(Here(tasks), video, out)
    assert outcome.code == 3
    assert "segment 1 failed three times (from 4.0 s to 8.0 s: Internal error: ValueError" in str(outcome.reason)
    assert "the other 2 are finished and kept" in str(outcome.reason)
    assert set(finished_in(work_folder(out))) == {0, 2}
    assert not out.exists()
    crew = Here(tasks)
    assert restored(crew, video, out).state == "done"
    assert crew.log == [1]
    assert shown(out) == whole


def test_a_full_disk_ends_the_video(video, tasks, tmp_path, monkeypatch):
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("alanet.restoration.tasks.record", full)
    outcome = restored(Here(tasks), video, tmp_path / "out.mkv")
    assert (outcome.state, outcome.code) == ("failed", 4)
    assert "the disk is full" in str(outcome.reason)


def test_changed_options_are_refused_and_a_run_alone_resumes_what_workers_made(video, tasks, whole, tmp_path):
    out = tmp_path / "out.mkv"
    item = Item("in.mp4", str(video), output=str(out))
    prepared = tasks.run("prepare", item)
    assert isinstance(prepared, Prepared)
    assert isinstance(tasks.run("segment", prepared.plan, prepared.parts[0]), Made)
    restorer = tasks.worker.restorer
    with pytest.raises(OptionError, match="tail was hold and is drop"):
        restorer.plan(video, out, replace(LOSSLESS, tail="drop"), shared=True)
    assert restorer.restore(video, out, LOSSLESS).earlier_out == 16
    assert shown(out) == whole


def test_after_a_resume_seconds_and_warnings_are_of_the_whole_run(video, tasks, tmp_path):
    out = tmp_path / "out.mkv"
    prepared = tasks.run("prepare", Item("in.mp4", str(video), output=str(out)))
    tasks.run("segment", prepared.plan, prepared.parts[1])
    (segment,) = finished_in(work_folder(out)).values()
    assert segment.seconds > 0
    rewrite(work_folder(out), [replace(segment, seconds=1000.0, passed=3)])
    outcome = restored(Here(tasks), video, out)
    assert (outcome.frames_in, outcome.frames_out) == (24, 48)
    assert 1000 < outcome.seconds < 1100
    assert [line for line in outcome.notes["warnings"] if line.startswith("3 restored frames (the first at 4.000 s)")]


def test_after_a_resume_exposure_and_sharp_frames_are_those_of_one_run(video, setup, tmp_path):
    network = replace(setup.network, model="alanet-plus")
    tasks, out = Tasks(replace(setup, network=network, workers=1)), tmp_path / "out.mkv"
    one = tasks.worker.restorer.restore(video, tmp_path / "one.mkv", LOSSLESS)
    prepared = tasks.run("prepare", Item("in.mp4", str(video), output=str(out)))
    tasks.run("segment", prepared.plan, prepared.parts[1])
    outcome = restored(Here(tasks), video, out)
    whole, parts = one.estimates, outcome.estimates
    assert (parts.classified, parts.sharp, parts.known) == (whole.classified, whole.sharp, whole.known)
    assert parts.exposures == pytest.approx(whole.exposures)
    assert whole.classified >= 23


def test_a_result_that_another_run_writes_is_refused(setup, video, tasks, tmp_path):
    out = tmp_path / "out.mkv"
    with lock_folder(work_folder(out), out):
        found = tasks.run("prepare", Item("in.mp4", str(video), output=str(out)))
    assert isinstance(found, Failure)
    assert "another run is writing it" in found.reason
    prepared = tasks.run("prepare", Item("in.mp4", str(video), output=str(out)))
    pool = Pool(replace(setup, workers=0))
    pool.opened(prepared)
    with pytest.raises(OutputError, match="another run is writing it"):
        tasks.worker.restorer.plan(video, out, LOSSLESS)
    pool.closed(prepared, kept=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("code", "reason"), [(3, "segment 1 failed three times"), (2, "not a video"), (4, "full")])
def test_one_video_that_failed_ends_with_its_own_exit_code(code, reason, video, weights, monkeypatch, capsys):
    def failing(self: Dispatch) -> None:
        self._over(Outcome("in.mp4", "failed", reason=reason, code=code))

    monkeypatch.setattr(Dispatch, "run", failing)
    monkeypatch.setattr(Pool, "__init__", lambda self, setup: None)
    assert run(["restore", str(video), "--workers", "2", "--model", str(weights)]) == code
    assert capsys.readouterr().err.splitlines() == [f"alanet: {reason}"]


def test_what_is_no_video_file_is_not_shared(video, tasks, tmp_path):
    (tmp_path / "pictures").mkdir()
    found = tasks.run("prepare", Item("in.mp4", str(video), output=str(tmp_path / "pictures")))
    assert isinstance(found, Failure)
    assert (found.code, found.concerns) == (2, "video")
    assert "is no video file" in found.reason


@pytest.mark.slow
def test_weights_that_cannot_be_used_are_named_once(video, tmp_path, capsys):
    assert run(["restore", str(video), "-o", str(tmp_path / "o.mkv"), "--workers", "2", "--model", "nothing"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_workers_share_the_memory(weights):
    assert Restorer(weights, device="cpu", precision="fp32", memory=8 << 30, processes=4).network.memory == 2 << 30
