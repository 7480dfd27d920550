"""Progress of work: a bar on a terminal, else a line every few seconds; and interruptions that lose nothing."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from alanet.cli.screen import Screen
from alanet.signals import Terminated, deferred_signals
from alanet.text import clock, count, safe

if TYPE_CHECKING:
    from alanet.restoration.crew import Progress as BatchProgress
    from alanet.restoration.progress import RestoreProgress
    from alanet.training.loop import TrainProgress

__all__ = [
    "Show",
    "batch_line",
    "batch_progress",
    "counting_line",
    "progress",
    "restoration_line",
    "restoration_progress",
    "resumable",
    "training_progress",
    "warnings_on",
]

SECONDS_A_LINE = 5.0
SECONDS_A_TRAINING_LINE = 20.0
WIDTH = 40  # of a bar, characters

Show = Callable[[int, int | None, str], None]


@contextmanager
def _bar(
    screen: Screen, what: str, every: float = SECONDS_A_LINE, *, at_once: bool = False
) -> Iterator[Callable[..., None]]:
    """Yields `show(done, total, line)`. every: seconds between lines without a terminal, the first `at_once`."""
    if screen.quiet:
        yield lambda done, total, line: None
    elif screen.console.is_terminal:
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(WIDTH),
            TextColumn("{task.fields[line]}", markup=False),
        )
        with RichProgress(*columns, console=screen.console, transient=True) as bar:
            task = bar.add_task(what, total=None, line="")
            yield lambda done, total, line: bar.update(task, completed=done, total=total, line=line)
    else:
        last = -math.inf if at_once else time.monotonic()

        def show(done: float, total: float | None, line: str) -> None:
            nonlocal last
            if time.monotonic() - last >= every:
                last = time.monotonic()
                screen.console.print(Text(f"  {what}: {line}"))

        yield show


@contextmanager
def progress(screen: Screen, what: str) -> Iterator[Show]:
    """Yields `show(done, total, text)`, for work that is counted. text: what is being worked on."""
    began = time.monotonic()
    with _bar(screen, what) as show:
        yield lambda done, total, text: show(done, total, counting_line(done, total, text, time.monotonic() - began))


def counting_line(done: int, total: int | None, text: str, seconds: float) -> str:
    """ "1,200 of 9,000   80.0 a second   1:37 left   video 2 of 12: a.mp4"; totals that files state may be wrong."""
    parts = [f"{done:,} of {total:,}" if total and done <= total else f"{done:,}"]
    if seconds > 0 and done:
        rate = done / seconds
        parts.append(f"{rate:.1f} a second" if rate >= 0.1 else f"{clock(1 / rate)} each")
        if total and done <= total:
            parts.append(f"{clock(seconds / done * (total - done))} left")
    return "   ".join(filter(None, [*parts, safe(text)]))


@contextmanager
def restoration_progress(screen: Screen) -> Iterator[Callable[[RestoreProgress], None]]:
    """Yields a function that shows how far a restoration is."""
    with _bar(screen, "restoring") as show:
        yield lambda now: show(now.frames_in, now.frames_in_total, restoration_line(now))


def restoration_line(now: RestoreProgress) -> str:
    """ "  50 %   12 of 24 frames   1.5 frames a second   0:08 left": all of it counts input frames."""
    total = now.frames_in_total
    rate = "" if now.rate_in is None else f"{now.rate_in:.1f} frames a second"
    if total is None or now.frames_in > total:
        return "   ".join(filter(None, [count(now.frames_in, "frame"), rate, f"at {clock(float(now.position))}"]))
    share = f"{100 * now.frames_in // max(1, total):3d} %"
    left = "" if now.time_left is None else f"{clock(now.time_left)} left"
    return "   ".join(filter(None, [share, f"{now.frames_in:,} of {count(total, 'frame')}", rate, left]))


@contextmanager
def batch_progress(screen: Screen) -> Iterator[Callable[[BatchProgress], None]]:
    """Yields a function that shows how far several workers are."""
    with _bar(screen, "restoring") as show:
        yield lambda now: show(now.share, 1.0, batch_line(now))


def batch_line(now: BatchProgress) -> str:
    """ " 25 %   1 of 4 videos   12 of 40 segments   8.1 frames a second   1:37 left"."""
    parts = [f"{100 * now.share:3.0f} %"]
    if now.files_total > 1:
        parts.append(f"{now.files:,} of {count(now.files_total, 'video')}")
    parts.append(f"{now.segments:,} of {count(now.segments_total, 'segment')}")
    if now.frames and now.seconds > 0:
        parts.append(f"{now.frames / now.seconds:.1f} frames a second")
    if now.left is not None:
        parts.append(f"{clock(now.left)} left")
    return "   ".join(parts)


@contextmanager
def training_progress(screen: Screen) -> Iterator[Callable[[TrainProgress], None]]:
    """Yields a function that shows how far a training run is."""
    with _bar(screen, "training", SECONDS_A_TRAINING_LINE, at_once=True) as show:
        yield lambda now: show(now.fraction, 1.0, str(now))


@contextmanager
def resumable() -> Iterator[Callable[[], None]]:
    """Yields a function that marks safe places; the message of an interruption says that the work is kept."""
    try:
        with deferred_signals() as safe_place:
            yield safe_place
    except (KeyboardInterrupt, Terminated) as error:
        raise type(error)("stopped; finished work is kept, and the same command resumes it") from None


@contextmanager
def warnings_on(screen: Screen, verbose: bool) -> Iterator[None]:
    """Shows the library's warnings (steps skipped, batches replaced) at once."""
    log, handler = logging.getLogger("alanet"), _Rows(screen)
    if not verbose:  # then every line is shown anyway
        log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _Rows(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self.screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self.screen.rows([("warning", record.getMessage())])
