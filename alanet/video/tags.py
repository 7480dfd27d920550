"""What streams and decoded frames state about themselves: colour tags, HDR data, display matrix, duration.

FFmpeg keeps colour tags as numbers (ISO/IEC 23091-2); here they are its names, `None` where untagged (its number 2).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from alanet.frames.frame import Color, ContentLight, MasteringDisplay

__all__ = ["MATRICES", "PRIMARIES", "RANGES", "TRANSFERS", "color_of", "set_color", "side_data_of", "stated_duration"]

MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    11: "smpte2085",
    12: "chroma-derived-nc",
    13: "chroma-derived-c",
    14: "ictcp",
}
PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
TRANSFERS = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    9: "log100",
    10: "log316",
    11: "iec61966-2-4",
    12: "bt1361e",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}
RANGES = {1: "tv", 2: "pc"}
UNTAGGED = 2  # of matrix, primaries and transfer; an untagged range is 0
NOT_WORTH_A_WORD = {
    "SEI_UNREGISTERED",
    "PANSCAN",
    "GOP_TIMECODE",
    "VIDEO_ENC_PARAMS",
    "MOTION_VECTORS",
    "DISPLAYMATRIX",
}


def color_of(frame: Any, context: Any = None) -> Color:
    """The tags of a decoded frame; those it lacks are taken from its codec context, where one is given."""

    def tag(names: Mapping[int, str], attribute: str) -> str | None:
        own = names.get(int(getattr(frame, attribute)))
        return own or (names.get(int(getattr(context, attribute))) if context is not None else None)

    matrix = tag(MATRICES, "colorspace")
    return Color(
        matrix=None if matrix == "gbr" and not frame.format.is_rgb else matrix,
        primaries=tag(PRIMARIES, "color_primaries"),
        transfer=tag(TRANSFERS, "color_trc"),
        range=tag(RANGES, "color_range"),
    )


def set_color(target: Any, color: Color) -> None:
    """Put tags on a frame or on an encoder's context; None becomes untagged."""

    def number(names: Mapping[int, str], name: str | None, missing: int) -> int:
        return next((key for key, value in names.items() if value == name), missing)

    target.colorspace = number(MATRICES, color.matrix, UNTAGGED)
    target.color_primaries = number(PRIMARIES, color.primaries, UNTAGGED)
    target.color_trc = number(TRANSFERS, color.transfer, UNTAGGED)
    target.color_range = number(RANGES, color.range, 0)


def side_data_of(frame: Any) -> dict[str, Any]:
    """A frame's display matrix and HDR data by the names of `frames.frame.SIDE_DATA`.

    PyAV keeps a frame whose side data was read until the next garbage collection: read few frames. It reads none of
    it where it does not support one kind (EXIF in a JPEG, say); then only the rotation is known.
    """
    found: dict[str, Any] = {}
    other: list[str] = []
    try:
        kept = list(frame.side_data)
    except ValueError:
        found = {"display_matrix": _rotation_matrix(frame.rotation)} if frame.rotation else {}
        return {**found, "other": ("of kinds that PyAV does not support",)}
    for data in kept:
        name = data.type.name
        if name == "DISPLAYMATRIX":
            found["display_matrix"] = struct.unpack("=9i", bytes(data)[:36])
        elif name == "MASTERING_DISPLAY_METADATA":
            mastering = _mastering(bytes(data))
            found.update({"mastering_display": mastering} if mastering else {})
        elif name == "CONTENT_LIGHT_LEVEL":
            found["content_light"] = ContentLight(*struct.unpack("=2I", bytes(data)[:8]))
        elif name not in NOT_WORTH_A_WORD and name not in other:
            other.append(name)
    return {**found, "other": tuple(other)} if other else found


def _rotation_matrix(degrees: int) -> tuple[int, ...]:
    """The display matrix of a rotation, counter-clockwise."""
    cosine, sine = (round(65536 * f(math.radians(degrees))) for f in (math.cos, math.sin))
    return cosine, -sine, 0, sine, cosine, 0, 0, 0, 1 << 30


def _mastering(data: bytes) -> MasteringDisplay | None:
    """AVMasteringDisplayMetadata: ten rationals (r, g, b, white as x y; min, max luminance) and two "is set" flags."""
    numbers = struct.unpack("=22i", data[:88])
    if not (numbers[20] and numbers[21]) or 0 in numbers[1:20:2]:
        return None
    values = [Fraction(n, d) for n, d in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
    red, green, blue, white = (tuple(values[i : i + 2]) for i in range(0, 8, 2))
    return MasteringDisplay(red, green, blue, white, values[8], values[9])  # type: ignore[arg-type]


def stated_duration(stream: Any) -> Fraction | None:
    """Seconds a stream states for itself: its header, or Matroska's tag "DURATION" ("00:00:05.040000000").

    FFmpeg's muxer writes the time of the stream's end into that tag, mkvmerge its length, with tags of statistics.
    """
    if stream.duration:
        return Fraction(stream.duration) * Fraction(stream.time_base)
    tag = next((value for key, value in stream.metadata.items() if key.upper().startswith("DURATION")), "")
    try:
        hours, minutes, seconds = tag.split(":")
        stated = int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
        begins = max(Fraction(0), Fraction(stream.start_time or 0) * Fraction(stream.time_base))
        by_end = begins < stated and not any(key.upper().startswith("_STATISTICS") for key in stream.metadata)
        return stated - begins if by_end else stated
    except ValueError:
        return None
