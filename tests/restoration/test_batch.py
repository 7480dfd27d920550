"""A folder of videos: mirrored, gone on with after a bad file and after an interruption, nothing done twice."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from alanet.cli import batch as cli
from alanet.cli import run
from alanet.errors import OptionError, OutputError
from alanet.model.weights import save_weights
from alanet.restoration.batch import RECORDS, Item, Outcome, find_items
from alanet.restoration.progress import RestoreProgress
from alanet.restoration.restorer import Restorer
from alanet.restoration.worker import Worker
from tests.restoration.test_resume import LOSSLESS, make_network, shown
from tests.support.media import make_video


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(make_network(), path)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two videos of one name, one below, a damaged one, and what is none."""
    top = tmp_path / "in"
    (top / "sub" / "deep").mkdir(parents=True)
    make_video(top / "a.mp4", frames=3, rate=2)
    make_video(top / "a.avi", frames=4, rate=2)
    make_video(top / "sub" / "deep" / "ü b.mkv", frames=2, rate=2)
    (top / "bad.mp4").write_bytes(b"no video" * 100)
    (top / "notes.txt").write_text("no video")
    (top / "._a.mp4").write_text("hidden")
    (top / ".a_x2.mp4.alanet-part").mkdir()
    (top / ".a_x2.mp4.alanet-part" / "00000.mp4").write_text("hidden")
    return top


def words(folder: Path, weights: Path, *more: str) -> list[str]:
    given = ["restore", str(folder), "-o", str(folder.parent / "out"), "--recursive", "--model", str(weights)]
    return [*given, "--precision", "fp32", "--threads", "1", "--memory", "4G", "--preset", "ultrafast", *more]


def said_by(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    """What --json said of each file."""
    return {said["file"]: said for said in map(json.loads, capsys.readouterr().out.splitlines())}


def results(out: Path) -> dict[str, int]:
    """Every file below the results' folder but the records, and when it was written."""
    files = [path for path in out.rglob("*") if path.is_file() and RECORDS not in path.parts]
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in files}


def test_a_tree_is_mirrored_a_bad_file_is_gone_past_and_nothing_is_done_twice(folder, weights, capsys):
    assert run(words(folder, weights)) == 3
    said = capsys.readouterr().err
    assert "failed   bad.mp4" in said
    assert "not a video that can be read" in said
    assert "3 restored, 0 done before, 1 failed" in said
    assert "1 other file skipped" in said
    out = folder.parent / "out"
    there = results(out)
    assert sorted(there) == ["a.avi.mkv", "a.mp4", "sub/deep/ü b.mkv"]
    assert [len(shown(out / name)) for name in sorted(there)] == [8, 6, 4]

    (folder / "bad.mp4").unlink()
    make_video(folder / "later.mp4", frames=2, rate=2)
    assert run(words(folder, weights, "--json", "--quiet")) == 0
    states = {name: (entry["state"], entry["frames_out"]) for name, entry in said_by(capsys).items()}
    assert states == {
        "a.avi": ("skipped", 8),
        "a.mp4": ("skipped", 6),
        "later.mp4": ("done", 4),
        "sub/deep/ü b.mkv": ("skipped", 4),
    }
    assert {**there, **results(out)} == results(out)  # those that were there are as they were


def test_what_was_done_otherwise_is_told_and_replaced_when_asked(folder, weights, capsys):
    (folder / "bad.mp4").unlink()
    assert run(words(folder, weights, "-q")) == 0
    make_video(folder / "a.mp4", frames=5, rate=2)
    assert run(words(folder, weights, "--json", "-q")) == 3
    said = said_by(capsys)
    assert [name for name, entry in said.items() if entry["state"] == "failed"] == ["a.mp4"]
    assert "the input is another (its size differs); --overwrite replaces it" in str(said["a.mp4"]["reason"])
    assert run(words(folder, weights, "--json", "-q", "--tail", "drop")) == 3
    assert "--tail was hold and is drop" in str(said_by(capsys)["a.avi"]["reason"])
    assert run(words(folder, weights, "--json", "-q", "--overwrite")) == 0
    said = said_by(capsys)
    assert (said["a.mp4"]["state"], said["a.mp4"]["frames_out"], said["a.avi"]["state"]) == ("done", 10, "skipped")
    result = folder.parent / "out" / "a.mp4"
    result.write_bytes(b"someone else's")
    assert run(words(folder, weights, "-q")) == 3
    assert "a.mp4: exists already" in capsys.readouterr().err.replace(f"{folder.parent / 'out'}/", "")
    assert result.read_bytes() == b"someone else's"


def test_an_interrupted_batch_goes_on(folder, weights, tmp_path):
    long = make_video(folder / "b.mp4", frames=24, rate=2)
    items, others = find_items(folder, tmp_path / "out")
    assert ([item.name for item in items], others) == (["a.avi", "a.mp4", "b.mp4", "bad.mp4", "sub/deep/ü b.mkv"], 1)
    worker = Worker(Restorer(weights, device="cpu", precision="fp32", memory=8 << 30), LOSSLESS)

    def stop(progress: RestoreProgress) -> None:
        if progress.finished == 1:
            raise KeyboardInterrupt

    item = items[2]
    with pytest.raises(KeyboardInterrupt):
        worker.restore(item, on_progress=stop)
    then = worker.restore(item)
    assert (then.state, then.frames_in, then.frames_out) == ("done", 24, 48)
    assert any("16 restored frames, 4.0 s, reused" in line for line in then.notes["kept"])
    once = worker.restore(Item("b", str(long), output=str(tmp_path / "once.mkv")))
    assert shown(Path(str(then.output))) == shown(Path(str(once.output)))
    assert worker.restore(item).state == "skipped"


def test_a_mistake_of_ours_in_one_file_does_not_end_the_batch(folder, weights, monkeypatch):
    def wrong(*arguments: object, **named: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(Restorer, "run", wrong)
    worker = Worker(Restorer(weights, device="cpu", precision="fp32", memory=8 << 30), LOSSLESS)
    outcome = worker.restore(Item("a", str(folder / "a.mp4"), output=str(folder / "out.mkv")))
    assert (outcome.state, outcome.code) == ("failed", 1)
    assert outcome.reason == "Internal error: ZeroDivisionError: division by zero"


def test_two_results_of_one_name_are_refused(folder, weights, tmp_path):
    make_video(folder / "a.avi.mkv", frames=2, rate=2)
    items, _ = find_items(folder, tmp_path / "out")
    worker = Worker(Restorer(weights, device="cpu", precision="fp32", memory=8 << 30), LOSSLESS)
    outcome = worker.restore(items[0])
    assert (outcome.name, outcome.state) == ("a.avi", "failed")
    assert "its result would be called a.avi.mkv, as that of" in str(outcome.reason)


def test_results_inside_the_folder_are_none_of_its_videos(folder):
    inside = folder / "better"
    inside.mkdir()
    make_video(inside / "c.mp4", frames=2, rate=2)
    assert "better/c.mp4" not in [item.name for item in find_items(folder, inside)[0]]
    os.symlink(folder, folder / "round")  # a link in a circle is not followed
    assert len(find_items(folder, inside)[0]) == 4


def test_a_folder_for_the_results_that_cannot_be(folder, tmp_path):
    with pytest.raises(OptionError, match="would lie among the videos"):
        find_items(folder, folder / "." / "sub" / "..")
    with pytest.raises(OutputError, match="is a file; --recursive writes many"):
        find_items(folder, folder / "a.mp4")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["IN"], "is a folder; give --recursive and -o OUT to restore the videos below it, or --input-rate RATE"),
        (["IN", "--recursive"], "--recursive needs a folder for the results; give one with -o"),
        (["IN/a.mp4", "--recursive", "-o", "OUT"], "--recursive goes with a folder of videos; leave it out for a file"),
        (["IN", "--recursive", "-o", "OUT", "--input-rate", "24"], "--input-rate is for one folder of images"),
        (["IN", "--recursive", "-o", "OUT", "--codec", "png"], "--codec png makes a folder of pictures"),
        (["IN", "--workers", "2"], "is a folder; give --recursive, or --input-rate"),
        (["IN/a.mp4", "--workers", "0"], "--workers 0 is not a whole number from 1 to"),
        (["-", "--workers", "2"], "--recursive and --workers go with files, not with -"),
        (["IN/a.mp4", "--workers", "2", "-o", "-"], "--recursive and --workers go with files, not with -"),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_line(folder, given, said, capsys, tmp_path):
    places = {"IN": str(folder), "OUT": str(tmp_path / "out")}
    filled = [word.replace("IN", places["IN"]).replace("OUT", places["OUT"]) for word in given]
    assert run(["restore", *filled]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line.replace(places["OUT"], "OUT")
    assert not (tmp_path / "out").exists()


def test_names_in_the_table_cannot_steer_a_terminal():
    outcomes = [Outcome("a\x1b[2J.mp4", "done", frames_in=1, frames_out=2), Outcome("b", "failed", reason="why")]
    assert cli.table(outcomes) == [r"done     a\x1b[2J.mp4  1 frame in, 2 out, 0.0 s", "failed   b             why"]
