"""What a person sees while a verb runs: everything on standard error, safe to show, and nothing with --quiet."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from alanet.text import SafeFormatter, safe

if TYPE_CHECKING:
    pass

__all__ = ["Paper", "Screen", "is_plain", "page", "show_logging"]

INDENT = 13  # of a row's text
STYLES = {"warning": "yellow", "left out": "yellow", "result": "bold green"}


class Paper(Console):
    """Standard output, for what a verb was asked to report. A reader that goes away is not our failure to hide."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Screen:
    """Standard error as a page: a heading, and rows of a name and a text."""

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self.quiet = quiet

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Shows on a terminal that work is going on."""
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


def is_plain(console: Console) -> bool:
    """Whether this terminal has no block characters."""
    return not console.encoding.lower().startswith("utf")


def show_logging(screen: Screen, *, verbose: bool) -> None:
    """The library logs; -v shows it, and otherwise the closing summary says what matters."""
    log = logging.getLogger("alanet")
    if not verbose:
        return
    handler = RichHandler(console=screen.console, show_path=False, markup=False, log_time_format="%X")
    handler.setFormatter(SafeFormatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
