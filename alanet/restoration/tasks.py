"""The tasks of a restoration in parts, and the network that does them: one `Tasks` a process.

    prepare(item)       plan, work folder, index            -> Prepared, or an Outcome where the result is there already
    segment(plan, part) restore one segment into the folder -> Made
    join(plan, ...)     all segments into the result        -> Outcome

Each may be repeated: a segment is made again under its own name, and a result appears whole.
"""

from __future__ import annotations

import logging
import pickle
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from alanet.errors import AlanetError, InputError, OutputError
from alanet.files import FINISHED, FULL, lock_folder
from alanet.restoration.batch import Item, Outcome, write_record
from alanet.restoration.job import asked_for, software
from alanet.restoration.naming import naming_flags
from alanet.restoration.parts import index_parts, make_part
from alanet.restoration.plan import RestorePlan
from alanet.restoration.restorer import Restorer
from alanet.restoration.summary import opening_rows
from alanet.restoration.work import Failure, Made, Part, Prepared, Setup
from alanet.restoration.workdir import begin
from alanet.restoration.worker import Worker
from alanet.restoration.writer import put_in_place, writing
from alanet.text import SafeFormatter
from alanet.video.output.destination import work_folder
from alanet.video.output.disk import check_room
from alanet.video.output.mux import mux
from alanet.video.output.segments import Segment, finished_in, record

__all__ = ["Tasks", "described", "failure"]


class Tasks:
    """A network and what is done with it. number: of this process among those of a run, chooses its GPU."""

    def __init__(self, setup: Setup, number: int = 0, on_frame: Callable[[], None] | None = None) -> None:
        _log(setup.verbose)
        devices = torch.cuda.device_count() if setup.network.device in ("auto", "cuda") else 0
        if devices:
            torch.cuda.set_device(number % devices)
        processes = -(-setup.workers // devices) if devices else setup.workers
        with naming_flags():
            restorer = Restorer(**asdict(setup.network), processes=processes)
        self.worker = Worker(restorer, setup.options)
        self._on_frame = on_frame

    def run(self, task: str, *given: Any) -> Any:
        """Do a task by its name; a Failure where it fails."""
        try:
            with naming_flags():
                return getattr(self, task)(*given)
        except Exception as error:
            return failure(error, task)

    def asked(self) -> dict[str, Any]:
        """What all results of this run depend on, their inputs apart."""
        options = self.worker.options
        network = self.worker.restorer.network.described()
        return {"options": asked_for(options, options.encode, network), "software": software()}

    def prepare(self, item: Item) -> Prepared | Outcome:
        """Plan a video, keep what an earlier run has finished, and find its segments."""
        if not self.worker.options.restart:
            done = self.worker.done_before(item)
            if done is not None:
                return done
        plan = self.worker.plan(item, shared=True)
        assert plan.job is not None, "refused in the plan"
        path, folder = plan.output.path, work_folder(plan.output.path)
        with lock_folder(folder, path):
            with writing(path):
                restart = plan.options.restart
                kept = begin(folder, plan.job, path, plan.notes, restart=restart, scattered=True)
            return self.indexed(plan, kept)

    def indexed(self, plan: RestorePlan, kept: Sequence[Segment]) -> Prepared:
        """The segments of a plan that are to be made. kept: finished ones."""
        parts, counts = index_parts(self.worker.restorer.network, plan)
        expected, there = sum(part.count for part in parts), sum(segment.frames for segment in kept)
        _check_fit(plan, parts, kept)
        if there:
            plan.notes.keep(f"earlier run: {there:,} restored frames, reused")
        if room := check_room(plan.output, expected, done=there):
            plan.notes.warn(f"disk: {room}")
        restorer = self.worker.restorer
        finished = {int(Path(segment.name).stem) for segment in kept}
        return Prepared(
            plan=pickle.dumps(plan),
            parts=tuple(part for part in parts if part.number not in finished),
            source=str(plan.info.path),
            output=str(plan.output.path),
            folder=str(work_folder(plan.output.path)),
            rows=opening_rows(plan, restorer.network.place(plan.precision)),
            expected=expected,
            there=there,
            segments=len(parts),
            frames_in=counts.frames_in,
            seconds=sum(segment.seconds for segment in kept),
            made=_made_before(kept),
        )

    def segment(self, plan: bytes, part: Part) -> Made:
        """Make a segment and record it as finished."""
        planned: RestorePlan = pickle.loads(plan)
        folder = work_folder(planned.output.path)
        network = self.worker.restorer.network
        with writing(planned.output.path):
            segment, made = make_part(network, planned, part, folder, self._on_frame)
            record(folder, segment)
        return made

    def join(self, item: Item, prepared: Prepared, made: Made, seconds: float) -> Outcome:
        """All segments of a video into its result. seconds: that they took."""
        plan: RestorePlan = pickle.loads(prepared.plan)
        folder, path = work_folder(plan.output.path), plan.output.path
        began, frames = time.perf_counter(), (prepared.frames_in, prepared.expected)
        if not folder.exists() and path.exists():  # joined by a worker that ended before it could say so
            return Outcome(item.name, "done", str(path), *frames, seconds, estimates=made.estimates)
        segments = list(finished_in(folder).values())
        if len(segments) != prepared.segments:
            raise OutputError(
                f"{path}: {len(segments)} segments are there instead of {prepared.segments}; run it again"
            )
        add_warnings(plan, made)
        result = folder / f"{FINISHED}{path.suffix}"
        with writing(path):
            join_segments(plan, folder, segments, result)
            seconds += time.perf_counter() - began
            assert plan.job is not None, "refused in the plan"
            write_record(item, plan.job, path, result, frames, seconds)
            put_in_place(result, plan.output, plan.job)
        shutil.rmtree(folder, ignore_errors=True)
        notes = {key: getattr(plan.notes, key) for key in ("kept", "left_out", "warnings")}
        return Outcome(item.name, "done", str(path), *frames, seconds, notes=notes, estimates=made.estimates)


def _made_before(kept: Sequence[Segment]) -> Made:
    """What is counted of finished segments beside their frames."""
    made = Made(0, 0)
    for each in kept:
        first = each.start if each.passed else None
        made += Made(0, 0, each.passed, first, [], each.estimates)
    return made


def join_segments(plan: RestorePlan, folder: Path, segments: Sequence[Segment], result: Path) -> None:
    """Write the complete file, with the input's other streams."""
    mux(plan.output, folder, segments, result, start=plan.options.start, end=plan.options.end, notes=plan.notes)


def add_warnings(plan: RestorePlan, made: Made) -> None:
    """What was said of single segments, said once of the video."""
    for line in made.warnings:
        plan.notes.warn(line)
    if made.first_passed is not None:
        plan.notes.warn(
            f"{made.passed:,} restored frames (the first at {float(made.first_passed):.3f} s) came out as NaN or "
            "infinity; the input is passed through there"
        )


def _check_fit(plan: RestorePlan, parts: Sequence[Part], kept: Sequence[Segment]) -> None:
    """Raises OutputError where finished segments are not those of this index."""
    for segment in kept:
        number = int(Path(segment.name).stem)
        part = parts[number] if number < len(parts) else None
        if part is None or part.count != segment.frames or abs(segment.start - part.start) > plan.output.tick:
            raise OutputError(f"{plan.output.path}: {segment.name} does not fit the input; use --restart to start over")


def failure(error: Exception, task: str) -> Failure:
    """An error as a value: its line, its exit code, and whether other segments of the video may succeed."""
    if isinstance(error, AlanetError):
        reason, code = str(error), error.exit_code
    else:
        reason, code = f"Internal error: {type(error).__name__}: {' '.join(str(error).split())}", 1
    full = getattr(error.__cause__, "errno", getattr(error, "errno", None)) in FULL
    alone = task == "segment" and not full and not isinstance(error, InputError)
    return Failure(reason, code, "segment" if alone else "video")


def described(tasks: Tasks) -> dict[str, str]:
    """What rounding may depend on, for the comparison of machines."""
    restorer = tasks.worker.restorer
    device = torch.cuda.get_device_name() if restorer.device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {
        "machine": socket.gethostname(),
        "device": str(device),
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),
    }


def _log(verbose: bool) -> None:
    """The library's log goes to standard error if it was asked for."""
    log = logging.getLogger("alanet")
    if not verbose:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(SafeFormatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
