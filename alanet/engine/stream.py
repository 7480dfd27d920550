"""Frames in, restored frames out: the ring of a window's features, and when each restored frame can be made.

    decoded frames ─> encode ─> [ i-1 | i | i+1 ] ─> restored frames shown in [t_i, t_{i+1}) ─> out
                                ring, and its pairs

Each frame is encoded once (an exact duplicate of the frame before not at all) and each pair of neighbours related
once, where the network relates; memory does not depend on length.
A run that goes on after another one skips what is there: nothing is encoded but what the first new frame looks at.
Nothing is interpolated or borrowed across a cut or a gap (`frames/gaps.py`): windows end there, and the restored frame
before is held.
A frame that the network classifies as sharp is passed on unchanged at its own time, with its decoded planes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Any, Protocol

import numpy as np

from alanet.engine.counts import Counts
from alanet.frames.cuts import same_pixels
from alanet.frames.frame import Frame, Pixels
from alanet.frames.gaps import Gaps
from alanet.frames.timing import Moment, Schedule, Tail, merge_holds, moments
from alanet.frames.windows import Reach, reach, window_of
from alanet.model.network import Window

__all__ = ["Estimate", "Kept", "Restoring", "Since", "stream"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a network estimates of a frame."""

    exposure: float  # fraction of the frame period
    sharp: bool  # passed through unchanged
    logit: float = 0.0  # of the probability that it is sharp
    uncertainty: float = 0.0  # expected error of the exposure's natural logarithm


class Restoring(Protocol):
    """What a stream needs of a network; features and relations of the windows are `Kept`."""

    def estimate(self, window: Window, i: int, /) -> Estimate | None:
        """Frame i, among its neighbours; None from a network that estimates nothing."""

    def generate(self, window: Window, times: Sequence[float], like: Pixels, /) -> Iterator[Pixels | None]:
        """None: this one is not finite."""


class Kept:
    """What a runner made of a frame (or of a pair, which has no pixels): made when it is first needed, so that what no
    restored frame needs is never made, and made again for another runner, which cannot use it."""

    def __init__(self, pixels: Pixels | None = None) -> None:
        self.pixels = pixels
        self._made: Any = None
        self._by: object = None

    def get(self, runner: object, make: Callable[[], Any]) -> Any:
        if self._by is not runner:
            self.forget()  # the old one is freed before the new one is made
            self._made, self._by = make(), runner
        return self._made

    def forget(self) -> None:
        self._made = self._by = None


@dataclass(frozen=True, slots=True)
class Since:
    """Where a part of a video begins; its gaps start shots."""

    origin: Fraction  # time of the video's first frame, seconds
    index: int  # of the part's first frame in the video


@dataclass(frozen=True, slots=True)
class _Held:
    """A frame in the ring."""

    frame: Frame
    features: Kept
    first: int  # index of the first frame of its shot
    relation: Kept | None  # to the frame before, in the same shot


def stream(
    frames: Iterable[tuple[Frame, bool]],
    runner: Restoring,
    schedule: Schedule,
    *,
    window: int,
    around: int = 0,
    tail: Tail = "hold",
    counts: Counts | None = None,
    skip: Callable[[Fraction], bool] = lambda time: False,
    strength: float = 1.0,
    period: Fraction | None = None,
    since: Since | None = None,
) -> Iterator[Frame]:
    """Restore frames as they come.

    Args:
        frames: (frame, whether a new shot starts with it), at strictly increasing times.
        runner: the network.
        schedule: which moments are wanted.
        window: W of the network, in frames.
        around: further frames that the network looks at on each side of an interpolated frame's two.
        tail: "hold" repeats the last restored frame to the end of the video; "drop" shows it once, longer.
        counts: kept up to date on the way.
        skip: asked once for each restored frame, in order, by its time: one that is there already, or that another
            process makes, is counted, but neither made nor yielded.
        strength: share of a restored frame in what is shown at an input frame's own time, the rest is that input
            frame; at 0 it is untouched. Frames in between are not changed by it.
        period: seconds between input frames, where it is constant by the input's header (`frames/gaps.py`).
        since: where `frames` begin, if they are a part of a video.

    Yields:
        Restored frames at exact times, from the first frame's time to the end of the last one. A held frame is the
        restored frame before it with a new time. Where the network came to nothing it is the nearer input.
    """
    ring = _Ring(schedule, window, around, Counts() if counts is None else counts, strength, period, since)
    first = 0 if since is None else since.index
    for i, merged in _intervals(ring, frames, reach(window, around=around), tail, first):
        moments = ring.moments(i, merged=merged)
        wanted = [moment for moment in moments if not ring.skips(moment, skip)]
        phases = [Fraction(0) if moment.hold else moment.phase for moment in wanted]
        estimate = runner.estimate(ring.neighbours(i), i) if ring.needs_estimate(phases) else None
        passed = ring.passes(estimate, phases)
        counted = ring.counted_with(moments)
        times = [phase for phase, _ in groupby(phases) if phase or not passed]  # a hold is not made again
        like = ring.held[i].frame.pixels
        made = runner.generate(ring.window_of(i, times), [float(i + phase) for phase in times], like) if times else None
        for phase, group in groupby(wanted, lambda moment: Fraction(0) if moment.hold else moment.phase):
            moments_there = list(group)
            if counted in moments_there:
                ring.count(estimate)
            if made is None or (passed and not phase):
                yield from ring.unchanged(i, moments_there)
            else:
                yield from ring.restored(i, phase, moments_there, next(made))


def _intervals(
    ring: _Ring, frames: Iterable[tuple[Frame, bool]], far: Reach, tail: Tail, first: int
) -> Iterator[tuple[int, bool]]:
    """Puts the frames into the ring; gives each frame's index once all that its interval needs is there, and whether
    what is shown until the next frame is merged into one."""
    index = first - 1
    for index, (frame, starts_shot) in enumerate(frames, first):
        ring.add(index, frame, starts_shot)
        if index - first >= far.after:
            yield index - far.after, False
            ring.held.pop(index - far.after - far.before, None)
    for i in range(max(first, index + 1 - far.after), index + 1):
        yield i, tail == "drop" and i == index


class _Ring:
    """The frames around the current one, with their features."""

    def __init__(
        self,
        schedule: Schedule,
        window: int,
        around: int,
        counts: Counts,
        strength: float,
        period: Fraction | None,
        since: Since | None,
    ) -> None:
        self.schedule, self.window, self.around = schedule, window, around
        self.counts, self.strength = counts, strength
        self.held: dict[int, _Held] = {}
        self.gaps = Gaps(period) if since is None else None
        self.origin = Fraction(0) if since is None else since.origin  # time of the video's first frame

    def add(self, index: int, frame: Frame, starts_shot: bool) -> None:
        before = self.held.get(index - 1)
        if before is None and self.gaps is not None:
            self.origin = frame.time
        if before is not None and same_pixels(before.frame.pixels, frame.pixels):
            features = before.features
            self.counts.duplicates += 1
        else:
            features = Kept(frame.pixels)
        gap = False
        if before is not None and self.gaps is not None:
            gap = self.gaps.between(_last_time(before.frame), frame.time) and not starts_shot
            self.counts.longest_gap = self.gaps.longest
        first = index if before is None or starts_shot or gap else before.first
        relation = None if before is None or first == index else Kept()
        self.held[index] = _Held(frame, features, first, relation)
        self.counts.frames_in += 1 + len(frame.repeats)
        self.counts.duplicates += len(frame.repeats)
        self.counts.cuts += starts_shot and index > 0
        self.counts.gaps += gap

    def moments(self, i: int, *, merged: bool = False) -> Sequence[Moment]:
        """When restored frames are shown from frame i's time until the next frame's; `merged`: as one, shown longer."""
        frame, following, first = self.held[i].frame, self.held.get(i + 1), self.held[i].first
        end = frame.time + frame.duration if following is None else following.frame.time
        alone = following is None or following.first != first
        wanted = _moments_of(self.schedule, frame, end, origin=self.origin, hold=alone)
        return merge_holds(wanted) if merged else wanted

    def skips(self, moment: Moment, skip: Callable[[Fraction], bool]) -> bool:
        """Whether this one is there already; then it only counts."""
        there = skip(moment.time)
        self.counts.frames_out += there
        return there

    def needs_estimate(self, phases: Sequence[Fraction]) -> bool:
        """Whether the network runs for any of these; frame i alone at strength 0 is shown without it."""
        return bool(phases) and (self.strength != 0 or any(phases))

    def counted_with(self, moments: Sequence[Moment]) -> Moment | None:
        """The first of an interval's moments that needs the estimate, which is counted once, with it."""
        return next((moment for moment in moments if self.strength != 0 or (moment.phase and not moment.hold)), None)

    def count(self, estimate: Estimate | None) -> None:
        if estimate is not None:
            known = self.counts.estimates
            self.counts.estimates = known.with_frame(estimate.exposure, estimate.uncertainty, sharp=estimate.sharp)

    def passes(self, estimate: Estimate | None, phases: Sequence[Fraction]) -> bool:
        """Whether frame i is shown unchanged."""
        return bool(phases) and (self.strength == 0 or (estimate is not None and estimate.sharp))

    def neighbours(self, i: int) -> Window:
        """Frame i and those before and after it in its shot."""
        first = self.held[i].first
        return self._window(j for j in (i - 1, i, i + 1) if j in self.held and self.held[j].first == first)

    def window_of(self, i: int, phases: Sequence[Fraction]) -> Window:
        """All frames that restored frames at i + each phase need."""
        first = self.held[i].first
        last = max(j for j, held in self.held.items() if held.first == first)
        return self._window(
            sorted({j for phase in phases for j in window_of(i + phase, self.window, first, last, around=self.around)})
        )

    def _window(self, indices: Iterable[int]) -> Window:
        features = {j: self.held[j].features for j in indices}
        return Window(features, {j: self.held[j + 1].relation for j in features if j + 1 in features})

    def unchanged(self, i: int, wanted: Iterable[Moment]) -> Iterator[Frame]:
        """Frame i at these moments, with its decoded planes."""
        frame = self.held[i].frame
        for moment in wanted:
            self.counts.frames_out += 1
            self.counts.untouched += 1
            captions = frame.source if not moment.phase else None
            yield Frame(frame.pixels, moment.time, moment.duration, frame.source, captions)

    def restored(self, i: int, phase: Fraction, wanted: Iterable[Moment], made: Pixels | None) -> Iterator[Frame]:
        """The restored frame at i + phase at these moments; where it is None, the nearer input."""
        a, following = self.held[i].frame, self.held.get(i + 1)
        b = a if following is None else following.frame
        if made is not None:
            made = _with_alpha(made if phase else _mixed(made, a.pixels, self.strength), a, b, phase)
        for moment in wanted:
            self.counts.frames_out += 1
            captions = a.source if not moment.phase else None
            if made is not None:
                yield Frame(made, moment.time, moment.duration, captions=captions)
                continue
            self.counts.pass_through(moment.time)
            near = b if phase > Fraction(1, 2) else a
            yield Frame(near.pixels, moment.time, moment.duration, near.source, captions)


def _last_time(frame: Frame) -> Fraction:
    """Of a frame and its repeats."""
    return frame.repeats[-1] if frame.repeats else frame.time


def _moments_of(schedule: Schedule, frame: Frame, end: Fraction, *, origin: Fraction, hold: bool) -> list[Moment]:
    """`moments` of a frame; with repeats there are as many as of all of them, at phases of the whole interval."""
    if not frame.repeats:
        return moments(schedule, frame.time, end, origin=origin, hold=hold)
    found = []
    for begin, stop in pairwise((frame.time, *frame.repeats, end)):
        for moment in moments(schedule, begin, stop, origin=origin):
            phase = (begin + moment.phase * (stop - begin) - frame.time) / (end - frame.time)
            found.append(replace(moment, phase=phase, hold=hold and phase > 0))
    return found


def _mixed(restored: Pixels, given: Pixels, strength: float) -> Pixels:
    """`strength` of a restored frame and the rest of the frame it was made from, rounded."""
    if strength == 1:
        return restored
    change = np.float32(strength) * np.subtract(restored, given[..., :3], dtype=np.float32)
    mixed: Pixels = np.rint(given[..., :3] + change).astype(restored.dtype)
    return mixed


def _with_alpha(restored: Pixels, a: Frame, b: Frame, phase: Fraction) -> Pixels:
    """Alpha is not the network's: it is the input's, blended between two inputs."""
    if a.pixels.shape[2] == 3:
        return restored
    blend = a.pixels[..., 3:] * (1 - float(phase)) + b.pixels[..., 3:] * float(phase)
    return np.concatenate((restored, np.rint(blend).astype(restored.dtype)), axis=2)
