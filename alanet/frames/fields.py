"""Whether a frame's odd and even rows were taken at different times: evidence from motion, for one pair of frames.

A frame has two fields: its even rows (top) and its odd rows (bottom). Motion is measured between the top fields of two
neighbouring frames, block by block. It predicts the bottom field in between in three ways:

    progressive   bottom = top, not moved
    tff           bottom = top, moved by half of the motion (the bottom field is later)
    bff           bottom = top, moved by minus half of the motion (the bottom field is earlier)

A block votes only where one prediction is clearly better. Fine vertical detail and steady vertical motion, which
deceive measures of combing, make all three equally bad, and the block does not vote. Rows of hard-edged graphics
equal a neighbour instead of lying between two: each prediction may choose.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

__all__ = ["Scan", "repeated_field", "scan_of"]

Scan = Literal["tff", "bff", "progressive", "undetermined"]
Luma = npt.NDArray[np.uint8]  # h w
HEIGHT, WIDTH = 8, 16  # of a block, in field rows and columns
BLOCKS = 48  # that move most, of a frame
REACH = (6, 16)  # motion searched: field rows, columns
LEAST_CHANGE = 3.0  # mean difference of a block between two frames, in 8-bit values
EXPLAINED = 0.35  # of that difference may remain after the motion is removed
CLEARLY = 0.5  # ratio of two errors where one prediction is clearly better
LEAST_ERROR = 2.0  # an error below this is noise
LEAST_FIELD_CHANGE, REPEATED = 0.5, 0.25  # mean difference of a field, 8-bit values; share of the other's
VOTES = 2  # least votes of a frame
SHARE = 0.15  # of its blocks with a motion that must vote


def scan_of(frame: Luma, following: Luma) -> Scan:
    """How a frame was scanned, by its motion to the following one. Both: uint8 luma, `h w`, of one shape.

    "undetermined" without motion, without detail, or where the motion cannot be measured.
    """
    rows = frame.shape[0] // 2 * 2
    top, bottom, later = (field.astype(np.float32) for field in (frame[0:rows:2], frame[1:rows:2], following[0:rows:2]))
    reach = min(REACH[0], rows // 16), min(REACH[1], frame.shape[1] // 8)
    places = _moving(top, later, reach)
    if places is None:
        return "undetermined"
    places, motion = _motion(top, later, places, reach)
    if not len(places):
        return "undetermined"
    still, forward, backward = (
        np.minimum.reduce([_error(top, bottom, places, motion * share, row) for row in (0.0, 0.5, 1.0)])
        for share in (0.0, 0.5, -0.5)
    )
    told = np.maximum(np.maximum(still, forward), backward) > LEAST_ERROR
    votes = {
        "tff": told & (forward < CLEARLY * still) & (forward < CLEARLY * backward),
        "bff": told & (backward < CLEARLY * still) & (backward < CLEARLY * forward),
        "progressive": told & _whole(still, np.minimum(forward, backward), motion),
    }
    counts: dict[Scan, int] = {name: int(vote.sum()) for name, vote in votes.items()}  # type: ignore[misc]
    best = max(counts, key=lambda name: counts[name])
    clear = counts[best] >= max(VOTES, SHARE * len(places)) and counts[best] >= 4 * (
        sum(counts.values()) - counts[best]
    )
    return best if clear else "undetermined"


def _whole(still: Any, moved: Any, motion: Any) -> Any:
    """Which blocks show that the bottom field was not moved. One that moves up or down by 2 rows of a field and less
    does not: half of that is within the freedom of a row, and only what is uneven in its motion would decide."""
    rows = np.abs(motion[:, 0])
    return (still < 0.7 * moved) & (moved > LEAST_ERROR) & ((rows == 0) | (rows > 2))


def repeated_field(before: Luma, luma: Luma) -> Literal["top", "bottom"] | None:
    """Which field of the frame before is repeated while the other one changes; None where neither or both are.

    2:3 pulldown (telecine) repeats a top field once in five frames, and a bottom field once.
    """
    rows = luma.shape[0] // 2 * 2
    change = [float(np.abs(luma[i:rows:2].astype(np.int16) - before[i:rows:2]).mean()) for i in (0, 1)]
    if max(change) < LEAST_FIELD_CHANGE or min(change) > REPEATED * max(change):
        return None
    return "top" if change[0] < change[1] else "bottom"


def _moving(top: Any, later: Any, reach: tuple[int, int]) -> Any:
    """(row, column) of the blocks that change most, `n 2`; None where there are none."""
    rows = np.arange(reach[0] + 1, top.shape[0] - HEIGHT - reach[0] - 1, HEIGHT)
    columns = np.arange(reach[1] + 1, top.shape[1] - WIDTH - reach[1] - 1, WIDTH)
    if not (len(rows) and len(columns)):
        return None
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    change = np.abs(_blocks(later, places) - _blocks(top, places)).mean(axis=(1, 2))
    chosen = np.argsort(-change, kind="stable")[:BLOCKS]
    chosen = chosen[change[chosen] > LEAST_CHANGE]
    return places[chosen] if len(chosen) else None


def _motion(top: Any, later: Any, places: Any, reach: tuple[int, int]) -> tuple[Any, Any]:
    """The blocks whose motion explains their change, and that motion in field rows and columns, `n 2` each."""
    steps = [(y, x) for y in range(-reach[0], reach[0] + 1) for x in range(-reach[1], reach[1] + 1)]
    steps.sort(key=lambda step: abs(step[0]) + abs(step[1]))  # of equal ones the smallest
    given = _blocks(top, places)
    errors = np.stack([np.abs(_blocks(later, places + step) - given).mean(axis=(1, 2)) for step in steps])
    best = errors.argmin(axis=0)
    good = (best > 0) & (errors.min(axis=0) < EXPLAINED * errors[0])
    return places[good], np.array(steps)[best][good]


def _error(top: Any, bottom: Any, places: Any, moved: Any, row: float) -> Any:
    """Mean absolute error by block of a bottom field predicted from the top field moved by so much.

    row: where in the top field a bottom row lies; 0 and 1 are its two neighbours.
    """
    predicted = np.zeros((len(places), HEIGHT, WIDTH), np.float32)
    at = places + np.array((row, 0.0)) - moved
    below, share = np.floor(at).astype(int), at - np.floor(at)
    for y in (0, 1):
        for x in (0, 1):
            weight = np.abs(1 - y - share[:, 0]) * np.abs(1 - x - share[:, 1])
            predicted += weight[:, None, None].astype(np.float32) * _blocks(top, below + np.array((y, x)))
    return np.abs(predicted - _blocks(bottom, places)).mean(axis=(1, 2))


def _blocks(field: Any, places: Any) -> Any:
    return sliding_window_view(field, (HEIGHT, WIDTH))[places[:, 0], places[:, 1]]
