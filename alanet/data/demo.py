"""`alanet data blur`: a sharp high-rate video -> a poor low-rate one, and its ground truth, to test with.

    sharp     0 1 2 3 4 5 6 7 8 9 ...            rate r, exposure 11, period 8, truth x2
    poor      frame i: the mean of 11 frames around frame 5 + 8 i, or that frame itself, at rate r / 8
    truth     frames 5, 9, 13, 17 ...            at rate r / 4: the perfect result for the blurred video

All three have one time line, which begins with the first poor frame: what is shown at a time in one is shown then in
the others. No exposure spans a cut: there the blurred video keeps the sharp frame. A JSON beside them says which frames
were blurred.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from alanet.data.real.read import LOWEST_RATE
from alanet.errors import DataError, OptionError, OutputError
from alanet.files import write_json
from alanet.frames.color import linear_to_srgb, srgb_to_linear, to_float, to_integer
from alanet.frames.cuts import find_cuts
from alanet.frames.exposure import Exposure, draw_blurred
from alanet.frames.frame import Frame, Pixels, VideoInfo
from alanet.frames.timing import Factor
from alanet.notes import Notes
from alanet.restoration.options import EncodeOptions
from alanet.restoration.writer import VideoWriter, open_writer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from alanet.video.input.scores import scored
from alanet.video.output.format import OutputPlan, plan_output

__all__ = ["BlurOptions", "BlurPlan", "BlurReport", "blur_video", "plan_blur", "run_blur"]

USUAL_RATE = Fraction(240)  # frames a second that a slower video is taken for by default


@dataclass(frozen=True, slots=True)
class BlurOptions:
    """How the blurred video is made."""

    exposure: Exposure = field(default_factory=Exposure)  # sec. 5.2: 11 frames, period 8
    probability: float = 0.5  # of a frame to be blurry
    seed: int = 0
    linear: bool = False  # average light instead of sRGB values
    factor: int = 2  # frames of truth for every poor frame
    assume_rate: Fraction | None = None  # frames a second that a source below 120 fps stands for

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise OptionError(f"a probability of {self.probability} for a blurry frame; allowed: 0 to 1")
        if self.assume_rate is not None and self.assume_rate < LOWEST_RATE:
            raise OptionError(f"an assumed rate of {self.assume_rate} fps; allowed: 120 or more, such as 240")
        self.exposure.times(1, self.factor)  # raises where the factor does not divide the period


@dataclass(frozen=True, slots=True)
class BlurPlan:
    """What will be written, before it is."""

    info: VideoInfo
    options: BlurOptions
    rate: Fraction  # frames a second that the source is taken for
    assumed: bool
    poor: OutputPlan
    truth: OutputPlan
    list: Path  # the JSON


@dataclass(frozen=True, slots=True)
class BlurReport:
    """What was written."""

    poor: Path
    truth: Path
    list: Path
    frames: int  # of the blurred video
    blurred: int
    truth_frames: int
    notes: Notes


def blur_video(
    source: Path,
    output: Path | None = None,
    options: BlurOptions = BlurOptions(),
    encode: EncodeOptions = EncodeOptions(),
    *,
    on_progress: Callable[[int], None] | None = None,
) -> BlurReport:
    """Plan and write OUTPUT (default: NAME_poor beside the source), OUTPUT_truth and OUTPUT.json."""
    notes = Notes()
    return run_blur(plan_blur(source, output, options, encode, notes), notes, on_progress=on_progress)


def plan_blur(source: Path, output: Path | None, options: BlurOptions, encode: EncodeOptions, notes: Notes) -> BlurPlan:
    """Refuses what can be refused. A source below 120 fps is no high-rate video: a note says what it stands for."""
    if output is not None and str(output) == "-":
        raise OptionError("two videos do not go to standard output; give a file with -o")
    folder = source.is_dir()
    info = probe(source, input_rate=(options.assume_rate or USUAL_RATE) if folder else None)
    assumed = folder or info.rate < LOWEST_RATE
    rate = (options.assume_rate or USUAL_RATE) if assumed else info.rate
    poor_rate = rate / options.exposure.period
    if assumed:
        what = "a folder of pictures has no rate" if folder else f"{float(info.rate):.4g} fps is no high-rate video"
        notes.warn(
            f"{what}: its frames are taken as if {float(rate):.4g} fps, so the motion from one to the next stands for "
            f"1/{float(rate):.4g} s and what took {options.exposure.period} frames passes in 1/{float(poor_rate):.4g} s"
        )
        if info.streams:
            notes.leave_out("sound and other streams: the result does not keep the source's time")
    own = Notes() if assumed else notes
    base = _common(info.time_base, 1 / (rate * options.factor))
    poor = plan_output(replace(info, rate=poor_rate, time_base=base), output, encode, own,
                       suffix="_poor", schedule=Factor(1))  # fmt: skip
    beside = poor.path.with_name(f"{poor.path.stem}_truth{poor.path.suffix}")
    truth = plan_output(replace(info, rate=poor_rate * options.factor, time_base=base), beside, encode, own,
                        schedule=Factor(1))  # fmt: skip
    if poor.kind == "pictures" and truth.kind != "pictures":
        raise OutputError(f"{beside}: cannot be a folder of pictures; give another name with -o")
    listed = poor.path.with_suffix(".json")
    if listed.exists() and not encode.overwrite:
        raise OutputError(f"{listed}: exists already; --overwrite replaces it")
    if assumed:  # nothing of the source's time line is left
        poor, truth = (replace(plan, source_is_media=False, carried=()) for plan in (poor, truth))
    return BlurPlan(info, options, rate, assumed, poor, truth, listed)


def _common(a: Fraction, b: Fraction) -> Fraction:
    """The longest tick that counts both."""
    return Fraction(math.gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


def run_blur(plan: BlurPlan, notes: Notes, *, on_progress: Callable[[int], None] | None = None) -> BlurReport:
    """Write what was planned; `on_progress` gets the number of sharp frames read. Nothing is left where it fails.

    Raises DataError where there are fewer frames than an exposure has.
    """
    frames = decode(plan.info, notes=notes)
    rows: list[dict[str, Any]] = []
    shown = 0
    with open_writer(plan.poor, notes=notes) as poor, open_writer(plan.truth, notes=notes) as truth:
        for moment in _moments(_counted(frames, on_progress), plan):
            for frame in moment.truth:
                truth.write(frame)
            shown += len(moment.truth)
            poor.write(moment.poor)
            rows.append(moment.row)
        if not rows:
            raise DataError(
                f"{plan.info.path}: has fewer than {plan.options.exposure.frames} frames, the exposure; give a longer "
                "video or a shorter --exposure"
            )
        _finish(poor, truth)
    write_json(plan.list, _about(plan, rows))
    blurred = sum(row["blurred"] for row in rows)
    return BlurReport(plan.poor.path, plan.truth.path, plan.list, len(rows), blurred, shown, notes)


def _finish(poor: VideoWriter, truth: VideoWriter) -> None:
    truth.finish()
    poor.finish()


def _counted(frames: Iterable[Frame], on_progress: Callable[[int], None] | None) -> Iterator[Frame]:
    for count, frame in enumerate(frames, 1):
        yield frame
        if on_progress:
            on_progress(count)


@dataclass(frozen=True, slots=True)
class _Moment:
    """A poor frame, the truth up to it, and what is written down of it."""

    poor: Frame
    truth: list[Frame]
    row: dict[str, Any]


def _moments(frames: Iterable[Frame], plan: BlurPlan) -> Iterator[_Moment]:
    """Holds one exposure of frames, however long the video."""
    options, exposure = plan.options, plan.options.exposure
    half, step = exposure.frames // 2, exposure.period // options.factor
    rng = np.random.default_rng(options.seed)
    near: deque[Frame] = deque(maxlen=exposure.frames)
    cuts: deque[int] = deque(maxlen=exposure.frames)
    waiting: deque[tuple[int, Frame]] = deque()  # truth that no poor frame has reached yet
    first: Fraction | None = None
    number = 0
    for index, (frame, _, cut) in enumerate(find_cuts(scored(frames))):
        first = (Fraction(0) if plan.assumed else frame.time + half / plan.rate) if first is None else first
        near.append(frame)
        if cut:
            cuts.append(index)
        if index >= half and (index - half) % step == 0:
            time = first + (index - half) / plan.rate
            waiting.append((index, replace(frame, time=time, duration=step / plan.rate)))
        centre = exposure.centre(number)
        if index != centre + half:
            continue
        spans = any(centre - half < k <= centre + half for k in cuts)
        drawn = bool(draw_blurred(rng, 1, options.probability)[0])
        blurred = drawn and not spans and exposure.frames > 1
        time, duration = first + (centre - half) / plan.rate, exposure.period / plan.rate
        sharp = replace(near[half], time=time, duration=duration)
        poor = replace(sharp, pixels=_mean(near, linear=options.linear), source=None) if blurred else sharp
        truth = []
        while waiting and waiting[0][0] <= centre:
            truth.append(waiting.popleft()[1])
        row = {"time": str(time - first), "sharp_frame": centre, "blurred": blurred}
        if drawn and spans:
            row["at_cut"] = True
        yield _Moment(poor, truth, row)
        number += 1


def _mean(frames: Iterable[Frame], *, linear: bool) -> Pixels:
    """The mean of their pixels (eq. 7), one by one, as 11 large frames in float would fill the memory."""
    total: Any = 0
    count, depth = 0, 8
    for frame in frames:
        values = to_float(frame.pixels)
        total = total + (srgb_to_linear(values) if linear else values)
        count += 1
        depth = 8 * frame.pixels.itemsize
    mean = total / np.float32(count)
    return to_integer(linear_to_srgb(mean) if linear else mean, depth)


def _about(plan: BlurPlan, rows: list[dict[str, Any]]) -> dict[str, Any]:
    from alanet.version import __version__

    options = plan.options
    return {
        "source": plan.info.path.name,
        "stated_rate": None if plan.info.files else str(plan.info.rate),
        "rate": str(plan.rate),
        "exposure": options.exposure.frames,
        "period": options.exposure.period,
        "probability": options.probability,
        "seed": options.seed,
        "linear": options.linear,
        "poor": plan.poor.path.name,
        "truth": plan.truth.path.name,
        "truth_factor": options.factor,
        "version": __version__,
        "frames": rows,
    }
