"""Interlaced video: seeing it, and making one progressive frame of each interlaced one.

A frame is interlaced when its odd and even rows were taken at different moments. Streams say so in flags, and the flags
are often wrong both ways, so FFmpeg's idet filter looks at the first frames as well and overrules the flags where it
is sure. bwdif fills in the missing rows; a frame in is a frame out, at the same time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av

__all__ = ["ALWAYS_PROGRESSIVE", "deinterlaced", "judge", "seen_interlaced"]

ALWAYS_PROGRESSIVE = frozenset({"vp8", "vp9", "av1", "flv1", "theora", "vvc"})
SURE = 8  # frames that must agree before the picture overrules the flags


def seen_interlaced(frames: Iterable[Any], time_base: Fraction) -> Counter[str]:
    """How many frames look "tff", "bff", "progressive" or "undetermined" to idet, each by itself (its judgement over
    several frames sticks to the first one's), and how many are "flagged" as interlaced."""
    seen: Counter[str] = Counter()

    def counted() -> Iterator[Any]:
        for frame in frames:
            seen["flagged"] += frame.interlaced_frame
            yield frame

    for frame in _filtered(counted(), time_base, "idet", {}):
        seen[frame.metadata.get("lavfi.idet.single.current_frame", "undetermined")] += 1
    return seen


def judge(stated: str | None, seen: Counter[str]) -> tuple[bool, str | None]:
    """(interlaced, field order; None: as each frame is flagged).

    stated: the stream's own word, "tff", "bff", "progressive" or None. It and the frames' flags count unless the
    picture is sure: SURE frames or more, and ten times as many as look otherwise. Streams that mix both kinds of frames
    (some flagged, some not) are left to their flags.
    """
    order, other = ("tff", "bff") if seen["tff"] >= seen["bff"] else ("bff", "tff")
    looks_woven = _sure(seen[order], seen[other] + seen["progressive"])
    looks_whole = _sure(seen["progressive"], seen["tff"] + seen["bff"])
    flagged, frames = seen["flagged"], sum(seen.values()) - seen["flagged"]
    if looks_whole or not (looks_woven or flagged or stated in ("tff", "bff")):
        return False, None
    if looks_woven and not 0 < flagged < frames:
        return True, order
    return True, None if flagged else stated


def _sure(alike: int, otherwise: int) -> bool:
    return alike >= SURE and alike > 10 * otherwise


def deinterlaced(frames: Iterable[Any], time_base: Fraction, *, order: str | None, only_flagged: bool) -> Iterator[Any]:
    """Decoded frames -> as many progressive frames with the same pts (in their own time base).

    order: "tff" or "bff" for what the picture showed; None: as each frame is flagged. only_flagged: frames flagged
    progressive pass untouched (streams that mix both).
    """
    arguments = {
        "mode": "send_frame",
        "parity": order or "auto",
        "deint": "interlaced" if only_flagged else "all",
    }
    return _filtered(frames, time_base, "bwdif", arguments)


def _filtered(frames: Iterable[Any], time_base: Fraction, name: str, options: dict[str, str]) -> Iterator[Any]:
    """Frames through one FFmpeg filter, which is set up anew where the picture's size or format changes."""
    graph, shape = None, None
    for frame in frames:
        if graph is None or shape != (frame.width, frame.height, frame.format.name):
            if graph is not None:
                yield from _drained(graph)
            shape = (frame.width, frame.height, frame.format.name)
            graph = _graph(frame, time_base, name, options)
        graph.push(frame)
        yield from _pulled(graph)
    if graph is not None:
        yield from _drained(graph)


def _graph(frame: Any, time_base: Fraction, name: str, options: dict[str, str]) -> Any:
    graph = av.filter.Graph()
    source = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base=f"{time_base.numerator}/{time_base.denominator}",
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
    )
    graph.link_nodes(source, graph.add(name, **options), graph.add("buffersink"))
    graph.configure()
    return graph


def _pulled(graph: Any) -> Iterator[Any]:
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return


def _drained(graph: Any) -> Iterator[Any]:
    graph.push(None)
    yield from _pulled(graph)
