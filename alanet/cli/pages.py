"""`--into PAGE.md#SECTION`: what a command measured, and that command, as a section of a page of results."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

from cyclopts import Parameter

__all__ = ["Into", "put_into"]

Into = Annotated[
    str | None,
    Parameter(
        metavar="PAGE.md#SECTION", help="Also write the table into this section of a page, in place of its content."
    ),
]


def put_into(into: str | None, text: str) -> None:
    """The text, and the command that made it, as a section of a page."""
    from alanet.evaluation.page import parse_section, put_section

    if into is not None:
        page, name = parse_section(into)
        put_section(page, name, f"{text.strip()}\n\nWritten by `{shlex.join(['alanet', *sys.argv[1:]])}`.")
