"""`alanet restore`: the estimate before, the progress, and what was kept and left out after."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from alanet.cli.interrupts import Terminated, gently
from alanet.cli.options import (
    NETWORK,
    RESULT,
    Encoding,
    Network,
    Output,
    Reading,
    Source,
    Telling,
    Timing,
    flag,
    source_path,
)
from alanet.cli.screen import Screen
from alanet.cli.show import count, duration, rate, size
from alanet.errors import OptionError, OutputError, ResourceError

if TYPE_CHECKING:
    from alanet.frames.frame import VideoInfo
    from alanet.restore import Progress, RestorePlan, Restorer, RestoreReport

__all__ = ["closing_rows", "describe", "estimate", "opening_rows", "restore"]

Restart = Annotated[
    bool,
    Parameter(
        name=["--restart"],
        negative="",
        show_default=False,
        group=RESULT,
        help="Begin anew, where an interrupted run would be gone on with.",
    ),
]


Recursive = Annotated[
    bool,
    flag(["--recursive"], "Restore the videos below a folder into the folder of -o, but those that are done."),
    Parameter(group=RESULT),
]
Workers = Annotated[
    int,
    Parameter(
        name=["--workers"],
        metavar="N",
        group=NETWORK,
        help="Processes that share the work, a long video's too; they share the cores, the memory and the GPUs.",
    ),
]


def restore(
    source: Source = None,
    /,
    *,
    output: Output = None,
    encoding: Encoding = Encoding(),
    timing: Timing = Timing(),
    reading: Reading = Reading(),
    network: Network = Network(),
    telling: Telling = Telling(),
    restart: Restart = False,
    recursive: Recursive = False,
    workers: Workers = 1,
) -> int:
    """Turn a poor video into a sharp one at twice the frame rate.

    Without a video, the bundled sample is restored into the current folder. After an interruption the same command
    goes on with what is finished.
    """
    if recursive or workers != 1:
        from alanet.cli.batch import restore_many

        how = (encoding, timing, reading, network, telling)
        return restore_many(source, output, *how, restart=restart, recursive=recursive, workers=workers)
    if output == Path("-") and telling.json:
        raise OptionError("--json and the output - both need standard output; write the video to a file")
    if output == Path("-") and sys.stdout.isatty():
        raise OptionError(
            "standard output is a terminal, which shows no video; send it on: alanet restore ... -o - | PLAYER -"
        )
    path = source_path(source)
    if path.is_dir() and reading.input_rate is None:
        raise OptionError(
            f"{path}: is a folder; give --recursive and -o OUT to restore the videos below it, or --input-rate RATE "
            "where it holds the images of one"
        )
    if source is None and output is None:
        output = free_path(Path.cwd() / f"{path.stem}_x2{path.suffix}")
    screen = Screen(quiet=telling.quiet)
    options = replace(timing.options(reading, encoding.options(network.threads)), restart=restart)
    with screen.waiting("loading the network"):
        restorer = network.restorer()
        plan = restorer.plan(path, output, options)
    screen.heading(f"{_named(path, 'standard input')} → {_named(plan.output.path, 'standard output')}")
    screen.rows(opening_rows(plan, f"{restorer.model_name} on {restorer.device}, {plan.precision}"))
    report = _run(restorer, plan, screen)
    screen.rows(closing_rows(report))
    if telling.json:
        print(json.dumps(report.to_dict()))
    return 0


def _run(restorer: Restorer, plan: RestorePlan, screen: Screen) -> RestoreReport:
    """The run; whatever ends it before its time says what is kept and how to go on."""
    try:
        with gently(screen.say) as safe_place, screen.progress() as show:

            def on_progress(progress: Progress) -> None:
                show(progress)
                safe_place(progress.finished, progress.wait)

            return restorer.run(plan, on_progress=on_progress)
    except (KeyboardInterrupt, Terminated) as error:
        kept = kept_so_far(plan)
        raise type(error)(f"stopped; {kept}" if kept else "") from None
    except (OutputError, ResourceError) as error:
        kept = kept_so_far(plan)
        raise type(error)(f"{error}; {kept}" if kept else str(error)) from error


def kept_so_far(plan: RestorePlan) -> str:
    """What is finished, and the command that goes on with it; "" where nothing is."""
    from alanet.jobs import done_so_far

    seconds = done_so_far(plan.output) if plan.job is not None else 0
    words = [word for word in sys.argv[1:] if word != "--restart"]
    goes_on = shlex.join(["alanet", *words])
    return f"{float(seconds):.1f} s of the result are finished and kept; go on with: {goes_on}" if seconds else ""


def free_path(path: Path) -> Path:
    """The path, or the first of NAME_2, NAME_3 ... that is not taken: the sample can be tried twice."""
    tries, number = path, 1
    while tries.exists():
        number += 1
        tries = path.with_stem(f"{path.stem}_{number}")
    return tries


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
    from alanet.video.disk import check_room

    rows = [("input", describe(plan.info)), ("output", rate(plan.rate) + slower(plan)), ("network", network)]
    if len(plan.tiles) > 1:
        rows.append(("tiles", f"{len(plan.tiles)} a frame, to stay within the memory"))
    if plan.done:
        rows.append(("goes on", f"after {plan.done:,} restored frames that an earlier run has finished"))
    if room := check_room(plan.output, plan.frames_out, done=plan.done):
        rows.append(("warning", room))
    return [*rows, ("estimate", estimate(plan.seconds, plan.frames_in))]


def slower(plan: RestorePlan) -> str:
    slow = plan.options.rate.slow
    return f", {slow} times slower" if slow > 1 else ""


def closing_rows(report: RestoreReport) -> list[tuple[str, str]]:
    """What was done, kept, left out and should be known; the result's path last."""
    made = report.frames_out - report.earlier_out
    speed = f", {made / report.seconds:.1f} a second" if made and report.seconds > 0 else ""
    done = f"{count(report.frames_in, 'frame')} in, {report.frames_out:,} out, in {duration(report.seconds)}{speed}"
    found = [count(n, thing) for n, thing in ((report.cuts, "cut"), (report.duplicates, "duplicate frame")) if n]
    rows = [("done", ", ".join([done, *found]))]
    if report.exposure is not None:
        share = f"{report.sharp:,} of {report.judged:,} judged sharp and passed on as they came"
        rows.append(("frames", f"{share}; exposure {report.exposure:.2f} of a period on average"))
    rows += [("kept", line) for line in report.notes.kept]
    rows += [("left out", line) for line in report.notes.left_out]
    rows += [("warning", line) for line in report.notes.warnings]
    weight = f" ({size(report.output.stat().st_size)})" if report.output.is_file() else ""
    return [*rows, ("result", f"{_named(report.output, 'standard output')}{weight}")]


def _named(path: Path, stream: str) -> str:
    """A path, or what "-" stands for."""
    return stream if str(path) == "-" else str(path)
