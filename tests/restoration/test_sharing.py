"""Several processes at one video: what comes out is one uninterrupted run's, whoever is killed on the way.

The video of `test_resume.py`: three segments of 16 restored frames.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from alanet.cli import run
from alanet.errors import IncompleteError, OptionError, OutputError
from alanet.files import lock_folder
from alanet.frames.frame import Frame
from alanet.model.weights import save_weights
from alanet.restoration.batch import Item, Outcome
from alanet.restoration.claims import TRIES, Share
from alanet.restoration.options import EncodeOptions, NetworkOptions, RestoreOptions
from alanet.restoration.pipeline import restored_frames
from alanet.restoration.pool import Pool
from alanet.restoration.progress import RestoreProgress
from alanet.restoration.restorer import Restorer
from alanet.restoration.sharing import run_worker
from alanet.restoration.worker_process import Setup
from alanet.video.output.destination import work_folder
from alanet.video.output.segments import SegmentWriter, finished_in
from tests.restoration.test_resume import LOSSLESS, make_network, shown, sound
from tests.support.media import Track, make_video
from tests.support.paths import ROOT

THREE = {0, 1, 2}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(make_network(), path)
    return path


@pytest.fixture(scope="module")
def restorer(weights) -> Restorer:
    return Restorer(weights, device="cpu", precision="fp32", threads=1, memory=8 << 30)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return make_video(tmp_path_factory.mktemp("made") / "in.mp4", frames=24, rate=2, audio=Track(seconds=12))


@pytest.fixture(scope="module")
def whole(video, restorer, tmp_path_factory) -> list[tuple[Fraction, str]]:
    """What one run that nothing ends shows."""
    return shown(restorer.restore(video, tmp_path_factory.mktemp("whole") / "out.mkv", LOSSLESS).output)


@pytest.fixture
def made(monkeypatch) -> list[str]:
    """The segments that this process completes, by name, in order."""
    names: list[str] = []
    close = SegmentWriter.close

    def closed(self: Any) -> Any:
        segment = close(self)
        names.append(segment.name)
        return segment

    monkeypatch.setattr(SegmentWriter, "close", closed)
    return names


def another(video: Path, weights: Path, out: Path, place: str, number: int) -> subprocess.Popen[bytes]:
    """Another process that helps, and stops (SIGSTOP) at a place of `killing.PLACES`."""
    code = """
        import os, signal, sys
        from pathlib import Path
        from tests.stress.killing import before_call
        from tests.restoration.test_resume import LOSSLESS
        from alanet.restoration.restorer import Restorer
        from alanet.restoration.sharing import run_worker

        video, weights, out, place, number = sys.argv[1:]
        restorer = Restorer(weights, device="cpu", precision="fp32", threads=1, memory=8 << 30)
        before_call(place, int(number), lambda: os.kill(os.getpid(), signal.SIGSTOP))
        run_worker(restorer.network, restorer.plan(video, out, LOSSLESS, shared=True), helping=True)
    """
    command = [sys.executable, "-c", "\n".join(line[8:] for line in code.splitlines())]
    given = [str(word) for word in (video, weights, out, place, number)]
    return subprocess.Popen([*command, *given], env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})


def test_what_a_killed_process_had_in_hand_is_taken_over(video, weights, restorer, whole, made, tmp_path):
    """It has the first segment until this process has gone past it, and is killed then."""
    out = tmp_path / "out.mkv"
    plan = restorer.plan(video, out, LOSSLESS, shared=True)
    others: list[subprocess.Popen[bytes]] = []

    def begun() -> None:
        others.append(another(video, weights, out, "encode", 5))
        _, status = os.waitpid(others[0].pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        plain = restorer.plan  # who would work alone is refused meanwhile
        with pytest.raises(OutputError, match="another run is writing it"):
            plain(video, out, LOSSLESS)

    def advance(progress: RestoreProgress) -> None:
        if len(made) == 1 and others[0].returncode is None:
            others[0].kill()
            others[0].wait()

    report = run_worker(restorer.network, plan, on_begun=begun, on_progress=advance)
    assert report is not None
    assert made == ["00001.nut", "00002.nut", "00000.nut"]
    assert (report.frames_in, report.frames_out, report.earlier_out) == (24, 48, 0)
    assert shown(out) == whole
    assert sound(out) == sound(video)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mkv"]


def test_a_killed_worker_is_replaced_and_the_result_is_the_same(video, weights, whole, tmp_path):
    network = NetworkOptions(str(weights), device="cpu", precision="fp32", threads=1, memory=8 << 30)
    setup = Setup(network, LOSSLESS, workers=2)
    out = tmp_path / "out.mkv"
    killed: list[int] = []

    def tell(task: int, said: dict[str, Any]) -> None:
        if "begun" in said and not killed:
            (number,) = (n for n, at in pool._at.items() if at == task)
            killed.append(pool._processes[number].pid)
            os.kill(killed[0], signal.SIGKILL)

    pool = Pool([Item("in.mp4", str(video), output=str(out))], setup, tell)
    (outcome,) = pool.run()
    assert killed
    assert (outcome.state, outcome.frames_in, outcome.frames_out) == ("done", 24, 48)
    assert shown(out) == whole
    assert sound(out) == sound(video)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mkv"]


def failing_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    add = SegmentWriter.add

    def added(self: Any, frame: Frame) -> None:
        if 4 <= frame.time < 8:
            raise ValueError("as arranged")
        add(self, frame)

    monkeypatch.setattr(SegmentWriter, "add", added)


def failing_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: Any) -> Iterator[Frame]:
        for frame in restored_frames(*arguments):
            if frame.time == 6:
                raise ValueError("as arranged")
            yield frame

    monkeypatch.setattr("alanet.restoration.sharing.restored_frames", failing)


@pytest.mark.parametrize("fail", [failing_encoder, failing_network])
def test_a_segment_that_fails_three_times_is_named_and_the_rest_is_kept(
    fail, video, restorer, whole, made, tmp_path, monkeypatch
):
    out = tmp_path / "out.mkv"
    with monkeypatch.context() as patch:
        fail(patch)
        with pytest.raises(IncompleteError) as told:
            run_worker(restorer.network, restorer.plan(video, out, LOSSLESS, shared=True))
    assert "segment 1 failed three times (from 4.0 s to 8.0 s: ValueError: as arranged)" in str(told.value)
    assert "the other 2 are finished and kept" in str(told.value)
    assert set(finished_in(work_folder(out))) == THREE - {1}
    assert not out.exists()
    assert not list(work_folder(out).glob("*.claim"))
    made.clear()
    report = run_worker(restorer.network, restorer.plan(video, out, LOSSLESS, shared=True))
    assert report is not None
    assert made == ["00001.nut"]
    assert report.earlier_out == 32
    assert shown(out) == whole


def test_a_segment_that_ends_its_processes_is_given_up(tmp_path):
    share = Share(tmp_path, Fraction(4))
    for _ in range(TRIES):
        other = Share(tmp_path, Fraction(4))
        assert other.takes(Fraction(0))
        share.begin_pass()
        assert not share.takes(Fraction(0))
        assert share.standing().held == 1
        other.turns[0].lock.close()  # all that is left of a process that was killed
    share.begin_pass()
    assert not share.takes(Fraction(0))
    ((number, why),) = share.standing().failed
    assert number == 0
    assert why.startswith("from 0.0 s to its end: its process ended in it (")


def test_who_leaves_in_time_has_not_failed(tmp_path):
    for _ in range(2 * TRIES):
        share = Share(tmp_path, Fraction(4))
        assert share.takes(Fraction(0))
        share.leave()
    share.begin_pass()
    assert share.takes(Fraction(0))
    share.leave()


def test_borders_are_where_a_run_alone_has_them(tmp_path):
    """A segment begins with the first frame that is a segment's length or more after the last one's first."""
    share = Share(tmp_path, Fraction(4))
    for time in (0, 1, 3, 5, 8, 9, 11, 20):
        assert share.takes(Fraction(time))
    assert share.starts == [0, 5, 9, 20]
    share.leave()


def test_a_full_disk_is_no_failure_of_a_segment(video, restorer, tmp_path, monkeypatch):
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "out.mkv"
    with monkeypatch.context() as patch:
        patch.setattr("alanet.restoration.claims.record", full)
        with pytest.raises(OutputError, match="the disk is full"):
            run_worker(restorer.network, restorer.plan(video, out, LOSSLESS, shared=True))
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_keeps_what_is_finished(video, restorer, whole, made, tmp_path):
    out = tmp_path / "out.mkv"

    def stop(progress: RestoreProgress) -> None:
        if progress.finished == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_worker(restorer.network, restorer.plan(video, out, LOSSLESS, shared=True), on_progress=stop)
    assert set(finished_in(work_folder(out))) == {0}
    with pytest.raises(OptionError, match="tail was hold and is drop"):
        restorer.plan(video, out, replace(LOSSLESS, tail="drop"), shared=True)
    made.clear()
    assert restorer.restore(video, out, LOSSLESS).earlier_out == 16  # one run alone can go on, too
    assert len(made) == 2
    assert shown(out) == whole


def test_who_comes_late_makes_nothing(video, restorer, made, tmp_path):
    out = tmp_path / "out.mkv"
    plan = restorer.plan(video, out, LOSSLESS, shared=True)
    assert run_worker(restorer.network, plan, helping=True) is None  # nobody is there to help
    assert list(tmp_path.iterdir()) == []
    run_worker(restorer.network, plan)
    made.clear()
    assert run_worker(restorer.network, plan) is None  # it was joined between plan and run
    assert made == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mkv"]


def test_a_run_alone_is_not_joined(video, restorer, tmp_path, monkeypatch):
    monkeypatch.setattr("alanet.files.PATIENCE", 0.1)
    out = tmp_path / "out.mkv"
    plan = restorer.plan(video, out, LOSSLESS, shared=True)
    with lock_folder(work_folder(out), out), pytest.raises(OutputError, match="another run is writing it"):
        run_worker(restorer.network, plan)


@pytest.mark.parametrize(("code", "reason"), [(3, "segment 1 failed three times"), (2, "not a video"), (4, "full")])
def test_one_video_that_failed_ends_with_its_own_exit_code(code, reason, video, weights, monkeypatch, capsys):
    failed = Outcome("in.mp4", "failed", reason=reason, code=code)
    monkeypatch.setattr(Pool, "run", lambda self: [failed])
    assert run(["restore", str(video), "--workers", "2", "--model", str(weights)]) == code
    assert capsys.readouterr().err.splitlines() == [f"alanet: {reason}"]


def test_what_is_no_video_file_is_not_shared(video, restorer, tmp_path):
    from alanet.restoration.worker import Worker

    (tmp_path / "pictures").mkdir()
    worker = Worker(restorer, RestoreOptions(encode=EncodeOptions(threads=1)), shared=True)
    outcome = worker.restore(Item("in.mp4", str(video), output=str(tmp_path / "pictures")))
    assert (outcome.state, outcome.code) == ("failed", 2)
    assert "is no video file" in str(outcome.reason)


def test_workers_share_the_memory(weights):
    assert Restorer(weights, device="cpu", precision="fp32", memory=8 << 30, processes=4).network.memory == 2 << 30


def test_what_another_machine_has_joined_is_done(tmp_path):
    """As seen by a pool whose workers have left the rest of a video to others."""
    heard: list[Outcome] = []
    setup = Setup(NetworkOptions(), LOSSLESS, workers=1)
    pool = Pool([Item("in.mp4", "in.mp4")], setup, lambda task, said: None, over=heard.append)
    out, (file,) = tmp_path / "out.mkv", pool._files
    pool._said(0, file, {"outcome": asdict(Outcome("in.mp4", "open", str(out)))})
    work_folder(out).mkdir()
    pool._look_again(file)
    assert not heard
    assert not file.full  # it is looked at again
    work_folder(out).rmdir()
    out.touch()
    pool._look_again(file)
    assert [(outcome.state, outcome.output) for outcome in heard] == [("done", str(out))]
