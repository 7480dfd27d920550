"""The tasks of a node, in this process, on an S3 server on loopback: what they leave and refuse, how they resume."""

from __future__ import annotations

import gc
import json
import shutil
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alanet.cli import run
from alanet.errors import InputError, OptionError, OutputError
from alanet.model.weights import save_weights
from alanet.restoration.batch import RECORDS, Item, Outcome
from alanet.restoration.dispatch import Dispatch
from alanet.restoration.options import NetworkOptions, RestoreOptions
from alanet.restoration.remote import WORK, RemoteTasks
from alanet.restoration.restorer import Restorer
from alanet.restoration.storage import Store, find_videos, key_of
from alanet.restoration.work import Failure, Made, Prepared, Setup
from tests.restoration.test_pool import Here
from tests.restoration.test_resume import LOSSLESS, make_network, shown, sound
from tests.support.cluster import Bucket, s3_server
from tests.support.media import Track, make_video

pytestmark = pytest.mark.filterwarnings("ignore")
pytest.importorskip("s3fs")
pytest.importorskip("moto")


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[str]:
    with s3_server() as found:
        yield found


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return make_video(tmp_path_factory.mktemp("made") / "film.mp4", frames=24, rate=2, audio=Track(seconds=12))


@pytest.fixture(scope="module")
def setup(tmp_path_factory) -> Setup:
    weights = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(make_network(), weights)
    network = NetworkOptions(str(weights), device="cpu", precision="fp32", threads=1, memory=8 << 30)
    return Setup(network, LOSSLESS, workers=1)


@pytest.fixture(scope="module")
def whole(film, setup, tmp_path_factory) -> list[tuple[Fraction, str]]:
    return shown(
        Restorer(**asdict(setup.network)).restore(film, tmp_path_factory.mktemp("w") / "o.mkv", LOSSLESS).output
    )


@pytest.fixture
def bucket(request, film) -> Bucket:
    found = Bucket("b" + "".join(c for c in request.node.name.lower() if c.isalnum())[-50:])
    found.put(film, "films/sub/a.mp4")
    return found


OPEN: list[RemoteTasks] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """The locks of a test's nodes, which the end of a process releases."""
    yield
    while OPEN:
        OPEN.pop()._lock.close()
    gc.collect()


def node(bucket: Bucket, setup: Setup, scratch: Path, options: RestoreOptions = LOSSLESS) -> RemoteTasks:
    scratch.mkdir(exist_ok=True)
    OPEN.append(RemoteTasks(replace(setup, options=options), str(scratch), "run", f"{bucket.url}/out"))
    return OPEN[-1]


def item_of(bucket: Bucket) -> Item:
    ((name, url),) = find_videos([f"{bucket.url}/films"])[0]
    return Item(name, url, record=f"{RECORDS}/{name}.json")


def done(tasks: RemoteTasks, item: Item) -> tuple[Outcome, list[int]]:
    """All tasks of a video; its outcome and the segments that were made."""
    over: frozenset[str] = frozenset()
    prepared = tasks.run("prepare", over, item)
    if isinstance(prepared, Outcome):
        return prepared, []
    assert isinstance(prepared, Prepared), prepared
    made = [tasks.run("segment", over, prepared.plan, part) for part in reversed(prepared.parts)]
    assert all(isinstance(one, Made) for one in made), made
    return tasks.run("join", over, item, prepared, Made(0, 0), 1.0), sorted(one.number for one in made)


def test_a_film_in_a_bucket_is_restored_whole_and_nothing_else_stays(bucket, setup, whole, film, tmp_path):
    tasks = node(bucket, setup, tmp_path / "scratch")
    outcome, made = done(tasks, item_of(bucket))
    assert (outcome.state, outcome.output, outcome.frames_out) == ("done", f"{bucket.url}/out/sub/a.mp4.mkv", 48)
    assert made == [0, 1, 2]
    names = [f"out/{RECORDS}/sub/a.mp4.json", "out/sub/a.mp4.mkv", "films/sub/a.mp4"]
    assert bucket.names() == sorted(names)
    local = bucket.get("out/sub/a.mp4.mkv", tmp_path / "a.mkv")
    assert (shown(local), sound(local)) == (whole, sound(film))
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file() and path.name != "lock"] == []
    assert done(tasks, item_of(bucket))[0].state == "skipped"


def test_another_node_resumes_after_the_finished_segments(bucket, setup, whole, tmp_path):
    item, over = item_of(bucket), frozenset[str]()
    first = node(bucket, setup, tmp_path / "one")
    prepared = first.run("prepare", over, item)
    assert isinstance(first.run("segment", over, prepared.plan, prepared.parts[1]), Made)
    work = f"out/{WORK}/{key_of(item.name)}"
    assert [name for name in bucket.names() if name.startswith(work)] == [
        f"{work}/00001.json",
        f"{work}/00001.nut",
        f"{work}/job.json",
    ]
    bucket.fs.pipe_file(f"{bucket.name}/{work}/00002.nut", b"cut off")  # its record never came
    other = node(bucket, setup, tmp_path / "two", replace(LOSSLESS, tail="drop"))
    refused = other.run("prepare", over, item)
    assert isinstance(refused, Failure)
    assert refused.reason.startswith(f"{bucket.url}/out/sub/a.mp4.mkv: an earlier run was interrupted")
    assert "--tail was hold and is drop" in refused.reason
    record = f"{bucket.name}/{work}/00001.json"
    said = json.loads(bucket.fs.cat_file(record))
    assert said["seconds"] > 0
    bucket.fs.pipe_file(
        record, json.dumps({**said, "seconds": 1000.0, "passed": 3, "estimates": {"classified": 7}}).encode()
    )
    outcomes: list[Outcome] = []
    three = node(bucket, setup, tmp_path / "three")
    crew = Here(SimpleNamespace(run=lambda task, *given: three.run(task, over, *given)))
    Dispatch([item], crew, over=outcomes.append).run()
    (outcome,) = outcomes
    assert (outcome.state, sorted(crew.log), outcome.frames_out) == ("done", [0, 2], 48)
    assert outcome.estimates.classified == 7  # the summary is of the whole run
    assert 1000 < outcome.seconds < 1100
    assert [line for line in outcome.notes["warnings"] if line.startswith("3 restored frames (the first at 4.000 s)")]
    assert shown(bucket.get("out/sub/a.mp4.mkv", tmp_path / "a.mkv")) == whole


def test_a_damaged_segment_is_named_and_made_again(bucket, setup, whole, tmp_path):
    item, over = item_of(bucket), frozenset[str]()
    tasks = node(bucket, setup, tmp_path / "scratch")
    prepared = tasks.run("prepare", over, item)
    for part in prepared.parts:
        tasks.run("segment", over, prepared.plan, part)
    segment = f"{bucket.name}/out/{WORK}/{key_of(item.name)}/00001.nut"
    content = bytearray(bucket.fs.cat_file(segment))
    content[len(content) // 2] ^= 1
    bucket.fs.pipe_file(segment, bytes(content))
    refused = tasks.run("join", over, item, prepared, Made(0, 0), 1.0)
    assert isinstance(refused, Failure)
    assert "00001.nut: is damaged; the same command makes it again" in refused.reason
    assert "out/sub/a.mp4.mkv" not in bucket.names()
    assert done(tasks, item)[1] == [1]
    assert shown(bucket.get("out/sub/a.mp4.mkv", tmp_path / "a.mkv")) == whole


def test_what_changed_is_named_and_replaced_when_asked(bucket, setup, film, tmp_path):
    item = item_of(bucket)
    assert done(node(bucket, setup, tmp_path / "s"), item)[0].state == "done"
    changed = replace(LOSSLESS, tail="drop")
    refused = node(bucket, setup, tmp_path / "s", changed).run("prepare", frozenset(), item)
    assert refused.code == 2
    assert refused.reason.endswith("--tail was hold and is drop; --overwrite replaces it")
    bucket.fs.pipe_file(f"{bucket.name}/films/sub/a.mp4", film.read_bytes() + b" ")
    refused = node(bucket, setup, tmp_path / "s").run("prepare", frozenset(), item)
    assert "since then the input is another; --overwrite replaces it" in refused.reason
    overwriting = replace(LOSSLESS, encode=replace(LOSSLESS.encode, overwrite=True))
    assert done(node(bucket, setup, tmp_path / "s", overwriting), item)[0].state == "done"
    bucket.fs.pipe_file(f"{bucket.name}/out/sub/a.mp4.mkv", b"someone else's")
    refused = node(bucket, setup, tmp_path / "s").run("prepare", frozenset(), item)
    assert (refused.code, "exists already; --overwrite replaces it" in refused.reason) == (4, True)


def test_a_full_scratch_disk_ends_the_run_in_one_line(bucket, setup, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 0))
    refused = node(bucket, setup, tmp_path / "s").run("prepare", frozenset(), item_of(bucket))
    assert (refused.code, refused.concerns) == (5, "run")
    assert "is full; free some space or give another with --scratch. Finished segments are kept" in refused.reason


def test_a_node_removes_what_it_does_not_need(bucket, setup, tmp_path):
    """Videos that are over, and folders of runs whose processes have ended."""
    (tmp_path / "s" / "alanet-dead" / "film").mkdir(parents=True)
    (tmp_path / "s" / "alanet-dead" / "lock").touch()
    (tmp_path / "s" / "other").mkdir()
    tasks = node(bucket, setup, tmp_path / "s")
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["alanet-run", "other"]
    key = key_of("sub/a.mp4")
    tasks.run("prepare", frozenset(), item_of(bucket))
    bucket.fs.pipe_file(f"{bucket.name}/films/b.mp4", b"no video" * 100)
    bad = Item("b.mp4", f"{bucket.url}/films/b.mp4")
    refused = tasks.run("prepare", frozenset(), bad)  # given before the first video was begun, or after: it stays
    assert refused.reason.startswith(f"{bucket.url}/films/b.mp4: not a video")
    assert sorted(path.name for path in (tmp_path / "s" / "alanet-run").iterdir()) == sorted([key, "lock"])
    tasks.run("prepare", frozenset([key, "other"]), bad)
    assert [path.name for path in (tmp_path / "s" / "alanet-run").iterdir()] == ["lock"]


def test_files_appear_whole_in_folders_too(tmp_path):
    store = Store(str(tmp_path / "out"))
    store.write("a/b.json", b"1")
    (tmp_path / "given").write_bytes(b"2")
    store.upload(tmp_path / "given", "a/c")
    assert (store.read("a/b.json"), store.read("none"), store.size("a/c"), store.size("a")) == (b"1", None, 1, None)
    assert store.names("a") == {"a/b.json": 1, "a/c": 1}
    store.download("a/c", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"2"
    store.remove("a/b.json")
    store.remove("a/c")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("url", "kind", "said"),
    [
        ("s3://missing-bucket/films", InputError, "there is no such file, and no files are below it"),
        ("nothing://host/films", InputError, "cannot be opened"),
    ],
)
def test_inputs_that_are_not_there(url, kind, said):
    with pytest.raises(kind, match=said):
        find_videos([url])


def test_a_bucket_that_is_missing_or_closed_is_named(bucket, monkeypatch):
    with pytest.raises(OutputError, match="there is no such bucket"):
        Store("s3://missing-bucket/out").check_writable()

    def closed(*arguments: Any, **named: Any) -> None:
        raise PermissionError("Access Denied")

    store = Store(f"{bucket.url}/out")
    store.check_writable()
    assert bucket.names() == ["films/sub/a.mp4"]
    monkeypatch.setattr(store._fs, "pipe_file", closed)
    with pytest.raises(OutputError, match=r"no permission \(Access Denied\); check the credentials"):
        store.check_writable()


def test_two_results_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.mp4").touch()
    (tmp_path / "a" / ".hidden.mp4").touch()
    (tmp_path / "a" / "note.txt").touch()
    assert find_videos([str(tmp_path / "a")]) == ([("x.mp4", str(tmp_path / "a" / "x.mp4"))], 1)
    names = [name for name, _ in find_videos([str(tmp_path)], str(tmp_path / "b"))[0]]
    assert names == ["a/x.mp4"]  # what is below the folder of the results is none of its videos
    with pytest.raises(OptionError, match="the results would lie among the videos"):
        find_videos([str(tmp_path / "a")], str(tmp_path / "a"))
    with pytest.raises(OptionError, match="its result would be called as that of"):
        find_videos([str(tmp_path / "a"), str(tmp_path / "b")])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--cluster"], 2, "--cluster needs one or more VIDEOs or folders"),
        (["IN", "--cluster"], 2, "--cluster needs a folder for the results"),
        (["IN", "-o", "OUT", "--cluster", "--workers", "2"], 2, "--workers is for this machine"),
        (["IN", "-o", "OUT", "--cluster", "--cpus-per-worker", "0"], 2, "--cpus-per-worker 0: give 1 or more"),
        (["IN", "-o", "OUT", "--cluster", "--codec", "png"], 2, "leave --cluster out for it"),
        (["IN", "-o", "s3://missing-bucket/o", "--cluster"], 4, "s3://missing-bucket/o/.alanet-"),
        (["IN", "-o", "OUT", "--cluster", "127.0.0.1:9"], 5, "--cluster 127.0.0.1:9: no server answers there"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(words, code, said, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").touch()
    places = {"IN": str(tmp_path / "in"), "OUT": str(tmp_path / "out")}
    assert run(["restore", *(places.get(word, word) for word in words), "-q"]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_without_ray_the_way_to_install_it_is_named(tmp_path, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "a.mp4").touch()
    assert run(["restore", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "out"), "--cluster", "-q"]) == 5
    (line,) = capsys.readouterr().err.splitlines()
    assert line == 'alanet: --cluster needs Ray, which is not installed: pip install "alanet[cluster]"'


def test_progress_is_plain_values():
    from alanet.restoration.crew import Progress

    said = json.loads(json.dumps(Progress(1, 4, 2, 8, 100, 400, 2, 10.0, 0.25).to_dict()))
    assert (said["frames_a_second"], said["seconds_left"], said["workers"]) == (10.0, 30.0, 2)
