"""Carries out a plan: restored frames to the writer, then the result to its place, and a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alanet.engine.counts import Counts
from alanet.engine.memory import exhaustion_told
from alanet.errors import OptionError
from alanet.restoration.loaded import LoadedNetwork
from alanet.restoration.pipeline import restored_frames
from alanet.restoration.plan import RestorePlan, RestoreReport, nothing_shown
from alanet.restoration.progress import RestoreProgress, RunProgress
from alanet.restoration.writer import open_writer
from alanet.video.output.disk import check_room

__all__ = ["report", "run_plan"]


def run_plan(
    network: LoadedNetwork,
    plan: RestorePlan,
    *,
    on_progress: Callable[[RestoreProgress], None] | None = None,
    about_to: Callable[[Path, Counts], None] | None = None,
) -> RestoreReport:
    """Restore a video by one process.

    about_to: called with the path of the complete result before it is renamed.
    """
    options = plan.options
    if room := check_room(plan.output, plan.frames_out, done=plan.done):
        plan.notes.warn(f"disk: {room}")
    opened = open_writer(
        plan.output,
        start=options.start,
        end=options.end,
        notes=plan.notes,
        segment_seconds=plan.segment,
        job=plan.job,
        restart=options.restart,
    )
    with exhaustion_told(network.device), opened as writer:
        run = RunProgress(plan.frames_in, plan.segment, writer, plan.notes, on_progress)
        counts = run.counts
        for frame in restored_frames(network, plan, run):
            writer.write(frame, tally=run.tally())
            run.report(frame.time)
        if not counts.frames_in:
            raise OptionError(nothing_shown(plan.info, options))
        run.check_reached()
        path = writer.finish(about_to=None if about_to is None else lambda made: about_to(made, counts))
    return report(network, plan, path, counts, run.tally().seconds, run.skip)


def report(
    network: LoadedNetwork, plan: RestorePlan, path: Path, counts: Counts, seconds: float, earlier_out: int
) -> RestoreReport:
    """What was done. earlier_out: restored frames that other runs have made."""
    return RestoreReport(
        path,
        counts.frames_in,
        counts.frames_out,
        counts.cuts,
        counts.duplicates,
        seconds=seconds,
        model=network.name,
        device=str(network.device),
        precision=plan.precision,
        precision_reason=network.reason(plan.precision),
        notes=plan.notes,
        earlier_out=earlier_out,
        passed=counts.passed,
        estimates=counts.estimates,
        untouched=counts.untouched,
    )
