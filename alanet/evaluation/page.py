"""A page of results, such as docs/results/table3.md: its sections are written by commands, the rest by people.

    <!-- table3 -->
    ... what `alanet evaluate table3 ... --into docs/results/table3.md#table3` measured, and that command
    <!-- end of table3 -->

Running a command again replaces its section and touches nothing else.
"""

from __future__ import annotations

import re
from pathlib import Path

from alanet.errors import OptionError, OutputError
from alanet.files import write_text

__all__ = ["parse_section", "put_section"]


def parse_section(text: str) -> tuple[Path, str]:
    """ "docs/results/table3.md#table3" -> the page and the section's name. Raises OptionError for anything else."""
    page, _, name = text.rpartition("#")
    if not page.endswith(".md") or re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) is None:
        raise OptionError(f"--into {text}: give PAGE.md#SECTION, such as docs/results/table3.md#table3")
    return Path(page), name


def put_section(page: Path, name: str, text: str) -> None:
    """Write `text` as the section `name`, in its place or at the end of the page; a page that is not there is begun.

    Raises OutputError where the page cannot be read or written, or holds the section twice or half.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    section = f"{begin}{text.strip()}\n{end}"
    try:
        there = page.read_text(encoding="utf-8") if page.exists() else "# Results\n"
        if (there.count(begin), there.count(end)) == (0, 0):
            whole = f"{there.rstrip()}\n\n{section}"
        elif (there.count(begin), there.count(end)) == (1, 1) and there.index(begin) < there.index(end):
            whole = there[: there.index(begin)] + section + there[there.index(end) + len(end) :]
        else:
            raise OutputError(f"{page}: section {name} is not there once, with its end; mend or remove its comments")
    except OSError as error:
        raise OutputError(f"{page} cannot be read ({error.strerror}); choose another page") from error
    write_text(page, whole)
