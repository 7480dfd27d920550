"""Memory: the peak of whole runs, each in a process of its own, against the planned memory."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from alanet.engine.memory import ENCODERS, memory_cost, peak_memory, resident_memory
from alanet.errors import ResourceError
from alanet.frames.tiles import overhead, round_up
from alanet.restoration.options import RestoreOptions
from alanet.restoration.progress import RestoreProgress
from benchmarks.common import RATE, make_video, progress, restorer, table

MIB = 2**20
AHEAD = 48  # restored frames after which x264 holds all that it will

CHILD = """
import json, sys
from argparse import Namespace
sys.path.insert(0, sys.argv[1])
from benchmarks.memory import child
child(Namespace(**json.loads(sys.argv[2])))
"""


def child(given: argparse.Namespace) -> None:
    """One run in a process of its own: what it holds after every `every` input frames, and its peak, bytes."""

    held: dict[int, int] = {}
    said: dict[str, Any] = {}
    one = restorer(given, precision=given.precision, memory=given.memory, tile_mode=given.tile_mode)
    try:
        plan = one.plan(given.source, given.output, RestoreOptions(end=given.end and Fraction(given.end)))
    except ResourceError as error:
        print(json.dumps({"refused": str(error)}))
        return
    said["tiles"], said["work"] = len(plan.tiles), overhead(plan.tiles)
    cost, info = memory_cost(one.runner, plan.info, plan.output), plan.info
    said["planned"] = cost.fixed + cost.per_tile_pixel * max(tile.outer.pixels for tile in plan.tiles)
    said["planned"] += cost.per_frame_pixel * round_up(info.height, 32) * round_up(info.width, 32)
    ahead = ENCODERS[plan.output.codec.name] * info.width * info.height * 1.5

    def note(progress: RestoreProgress) -> None:
        if given.every and progress.frames_in % given.every == 0:
            held[progress.frames_in] = resident_memory()

    report = one.run(plan, on_progress=note)
    said["lacks"] = ahead * max(0.0, 1 - report.frames_out / AHEAD)
    print(json.dumps({**said, "held": list(held.items()), "peak": peak_memory()}))


def apart(options: argparse.Namespace, source: Path, **more: object) -> dict[str, Any]:
    """What `child` says."""
    output = source.with_name("out.mp4")
    output.unlink(missing_ok=True)
    given = {
        **{name: getattr(options, name) for name in ("model", "width", "threads", "residual")},
        **{"source": str(source), "output": str(output), "every": 0},
        **{"precision": "fp32", "memory": 1 << 45, "tile_mode": "exact", "end": None},
        **more,
    }
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parents[1]), json.dumps(given)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def growth(options: argparse.Namespace, folder: Path) -> None:
    """One long run: what the process holds, every 25 frames from the 300th on, and the straight line through that.

    Not its peak: that rises with every chance meeting of full queues, and would be taken for growth.
    """
    first = 300
    said = apart(options, make_video(folder / "long.mp4", 320, 192, options.long), every=25)
    held = np.array([pair for pair in said["held"] if pair[0] >= first], np.float64)
    slope, _ = np.polyfit(held[:, 0], held[:, 1], 1)
    early, late = (np.median(part[:, 1]) / MIB for part in (held[:12], held[-12:]))
    table(
        ("320x192", "held, MiB"),
        (f"around frame {held[:12, 0].mean():.0f}", f"{early:.1f}"),
        (f"around frame {held[-12:, 0].mean():.0f}", f"{late:.1f}"),
        ("growth, bytes a frame (least squares)", f"{slope:.0f}"),
        ("peak", f"{int(said['peak']) / MIB:.1f}"),
    )


def peaks(options: argparse.Namespace, folder: Path) -> None:
    """What a plan takes by itself, then the least memory that a refusal names, where tiles are worth it.

    Fewer frames of larger sizes; what x264, which looks 40 ahead, then lacks is reckoned on top of the peak.
    """
    rows: list[tuple[object, ...]] = []
    for width, height in options.sizes:
        frames = options.frames or max(3, min(32, round(32 * 640 * 360 / (width * height))))
        source = make_video(folder / f"{width}.mp4", width, height, frames)
        for mode in ("by itself", *(options.modes if width * height > 1 << 20 else ())):
            kind = {"precision": options.precision, "tile_mode": "exact" if mode == "by itself" else mode}
            budget = None
            if mode != "by itself":
                refusal = str(apart(options, source, memory=1, **kind)["refused"])
                budget = least_memory(refusal)
            began = time.perf_counter()
            said = apart(options, source, memory=budget, **kind)
            seconds = (time.perf_counter() - began) / frames
            peak, planned, lacks = (float(said[key]) / MIB for key in ("peak", "planned", "lacks"))
            name = mode if budget is None else f"--memory {budget // MIB}M, {mode}"
            rows.append((f"{width}x{height}", name, said["tiles"], f"{said['work']:.1f}", f"{planned:.0f}",
                         f"{peak:.0f}", f"{peak + lacks:.0f}", f"{seconds:.1f}"))  # fmt: skip
            progress(rows[-1])
    table(("size", "plan", "tiles", "work", "planned, MiB", "peak, MiB", "with x264 full", "s an input frame"), *rows)


def least_memory(refusal: str) -> int:
    """Bytes: the least memory that a refusal names ("use memory 1687M or more")."""
    named = re.search(r"memory (\d+)M or more", refusal)
    assert named, refusal
    return int(named[1]) * MIB


def uhd(options: argparse.Namespace, folder: Path) -> None:
    """4K in the least memory that a refusal names and in what a plan takes by itself; what 8K needs, by its refusal.

    A few frames do not fill x264, which looks 40 ahead: what it lacks is reckoned on top of the peak.
    """
    rows: list[tuple[object, ...]] = []
    source = make_video(folder / "uhd.mp4", 3840, 2160, options.uhd + 6)
    kind = {"precision": options.precision, "end": str(Fraction(2 * options.uhd - 1, 2 * RATE))}
    refusal = str(apart(options, source, memory=1, **kind)["refused"])
    least = least_memory(refusal)
    for name, budget in (("the least", least), ("by itself", None)):
        said = apart(options, source, memory=budget, **kind)
        peak, planned, lacks = (float(said[key]) / MIB for key in ("peak", "planned", "lacks"))
        stated = f"{budget / MIB:.0f}" if budget else ""
        rows.append(
            (name, stated, said["tiles"], f"{said['work']:.1f}", *(f"{x:.0f}" for x in (planned, peak, peak + lacks)))
        )
        progress(rows[-1])
    table(("3840x2160", "--memory, MiB", "tiles", "work", "planned", "peak", "with x264 full"), *rows)
    huge = make_video(folder / "huge.mp4", 7680, 4320, 2)
    print(f"\n8K: {apart(options, huge, memory=1, **kind)['refused']}")


def memory(options: argparse.Namespace, folder: Path) -> None:
    """Growth, then peaks; or, with --uhd, 4K with a few frames only."""
    if options.uhd:
        uhd(options, folder)
        return
    if options.long:
        growth(options, folder)
        print()
    if options.sizes:
        peaks(options, folder)
