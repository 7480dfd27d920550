"""`alanet restore`: the estimate before, the progress, and what was kept and left out after."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from alanet.cli.cluster import Cluster, restore_on_cluster
from alanet.cli.options import (
    NETWORK,
    RESULT,
    NetworkOptions,
    Output,
    RestoreOptions,
    Source,
    Verbosity,
    flag,
    restorer_of,
    source_path,
)
from alanet.cli.progress import restoration_progress
from alanet.cli.screen import Screen
from alanet.errors import OptionError, OutputError, ResourceError
from alanet.restoration.summary import closing_rows, named, opening_rows
from alanet.signals import Terminated, deferred_signals

if TYPE_CHECKING:
    from alanet.restoration.plan import RestorePlan, RestoreReport
    from alanet.restoration.progress import RestoreProgress
    from alanet.restoration.restorer import Restorer

__all__ = ["restore"]

Recursive = Annotated[
    bool,
    flag(["--recursive"], "Restore all videos of a folder into the folder of -o. Finished ones are skipped."),
    Parameter(group=RESULT),
]
Workers = Annotated[
    int,
    Parameter(
        name=["--workers"],
        metavar="N",
        group=NETWORK,
        help="Number of processes. They share one long video too, and the cores, the memory and the GPUs.",
    ),
]


def restore(
    source: Source = None,
    /,
    *more: Annotated[Path, Parameter(name="VIDEO", show=False)],
    output: Output = None,
    options: RestoreOptions = RestoreOptions(),
    network: NetworkOptions = NetworkOptions(),
    verbosity: Verbosity = Verbosity(),
    recursive: Recursive = False,
    workers: Workers = 1,
    cluster: Cluster = Cluster(),
) -> int:
    """Deblur a video and add frames in between: twice the frame rate, or another.

    Without a video, the bundled sample is restored into the current folder. After an interruption, the same command
    resumes after the finished part.
    """
    if cluster.cluster is not None:
        if workers != 1:
            raise OptionError("--workers is for this machine; with --cluster give --cpus-per-worker instead")
        sources = [path for path in (source, *more) if path is not None]
        return restore_on_cluster(sources, output, options, network, verbosity, cluster.options())
    if more:
        words = " ".join(map(str, more))
        raise OptionError(f"unexpected arguments: {words}. Give one video at a time, or --cluster.")
    if recursive or workers != 1:
        from alanet.cli.batch import restore_many

        return restore_many(source, output, options, network, verbosity, recursive=recursive, workers=workers)
    if output == Path("-") and verbosity.json:
        raise OptionError("--json and the output - both need standard output; write the video to a file")
    if output == Path("-") and sys.stdout.isatty():
        raise OptionError(
            "standard output is a terminal, which shows no video; send it on: alanet restore ... -o - | PLAYER -"
        )
    path = source_path(source)
    if path.is_dir() and options.input_rate is None:
        raise OptionError(
            f"{path}: is a folder; give --recursive and -o OUT to restore the videos below it, or --input-rate RATE "
            "where it holds the images of one"
        )
    if source is None and output is None:
        output = free_path(Path.cwd() / f"{path.stem}_x2{path.suffix}")
    screen = Screen(quiet=verbosity.quiet)
    options = replace(options, encode=replace(options.encode, threads=network.threads or 0))
    with screen.waiting("loading the network"):
        restorer = restorer_of(network)
        plan = restorer.plan(path, output, options)
    screen.heading(f"{named(path, 'standard input')} → {named(plan.output.path, 'standard output')}")
    screen.rows(opening_rows(plan, restorer.network.place(plan.precision)))
    report = _run(restorer, plan, screen)
    screen.rows(closing_rows(report))
    if verbosity.json:
        print(json.dumps(report.to_dict()))
    return 0


def _run(restorer: Restorer, plan: RestorePlan, screen: Screen) -> RestoreReport:
    """The run; an interruption states what is kept and how to resume."""
    try:
        with deferred_signals(screen.say) as safe_place, restoration_progress(screen) as show:

            def on_progress(progress: RestoreProgress) -> None:
                show(progress)
                safe_place(progress.finished, progress.wait)

            return restorer.run(plan, on_progress=on_progress)
    except (KeyboardInterrupt, Terminated) as error:
        kept = kept_so_far(plan)
        raise type(error)(f"stopped; {kept or left_over(plan)}") from None
    except (OutputError, ResourceError) as error:
        kept = kept_so_far(plan)
        raise type(error)(f"{error}; {kept}" if kept else str(error)) from error


def kept_so_far(plan: RestorePlan) -> str:
    """The finished part, and the command that resumes; "" where nothing is finished."""
    from alanet.restoration.workdir import done_so_far

    seconds = done_so_far(plan.output) if plan.job is not None else 0
    words = [word for word in sys.argv[1:] if word != "--restart"]
    goes_on = shlex.join(["alanet", *words])
    return f"{float(seconds):.1f} s of the result are finished and kept; resume with: {goes_on}" if seconds else ""


def left_over(plan: RestorePlan) -> str:
    """What an interrupted run without a finished part has left."""
    from alanet.video.output.destination import work_folder

    if str(plan.output.path) == "-":
        return "what was sent to standard output is incomplete"
    folder = work_folder(plan.output.path)
    return f"{folder} is left" if folder.exists() else "no unfinished files are left"


def free_path(path: Path) -> Path:
    """The path, or the first of NAME_2, NAME_3 ... that is not taken: the sample can be tried twice."""
    tries, number = path, 1
    while tries.exists():
        number += 1
        tries = path.with_stem(f"{path.stem}_{number}")
    return tries
