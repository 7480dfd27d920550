"""What a scheduler and its workers exchange: plain values that unpickle without torch, PyAV or NumPy.

Setup      what all workers of a run have in common
Part       one segment to make: its frames, with their context, as one whole decoding of the video gives them
Prepared   a video that is ready to be restored, in parts
Made       a segment that is finished
Failure    why a task failed, and whom that concerns
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from alanet.frames.estimate_sums import EstimateSums
from alanet.restoration.options import NetworkOptions, RestoreOptions

__all__ = ["Failure", "Made", "Part", "Prepared", "Seen", "Setup"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What every worker of a run has in common."""

    network: NetworkOptions
    options: RestoreOptions
    workers: int  # that share this machine's memory and GPUs
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """An input frame as the whole decoding gave it."""

    time: Fraction  # seconds
    duration: Fraction  # seconds
    starts: bool  # a cut or a gap is before it
    digest: int  # CRC-32 of its pixels
    repeats: tuple[Fraction, ...] = ()  # times of skipped frames that repeat it


@dataclass(frozen=True, slots=True)
class Part:
    """One segment of a video: the restored frames in [start, end), and the input frames that they need."""

    number: int
    start: Fraction  # time of its first restored frame, seconds of the result
    end: Fraction | None  # time of the next segment's first; None: the last segment
    count: int  # restored frames
    origin: Fraction  # time of the video's first frame, seconds
    first: int  # index of the first of `frames` in the video
    frames: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A video whose plan is made and whose work folder is ready. plan: a pickled `RestorePlan`."""

    plan: bytes
    parts: tuple[Part, ...]  # those that are not finished
    source: str
    output: str
    folder: str  # its work folder
    rows: list[tuple[str, str]]  # for a person: what will be done
    expected: int  # restored frames in all
    there: int  # of these, finished by an earlier run
    segments: int  # in all
    frames_in: int
    seconds: float = 0.0  # of work on the segments of earlier runs
    made: Made | None = None  # the sum of these segments; their frames are in `there`


@dataclass(frozen=True, slots=True)
class Made:
    """A finished segment; of `join`, the sum of all."""

    number: int
    frames: int
    passed: int = 0  # frames that came out as NaN or infinity
    first_passed: Fraction | None = None  # time of the first of these
    warnings: list[str] = field(default_factory=list)
    estimates: EstimateSums = field(default_factory=EstimateSums)  # of input frames
    untouched: int = 0  # frames that are input frames, left as they were

    def __add__(self, other: Made) -> Made:
        """The sum of both, in which a warning stands once."""
        times = [time for time in (self.first_passed, other.first_passed) if time is not None]
        return Made(
            0,
            self.frames + other.frames,
            self.passed + other.passed,
            min(times, default=None),
            list(dict.fromkeys(self.warnings + other.warnings)),
            self.estimates + other.estimates,
            self.untouched + other.untouched,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that failed. concerns: the segment (others may succeed), the video, or the whole run."""

    reason: str  # one line
    code: int  # the exit code that it alone would have
    concerns: Literal["segment", "video", "run"]
