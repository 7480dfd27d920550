"""Restores one video after another in this process, and reports the result of each.

A video that cannot be restored is reported; the worker continues with the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from alanet.engine.counts import Counts
from alanet.errors import AlanetError, OptionError
from alanet.files import make_folder
from alanet.restoration.batch import Item, Outcome, read_record, write_record
from alanet.restoration.job import Job, changes
from alanet.restoration.options import RestoreOptions
from alanet.restoration.plan import RestorePlan
from alanet.restoration.progress import RestoreProgress
from alanet.restoration.restorer import Restorer

__all__ = ["Worker"]


class Worker:
    """A network and how videos are restored with it."""

    def __init__(self, restorer: Restorer, options: RestoreOptions) -> None:
        self.restorer, self.options = restorer, options

    def restore(self, item: Item, *, on_progress: Callable[[RestoreProgress], None] | None = None) -> Outcome:
        """Restore a video, unless that is done already. Never raises what is the video's own failure."""
        began = time.perf_counter()
        try:
            if not self.options.restart:
                done = self.done_before(item)
                if done is not None:
                    return done
            plan = self.plan(item)

            def about_to(made: Path, counts: Counts) -> None:
                assert plan.job is not None, "refused in the plan"
                frames, seconds = (counts.frames_in, counts.frames_out), time.perf_counter() - began
                write_record(item, plan.job, plan.output.path, made, frames, seconds)

            told = None if item.record is None else about_to
            report = self.restorer.run(plan, on_progress=on_progress, about_to=told)
        except Exception as error:
            _remove_empty(item)
            return _failed(item, error, time.perf_counter() - began)
        notes = {key: getattr(report.notes, key) for key in ("kept", "left_out", "warnings")}
        frames, seconds = (report.frames_in, report.frames_out), time.perf_counter() - began
        return Outcome(item.name, "done", str(report.output), *frames, seconds, notes=notes, estimates=report.estimates)

    def done_before(self, item: Item) -> Outcome | None:
        """The outcome where a result of the same job is there. Raises OptionError where it is another job's, or of
        another input, and is not to be replaced."""
        record = read_record(item)
        if record is None:
            return None
        plan = self.plan(item, look=True)
        changed = changes(Job(**record["job"]), plan.job) if plan.job is not None else ["it has no job"]
        if not changed:
            return Outcome(item.name, "skipped", str(record["result"]), *_pair(record))
        if not self.options.encode.overwrite:
            raise OptionError(
                f"{record['result']}: is there from an earlier run, and since then {'; '.join(changed)}; --overwrite "
                "replaces it"
            )
        return None

    def plan(self, item: Item, *, look: bool = False, shared: bool = False) -> RestorePlan:
        """What will be done. look: only to see whether it has been. shared: segments are made in any order."""
        options = self.options
        if look:
            encode = replace(options.encode, overwrite=True)
            options = replace(options, encode=encode, restart=True)  # what is kept of other runs does not matter
        folder = None if item.folder is None else Path(item.folder)
        if folder is not None:
            make_folder(folder)
        plan = self.restorer.plan(item.source, item.output, options, folder=folder, shared=shared)
        if plan.job is None and (folder is not None or shared):
            raise OptionError(
                f"{plan.output.path}: is no video file, and only these are made by --recursive, --workers and "
                "--cluster; leave them out"
            )
        other = plan.info.path.with_name(plan.output.path.name)
        if folder is not None and other.name != plan.info.path.name and other.exists():
            raise OptionError(f"{item.name}: its result would be called {other.name}, as that of {other}; rename one")
        return plan


def _pair(record: dict[str, Any]) -> tuple[int, int]:
    """Frames in and out, as recorded."""
    frames_in, frames_out = record["frames"]
    return int(frames_in), int(frames_out)


def _failed(item: Item, error: Exception, seconds: float) -> Outcome:
    if isinstance(error, AlanetError):
        return Outcome(item.name, "failed", seconds=seconds, reason=str(error), code=error.exit_code)
    text = " ".join(str(error).split())
    return Outcome(
        item.name, "failed", seconds=seconds, reason=f"Internal error: {type(error).__name__}: {text}", code=1
    )


def _remove_empty(item: Item) -> None:
    """A folder made for a result that did not come to be."""
    if item.folder is not None:
        with suppress(OSError):
            Path(item.folder).rmdir()
