"""How numbers and names are shown to a person: text in, text out, nothing is printed here.

Durations are seconds, sizes bytes (shown in powers of 1000), rates frames a second. A track is drawn left to right over
time, one character a moment; `plain` draws it in ASCII for terminals that lack block characters.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fractions import Fraction

__all__ = ["SafeFormatter", "bars", "binary", "clock", "count", "duration", "marks", "rate", "ruler", "safe", "size"]

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN_BLOCKS = "_.-~=+*#"


def duration(seconds: float) -> str:
    """A time span in words: "0.8 s", "42 s", "1 min 20 s", "2 h 05 min"."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def clock(seconds: float, *, tenths: bool = False) -> str:
    """A time span or place as a clock has it: "0:35", "12:05", "1:02:03"; with tenths "0:35.2"."""
    whole = max(round(seconds * 10) if tenths else round(seconds) * 10, 0)
    hours, minutes, rest = whole // 36000, whole // 600 % 60, whole // 10 % 60
    tail = f".{whole % 10}" if tenths else ""
    return (f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}") + tail


def size(count_of_bytes: float) -> str:
    """Bytes for a person: "812 B", "1.2 MB", "3.4 GB"."""
    if count_of_bytes < 1000:
        return f"{round(count_of_bytes)} B"
    value = float(count_of_bytes)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5:
            return f"{value:.1f} {unit}" if value < 99.5 else f"{value:.0f} {unit}"
    return f"{value / 1000:.1f} TB"


def binary(limit: int) -> str:
    """A limit in bytes as it was given: "2 GB" for 2G, in powers of 1024."""
    for unit, one in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if limit >= one:
            return f"{limit / one:.3g} {unit}"
    return f"{limit} B"


def rate(frames_a_second: Fraction) -> str:
    """ "30 fps"; a rate that is no short decimal keeps its fraction: "29.97 fps (30000/1001)"."""
    short = f"{float(frames_a_second):.3f}".rstrip("0").rstrip(".")
    return f"{short} fps" if Fraction(short) == frames_a_second else f"{short} fps ({frames_a_second})"


def count(number: int, thing: str) -> str:
    """ "1 frame", "2 frames", "12,000 frames"."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def safe(name: object) -> str:
    """A name or message that cannot steer the terminal: what is not printable is shown as its escape code."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(name))


def bars(values: Sequence[float | None], columns: int, *, plain: bool = False) -> str:
    """A track of values in [0, 1] as a bar a moment; with more values than columns each bar is its moment's largest.
    A moment without a value is left blank."""
    steps = PLAIN_BLOCKS if plain else BLOCKS
    moments = ([value for value in values[a:b] if value is not None] for a, b in _shares(len(values), columns))
    tops = [max(known, default=None) for known in moments]
    return "".join(" " if top is None else steps[min(int(max(top, 0.0) * len(steps)), len(steps) - 1)] for top in tops)


def marks(places: Sequence[int], total: int, columns: int, sign: str = "^") -> str:
    """A line with a sign at each place, the places counted as in a track of `total` values drawn by `bars`."""
    chosen = set(places)
    return "".join(sign if any(i in chosen for i in range(a, b)) else " " for a, b in _shares(total, columns)).rstrip()


def ruler(start: float, end: float, columns: int) -> str:
    """Times under a track, its first and last moment at its ends: "0:00.0 ... 0:12.4"."""
    left, right = clock(start, tenths=True), clock(end, tenths=True)
    return left + right.rjust(max(columns - len(left), len(right) + 1))


def _shares(total: int, columns: int) -> list[tuple[int, int]]:
    """`total` values dealt in order to at most `columns` columns, each at least one: the range of each column."""
    columns = min(total, columns)
    return [(total * i // columns, total * (i + 1) // columns) for i in range(columns)]


class SafeFormatter(logging.Formatter):
    """Log lines without control characters, which a file name could carry to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(safe(line) for line in super().format(record).splitlines())
