"""Repeated drawings: animation shows each drawing for two or three frames ("on twos", "on threes").

Interpolated frame by frame, such a video stands still for half of the time. `skip_repeats` merges a drawing and its
repeats into one frame that is shown as long as all of them, so that frames are interpolated between the drawings. The
times of the repeats stay known, and so does the number of restored frames.

A run of more than LONGEST repeats is a picture that stands still: nothing is skipped there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from alanet.frames.frame import Frame

__all__ = ["LONGEST", "Repeats", "same_thumbnail", "skip_repeats"]

STILL = 5  # largest difference of two thumbnails of one drawing, of 255: what compression changes
LONGEST = 3  # repeats of a drawing: on fours
LEAST, SHARE = 6, Fraction(1, 4)  # repeats, and their share of the frames, from which a video is animation


def same_thumbnail(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> bool:
    """Whether two thumbnails, h w of one size, are of one picture."""
    return int(np.abs(a.astype(np.int16) - b).max(initial=0)) <= STILL


class Repeats:
    """Counts the repeats of drawings in a video. frames: all so far; repeats: those in runs of LONGEST at most."""

    def __init__(self) -> None:
        self.frames = self.repeats = self._run = 0

    def see(self, still: bool) -> None:
        """The next frame, and whether it repeats the one before."""
        self.frames += 1
        if still:
            self._run += 1
            return
        self.repeats += self._run if self._run <= LONGEST else 0
        self._run = 0

    @property
    def animation(self) -> bool:
        """Whether the share of repeated frames is that of animation on twos, threes or fours."""
        return self.repeats >= LEAST and self.repeats >= SHARE * self.frames


def skip_repeats(frames: Iterable[tuple[Frame, bool, bool]]) -> Iterator[tuple[Frame, bool]]:
    """(frame, whether it repeats the one before, whether it starts a shot) -> (frame, whether it starts a shot).

    A drawing has the times of its repeats; it holds LONGEST + 1 frames at most.
    """
    run: list[tuple[Frame, bool]] = []
    standing = False
    for frame, still, starts in frames:
        if not still or starts:
            yield from _merged(run)
            run, standing = [(frame, starts)], False
        elif standing:
            yield frame, starts
        else:
            run.append((frame, starts))
            if len(run) > LONGEST + 1:
                yield from run
                run, standing = [], True
    yield from _merged(run)


def _merged(run: list[tuple[Frame, bool]]) -> Iterator[tuple[Frame, bool]]:
    if run:
        (first, starts), last = run[0], run[-1][0]
        shown = last.time + last.duration - first.time
        yield replace(first, duration=shown, repeats=tuple(frame.time for frame, _ in run[1:])), starts
