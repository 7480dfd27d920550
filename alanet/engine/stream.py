"""Frames in, restored frames out: the ring of a window's features, and when each restored frame can be made.

    decoded frames ─> encode ─> [ i-1 | i | i+1 ] ─> restored frames shown in [t_i, t_{i+1}) ─> out
                                ring, and its pairs

Each frame is encoded once (an exact duplicate of the frame before not at all) and each pair of neighbours related
once, where the network relates; memory does not depend on length.
A run that goes on after another one skips what is there: nothing is encoded but what the first new frame looks at.
Nothing is interpolated or borrowed across a cut: windows end there, and the restored frame before is held.
A frame that the network judges sharp is passed on at its own time as it came, planes and all: nothing is made for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from alanet.frames.cuts import same_pixels
from alanet.frames.frame import Frame, Pixels
from alanet.frames.timing import Schedule, Tail, merge_holds, moments
from alanet.frames.windows import reach, window_of
from alanet.model.network import Window

__all__ = ["Counts", "Estimate", "Restoring", "stream"]

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a network estimates of a frame."""

    exposure: float  # fraction of the frame period
    sharp: bool  # passed through unchanged
    logit: float = 0.0  # of the probability that it is sharp


class Restoring(Protocol[E]):
    """What a stream needs of a network: `SteadyRunner`, or the `Runner` or `TiledRunner` in it."""

    def encode(self, pixels: Pixels) -> E: ...

    def estimate(self, window: Window, i: int, /) -> Estimate | None:
        """Frame i, among its neighbours; None from a network that estimates nothing."""

    def relate(self, a: E, b: E) -> Any: ...

    def generate(self, window: Window, times: Sequence[float], like: Pixels, /) -> Iterator[Pixels | None]:
        """None: this one is not finite."""


@dataclass(slots=True)
class Counts:
    """What has gone through a stream so far."""

    frames_in: int = 0
    frames_out: int = 0
    cuts: int = 0
    duplicates: int = 0
    passed: int = 0  # of frames_out: the network came to nothing, and the input is shown
    first_passed: Fraction | None = None  # time of the first of these
    judged: int = 0  # input frames whose exposure was estimated
    sharp: int = 0  # of these, judged sharp
    exposures: float = 0.0  # their sum, periods
    untouched: int = 0  # of frames_out, holds included: input frames as they came, judged sharp or by strength 0

    def pass_through(self, time: Fraction) -> None:
        self.passed += 1
        self.first_passed = time if self.first_passed is None else self.first_passed


class _Lazy(Generic[E]):
    """Made when it is first asked for, and kept: what no restored frame looks at is never made."""

    def __init__(self, make: Callable[[], E]) -> None:
        self._make: Callable[[], E] | None = make
        self._made: list[E] = []

    def get(self) -> E:
        if self._make is not None:
            self._made.append(self._make())
            self._make = None  # and what it was made from can go
        return self._made[0]


@dataclass(frozen=True, slots=True)
class _Held(Generic[E]):
    """A frame in the ring."""

    frame: Frame
    encoded: _Lazy[E]
    first: int  # index of the first frame of its shot
    relation: _Lazy[Any] | None  # to the frame before, in the same shot


def stream(
    frames: Iterable[tuple[Frame, bool]],
    runner: Restoring[E],
    schedule: Schedule,
    *,
    window: int,
    around: int = 0,
    tail: Tail = "hold",
    counts: Counts | None = None,
    skip: Callable[[Fraction], bool] = lambda time: False,
    strength: float = 1.0,
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

    Yields:
        Restored frames at exact times, from the first frame's time to the end of the last one. A held frame is the
        restored frame before it with a new time. Where the network came to nothing it is the nearer input.
    """
    ring = _Ring(runner, schedule, window, around, Counts() if counts is None else counts, skip, strength)
    far = reach(window, around=around)
    index = -1
    for index, (frame, starts_shot) in enumerate(frames):
        ring.add(index, frame, starts_shot)
        if index >= far.after:
            yield from ring.interval(index - far.after)
            ring.held.pop(index - far.after - far.before, None)
    for i in range(max(0, index + 1 - far.after), index + 1):
        yield from ring.interval(i, merged=tail == "drop" and i == index)


class _Ring(Generic[E]):
    """The frames around the one in hand, with their features."""

    def __init__(
        self,
        runner: Restoring[E],
        schedule: Schedule,
        window: int,
        around: int,
        counts: Counts,
        skip: Callable[[Fraction], bool],
        strength: float,
    ) -> None:
        self.runner, self.schedule, self.window, self.around = runner, schedule, window, around
        self.counts, self.skip, self.strength = counts, skip, strength
        self.held: dict[int, _Held[E]] = {}
        self.origin = Fraction(0)  # time of the video's first frame

    def add(self, index: int, frame: Frame, starts_shot: bool) -> None:
        before = self.held.get(index - 1)
        if before is None:
            self.origin = frame.time
        if before is not None and same_pixels(before.frame.pixels, frame.pixels):
            encoded = before.encoded
            self.counts.duplicates += 1
        else:
            encoded = _Lazy(lambda: self.runner.encode(frame.pixels))
        first = index if before is None or starts_shot else before.first
        relation: _Lazy[Any] | None = None
        if before is not None and first != index:
            earlier = before.encoded
            relation = _Lazy(lambda: self.runner.relate(earlier.get(), encoded.get()))
        self.held[index] = _Held(frame, encoded, first, relation)
        self.counts.frames_in += 1
        self.counts.cuts += first == index > 0

    def interval(self, i: int, *, merged: bool = False) -> Iterator[Frame]:
        """The restored frames shown from frame i's time until the next frame's; `merged`: as one, shown longer."""
        frame, following, first = self.held[i].frame, self.held.get(i + 1), self.held[i].first
        end = frame.time + frame.duration if following is None else following.frame.time
        alone = following is None or following.first != first
        wanted = moments(self.schedule, frame.time, end, origin=self.origin, hold=alone)
        if merged:
            wanted = merge_holds(wanted)
        made = []
        for moment in wanted:
            if self.skip(moment.time):
                self.counts.frames_out += 1
            else:
                made.append(moment)
        phases = [Fraction(0) if moment.hold else moment.phase for moment in made]
        for moment, (picture, source) in zip(made, self._pictures(i, phases), strict=True):
            self.counts.frames_out += 1
            if picture is not None:
                yield Frame(picture, moment.time, moment.duration, source)
                continue
            self.counts.pass_through(moment.time)
            nearer = frame if following is None or moment.hold or moment.phase <= Fraction(1, 2) else following.frame
            yield replace(nearer, time=moment.time, duration=moment.duration)

    def _pictures(self, i: int, phases: Sequence[Fraction]) -> Iterator[tuple[Pixels | None, Any]]:
        """What is shown at i + each phase, with its decoded planes where it is an input frame as it came.

        A phase that repeats the one before, a hold, is not made again.
        """
        a, b = self.held[i].frame, self.held.get(i + 1, self.held[i]).frame
        passed = self._passed(i, phases)
        made = self._made(i, [phase for phase, _ in groupby(phases) if phase or not passed], a.pixels)
        for phase, repeats in groupby(phases):
            shown: tuple[Pixels | None, Any] = a.pixels, a.source
            if phase or not passed:
                picture = next(made)
                if picture is not None:
                    picture = _with_alpha(picture if phase else _mixed(picture, a.pixels, self.strength), a, b, phase)
                shown = picture, None
            for _ in repeats:
                self.counts.untouched += passed and not phase
                yield shown

    def _made(self, i: int, phases: Sequence[Fraction], like: Pixels) -> Iterator[Pixels | None]:
        """The network's frames at i + each phase."""
        if not phases:
            return
        first = self.held[i].first
        last = max(j for j, held in self.held.items() if held.first == first)
        seen = {j for phase in phases for j in window_of(i + phase, self.window, first, last, around=self.around)}
        yield from self.runner.generate(self._window(seen), [float(i + phase) for phase in phases], like)

    def _window(self, seen: Iterable[int]) -> Window:
        """What the network made of these frames, and of the pairs among them."""
        features = {j: self.held[j].encoded.get() for j in sorted(seen)}
        pairs = {j: self.held[j + 1].relation for j in features if j + 1 in features}
        return Window(features, {j: None if pair is None else pair.get() for j, pair in pairs.items()})

    def _passed(self, i: int, phases: Sequence[Fraction]) -> bool:
        """Whether frame i is shown as it came; where the network is needed for any phase, its opinion is counted."""
        if not phases or (self.strength == 0 and not any(phases)):
            return bool(phases)
        first = self.held[i].first
        window = self._window(j for j in (i - 1, i, i + 1) if j in self.held and self.held[j].first == first)
        judged = self.runner.estimate(window, i)
        if judged is not None:
            self.counts.judged += 1
            self.counts.sharp += judged.sharp
            self.counts.exposures += judged.exposure
        return self.strength == 0 or (judged is not None and judged.sharp)


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
