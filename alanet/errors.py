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
    ├── IncompleteError              exit 3   some of the work failed, the rest is done
    └── CancelledError               exit 130 the caller's cancel token was set

Exit 3 is also a batch of which some files failed; 130 and 143 an interruption by Ctrl-C and by SIGTERM.

A message is one line that says what was given, what is allowed, and what to do.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AlanetError",
    "CancelledError",
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
    """The base of every error that alanet raises on purpose.

    The message is one line for the user; the command line exits with `exit_code`.

    >>> try:
    ...     alanet.restore("nowhere.mp4")
    ... except alanet.AlanetError as error:
    ...     print(type(error).__name__, error.exit_code)
    MediaError 2
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InputError(AlanetError):
    """The input or an option cannot be used.

    >>> issubclass(alanet.MediaError, alanet.InputError)
    True
    """

    exit_code = 2


class MediaError(InputError):
    """A file that cannot be opened, or that holds no picture.

    >>> alanet.restore("nowhere.mp4")
    Traceback (most recent call last):
    alanet.errors.MediaError: ...
    """


class OptionError(InputError):
    """An option's value is not allowed, or two options contradict each other.

    >>> alanet.RestoreOptions(strength=2)
    Traceback (most recent call last):
    alanet.errors.OptionError: strength 2 is not a number from 0 (input frames untouched) to 1 (as restored)
    """


class TimeError(InputError, ValueError):
    """A time or a rate that the chosen model cannot restore.

    >>> alanet.interpolate(frames[0], frames[1], 1.5)
    Traceback (most recent call last):
    alanet.errors.TimeError: t 1.5 is not between the two frames; allowed: from 0 (the first) to 1 (the second)
    """


class WeightsError(InputError):
    """A weights file that is damaged, hostile, or made for another model.

    >>> alanet.load_model("nothing.safetensors")
    Traceback (most recent call last):
    alanet.errors.WeightsError: no model 'nothing.safetensors': give a safetensors file or one of ...
    """


class DataError(InputError):
    """Training or evaluation data that cannot be used.

    >>> issubclass(alanet.DataError, alanet.InputError)
    True
    """


class OutputError(AlanetError):
    """The result cannot be written.

    >>> alanet.restore("holiday.mp4", "no/such/folder/out.mp4")
    Traceback (most recent call last):
    alanet.errors.OutputError: ...
    """

    exit_code = 4


class ResourceError(AlanetError):
    """A resource of this machine is missing.

    >>> alanet.ResourceError.exit_code
    5
    """

    exit_code = 5


class IncompleteError(AlanetError):
    """Some of the work failed in every attempt; the rest is done and kept.

    >>> alanet.IncompleteError.exit_code
    3
    """

    exit_code = 3


class CancelledError(AlanetError):
    """The cancel token that the caller gave was set.

    >>> import threading
    >>> stop = threading.Event()
    >>> stop.set()
    >>> alanet.restore("holiday.mp4", cancel=stop)
    Traceback (most recent call last):
    alanet.errors.CancelledError: cancelled; the same call resumes after the segments that are finished
    """

    exit_code = 130
