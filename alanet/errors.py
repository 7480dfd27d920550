"""Every error that a user can cause or meet, in one tree.

    AlanetError                      exit 1   (any other exception is an internal error)
    ├── InputError                   exit 2   the input or an option cannot be used
    │   ├── MediaError                        a file that cannot be opened or has no pictures
    │   ├── OptionError                       an invalid value, or options that exclude each other
    │   ├── TimeError                         a time or rate that the chosen model cannot restore
    │   ├── WeightsError                      a weights file that is damaged, unsafe or of another model
    │   └── DataError                         training or evaluation data that cannot be used
    ├── OutputError                  exit 4   the result cannot be written (folder, disk, container, codec)
    ├── ResourceError                exit 5   a resource is missing (memory, device, encoder)
    └── IncompleteError              exit 3   some of the work failed, the rest is done

Exit 3 is also a batch of which some files failed; 130 and 143 an interruption by Ctrl-C and by SIGTERM.

A message is one line that says what was given, what is allowed, and what to do.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AlanetError",
    "DataError",
    "IncompleteError",
    "InputError",
    "MediaError",
    "OptionError",
    "OutputError",
    "ResourceError",
    "TimeError",
    "WeightsError",
]


class AlanetError(Exception):
    """The message is for the user; the command line exits with `exit_code`."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InputError(AlanetError):
    """The input or an option cannot be used."""

    exit_code = 2


class MediaError(InputError):
    """A file that cannot be opened, or that holds no picture."""


class OptionError(InputError):
    """An option's value is not allowed, or two options contradict each other."""


class TimeError(InputError, ValueError):
    """A time or a rate that the chosen model cannot restore."""


class WeightsError(InputError):
    """A weights file that is damaged, hostile, or made for another model."""


class DataError(InputError):
    """Training or evaluation data that cannot be used."""


class OutputError(AlanetError):
    """The result cannot be written."""

    exit_code = 4


class ResourceError(AlanetError):
    """A resource of this machine is missing."""

    exit_code = 5


class IncompleteError(AlanetError):
    """Some of the work failed in every attempt; the rest is done and kept."""

    exit_code = 3
