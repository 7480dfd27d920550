"""Option values as people write them, and what they mean. Each fault is one `OptionError`."""

from __future__ import annotations

import re
from fractions import Fraction

from alanet.errors import OptionError

__all__ = ["parse_memory", "parse_moment", "parse_ratio", "parse_size"]

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
