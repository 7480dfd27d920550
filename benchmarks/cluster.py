"""Many machines: cost of Ray beside --workers, scheduling of large batches, and the documentation's sizing table."""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import Future
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from alanet.engine.memory import peak_memory
from alanet.restoration.batch import Item, Outcome
from alanet.restoration.cluster import RayCrew
from alanet.restoration.crew import Crew
from alanet.restoration.dispatch import Dispatch
from alanet.restoration.options import EncodeOptions, NetworkOptions, RestoreOptions
from alanet.restoration.pool import Pool
from alanet.restoration.ray_session import ClusterOptions, connect
from alanet.restoration.work import Made, Part, Prepared, Setup
from benchmarks.common import make_video, restorer, table, timed

SEGMENTS = 40
HOURS = (1, 1_000, 1_000_000)
PICTURES = 24  # input frames a second of the sizing table
INPUT = 8e6  # bits a second of its input, as of a broadcast


def workers(options: argparse.Namespace, folder: Path) -> None:
    """40 segments on a local Ray instance against as many worker processes; starting them is left out."""
    width, height = options.size
    warm = make_video(folder / "warm.mp4", width, height, 16, rate=2)
    video = make_video(folder / "long.mp4", width, height, 8 * SEGMENTS, rate=2)
    network = NetworkOptions(options.model, device="cpu", precision="fp32", threads=1, memory=4 << 30)
    setup = Setup(network, RestoreOptions(encode=EncodeOptions(threads=1, preset="ultrafast")), workers=2)
    measured: dict[str, list[tuple[float, float]]] = {"--workers 2": [], "--cluster, 2 actors": []}
    for turn in range(options.rounds):
        for name, taken in measured.items():
            out = folder / f"{turn}{name[2]}"
            out.mkdir()
            taken.append(_of_the_last(name, setup, [warm, video], out))
            print(f"{name}: {taken[-1][0]:.1f} s, {taken[-1][1]:.1f} CPU s for {SEGMENTS} segments", flush=True)
    rows = []
    for name, taken in measured.items():
        cells = []
        for i in range(2):
            base, here = (median(pair[i] for pair in pairs) for pairs in (measured["--workers 2"], taken))
            cells += [f"{here:.1f}", f"{here / base - 1:+.1%}"]
        rows.append((name, *cells))
    table(("processes", "s from the last video's preparation to its result", "more", "CPU s", "more"), *rows)


def _of_the_last(name: str, setup: Setup, videos: list[Path], out: Path) -> tuple[float, float]:
    """Seconds, and CPU seconds of this process and all below it, from the last video's preparation to its result."""
    crew: Crew
    if name.startswith("--cluster"):
        options = ClusterOptions(cpus=1)
        connect(options)
        items = [Item(video.name, str(video), record=f"{video.name}.json") for video in videos]
        crew = RayCrew(setup, options, str(out))
    else:
        items = [Item(video.name, str(video), str(out), str(out / f"{video.name}.json")) for video in videos]
        crew = Pool(setup)
    for started in [crew.call(number, "start") for number in crew.numbers()]:
        started.result()
    began, ended = [(0.0, 0.0)], [(0.0, 0.0)]
    states: list[str] = []

    def over(outcome: Outcome) -> None:
        states.append(outcome.state)
        ended[0] = (time.perf_counter(), _cpu_seconds())

    def opened(prepared: Prepared) -> None:
        began[0] = (time.perf_counter(), _cpu_seconds())

    Dispatch(items, crew, over=over, opened=opened).run()
    assert states == ["done", "done"], states
    return ended[0][0] - began[0][0], ended[0][1] - began[0][1]


def _cpu_seconds() -> float:
    """Of this process and all below it, by /proc; those that have ended count where they were waited for."""
    used, above = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            above[path.parent.name], used[path.parent.name] = fields[1], sum(map(int, fields[11:15]))
    ours = {str(os.getpid())}
    while more := {pid for pid, parent in above.items() if parent in ours} - ours:
        ours |= more
    return sum(used.get(pid, 0) for pid in ours) / os.sysconf("SC_CLK_TCK")


class _Stub:
    """An actor that does nothing."""

    def run(self, task: str, *given: Any) -> Any:
        """Four segments a video, at once."""
        if task == "prepare":
            name = given[1].name
            parts = tuple(Part(i, Fraction(4 * i), Fraction(4 * i + 4), 96, Fraction(0), 0, ()) for i in range(4))
            return Prepared(b"", parts, name, name, name, [], 384, 0, 4, 192)
        if task == "segment":
            return Made(given[2].number, 96)
        return None if task == "start" else Outcome(given[1].name, "done")


class _StubCrew(RayCrew):
    """A `RayCrew` of such actors. peaks: the memory of this process, by tasks given out."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tasks = 0

    def _make(self) -> None:
        self._actors[self._next] = self._ray.remote(num_cpus=1, max_restarts=0)(_Stub).remote()
        self._next += 1

    def call(self, number: int, task: str, *given: Any) -> Future[Any]:
        self.tasks += 1
        return super().call(number, task, *given)


def batch(options: argparse.Namespace, folder: Path) -> None:
    """Batches of up to 10,000 files with actors that do nothing: tasks a second, and memory of the driver."""
    connect(ClusterOptions())
    setup = Setup(NetworkOptions(), RestoreOptions(), workers=1)
    rows = []
    for files in options.files:
        crew = _StubCrew(setup, ClusterOptions(cpus=1), str(folder))
        items = [Item(f"{i:06d}.mp4", f"s3://films/{i:06d}.mp4") for i in range(files)]
        over = [0]

        def count(outcome: Outcome, over: list[int] = over) -> None:
            over[0] += outcome.state == "done"

        wall, used = timed(Dispatch(items, crew, over=count).run)
        assert over[0] == files
        peak = peak_memory() / 2**20
        rows.append(
            (
                f"{files:,}",
                f"{crew.tasks:,}",
                f"{wall:.1f}",
                f"{crew.tasks / wall:.0f}",
                f"{1e3 * used / crew.tasks:.2f}",
                f"{peak:.0f}",
            )
        )
        print(rows[-1], flush=True)
    table(("files", "tasks", "s", "tasks a second", "driver: CPU ms a task", "driver: peak MiB"), *rows)


def sizing(options: argparse.Namespace, folder: Path) -> None:
    """Core-hours, storage and traffic for hours of 1080p video, from CPU seconds measured here."""
    network = restorer(options)
    each, sizes = [], []
    how = RestoreOptions(encode=EncodeOptions(threads=1))
    for frames in options.frames_of:
        video = make_video(folder / f"{frames}.mp4", 1920, 1080, frames)
        made = folder / f"{frames}-out.mp4"
        _, used = timed(partial(network.restore, video, made, how))
        each.append(used)
        sizes.append(made.stat().st_size)
    (short, long), (small, large) = options.frames_of, sizes
    frame, result = (each[1] - each[0]) / (long - short), (large - small) / (long - short)
    decode = _decoding(folder / f"{long}.mp4", long)
    print(
        f"an input frame: {frame + decode:.2f} CPU seconds, of which {decode:.3f} for the index; {result / 1e3:.0f} kB "
        "of the result"
    )
    rows = []
    for hours in HOURS:
        count = hours * 3600 * PICTURES
        stored, given = count * result, hours * 3600 * INPUT / 8
        traffic = given * options.nodes + 3 * stored  # inputs to nodes; segments to storage and back; the result
        gpu = "not measured" if options.gpu is None else _three_digits(count * options.gpu / 3600)
        cores = _three_digits(count * (frame + decode) / 3600)
        rows.append((f"{hours:,}", cores, gpu, *(_three_digits(size / 1e9) for size in (given, stored, traffic))))
    table(("hours of video", "core-hours", "GPU-hours", "inputs, GB", "results, GB", "traffic, GB"), *rows)


def _three_digits(value: float) -> str:
    """ "18.3", "241", "241,000"."""
    return f"{float(f'{value:.3g}'):,.10g}"


def _decoding(video: Path, frames: int) -> float:
    """CPU seconds a frame of decoding, cuts and digests."""
    from alanet.restoration.parts import index_parts
    from alanet.restoration.restorer import Restorer

    network = Restorer(device="cpu", precision="fp32", threads=1)
    plan = network.plan(video, video.with_suffix(".out.mkv"))
    return timed(lambda: index_parts(network.network, plan))[1] / frames
