"""`alanet finish`: a playable file of what an interrupted run has finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from alanet.cli.options import RESULT, Verbosity, flag
from alanet.cli.screen import Screen
from alanet.text import duration

__all__ = ["finish"]


def finish(
    output: Annotated[Path, Parameter(name="OUTPUT", help="Output path of the interrupted run.")],
    /,
    *,
    overwrite: Annotated[bool, flag(["--overwrite"], "Replace an existing result."), Parameter(group=RESULT)] = False,
    discard: Annotated[
        bool,
        flag(["--discard"], "Then delete the finished segments. The run cannot be resumed after that."),
        Parameter(group=RESULT),
    ] = False,
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Make a playable file of what an interrupted run has finished, with the sound up to there.

    The run can go on afterwards: by the command that began it, with --overwrite.
    """
    from alanet.restoration.finish import finish as join

    done = join(output, overwrite=overwrite, discard=discard)
    screen = Screen(quiet=verbosity.quiet)
    rows = [("done", f"{duration(float(done.seconds))}, {done.frames:,} restored frames")]
    rows += [("kept", line) for line in done.notes.kept]
    rows += [("left out", line) for line in done.notes.left_out]
    rows += [("warning", line) for line in done.notes.warnings]
    if not discard:
        rows.append(("resume", "the command that began the run, with --overwrite"))
    screen.rows([*rows, ("result", str(done.output))])
    if verbosity.json:
        said = {"output": str(done.output), "frames": done.frames, "seconds": float(done.seconds)}
        print(json.dumps({**said, "warnings": done.notes.warnings}))
    return 0
