"""The command line: parse, build the dataclass, make one call.

Messages go to standard error. Standard output carries the requested data (a report, `--json`, the video of `-o -`). An
error is one line and one of these exit codes:

    0  done                                   4  the result cannot be written
    1  internal error                         5  a resource of this machine is missing
    2  input or option cannot be used         130, 143  interrupted by Ctrl-C, by SIGTERM
    3  some files of a batch failed

Nothing here imports torch, av or numpy before a verb runs: `--help` is instant.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError
from cyclopts.exceptions import UnusedCliTokensError

from alanet.cli.cluster import cluster_words
from alanet.cli.data import data
from alanet.cli.doctor import doctor
from alanet.cli.evaluate import evaluate
from alanet.cli.export import export
from alanet.cli.finish import finish
from alanet.cli.info import info
from alanet.cli.models import models
from alanet.cli.preview import preview
from alanet.cli.restore import restore
from alanet.cli.screen import Screen, show_logging
from alanet.cli.train import train
from alanet.cli.web import web
from alanet.engine.threads import wait_passively
from alanet.errors import AlanetError, OptionError
from alanet.restoration.naming import naming_flags
from alanet.signals import Terminated, raise_signals
from alanet.text import safe
from alanet.version import __version__

__all__ = ["app", "main", "run"]

EXIT_CODES = (
    "Exit codes: 0 done; 1 internal error; 2 the input or an option cannot be used; 3 some files of a batch failed; "
    "4 the result cannot be written; 5 a resource is missing; 130 Ctrl-C; 143 SIGTERM."
)
VERBS: tuple[Callable[..., int], ...] = (restore, finish, info, preview, web, models, doctor)

app = App(
    name="alanet",
    help="Deblur a video and interpolate frames.",
    help_epilogue=EXIT_CODES,
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for order, verb in enumerate(VERBS):
    takes = "[VIDEO] [OPTIONS]" if verb in (restore, info, preview) else "[OPTIONS]"
    takes = "OUTPUT [OPTIONS]" if verb is finish else takes
    app.command(verb, sort_key=order, usage=f"Usage: alanet {verb.__name__} {takes}")
app.command(data)
app.command(train)
app.command(evaluate)
app.command(export)


def main() -> None:
    """The program `alanet`."""
    wait_passively()
    raise_signals()
    show_logging(Screen(), verbose=_is_verbose(sys.argv[1:]))
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code; an error is one line on standard error."""
    try:
        with naming_flags():
            code = app(cluster_words(plain_words(arguments)), exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader closed the pipe
        return 4
    except (Exception, KeyboardInterrupt, Terminated) as error:
        if _is_verbose(arguments) and isinstance(error, Exception):
            import traceback

            traceback.print_exc()
        message, code = describe_error(error)
        print(f"alanet: {safe(message)}", file=sys.stderr)
        return code


def plain_words(arguments: Sequence[str]) -> list[str]:
    """Arguments that look like options and are not: `-` (standard input), and names of existing files.

    >>> plain_words(["restore", "-", "-o", "-"])
    ['restore', '/dev/stdin', '-o', '-']
    """
    words: list[str] = []
    for word in arguments:
        if word == "-" and (not words or words[-1] not in ("-o", "--output")):
            words.append("/dev/stdin")
        elif word.startswith("-") and "." in word and os.path.lexists(word):
            words.append(os.path.join(os.curdir, word))
        else:
            words.append(word)
    return words


def describe_error(error: BaseException) -> tuple[str, int]:
    """The line and the exit code of a failure."""
    match error:
        case AlanetError():
            return str(error), error.exit_code
        case CycloptsError():
            if isinstance(error.__cause__, AlanetError):
                return str(error.__cause__), error.__cause__.exit_code
            if isinstance(error, UnusedCliTokensError):
                spare = " ".join(error.unused_tokens or [])
                return f"unexpected arguments: {spare}. Give one video at a time.", OptionError.exit_code
            return f"{' '.join(str(error).split())} See alanet --help.", OptionError.exit_code
        case KeyboardInterrupt():
            return str(error) or "interrupted", 130
        case Terminated():
            return str(error) or "terminated", 143
        case MemoryError():
            return "out of memory; set a limit below the free memory, such as --memory 2G", 5
    text = " ".join(str(error).split())
    return f"Internal error (please report it, with the output of -v): {type(error).__name__}: {text}", 1


def _is_verbose(arguments: Sequence[str]) -> bool:
    return any(word in ("-v", "--verbose") for word in arguments)
