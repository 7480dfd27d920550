"""Notes for the user at the end of a run: what was kept, what was left out, warnings.

The library prints nothing. The caller passes one `Notes` down; each note is also logged.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

__all__ = ["Notes"]

log = logging.getLogger("alanet")


@dataclass(slots=True)
class Notes:
    """One line each, no line twice.

    >>> report = alanet.restore("holiday.mp4")
    >>> report.notes.warnings, report.notes.left_out
    ([], [])
    """

    kept: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def keep(self, line: str) -> None:
        """Something of the input that is in the output unchanged ("audio: aac, 2 tracks, packets copied")."""
        _once(self.kept, line, logging.INFO)

    def leave_out(self, line: str) -> None:
        """Something of the input that is not in the output, and why."""
        _once(self.left_out, line, logging.WARNING)

    def warn(self, line: str) -> None:
        """Something about the input or the run that a person should know."""
        _once(self.warnings, line, logging.WARNING)


def _once(lines: list[str], line: str, level: int) -> None:
    if line not in lines:
        lines.append(line)
        log.log(level, line)
