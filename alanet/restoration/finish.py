"""A playable file of what an interrupted run has finished, with the sound up to there. No network is needed.

The finished segments stay where they are, so that the run can still go on.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from alanet.errors import OptionError
from alanet.files import FINISHED, lock_folder
from alanet.frames.timing import parse_rate
from alanet.notes import Notes
from alanet.restoration.job import Job, describe_input
from alanet.restoration.options import EncodeOptions, flag_of
from alanet.restoration.workdir import read_job, verified
from alanet.restoration.writer import put_in_place, writing
from alanet.video.input.probe import probe
from alanet.video.output.destination import work_folder
from alanet.video.output.format import OutputPlan, plan_output
from alanet.video.output.mux import mux

__all__ = ["Finished", "finish"]


@dataclass(frozen=True)
class Finished:
    """What `finish` made."""

    output: Path
    frames: int  # restored
    seconds: Fraction
    notes: Notes


def finish(output: str | Path, *, overwrite: bool = False, discard: bool = False) -> Finished:
    """Join what is finished of an interrupted run into `output`, the name that run was given.

    discard: then remove the finished segments; the run cannot go on afterwards. Raises OptionError where there is
    nothing to finish or the input is not what it was, OutputError where the run still works or cannot be written.
    """
    path = Path(os.path.abspath(output))
    folder = work_folder(path)
    job = read_job(folder) if folder.is_dir() else None
    if job is None:
        raise OptionError(f"{path}: no interrupted run of it is kept beside it; give the name of that run's result")
    with lock_folder(folder, path):
        notes = Notes()
        plan = _plan(path, job, overwrite, notes)
        segments, fault = verified(folder)
        if fault:
            notes.warn(f"{fault}; the result ends before it")
        if not segments:
            raise OptionError(f"{path}: not one segment of its run is finished yet; let the run go on")
        made = folder / f"{FINISHED}{path.suffix}"
        start, first, until = _fraction(job.options["--start"]), segments[0].start, segments[-1].end
        end = first + (until - first) / plan.slow
        try:
            with writing(path):
                mux(plan, folder, segments, made, start=start, end=end, notes=notes)
                put_in_place(made, plan, None)
        finally:
            made.unlink(missing_ok=True)
        if discard:
            shutil.rmtree(folder, ignore_errors=True)
    return Finished(path, sum(segment.frames for segment in segments), until - first, notes)


def _plan(path: Path, job: Job, overwrite: bool, notes: Notes) -> OutputPlan:
    """The output as that run planned it."""
    asked = job.options
    at, stream, telecine = _fraction(asked["--input-rate"]), asked["--stream"], asked["--telecine"]
    info = probe(job.source, input_rate=at, stream=stream, telecine=telecine)
    if describe_input(info) != job.input:
        raise OptionError(f"{job.source}: has changed since {path.name} was begun; its sound may not fit any more")
    given: dict[str, Any] = {option.name: asked.get(flag_of(option)) for option in fields(EncodeOptions)}
    encode = EncodeOptions(**{**given, "overwrite": overwrite})
    rate = replace(parse_rate(asked["--fps"]), slow=asked.get("--slow", 1))
    return plan_output(info, path, encode, notes, schedule=rate)


def _fraction(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)
