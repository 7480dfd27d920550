"""Shared by the benchmarks: videos of the bundled sample, timed calls that take turns, tables."""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from itertools import chain, cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
import torch
from PIL import Image
from torch.profiler import ProfilerActivity, profile

import alanet
from alanet.engine.runner import Runner
from alanet.model.network import Window
from alanet.restoration.restorer import Restorer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe

RATE = 25


def sample(width: int, height: int, path: Path | None = None) -> Iterator[np.ndarray]:
    """Frames without end, forwards and backwards: of the bundled sample, mirrored or cut to size; or of another video,
    scaled to it."""
    bundled = next(iter(sorted(Path(str(resources.files("alanet"))).glob("sample/*.mp4"))))
    frames = [frame.pixels for frame in islice(decode(probe(path or bundled)), 25)]
    for frame in cycle(chain(frames, frames[-2:0:-1])):
        if path:
            yield np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
            continue
        grown = np.pad(
            frame, [(0, max(0, height - frame.shape[0])), (0, max(0, width - frame.shape[1])), (0, 0)], "reflect"
        )
        yield np.ascontiguousarray(grown[:height, :width])


def make_video(path: Path, width: int, height: int, frames: int, *, rate: int = RATE) -> Path:
    """An H.264 file of the sample."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "18", "preset": "veryfast"}
        for pixels in islice(sample(width, height), frames):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        out.mux(stream.encode(None))
    return path


def alone(runner: Runner, tensors: Sequence[torch.Tensor], *, all_frames: bool = False) -> None:
    """What a stream asks of a network for these inputs at x2, on tensors that are ready, and nothing else.

    all_frames: frames recognised as sharp are restored, too.
    """
    model, last = runner.model, len(tensors) - 1
    ring: dict[int, Any] = {}
    pairs: dict[int, Any] = {}
    with torch.inference_mode(), runner.autocast():
        for i, tensor in enumerate(tensors):
            ring[i] = model.encode(tensor)
            if i:
                pairs[i - 1] = model.relate(ring[i - 1], ring[i])
            ring.pop(i - 3, None)
            pairs.pop(i - 3, None)
            for at in (i - 1, i) if i == last else (i - 1,):  # the last one is shown twice, and made once
                if at >= 0 and (
                    all_frames or (found := runner.estimate(Window(ring, pairs), at)) is None or not found.sharp
                ):
                    model.generate(Window(ring, pairs), at)
            if i:
                model.generate(Window(ring, pairs), i - 0.5)


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """(wall seconds, CPU seconds of all threads) of a call."""

    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    wall, used = time.perf_counter(), cpu()
    call()
    return time.perf_counter() - wall, cpu() - used


def take_turns(
    calls: list[Callable[[], object]], rounds: int, *, names: Sequence[str] = (), seconds: float = math.inf
) -> list[list[tuple[float, float]]]:
    """Times of each call, `rounds` of them after one to warm up; the order turns around each round.

    names: of the calls, for progress. seconds: no round begins after that; one is always made.
    """
    began = time.perf_counter()
    for call in calls:
        call()
    times: list[list[tuple[float, float]]] = [[] for _ in calls]
    for k in range(rounds):
        if k and time.perf_counter() - began > seconds * k / (k + 1):
            progress(f"{k} of {rounds} rounds in {seconds:.0f} s")
            break
        for i in range(len(calls)) if k % 2 else reversed(range(len(calls))):
            times[i].append(timed(calls[i]))
            if names:
                progress(f"round {k + 1} of {rounds}, {names[i]}: {times[i][-1][0]:.2f} s")
    return times


@contextmanager
def busy_neighbour() -> Iterator[None]:
    """While another process keeps one core busy."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def progress(text: object) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


def medians(times: list[tuple[float, float]]) -> tuple[float, float]:
    return median(wall for wall, _ in times), median(cpu for _, cpu in times)


def ratio(a: list[tuple[float, float]], b: list[tuple[float, float]], kind: int = 0) -> float:
    """The median over rounds of a / b: neighbours in time are compared."""
    return median(x[kind] / y[kind] for x, y in zip(a, b, strict=True))


def share_in_convolutions(call: Callable[[], object]) -> float:
    """Of a call's time, by PyTorch's profiler."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        call()
    times = {event.key: float(event.self_cpu_time_total) for event in found.key_averages()}
    return sum(time for key, time in times.items() if "convolution" in key) / sum(times.values())


def table(*rows: tuple[object, ...]) -> None:
    head, *body = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *body]
    print("\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines))


def restorer(options: argparse.Namespace, precision: str = "fp32", **more: object) -> Restorer:
    model = options.model
    if model == "untrained":
        model = alanet.ALANet(alanet.ALANetConfig(width=options.width, residual=options.residual))
    return Restorer(model, device="cpu", precision=precision, threads=options.threads, **more)  # type: ignore[arg-type]
