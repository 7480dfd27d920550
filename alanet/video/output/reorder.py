"""Decoding times of copied video packets that have none.

Where pictures are shown in another order than coded, a reader such as Matroska's has no decoding times of
the first packets, and a muxer needs them. They are counted back from the first packet that has one, a period each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

__all__ = ["decodable"]

LONGEST = 32  # packets held back at most: more than any codec reorders


def decodable(packets: Iterable[Any]) -> Iterator[Any]:
    """The packets, in order within their stream; those of video have decoding times, if any follows."""
    held: dict[int, list[Any]] = {}
    begun: set[int] = set()
    for packet in packets:
        index = packet.stream_index
        if packet.stream.type != "video" or index in begun or not packet.size:
            yield packet
            continue
        waiting = held.setdefault(index, [])
        waiting.append(packet)
        if packet.dts is not None or len(waiting) == LONGEST:
            begun.add(index)
            yield from _timed(held.pop(index))
    for waiting in held.values():
        yield from _timed(waiting)


def _timed(waiting: list[Any]) -> list[Any]:
    """Packets of which only the last one may have a decoding time."""
    shown = sorted(packet.pts for packet in waiting if packet.pts is not None)
    last = waiting[-1]
    if last.dts is None and shown:
        last.dts = shown[0]
    if last.dts is None:
        return waiting
    steps = [b - a for a, b in pairwise(shown) if b > a]
    step = min(steps, default=last.duration or 1)
    for back, packet in enumerate(reversed(waiting)):
        packet.dts = last.dts - back * step
    return waiting
