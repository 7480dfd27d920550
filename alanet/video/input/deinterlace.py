"""Interlaced video: detecting it, and making one progressive frame of each interlaced one.

A frame is interlaced when its odd and even rows were taken at different moments. Streams say so in flags, and the flags
are often wrong both ways, so motion is measured at several places of the film (`frames/fields.py`). `docs/video.md` has
the table of decisions. bwdif fills in the missing rows; a frame in is a frame out, at the same time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import av

from alanet.frames.fields import repeated_field, scan_of

__all__ = ["ALWAYS_PROGRESSIVE", "decide", "deinterlaced", "is_telecine", "seen_interlaced", "without_pulldown"]

ALWAYS_PROGRESSIVE = frozenset({"vp8", "vp9", "av1", "flv1", "theora", "vvc"})
WOVEN, WHOLE = (5, 4), (8, 10)  # the picture shows interlaced, progressive: frames that look so at least, and
# how many times as many as look otherwise
Steps = Sequence[tuple[str, dict[str, str]]]  # FFmpeg's filters, in order, with their options
ENOUGH = 12  # frames that are evidence; no more of one place are examined


def seen_interlaced(frames: Iterable[Any]) -> Counter[str]:
    """How many consecutive frames of one place look "tff", "bff", "progressive" or "undetermined", by their motion to
    the next, and how many of all are "flagged" as interlaced."""
    seen: Counter[str] = Counter()
    before = None
    for frame in frames:
        luma = frame.reformat(format="gray").to_ndarray()
        seen["flagged"] += bool(frame.interlaced_frame)
        seen["frames"] += 1
        if before is not None and before.shape == luma.shape:
            seen[scan_of(before, luma)] += 1
            if field := repeated_field(before, luma):
                seen[f"repeated {field}"] += 1
        before = luma
        if seen["tff"] + seen["bff"] + seen["progressive"] >= ENOUGH:
            break
    return seen


def decide(stated: str | None, places: Sequence[Counter[str]]) -> tuple[bool, str | None]:
    """(interlaced, field order; None: as each frame is flagged).

    stated: by the stream's header, "tff", "bff", "progressive" or None. It and the frames' flags count unless the
    picture is clear: enough frames agree (WOVEN, WHOLE), and, against flags that say
    progressive, at two places at least where more than one was examined. Streams that mix both kinds of frames (some
    flagged, some not) are left to their flags.
    """
    seen = sum(places, Counter[str]())
    order, other = ("tff", "bff") if seen["tff"] >= seen["bff"] else ("bff", "tff")
    looks_woven = _sure(seen[order], seen[other] + seen["progressive"], WOVEN)
    looks_whole = _sure(seen["progressive"], seen["tff"] + seen["bff"], WHOLE)
    flagged, frames = seen["flagged"], seen["frames"]
    states_woven = bool(flagged) or stated in ("tff", "bff")
    if not states_woven:
        agreeing = sum(place[order] > 0 for place in places)
        proved = looks_woven and agreeing >= min(2, len(places))
        return proved, order if proved else None
    if looks_whole:
        return False, None
    if looks_woven and not 0 < flagged < frames:
        return True, order
    return True, None if flagged else stated


def is_telecine(places: Sequence[Counter[str]]) -> bool:
    """Whether fields are repeated as 2:3 pulldown does: a top and a bottom field in five frames each."""
    seen = sum(places, Counter[str]())
    pairs = max(1, seen["frames"] - len(places))
    shares = [Fraction(seen[f"repeated {field}"], pairs) for field in ("top", "bottom")]
    return pairs >= 10 and all(Fraction(1, 10) <= share <= Fraction(3, 10) for share in shares)


def _sure(alike: int, otherwise: int, needed: tuple[int, int]) -> bool:
    return alike >= needed[0] and alike > needed[1] * otherwise


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
    return _filtered(frames, time_base, [("bwdif", arguments)])


def without_pulldown(frames: Iterable[Any], time_base: Fraction, rate: Fraction) -> Iterator[Any]:
    """Inverse telecine: the film's frames, four for five, evenly spaced from the first one's time on.

    rate: of the telecined video, which must be constant. fieldmatch weaves matching fields, bwdif mends what has no
    match, decimate drops the repeated frame.
    """
    steps = [
        ("fieldmatch", {"combmatch": "full"}),
        ("bwdif", {"mode": "send_frame", "deint": "interlaced"}),
        ("decimate", {}),
    ]
    start: Fraction | None = None
    film = rate * 4 / 5

    def seen() -> Iterator[Any]:
        nonlocal start
        for frame in frames:
            if start is None:
                start = Fraction(frame.pts or 0) * (frame.time_base or time_base)
            yield frame

    for i, frame in enumerate(_filtered(seen(), time_base, steps, rate)):
        time = (start or Fraction(0)) + i / film
        frame.pts, frame.time_base, frame.duration = time.numerator, Fraction(1, time.denominator), 0
        yield frame


def _filtered(
    frames: Iterable[Any],
    time_base: Fraction,
    steps: Steps,
    rate: Fraction | None = None,
) -> Iterator[Any]:
    """Frames through FFmpeg filters, which are set up again where the picture's size or format changes."""
    graph, shape = None, None
    for frame in frames:
        if graph is None or shape != (frame.width, frame.height, frame.format.name):
            if graph is not None:
                yield from _drained(graph)
            shape = (frame.width, frame.height, frame.format.name)
            graph = _graph(frame, time_base, steps, rate)
        graph.push(frame)
        yield from _pulled(graph)
    if graph is not None:
        yield from _drained(graph)


def _graph(frame: Any, time_base: Fraction, steps: Steps, rate: Fraction | None) -> Any:
    graph = av.filter.Graph()
    source = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base=f"{time_base.numerator}/{time_base.denominator}",
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
        **({} if rate is None else {"frame_rate": f"{rate.numerator}/{rate.denominator}"}),
    )
    graph.link_nodes(source, *(graph.add(name, **options) for name, options in steps), graph.add("buffersink"))
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
