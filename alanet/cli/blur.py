"""`alanet data blur`: a blurred video with its ground truth, made from a sharp high-rate one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from alanet.cli.options import EncodeOptions, Verbosity, flag
from alanet.cli.progress import progress
from alanet.cli.screen import Screen
from alanet.restoration.values import parse_ratio
from alanet.signals import deferred_signals
from alanet.text import count, rate

__all__ = ["blur"]

BLUR = Group("Blur", sort_key=1)


@Parameter(name="*", group=BLUR)
@dataclass(frozen=True)
class Blurring:
    """How the blurred video is made."""

    exposure: Annotated[int, Parameter(metavar="N", help="Exposure in sharp frames; odd.")] = 11
    period: Annotated[int, Parameter(metavar="N", help="Frame period in sharp frames; even.")] = 8
    probability: Annotated[float, Parameter(metavar="P", help="Probability that a frame is blurred.")] = 0.5
    seed: Annotated[int, Parameter(metavar="N", help="Seed of the random choice.")] = 0
    linear: Annotated[bool, flag(["--linear"], "Average light, as a camera does, instead of pixel values.")] = False
    truth: Annotated[int, Parameter(metavar="N", help="Ground-truth frames per output frame.")] = 2
    assume_rate: Annotated[
        str | None, Parameter(metavar="RATE", help="Rate to assume for a source below 120 fps. The default is 240.")
    ] = None


def blur(
    video: Annotated[Path, Parameter(name="VIDEO", help="A sharp video of 120 fps or more, or a folder of frames.")],
    /,
    *,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="Output path. The default is NAME_poor beside the source.")
    ] = None,
    blurring: Blurring = Blurring(),
    encoding: EncodeOptions = EncodeOptions(),
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Make a blurred low-rate video from a sharp high-rate one, with the ground truth and a list of blurry frames."""
    from alanet.data.demo import BlurOptions, plan_blur, run_blur
    from alanet.frames.exposure import Exposure
    from alanet.notes import Notes

    assumed = None if blurring.assume_rate is None else parse_ratio(blurring.assume_rate)
    options = BlurOptions(
        Exposure(blurring.exposure, blurring.period), blurring.probability, blurring.seed, blurring.linear,
        blurring.truth, assumed,
    )  # fmt: skip
    notes, screen = Notes(), Screen(quiet=verbosity.quiet)
    plan = plan_blur(video, output, options, encoding, notes)
    screen.heading(f"{video} → {plan.poor.path}")
    screen.rows([("rate", f"{rate(plan.rate)} → {rate(plan.poor.rate)}, truth {rate(plan.truth.rate)}")])
    with deferred_signals() as safe_place, progress(screen, "blurring") as show:

        def on_progress(done: int) -> None:
            show(done, plan.info.frame_count, "")
            safe_place()

        report = run_blur(plan, notes, on_progress=on_progress)
    rows = [("done", f"{count(report.frames, 'poor frame')}, {report.blurred} of them blurry; "
                     f"{count(report.truth_frames, 'frame')} of truth")]  # fmt: skip
    rows += [("kept", line) for line in notes.kept]
    rows += [("left out", line) for line in notes.left_out]
    rows += [("warning", line) for line in notes.warnings]
    rows += [("truth", str(report.truth)), ("list", str(report.list)), ("result", str(report.poor))]
    screen.rows(rows)
    if verbosity.json:
        print(json.dumps({
            "poor": str(report.poor), "truth": str(report.truth), "list": str(report.list), "frames": report.frames,
            "blurred": report.blurred, "truth_frames": report.truth_frames, "warnings": notes.warnings,
        }))  # fmt: skip
    return 0
