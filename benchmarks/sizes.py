"""The network alone by size, precision and threads: each row in a process of its own, whose peak is the network's.

Timed is one step in the middle of a shot at twice the rate: a frame is encoded and related, one is deblurred and one
interpolated. Frames are whole; a size whose work is more than the memory that is free is left out with its need.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from alanet.engine.memory import free_memory, peak_memory
from alanet.engine.precision import DTYPES
from alanet.frames.tiles import round_up
from alanet.model.network import Window
from alanet.model.weights import default_model
from benchmarks.common import progress, restorer, sample, share_in_convolutions, table, timed

SIZES = ((640, 360), (1280, 720), (1920, 1080), (3840, 2160))
LONG = 5.0  # seconds of a step after which it is timed once more only
CHILD = """
import json, sys
from argparse import Namespace
sys.path.insert(0, sys.argv[1])
from benchmarks.sizes import child
child(Namespace(**json.loads(sys.argv[2])))
"""


def sizes(options: argparse.Namespace, _: Path) -> None:
    """Time a restored frame by size, precision and threads, of whole frames; peak of the process."""
    rows: list[tuple[object, ...]] = []
    for width, height in options.sizes:
        small = width * height < 1 << 20
        threads = [options.threads] if options.threads else [1, torch.get_num_threads()] if small else [None]
        for precision in options.precisions if small else options.precisions[:1]:
            for count in dict.fromkeys(threads):
                said = _apart(options, width, height, precision, count)
                about = (f"{width}x{height}", said["precision"], said["threads"])
                if "needs" in said:
                    rows.append((*about, f"needs {said['needs'] / 2**30:.0f} GiB untiled", "", "", ""))
                else:
                    rows.append((*about, f"{said['seconds'] / 2 * 1000:.0f}", f"{2 / said['seconds']:.2f}",
                                 f"{said['share']:.0%}", f"{said['peak'] / 2**30:.1f}"))  # fmt: skip
                progress(rows[-1])
    print(f"{options.model or default_model()}, x2, network alone, whole frames\n")
    table(("size", "precision", "threads", "ms a restored frame", "frames a second", "in convolutions", "peak, GiB"),
          *rows)  # fmt: skip


def _apart(options: argparse.Namespace, width: int, height: int, precision: str, threads: int | None) -> dict[str, Any]:
    given = {name: getattr(options, name) for name in ("model", "width", "residual")}
    given |= {"size": (width, height), "precision": precision, "threads": threads}
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parents[1]), json.dumps(given)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def child(given: argparse.Namespace) -> None:
    """Time, share and peak of one size, as a line of JSON."""
    width, height = given.size
    runner = restorer(given, precision=given.precision).runner
    said: dict[str, Any] = {"precision": runner.precision, "threads": torch.get_num_threads()}
    model, stride = runner.model, runner.model.stride
    needs, free = model.memory(DTYPES[runner.precision].itemsize), free_memory(torch.device("cpu"))
    pixels = round_up(height, stride) * round_up(width, stride)
    bytes_needed = round(pixels * (needs.features + max(needs.work, needs.whole)))
    if free is not None and bytes_needed > free:
        print(json.dumps({**said, "needs": bytes_needed}))
        return
    frames = [runner.to_tensor(frame) for frame in islice(sample(width, height), 3)]
    with torch.inference_mode(), runner.autocast():
        ring = {i: model.encode(frame) for i, frame in enumerate(frames)}
        pairs = {i: model.relate(ring[i], ring[i + 1]) for i in (0, 1)}

    def step() -> None:
        with torch.inference_mode(), runner.autocast():
            ring[2] = model.encode(frames[2])
            pairs[1] = model.relate(ring[1], ring[2])
            model.generate(Window(ring, pairs), 1)
            model.generate(Window(ring, pairs), 0.5)

    first = timed(step)[0]
    said["seconds"] = min(timed(step)[0] for _ in range(1 if first > LONG else 5))
    said["peak"] = peak_memory()
    said["share"] = share_in_convolutions(step)
    print(json.dumps(said))
