"""What is said of a video, and of a run on it before and after: rows of a word and a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alanet.text import count, duration, rate, size

if TYPE_CHECKING:
    from alanet.frames.estimate_sums import EstimateSums
    from alanet.frames.frame import VideoInfo
    from alanet.restoration.plan import RestorePlan, RestoreReport

__all__ = ["closing_rows", "describe", "estimate", "estimate_rows", "exposure_text", "named", "opening_rows", "slower"]


def describe(info: VideoInfo) -> str:
    """A video in a line: "640x352, 30 fps, 2.0 s, h264 yuv420p"."""
    width, height = (info.height, info.width) if info.rotation % 180 else (info.width, info.height)
    parts = [f"{width}x{height}", rate(info.rate)]
    if info.duration is not None:
        parts.append(duration(float(info.duration)))
    return ", ".join([*parts, f"{info.codec} {info.pixel_format}"])


def estimate(seconds: float | None, frames: int | None) -> str:
    """The time before starting: "about 1 min 20 s for 60 frames"."""
    if seconds is None or frames is None:
        return "unknown: the input does not say how long it is"
    return f"about {duration(seconds)} for {count(frames, 'frame')}"


def opening_rows(plan: RestorePlan, network: str) -> list[tuple[str, str]]:
    """What is about to be done. Raises OutputError where the disk is too small for it."""
    from alanet.video.output.disk import check_room

    rows = [("input", describe(plan.info)), ("output", rate(plan.rate) + slower(plan)), ("network", network)]
    if len(plan.tiles) > 1:
        rows.append(("tiles", f"{len(plan.tiles)} a frame, to stay within the memory"))
    if plan.done:
        rows.append(("resumes", f"after {plan.done:,} restored frames of an earlier run"))
    if room := check_room(plan.output, plan.frames_out, done=plan.done):
        rows.append(("warning", room))
    return [*rows, ("estimate", estimate(plan.seconds, plan.frames_in))]


def slower(plan: RestorePlan) -> str:
    """Slow motion, after the rate: ", 4 times slower"; "" without it."""
    slow = plan.options.schedule.slow
    return f", {slow} times slower" if slow > 1 else ""


def closing_rows(report: RestoreReport) -> list[tuple[str, str]]:
    """What was done, kept, left out and should be known; the result's path last."""
    made = report.frames_out
    speed = f", {made / report.seconds:.1f} a second" if made and report.seconds > 0 else ""
    done = f"{count(report.frames_in, 'frame')} in, {report.frames_out:,} out, in {duration(report.seconds)}{speed}"
    found = [count(n, thing) for n, thing in ((report.cuts, "cut"), (report.duplicates, "duplicate frame")) if n]
    rows = [("done", ", ".join([done, *found]))]
    rows += estimate_rows(report.estimates)
    rows += [("kept", line) for line in report.notes.kept]
    rows += [("left out", line) for line in report.notes.left_out]
    rows += [("warning", line) for line in report.notes.warnings]
    weight = f" ({size(report.output.stat().st_size)})" if report.output.is_file() else ""
    return [*rows, ("result", f"{named(report.output, 'standard output')}{weight}")]


def estimate_rows(estimates: EstimateSums) -> list[tuple[str, str]]:
    """What the network estimated of the input frames; nothing where it estimates none."""
    if not estimates.classified:
        return []
    share = f"{estimates.sharp:,} of {estimates.classified:,} already sharp, left unchanged"
    return [("frames", f"{share}; {exposure_text(estimates)}")]


def exposure_text(estimates: EstimateSums) -> str:
    """The mean exposure and its expected error: "mean exposure 0.62 ± 0.17 of the frame period"."""
    if estimates.exposure is None:
        return "exposure unknown, too little moves"
    text = f"mean exposure {estimates.exposure:.2f} ± {estimates.uncertainty:.2f} of the frame period"
    unknown = estimates.classified - estimates.known
    return f"{text} (unknown of {count(unknown, 'frame')} in which too little moves)" if unknown else text


def named(path: Path, stream: str) -> str:
    """A path, or what "-" stands for."""
    return stream if str(path) == "-" else str(path)
