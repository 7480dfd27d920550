"""`alanet restore` of many videos, by many processes, or both: a line for each as it ends, then a table of all.

With --json an object for each video goes to standard output as it ends, a line each.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from alanet.cli.options import NetworkOptions, RestoreOptions, Verbosity, source_path
from alanet.cli.progress import batch_progress, progress, restoration_line
from alanet.cli.screen import Screen
from alanet.engine.threads import check_count, physical_cores
from alanet.errors import AlanetError, IncompleteError, OptionError
from alanet.restoration.batch import Item, Outcome, find_items
from alanet.restoration.dispatch import ERRORS, Dispatch
from alanet.restoration.summary import estimate_rows
from alanet.restoration.work import Prepared, Setup
from alanet.signals import Terminated, deferred_signals
from alanet.text import count, duration, safe

if TYPE_CHECKING:
    from alanet.restoration.progress import RestoreProgress

__all__ = ["close_batch", "goes_on", "line_of", "restore_many", "share_done", "table"]


def restore_many(
    source: Path | None,
    output: Path | None,
    options: RestoreOptions,
    network: NetworkOptions,
    verbosity: Verbosity,
    *,
    recursive: bool,
    workers: int,
) -> int:
    """What `restore` does with --recursive or --workers."""
    path = source_path(source)
    _refuse(path, output, options, recursive, workers)
    items, others = [Item(path.name, str(path), output=None if output is None else str(output))], 0
    if recursive:
        assert output is not None, "refused"
        items, others = find_items(path, output)
    screen = Screen(quiet=verbosity.quiet)
    threads = network.threads or (None if workers == 1 else max(1, physical_cores() // workers))
    options = replace(options, encode=replace(options.encode, threads=threads or 0))
    setup = Setup(replace(network, threads=threads), options, workers, verbosity.verbose)
    if not recursive:
        return _one(items[0], setup, screen, verbosity)
    screen.heading(f"{count(len(items), 'video')} below {path} → {output}")
    outcomes: list[Outcome] = []

    def over(outcome: Outcome) -> None:
        outcomes.append(outcome)
        screen.say(line_of(outcome))
        if verbosity.json:
            print(json.dumps(outcome.to_dict()), flush=True)

    try:
        (_alone if workers == 1 else _together)(items, setup, screen, over)
    except (KeyboardInterrupt, Terminated) as error:
        raise type(error)(f"stopped; {share_done(outcomes, items)}; {goes_on()}") from None
    return close_batch(sorted(outcomes, key=lambda outcome: outcome.name), others, screen)


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """A line a video, in columns: state, name, frames and seconds or the reason."""
    width = max((len(safe(outcome.name)) for outcome in outcomes), default=0)
    return [f"{o.state:8} {safe(o.name):{width}}  {_what(o)}" for o in outcomes]


def line_of(outcome: Outcome) -> str:
    """A video's end."""
    return f"{outcome.state}: {outcome.name}: {_what(outcome)}"


def _what(outcome: Outcome) -> str:
    if outcome.reason is not None:
        return outcome.reason
    frames = f"{count(outcome.frames_in, 'frame')} in, {outcome.frames_out:,} out"
    return f"{frames}, done before" if outcome.state == "skipped" else f"{frames}, {duration(outcome.seconds)}"


def close_batch(outcomes: list[Outcome], others: int, screen: Screen) -> int:
    """The table, the sum, the exit code."""
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    screen.heading("")
    for line in table(outcomes):
        screen.say(line)
    number = {state: sum(o.state == state for o in outcomes) for state in ("done", "skipped", "failed")}
    words = [f"{number['done']} restored", f"{number['skipped']} done before", f"{number['failed']} failed"]
    rows = [("sum", ", ".join(words))]
    if others:
        rows.append(("others", f"{count(others, 'other file')} skipped: not videos by their names"))
    screen.rows(rows)
    if screen.quiet:
        for outcome in failed:
            print(f"alanet: {safe(outcome.name)}: {safe(outcome.reason)}", file=sys.stderr)
    return IncompleteError.exit_code if failed else 0


def _refuse(path: Path, output: Path | None, options: RestoreOptions, recursive: bool, workers: int) -> None:
    """What does not go together, before anything is looked at."""
    check_count(workers, "--workers")
    if Path("-") in (path, output):
        raise OptionError("--recursive and --workers go with files, not with - (standard input and output)")
    if options.encode.codec == "png":
        raise OptionError("--codec png makes a folder of pictures; leave --recursive and --workers out for it")
    if not recursive and path.is_dir() and options.input_rate is None:
        raise OptionError(f"{path}: is a folder; give --recursive, or --input-rate where it holds a video's images")
    if not recursive:
        return
    if not path.is_dir():
        raise OptionError(f"{path}: --recursive goes with a folder of videos; leave it out for a file")
    if output is None:
        raise OptionError("--recursive needs a folder for the results; give one with -o")
    if options.input_rate is not None:
        raise OptionError("--input-rate is for one folder of images; --recursive restores video files, leave one out")


def _one(item: Item, setup: Setup, screen: Screen, verbosity: Verbosity) -> int:
    """One video, by several processes."""
    outputs: list[str] = []
    outcomes: list[Outcome] = []

    def opened(prepared: Prepared) -> None:
        outputs.append(prepared.output)
        screen.heading(f"{prepared.source} → {prepared.output}")
        screen.rows([(name, text) for name, text in prepared.rows if name != "estimate"])

    try:
        _together([item], setup, screen, outcomes.append, opened)
    except (KeyboardInterrupt, Terminated) as error:
        kept = _kept(Path(outputs[0])) if outputs else ""
        raise type(error)(f"stopped; {kept}" if kept else "") from None
    (outcome,) = outcomes
    if outcome.state == "failed":
        raise ERRORS.get(outcome.code, AlanetError)(outcome.reason or "")
    screen.rows([("done", _what(outcome)), *estimate_rows(outcome.estimates)])
    names = {"kept": "kept", "left_out": "left out", "warnings": "warning"}
    screen.rows([(names[name], line) for name, lines in outcome.notes.items() for line in lines])
    screen.rows([("result", str(outcome.output))])
    if verbosity.json:
        print(json.dumps(outcome.to_dict()))
    return 0


def _together(
    items: list[Item],
    setup: Setup,
    screen: Screen,
    over: Callable[[Outcome], None],
    opened: Callable[[Prepared], None] = lambda prepared: None,
) -> None:
    """By several processes."""
    from alanet.restoration.pool import Pool

    with batch_progress(screen) as show:
        Dispatch(items, Pool(setup), over=over, opened=opened, on_progress=show, say=screen.say).run()


def _alone(items: list[Item], setup: Setup, screen: Screen, over: Callable[[Outcome], None]) -> None:
    """One video after another, in this process."""
    from alanet.restoration.restorer import Restorer
    from alanet.restoration.worker import Worker

    with screen.waiting("loading the network"):
        worker = Worker(Restorer(**asdict(setup.network)), setup.options)
    with deferred_signals(screen.say) as safe_place, progress(screen, "restoring") as show:
        for i, item in enumerate(items):

            def on_progress(now: RestoreProgress, i: int = i, name: str = item.name) -> None:
                show(i, len(items), f"{name}: {restoration_line(now).strip()}")
                safe_place(now.finished, now.wait)

            over(worker.restore(item, on_progress=on_progress))


def _kept(path: Path) -> str:
    from alanet.video.output.destination import work_folder
    from alanet.video.output.segments import finished_in

    seconds = sum(float(segment.end - segment.start) for segment in finished_in(work_folder(path)).values())
    return f"{seconds:.1f} s of the result are finished and kept; {goes_on()}" if seconds else ""


def share_done(outcomes: list[Outcome], items: list[Item]) -> str:
    """How much of an interrupted batch is done."""
    done = sum(outcome.state in ("done", "skipped") for outcome in outcomes)
    return f"{done} of {count(len(items), 'video')} are done, and of others what is finished is kept"


def goes_on() -> str:
    """The command that resumes this run."""
    words = [word for word in sys.argv[1:] if word != "--restart"]
    return f"resume with: {shlex.join(['alanet', *words])}"
