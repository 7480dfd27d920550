"""What is asked of one video, what will be done to it, and what was done.

`RestoreOptions` is what a user says; `Restorer.plan` makes a `RestorePlan` of it, in which everything that can be
refused has been; `Restorer.run` gives a `RestoreReport`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from alanet.frames.frame import VideoInfo
from alanet.frames.tiles import Tile
from alanet.frames.timing import Schedule, TargetRate
from alanet.notes import Notes
from alanet.restoration.job import Job
from alanet.restoration.options import RestoreOptions
from alanet.video.output.format import OutputPlan

__all__ = ["SEGMENT", "RestorePlan", "RestoreReport", "nothing_shown", "stated_frames", "suffix_of"]

SEGMENT = Fraction(4)  # seconds of the result at most. Encoders place key frames about as far apart by themselves


@dataclass(frozen=True)
class RestorePlan:
    """What a run will do; everything that can be refused has been."""

    info: VideoInfo
    output: OutputPlan
    options: RestoreOptions
    notes: Notes
    frames_in: int | None  # stated by the file, within start and end
    seconds: float | None  # estimate of the run
    tiles: tuple[Tile, ...]  # one: frames are restored whole
    rate: Fraction  # frames a second of the output
    precision: str
    job: Job | None = None  # what finished segments are kept for; None: an interruption leaves nothing
    done: int = 0  # restored frames that an interrupted run has finished
    segment: Fraction = SEGMENT  # seconds of the result that are finished, and kept, together

    @property
    def frames_out(self) -> int | None:
        """Restored frames, by what the file states."""
        if self.frames_in is None:
            return None
        return round(self.frames_in * self.rate * self.options.schedule.slow / self.info.rate)


@dataclass(frozen=True)
class RestoreReport:
    """What a run did."""

    output: Path
    frames_in: int
    frames_out: int
    cuts: int
    duplicates: int
    seconds: float
    model: str
    device: str
    precision: str
    notes: Notes
    earlier_out: int = 0  # of frames_out: made by an interrupted run before this one
    passed: int = 0  # of frames_out: the network gave NaN or infinity, and the input is shown
    judged: int = 0  # input frames of this run whose exposure the network estimated
    sharp: int = 0  # of these, judged sharp
    exposure: float | None = None  # mean estimate, in input periods; None: nothing was estimated
    untouched: int = 0  # restored frames of this run that are input frames, left as they were

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        notes = {"kept": self.notes.kept, "left_out": self.notes.left_out, "warnings": self.notes.warnings}
        plain = {key: value for key, value in vars(self).items() if key not in ("notes", "output")}
        return {"output": str(self.output), **plain, **notes}


def suffix_of(rate: Schedule) -> str:
    """What is put behind a result's name: "_x2", "_slow4", "_60fps"."""
    slow = f"_slow{rate.slow}" if rate.slow > 1 else ""
    if isinstance(rate, TargetRate):
        return f"{slow}_{float(rate.rate):g}fps"
    return slow if slow and rate.n == rate.slow else f"{slow}_{rate}"


def nothing_shown(plan: RestorePlan) -> str:
    """Why a run gave not one frame."""
    start, end = plan.options.start, plan.options.end
    begin = "the beginning" if start is None else f"{float(start):g} s"
    stop = "the end" if end is None else f"{float(end):g} s"
    first, length = plan.info.start, plan.info.duration
    where = f"the video begins at {float(first):g} s" + ("" if length is None else f" and lasts {float(length):g} s")
    return f"{plan.info.path}: no frame is shown from {begin} to {stop}; {where}"


def stated_frames(info: VideoInfo, options: RestoreOptions) -> int | None:
    """Input frames between start and end, by what the file states."""
    if options.start is None and options.end is None:
        return info.frame_count or (round(info.duration * info.rate) if info.duration else None)
    last = info.start + info.duration if info.duration else options.end
    if last is None:
        return None
    end = last if options.end is None else min(options.end, last)
    return max(0, round((end - max(options.start or info.start, info.start)) * info.rate))
