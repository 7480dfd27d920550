"""What a person sees while a verb runs: everything on standard error, safe to show, and nothing when asked to be quiet.

On a terminal the progress is a bar; elsewhere it is a line every few seconds, for logs.
"""

from __future__ import annotations

import logging
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from alanet.text import SafeFormatter, clock, count, safe

if TYPE_CHECKING:
    from alanet.restoration.progress import Progress

__all__ = ["Paper", "Screen", "is_plain", "page", "progress_line", "show_logging", "time_left"]

SECONDS_A_LINE = 5.0
INDENT = 13  # of a row's text
STYLES = {"warning": "yellow", "left out": "yellow", "result": "bold green"}


class Paper(Console):
    """Standard output, for what a verb was asked to report. A reader that goes away is not our failure to hide."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Screen:
    """Standard error as a page: a heading, rows of a name and a text, and progress."""

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self.quiet = quiet

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """A sign of life on a terminal."""
        if self.quiet or not self.console.is_terminal:
            yield
        else:
            with self.console.status(f"{what} ..."):
                yield

    def heading(self, text: str) -> None:
        if not self.quiet:
            self.console.print(Text(safe(text), style="bold"))

    def say(self, text: str) -> None:
        """A line while something is under way."""
        if not self.quiet:
            self.console.print(Text(f"  {safe(text)}"))

    def rows(self, rows: list[tuple[str, str]]) -> None:
        if rows and not self.quiet:
            self.console.print(page(rows, self.console))

    @contextmanager
    def progress(self) -> Iterator[Callable[[Progress], None]]:
        """Inside it, what is called with the library's progress shows it; the bar is gone afterwards."""
        if self.quiet:
            yield lambda progress: None
        elif self.console.is_terminal:
            columns = (TextColumn("  {task.description}"), BarColumn(40), TextColumn("{task.fields[line]}"))
            with Bar(*columns, console=self.console, transient=True) as bar:
                task = bar.add_task("restoring", total=None, line="")

                def advance(progress: Progress) -> None:
                    total = progress.frames_in_total
                    bar.update(task, completed=progress.frames_in, total=total, line=progress_line(progress))

                yield advance
        else:
            yield self._lines()

    def _lines(self) -> Callable[[Progress], None]:
        last = time.monotonic()

        def advance(progress: Progress) -> None:
            nonlocal last
            if time.monotonic() - last >= SECONDS_A_LINE:
                last = time.monotonic()
                self.console.print(Text(f"  restoring: {progress_line(progress)}"))

        return advance


def page(rows: list[tuple[str, str]], console: Console) -> Text:
    """Lines of a name and a text; a name that repeats is shown once. Long texts are wrapped for a terminal's eyes, but
    not a result's path, which is there to be copied, and nothing that goes to a file."""
    text, before = Text(), ""
    for name, said in rows:
        lines = [safe(said)]
        if console.is_terminal and name != "result" and INDENT + len(lines[0]) > console.width:
            width = max(console.width - INDENT, 20)
            lines = textwrap.wrap(lines[0], width, break_long_words=False, break_on_hyphens=False) or [""]
        for number, line in enumerate(lines):
            text.append(f"  {'' if name == before or number else name}".ljust(INDENT), "cyan")
            text.append(f"{line}\n", STYLES.get(name, ""))
        before = name
    text.rstrip()
    return text


def time_left(progress: Progress) -> float | None:
    """Seconds, if the rest goes as fast as what is done; None where the length is unknown or nothing is done yet."""
    done = progress.frames_in - progress.earlier_in
    if progress.frames_in_total is None or done <= 0 or progress.frames_in > progress.frames_in_total:
        return None
    return progress.seconds / done * (progress.frames_in_total - progress.frames_in)


def progress_line(progress: Progress) -> str:
    """ "  50 %   12 of 24 frames   1.5 restored a second   0:08 left"."""
    total = progress.frames_in_total
    made = progress.frames_out - progress.earlier_out
    rate = f"{made / progress.seconds:.1f} restored a second" if made > 0 and progress.seconds > 0 else ""
    left = time_left(progress)
    if left is None or total is None:
        return "   ".join(
            filter(None, [count(progress.frames_in, "frame"), rate, f"at {clock(float(progress.position))}"])
        )
    share = f"{100 * progress.frames_in // total:3d} %"
    return "   ".join(
        filter(None, [share, f"{progress.frames_in:,} of {count(total, 'frame')}", rate, f"{clock(left)} left"])
    )


def is_plain(console: Console) -> bool:
    """Whether this terminal has no block characters."""
    return not console.encoding.lower().startswith("utf")


def show_logging(screen: Screen, *, verbose: bool) -> None:
    """The library logs; -v shows it, and otherwise the closing summary says what matters."""
    log = logging.getLogger("alanet")
    if not verbose:
        log.addHandler(logging.NullHandler())
        return
    handler = RichHandler(console=screen.console, show_path=False, markup=False, log_time_format="%X")
    handler.setFormatter(SafeFormatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
