"""Option values as people write them, and what they mean. Each fault is one `OptionError`."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable
from dataclasses import fields
from fractions import Fraction
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from alanet.errors import OptionError

__all__ = ["checked", "parse_memory", "parse_moment", "parse_ratio", "parse_size"]

WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", Fraction: "a number"}
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_memory(text: str) -> int:
    """Bytes of "4G", "800M", "2.5GiB"; a unit is a power of 1024.

    >>> parse_memory("1.5G")
    1610612736
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None or not (value := int(Fraction(found[1]) * UNITS[found[2].upper()])):
        raise OptionError(f"memory {text!r} is not a size; write it as 4G, 800M or 2.5G")
    return value


def parse_moment(text: str) -> Fraction:
    """Seconds, exactly, of "12.5", "1:05" (minutes and seconds) or "1:02:03.25".

    >>> parse_moment("1:05.5")
    Fraction(131, 2)
    """
    found = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)", text.strip())
    if found is None or (found[2] is not None and Fraction(found[3]) >= 60) or (found[1] and int(found[2]) >= 60):
        raise OptionError(f"time {text!r} is not a moment; write seconds (12.5) or h:m:s (1:02:03.5)")
    return int(found[1] or 0) * 3600 + int(found[2] or 0) * 60 + Fraction(found[3])


def parse_ratio(text: str) -> Fraction:
    """A rate such as "24", "23.976" or "24000/1001", exactly as written."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(\d+))?", text.strip())
    if found is None or Fraction(found[1]) == 0 or (found[2] is not None and int(found[2]) == 0):
        raise OptionError(f"rate {text!r} is not a number of frames a second; write it as 24, 23.976 or 24000/1001")
    return Fraction(found[1]) / int(found[2] or 1)


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of "640x352".

    >>> parse_size("640x352")
    (640, 352)
    """
    found = re.fullmatch(r"(\d{1,5})\s*[xX×]\s*(\d{1,5})", text.strip())
    if found is None or not int(found[1]) or not int(found[2]):
        raise OptionError(f"size {text!r} is not a width and a height in pixels; write it as 640x352")
    return int(found[1]), int(found[2])


def checked(options: Any) -> None:
    """Check the fields of a frozen dataclass of options by their types, and convert what is written otherwise.

    A text is parsed as on the command line, where the field's metadata has `parse`; a number becomes a Fraction.
    Raises OptionError for another type or a value that is not allowed.
    """
    hints = _hints(type(options))  # type: ignore[arg-type]  # mypy takes type[Any] for not hashable
    for option in fields(options):
        value = getattr(options, option.name)
        settled = _settled(option.name, value, hints[option.name], option.metadata.get("parse"))
        if settled is not value:
            object.__setattr__(options, option.name, settled)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _settled(name: str, value: Any, kind: Any, parse: Callable[[str], Any] | None) -> Any:
    allowed = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    if value is None and type(None) in allowed:
        return None
    if isinstance(value, str) and parse is not None:
        return parse(value)
    if get_origin(allowed[0]) is Literal:
        if value not in (choices := get_args(allowed[0])):
            raise OptionError(f"{name} {value!r} is not one of {', '.join(choices)}")
        return value
    if Fraction in allowed and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return Fraction(str(value))
    if not _is(value, allowed):
        words = " or ".join(WORDS.get(one, f"an alanet.{one.__name__}") for one in allowed if one is not type(None))
        raise OptionError(f"{name} is {value!r}, of type {type(value).__name__}; give {words}")
    return value


def _is(value: Any, allowed: tuple[Any, ...]) -> bool:
    """Whole numbers are numbers; truth values are not."""
    if isinstance(value, bool):
        return bool in allowed
    return isinstance(value, (*allowed, int) if float in allowed else allowed)
