"""What will be done to one video, and what was done.

`make_plan` looks at the input, decides the output, and refuses what cannot work; it writes nothing. A `RestorePlan` is
its result; `run.py` carries it out and returns a `RestoreReport`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

from alanet.engine.tiled import plan_tiles_for
from alanet.errors import OptionError
from alanet.frames.estimate_sums import EstimateSums
from alanet.frames.frame import VideoInfo
from alanet.frames.tiles import Tile, overhead
from alanet.frames.timing import Schedule, TargetRate, output_rate
from alanet.notes import Notes
from alanet.restoration.job import Job, job_for, segment_of, tiles_of
from alanet.restoration.loaded import LoadedNetwork
from alanet.restoration.options import RestoreOptions
from alanet.restoration.workdir import earlier_job
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from alanet.video.output.format import OutputPlan, plan_output

__all__ = ["RestorePlan", "RestoreReport", "make_plan", "nothing_shown"]

SEGMENT = Fraction(4)  # seconds of the result at most. Encoders place key frames about as far apart by themselves
WORK = 60.0  # seconds of work in a segment: what a kill, or Ctrl-C on a slow device, may cost
LEAST, LEAST_FRAMES = Fraction(1, 2), 12  # seconds and frames of a segment: key frames cost the result's size


@dataclass(frozen=True)
class RestorePlan:
    """What a run will do; everything that can be refused has been.

    >>> plan = alanet.Restorer(device="cpu").plan("holiday.mp4")
    >>> plan.info.width, plan.info.height, plan.rate
    (64, 48, Fraction(60, 1))
    """

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
    """What a run did.

    >>> report = alanet.restore("holiday.mp4", "out.mkv")
    >>> report.frames_out, report.cuts
    (8, 0)
    """

    output: Path
    frames_in: int
    frames_out: int
    cuts: int
    duplicates: int
    seconds: float
    model: str
    device: str
    precision: str
    precision_reason: str
    notes: Notes
    earlier_out: int = 0  # of frames_out: made by an interrupted run before this one
    passed: int = 0  # of frames_out: the network gave NaN or infinity, and the input is shown
    estimates: EstimateSums = field(default_factory=EstimateSums)  # of input frames: how many are sharp, exposure
    untouched: int = 0  # restored frames that are input frames, left as they were

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        notes = {"kept": self.notes.kept, "left_out": self.notes.left_out, "warnings": self.notes.warnings}
        plain = {key: value for key, value in vars(self).items() if key not in ("notes", "output", "estimates")}
        return {"output": str(self.output), **plain, **self.estimates.to_dict(), **notes}


def make_plan(
    network: LoadedNetwork,
    source: str | Path,
    output: str | Path | None,
    options: RestoreOptions,
    *,
    folder: Path | None = None,
    shared: bool = False,
) -> RestorePlan:
    """The plan for one video; `Restorer.plan` describes the arguments and errors."""
    notes = Notes()
    info = probe(source, input_rate=options.input_rate, stream=options.stream, telecine=options.telecine)
    schedule = options.schedule
    network.check_times(schedule, info.rate)
    if options.duplicates == "skip":
        network.check_repeats()
    _check_shown(info, options)
    suffix = suffix_of(schedule)
    target = plan_output(info, output, options.encode, notes, suffix=suffix, schedule=schedule, folder=folder)
    tiles = tuple(plan_tiles_for(network.runner, info, network.memory, network.tile_mode, target))
    precision, done = network.precision, 0
    rate = output_rate(schedule, info.rate)
    segment = segment_length(rate, network.nominal_seconds(info, schedule, tiles) * float(info.rate) / schedule.slow)
    job = job_for(target, options, network.described(), precision, tiles, segment)
    earlier = None if options.restart else earlier_job(target, job, shared=shared)
    if earlier is not None:
        job, done = earlier
        tiles, precision, segment = tiles_of(job), job.chosen["precision"], segment_of(job)
    if (work := overhead(tiles)) > 2 and network.tile_mode == "exact":
        notes.warn(f"tiles: every pixel is computed {work:.1f} times; more --memory or --tile-mode feather is faster")
    frames_in = stated_frames(info, options)
    seconds = None
    if frames_in is not None:
        each = network.seconds_a_frame(info, schedule, tiles)
        seconds = each * max(0.0, frames_in - float(done * info.rate / rate / schedule.slow))
    return RestorePlan(info, target, options, notes, frames_in, seconds, tiles, rate, precision, job, done, segment)


def segment_length(rate: Fraction, work: float) -> Fraction:
    """Seconds of the result in a segment: SEGMENT, halved until it takes WORK or less, or has come to the least.

    rate: restored frames a second. work: nominal seconds of work for a second of the result; nothing is timed, so that
    a video is cut into the same segments in every run.
    """
    length = SEGMENT
    while length * work > WORK and length / 2 >= max(LEAST, LEAST_FRAMES / rate):
        length /= 2
    return length


def suffix_of(rate: Schedule) -> str:
    """What is put behind a result's name, as its options were given: "_x2", "_slow4", "_slow4_x2", "_60fps"."""
    slow = f"_slow{rate.slow}" if rate.slow > 1 else ""
    if isinstance(rate, TargetRate):
        return f"{slow}_{float(rate.rate):g}fps"
    return slow if slow and rate.n == rate.slow else f"{slow}_x{rate.n / rate.slow:g}"


def nothing_shown(info: VideoInfo, options: RestoreOptions) -> str:
    """Why a run gave not one frame."""
    start, end = options.start, options.end
    begin = "the beginning" if start is None else f"{float(start):g} s"
    stop = "the end" if end is None else f"{float(end):g} s"
    length = info.duration
    where = "" if length is None else f" The video lasts {float(length):.2f} s."
    return f"{info.path}: no frame is shown from {begin} to {stop}; times count from the first frame.{where}"


def _check_shown(info: VideoInfo, options: RestoreOptions) -> None:
    """Raises OptionError where no frame is shown from `start` to `end`, by decoding: stated lengths may be wrong."""
    if (options.start, options.end) == (None, None) or info.reader is not None:
        return
    if next(decode(info, start=options.start, end=options.end), None) is None:  # dropped, it closes the file
        raise OptionError(nothing_shown(info, options))


def stated_frames(info: VideoInfo, options: RestoreOptions) -> int | None:
    """Input frames that are shown at some moment between start and end, by what the file states."""
    if options.start is None and options.end is None:
        return info.frame_count or (round(info.duration * info.rate) if info.duration else None)
    last = info.duration or options.end
    if last is None:
        return None
    cut = options.end is not None and options.end < last
    end = ceil(options.end * info.rate) if cut and options.end is not None else round(last * info.rate)
    return max(0, end - floor((options.start or 0) * info.rate))
