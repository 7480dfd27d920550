"""Which frames of a sharp high-rate video become a restorer's inputs, which are blurred, and the ground truth.

A protocol is named in the tables and printed under them:

    all-blurry   every input is the mean of 11 sharp frames, one input every 8 (comparable with the literature)
    mixed        each input is blurred with probability 1/2; the draws follow from the seed and the video's name alone
    all-sharp    no input is blurred: input frames must stay as they are, and frames in between are those of sharp video
    sweep        eight protocols: exposures of 1, 3 ... 15 frames, all with the same truth

Each restores x2 by default; "all-blurry x8" asks for 8 frames a period, scored per time. Frames are h w 3 uint8;
times are in periods from the video's first input.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from alanet.errors import DataError, OptionError
from alanet.evaluation.metrics import Picture
from alanet.frames.color import to_integer
from alanet.frames.exposure import Exposure, average, draw_blurred

__all__ = ["NAMES", "Protocol", "Trial", "parse_protocols", "trials"]

NAMES = ("all-blurry", "mixed", "all-sharp", "sweep")
SWEEP = (1, 3, 5, 7, 9, 11, 13, 15)  # sharp frames


@dataclass(frozen=True)
class Protocol:
    """What is done to every video. `exposure.frames` also fixes where the first centre lies, blurred or not."""

    name: str = "all-blurry"
    exposure: Exposure = field(default_factory=Exposure)
    length: int = 11  # sharp frames in a blurry input; odd, at most exposure.frames
    probability: float = 1.0  # that an input is blurred
    factor: int = 2  # restored frames a period
    seed: int = 0  # of the draws, where there are any
    linear: bool = False  # the mean is of light instead of sRGB values
    part: int = 60  # inputs restored at once; longer videos are cut into parts that share one input

    def describe(self) -> str:
        """The whole protocol in one line, for the text below a table."""
        blurred = f"each input blurred with p = {self.probability:g}, seed {self.seed}"
        if self.probability in (0, 1) or self.length == 1:
            blurred = "every input blurred" if self.probability and self.length > 1 else "no input blurred"
        light = "linear light" if self.linear else "sRGB values"
        return (
            f"{self.name}: exposure {self.length}, period {self.exposure.period}, mean of {light}, {blurred}, "
            f"x{self.factor}, first centre at frame {self.exposure.centre(0)}, at most {self.part} inputs at once"
        )


def parse_protocols(text: str, *, seed: int = 0, linear: bool = False) -> tuple[Protocol, ...]:
    """ "mixed" -> one protocol, "sweep" -> eight, "all-blurry x8" -> one at another factor (x1, x2, x4, x8)."""
    found = re.fullmatch(r"([a-z-]+?)(?:[ -]?x([1248]))?", text.strip().lower())
    name, digits = (found[1], found[2]) if found else (text, None)
    if name not in NAMES:
        raise OptionError(
            f"protocol '{text}' is not known; choose from {', '.join(NAMES)}, with x2, x4 or x8 behind it if wanted"
        )
    full = f"{name} x{digits}" if digits and digits != "2" else name
    base = Protocol(full, factor=int(digits or 2), seed=seed, linear=linear)
    if name == "sweep":
        wide = Exposure(max(SWEEP), base.exposure.period)
        return tuple(replace(base, name=f"{full}, exposure {n}", exposure=wide, length=n) for n in SWEEP)
    return (replace(base, probability={"all-blurry": 1.0, "mixed": 0.5, "all-sharp": 0.0}[name]),)


@dataclass(frozen=True, eq=False)
class Trial:
    """What a restorer is given at once, and what it should make of it."""

    inputs: tuple[Picture, ...]  # t
    blurred: tuple[bool, ...]  # t
    times: tuple[Fraction, ...]  # n, from the trial's first input
    truth: tuple[Picture, ...]  # n
    first: int  # the trial's first input, counted in its video
    scored: tuple[bool, ...]  # n; False where the part before has already been scored


def trials(name: str, sharp: npt.NDArray[np.uint8], protocol: Protocol) -> Iterator[Trial]:
    """All parts of one video in order, from its sharp frames (t h w 3).

    `name` seeds the draws, so that they do not depend on the other videos.
    Raises DataError for a video that gives fewer than two inputs.
    """
    exposure = protocol.exposure
    count = exposure.available(len(sharp))
    if count < 2:
        raise DataError(
            f"{name}: {len(sharp)} frames are too few for {protocol.name}; give {exposure.needed(2)} or more"
        )
    rng = np.random.default_rng([protocol.seed, zlib.crc32(name.encode())])
    drawn = draw_blurred(rng, count, protocol.probability)
    blurred = [bool(yes) and protocol.length > 1 for yes in drawn]
    for first in range(0, count - 1, protocol.part - 1):
        last = min(first + protocol.part, count)
        times = exposure.times(last - first, protocol.factor)
        yield Trial(
            inputs=tuple(_input(sharp, protocol, i, blurred[i]) for i in range(first, last)),
            blurred=tuple(blurred[first:last]),
            times=times,
            truth=tuple(sharp[exposure.index(first + time)] for time in times),
            first=first,
            scored=tuple(time > 0 or first == 0 for time in times),
        )


def _input(sharp: npt.NDArray[np.uint8], protocol: Protocol, i: int, blurred: bool) -> Picture:
    """Input frame i, rounded to 8 bits as a file would hold it; a sharp one is the centre frame itself."""
    centre = protocol.exposure.centre(i)
    if not blurred:
        return np.asarray(sharp[centre])
    start = centre - protocol.length // 2
    window = sharp[start : start + protocol.length].astype(np.float32) / 255  # t h w c
    return to_integer(average(window, linear=protocol.linear), depth=8).astype(np.uint8, copy=False)
