"""Where one shot ends and the next begins, which frames repeat the one before, and how blurry each moment is.

Decisions on scores, made from *thumbnails*: small grey pictures (axes `h w`, uint8). `video/scores.py` makes both.
The change between two thumbnails is FFmpeg's scdet measure: the mean absolute difference in percent of full scale.

A frame starts a new shot when
1. its change is at least THRESHOLD (a sure cut is a large change), and
2. the change stands out from those around it (a fast pan changes as much in every frame), and
3. no frame just after looks like one from just before (a flash comes back, a cut does not).

    change  ____|____     __|||||__     ___|_|____
                cut          pan          flash

Measured on ten real clips (2,435 frames, no cut in them) and the 90 splices of one with another: every splice found,
the smallest change at one 15.1; nothing else called a cut, also when only every second or fourth frame was shown; of
80 flashes laid over them none was. The largest changes inside a shot were 7.4 (someone steps before the sun) and 5.2
(hand-held walk). Not found: cuts between two takes of one scene, which change as little as 1, and cuts into a pan in
which nothing stays in sight. Wrongly found: a light that is switched on and stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from alanet.frames.frame import Pixels

__all__ = ["LOOKAHEAD", "MEMORY", "Scores", "blur_track", "change", "find_cuts", "same_pixels"]

THRESHOLD = 10.0  # percent of full scale
STANDS_OUT = 2.0  # times the changes around it
COMES_BACK = 0.5  # of the change: what is nearer than this to an earlier frame is the same picture again
LOOKAHEAD = 2  # frames read before it is decided whether one starts a shot; also the longest flash, in frames
MEMORY = LOOKAHEAD + 1  # earlier thumbnails that each frame is compared with
BLURRIEST = 0.5  # blur that fills a bar: edges half as wide again as the shot's sharpest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scores:
    """What is known of one frame beside its pixels."""

    changes: tuple[float, ...] = ()  # from the frame before, the one before that, ...: up to MEMORY of them, 0 to 100
    duplicate: bool = False  # exactly the pixels of the frame before
    still: bool = False  # the picture of the frame before, but for what compression changes
    blur: float | None = None  # blurdetect's mean edge width, px; None: not asked for, or no edges to measure


def change(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """How different two thumbnails (h w, of one size) are: scdet's MAFD, 0 to 100."""
    return float(np.abs(a.astype(np.int16) - b).mean()) * 100 / 256


def same_pixels(a: Pixels, b: Pixels) -> bool:
    """Whether two pictures (h w c) are equal in every bit; a sparse grid of pixels answers first, as most are not."""
    if a is b:
        return True
    if a.shape != b.shape or a.dtype != b.dtype or not np.array_equal(a[::16, ::16], b[::16, ::16]):
        return False
    return np.array_equal(a, b)


def find_cuts(items: Iterable[tuple[T, Scores]]) -> Iterator[tuple[T, Scores, bool]]:
    """Each item with its scores and whether it starts a new shot, LOOKAHEAD items later; the video's first does not.

    Holds LOOKAHEAD items at most, so memory does not grow; nothing is lost at the end.
    """
    near: deque[tuple[T, Scores]] = deque()
    past: deque[Scores] = deque(maxlen=LOOKAHEAD)

    def decide() -> tuple[T, Scores, bool]:
        item, scores = near.popleft()
        cut = _starts_shot(scores, list(past), [later for _, later in near])
        past.append(scores)
        return item, scores, cut

    for pair in items:
        near.append(pair)
        if len(near) > LOOKAHEAD:
            yield decide()
    while near:
        yield decide()


def _starts_shot(frame: Scores, before: Sequence[Scores], after: Sequence[Scores]) -> bool:
    """The three conditions at the top; `before` and `after` hold up to LOOKAHEAD frames each, in order of time."""
    if not frame.changes or frame.changes[0] < THRESHOLD:
        return False
    step = frame.changes[0]
    around = sorted(scores.changes[0] for scores in (*before, *after) if scores.changes)
    if len(around) > 1:
        around.pop()  # one loud neighbour may be a cut of its own, or a flash
    stands_out = not around or step >= STANDS_OUT * around[-1]
    # changes[k] of the frame `gap` after this one is the step from k + 1 frames earlier: across this cut for k >= gap
    across = [c for gap, scores in enumerate((frame, *after)) for c in scores.changes[gap:]]
    return stands_out and min(across) >= COMES_BACK * step


def blur_track(blurs: Sequence[float | None], cuts: Sequence[bool], bars: int) -> list[float]:
    """Blur of `bars` equal stretches of a video: 0 = as sharp as its shot's sharpest, 1 = edges half as wide again.

    blurs, cuts: one a frame. The score depends on what is shown as much as on blur, so it is compared within a shot
    only: a shot that is blurry from end to end shows as sharp.
    """
    assert len(blurs) == len(cuts), "a blur and a cut for every frame"
    values = np.array([np.nan if blur is None else blur for blur in blurs], np.float64)
    starts = [0, *(i for i, cut in enumerate(cuts) if cut and i), len(values)]
    excess = np.zeros_like(values)
    for start, stop in pairwise(starts):
        shot = values[start:stop]
        known = shot[~np.isnan(shot)]
        if known.size:
            excess[start:stop] = np.nan_to_num(shot / np.quantile(known, 0.05) - 1)
    edges = [len(values) * k // bars for k in range(bars + 1)]
    stretches = (excess[start : max(stop, start + 1)] for start, stop in pairwise(edges))
    return [float(np.clip(stretch.mean() / BLURRIEST, 0, 1)) if stretch.size else 0.0 for stretch in stretches]
