"""How an error names an option: by its flag on the command line, by its argument in Python.

Messages are written with flags, which are unmistakable in a sentence. The public functions and methods translate them
(`naming_arguments`), except while a command runs (`naming_flags`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from functools import cache

from alanet.errors import AlanetError
from alanet.restoration.options import EncodeOptions, NetworkOptions, RestoreOptions, flag_of

__all__ = ["by_argument", "naming_arguments", "naming_flags"]

_by_flag: ContextVar[bool] = ContextVar("by_flag", default=False)


@contextmanager
def naming_flags() -> Iterator[None]:
    """Inside it, errors keep their flags: a command runs."""
    before = _by_flag.set(True)
    try:
        yield
    finally:
        _by_flag.reset(before)


@contextmanager
def naming_arguments() -> Iterator[None]:
    """Errors that leave it name Python arguments. Also a decorator of functions that are no generators."""
    try:
        yield
    except AlanetError as error:
        if not _by_flag.get():
            error.args = (by_argument(str(error)),)
        raise


def by_argument(message: str) -> str:
    """The message with Python arguments in the place of flags.

    >>> by_argument("out.mp4: exists already; --overwrite replaces it")
    'out.mp4: exists already; overwrite=True replaces it'
    >>> by_argument("use --memory 800M or more, or --fps x2")
    'use memory 800M or more, or rate x2'
    >>> by_argument("the output is the input; give another name with -o")
    'the output is the input; give another name as output'
    """
    names = _arguments()
    message = re.sub(r"\bwith -o(?![\w-])", "as output", message)
    return re.sub(r"(?<![\w-])--[a-z][a-z-]*", lambda found: names.get(found.group(), found.group()), message)


@cache
def _arguments() -> dict[str, str]:
    """Of each flag, the argument; an option that is on or off is shown with its value."""
    options = [option for kind in (RestoreOptions, EncodeOptions, NetworkOptions) for option in fields(kind)]
    return {
        flag_of(option): f"{option.name}=True" if option.default is False else option.name
        for option in options
        if "help" in option.metadata
    }
