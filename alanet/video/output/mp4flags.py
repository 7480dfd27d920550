"""Which subtitle tracks of a finished MP4 or MOV are shown by default.

The muxer enables the first subtitle track where none is marked default, and players would then show what was hidden in
the input. The flag is one bit in a track's header box (`tkhd`, ISO/IEC 14496-12 8.3.2), cleared here in place.

    moov -> trak -> tkhd: size(4) "tkhd" version(1) flags(3) ...      flags bit 0: enabled
                 -> mdia -> hdlr: size(4) "hdlr" version+flags(4) 0(4) handler(4)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["hide_subtitles"]

SUBTITLES = (b"sbtl", b"subt", b"text", b"clcp")


def hide_subtitles(path: Path) -> None:
    """Disable every subtitle track of the file; only where the muxer enabled one that was not asked for."""
    with open(path, "rb+") as file:
        end = file.seek(0, 2)
        for moov in _boxes(file, 0, end, b"moov"):
            for trak in _boxes(file, *moov, b"trak"):
                if _handler(file, trak) in SUBTITLES:
                    for begin, _ in _boxes(file, *trak, b"tkhd"):
                        file.seek(begin + 3)
                        flags = file.read(1)[0]
                        file.seek(begin + 3)
                        file.write(bytes([flags & ~1]))


def _handler(file: BinaryIO, trak: tuple[int, int]) -> bytes:
    for mdia in _boxes(file, *trak, b"mdia"):
        for begin, _ in _boxes(file, *mdia, b"hdlr"):
            file.seek(begin + 8)
            return file.read(4)
    return b""


def _boxes(file: BinaryIO, begin: int, end: int, kind: bytes) -> Iterator[tuple[int, int]]:
    """(begin, end) of the content of each box of a kind between two places of the file."""
    while begin + 8 <= end:
        file.seek(begin)
        size, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            (size,), head = struct.unpack(">Q", file.read(8)), 16
        stop = end if size == 0 else begin + size
        if name == kind:
            yield begin + head, stop
        if stop <= begin:
            return
        begin = stop
