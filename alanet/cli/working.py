"""Work that counts: a bar on a terminal, a line now and then elsewhere, and interruptions that lose nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from alanet.cli.screen import SECONDS_A_LINE, Screen
from alanet.signals import Terminated, gently
from alanet.text import clock, safe

__all__ = ["counting_line", "resumable", "working"]


@contextmanager
def resumable() -> Iterator[Callable[[], None]]:
    """Yields what marks safe places; an interruption says that the work is not lost."""
    try:
        with gently() as safe_place:
            yield safe_place
    except (KeyboardInterrupt, Terminated) as error:
        raise type(error)("stopped; what is finished is kept, and the same command goes on with it") from None


Show = Callable[[int, int | None, str], None]


@contextmanager
def working(screen: Screen, what: str) -> Iterator[Show]:
    """Inside it, what is called with (done, of how many, what is at work) shows it: a bar on a terminal, else lines."""
    began = time.monotonic()
    if screen.quiet:
        yield lambda done, total, text: None
    elif screen.console.is_terminal:
        columns = (TextColumn("  {task.description}"), BarColumn(40), TextColumn("{task.fields[line]}", markup=False))
        with Bar(*columns, console=screen.console, transient=True) as bar:
            task = bar.add_task(what, total=None, line="")
            yield lambda done, total, text: bar.update(
                task, completed=done, total=total, line=counting_line(done, total, text, time.monotonic() - began)
            )
    else:
        last = began

        def tell(done: int, total: int | None, text: str) -> None:
            nonlocal last
            if time.monotonic() - last >= SECONDS_A_LINE:
                last = time.monotonic()
                screen.console.print(Text(f"  {what}: {counting_line(done, total, text, last - began)}"))

        yield tell


def counting_line(done: int, total: int | None, text: str, seconds: float) -> str:
    """ "1,200 of 9,000   80.0 a second   1:37 left   video 2 of 12: a.mp4"; totals that files state may be wrong."""
    parts = [f"{done:,} of {total:,}" if total and done <= total else f"{done:,}"]
    if seconds > 0 and done:
        parts.append(f"{done / seconds:.1f} a second")
        if total and done <= total:
            parts.append(f"{clock(seconds / done * (total - done))} left")
    return "   ".join(filter(None, [*parts, safe(text)]))
