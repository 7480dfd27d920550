"""A Ray cluster of two nodes and an S3 bucket, all on loopback: nodes are killed, and the frames are a single run's."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from alanet.model.weights import save_weights
from alanet.restoration.batch import RECORDS, Item, Outcome
from alanet.restoration.cluster import RayCrew
from alanet.restoration.dispatch import Dispatch
from alanet.restoration.options import NetworkOptions
from alanet.restoration.ray_session import ClusterOptions, connect
from alanet.restoration.remote import WORK
from alanet.restoration.restorer import Restorer
from alanet.restoration.storage import Store, find_videos, key_of
from alanet.restoration.work import Made, Setup
from tests.restoration.test_resume import LOSSLESS, make_network, shown, sound
from tests.support.cluster import Bucket, Nodes, ray_nodes, s3_server
from tests.support.media import Track, make_video
from tests.support.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("ray")

FILMS, SEGMENTS = 5, 3
TASKS = FILMS * (1 + SEGMENTS + 1) + 1  # prepare, segments and join of each good film; prepare of the damaged one
MOMENTS = [1 + k * TASKS // 20 for k in range(20)]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with s3_server(), ray_nodes() as found:
        found.add()
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
    """What one run that nothing ends shows."""
    restorer = Restorer(**asdict(setup.network))
    return shown(restorer.restore(film, tmp_path_factory.mktemp("whole") / "out.mkv", LOSSLESS).output)


@pytest.fixture
def bucket(nodes, film, request) -> Bucket:
    """Six films, the fourth of them damaged."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[-50:].strip("-")
    found = Bucket(f"{name}-{time.monotonic_ns()}"[-60:].strip("-"))
    for number in range(FILMS):
        found.put(film, f"films/{'abcef'[number]}.mp4")
    found.fs.pipe_file(f"{found.name}/films/d.mp4", b"no video" * 1000)
    return found


class Watched(RayCrew):
    """Acts when a number of tasks has been given out."""

    def __init__(self, *arguments: Any, at: int = 0, act: Any = None) -> None:
        super().__init__(*arguments)
        self.given, self.at, self.act = 0, at, act
        self.made = Counter[str]()

    def call(self, number: int, task: str, *given: Any) -> Future[Any]:
        called = super().call(number, task, *given)
        self.given += task != "start"
        if self.given == self.at and self.act is not None:
            act, self.act = self.act, None
            threading.Timer(0.05, act).start()
        called.add_done_callback(self._count)
        return called

    def _count(self, done: Future[Any]) -> None:
        self.made["segments"] += done.exception() is None and isinstance(done.result(), Made)


def restored(
    bucket: Bucket, nodes: Nodes, setup: Setup, scratch: Path, *, at: int = 0, act: Any = None, kind: Any = Watched
) -> tuple[dict[str, Outcome], Watched]:
    options = ClusterOptions(nodes.address, str(scratch), cpus=1)
    connect(options)
    out = Store(f"{bucket.url}/out")
    found, _ = find_videos([f"{bucket.url}/films"])
    outcomes: list[Outcome] = []
    crew = kind(setup, options, out.url, at=at, act=act)
    items = [Item(name, url, record=f"{RECORDS}/{name}.json") for name, url in found]
    Dispatch(items, crew, over=outcomes.append).run()
    return {outcome.name: outcome for outcome in outcomes}, crew


def check(bucket: Bucket, outcomes: dict[str, Outcome], whole: list[Any], film: Path, folder: Path) -> None:
    """All good films are complete and equal to a single run, the damaged one is named, nothing else is left."""
    good = [f"{name}.mp4" for name in "abcef"]
    assert {name: outcomes[name].state for name in good} == dict.fromkeys(good, "done")
    assert (outcomes["d.mp4"].state, outcomes["d.mp4"].code) == ("failed", 2)
    assert f"{bucket.url}/films/d.mp4: not a video" in str(outcomes["d.mp4"].reason)
    results = [f"out/{name}.mkv" for name in good]
    records = [f"out/{RECORDS}/{name}.json" for name in good]
    assert bucket.names() == sorted([*results, *records, *(f"films/{name}.mp4" for name in "abcdef")])
    assert bucket.uploads() == []
    for name in results:
        local = bucket.get(name, folder / "result.mkv")
        assert shown(local) == whole
        assert sound(local) == sound(film)


@pytest.mark.parametrize(
    "at",
    [pytest.param(at, marks=() if at in (MOMENTS[3], MOMENTS[12]) else pytest.mark.stress) for at in MOMENTS],
)
def test_a_node_that_is_killed_costs_nothing_but_time(at, bucket, nodes, setup, whole, film, tmp_path):
    (tmp_path / "scratch").mkdir()
    node = nodes.alive[-1] if nodes.alive else nodes.add()
    outcomes, crew = restored(bucket, nodes, setup, tmp_path / "scratch", at=at, act=lambda: nodes.kill(node))
    assert node not in nodes.alive
    check(bucket, outcomes, whole, film, tmp_path)
    assert list((tmp_path / "scratch").iterdir()) == []
    assert FILMS * SEGMENTS <= crew.made["segments"] <= FILMS * SEGMENTS + 2
    if at == MOMENTS[3]:  # the same command again has nothing to do
        before = bucket.names()
        again, crew = restored(bucket, nodes, setup, tmp_path / "scratch")
        assert {outcome.state for name, outcome in again.items() if name != "d.mp4"} == {"skipped"}
        assert crew.made["segments"] == 0
        assert bucket.names() == before


def test_a_killed_driver_loses_nothing(bucket, nodes, setup, whole, film, tmp_path):
    """The command in a process of its own; the same command resumes, and makes no finished segment again."""
    scratch = tmp_path / "scratch"
    words = ["restore", f"{bucket.url}/films", "-o", f"{bucket.url}/out", "--cluster", nodes.address, "-q"]
    words += ["--scratch", str(scratch), "--cpus-per-worker", "1", "--model", str(setup.network.model)]
    words += ["--device", "cpu", "--precision", "fp32", "--threads", "1", "--memory", "8G", "--codec", "ffv1"]
    command = [sys.executable, "-m", "alanet", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment)
    until = time.monotonic() + 300

    def records() -> list[str]:
        return [name for name in bucket.names() if f"/{WORK}/" in name and re.search(r"/\d{5}\.json$", name)]

    while not records() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.2)
    process.kill()
    process.wait()
    time.sleep(2)  # Ray ends the actors of a driver that is gone
    before = {name: bucket.fs.info(f"{bucket.name}/{name}")["LastModified"] for name in records()}
    assert before
    rewritten: list[str] = []

    class Noting(Watched):
        def call(self, number: int, task: str, *given: Any) -> Future[Any]:
            if task == "segment":
                rewritten.append(f"out/{WORK}/{key_of(pickle.loads(given[0]).item.name)}/{given[1].number:05d}.json")
            return super().call(number, task, *given)

    outcomes, _ = restored(bucket, nodes, setup, scratch, kind=Noting)
    assert not set(rewritten) & before.keys()
    check(bucket, outcomes, whole, film, tmp_path)
    assert list(scratch.iterdir()) == []
