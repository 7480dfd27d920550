"""What a batch needs of its workers, and how far it is. Torch, PyAV and NumPy are not imported here."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from alanet.restoration.work import Prepared

__all__ = ["Crew", "Progress", "WorkerLostError", "WorkerRetiredError"]


class WorkerLostError(Exception):
    """A worker ended, with its process or its machine, while it had a task. The message says how."""


class WorkerRetiredError(Exception):
    """The crew ended a worker that had only been asked to start."""


class Crew(Protocol):
    """The workers of a run, by number. A worker's first task is "start"."""

    def numbers(self) -> Sequence[int]:
        """The workers to give tasks to now; new ones may appear at any time."""

    def call(self, number: int, task: str, *given: Any) -> Future[Any]:
        """Give a worker a task. The future raises WorkerLostError where the worker ends."""

    def drop(self, number: int) -> None:
        """A worker is lost, or not needed any more."""

    def opened(self, prepared: Prepared) -> None:
        """A video's segments are about to be made. Raises AlanetError where they cannot be."""

    def closed(self, prepared: Prepared, *, kept: bool) -> None:
        """A video is over. kept: finished segments are there for a later run."""

    def frames(self) -> int:
        """Restored frames so far of current and finished segments; 0 where only finished ones are counted."""

    def close(self) -> None:
        """End all workers, whatever they do."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is."""

    files: int
    files_total: int
    segments: int  # finished, of files that are open or over
    segments_total: int
    frames: int  # restored in this run
    frames_total: int  # of files that are open or over
    workers: int
    seconds: float
    share: float  # of all files, 0 to 1

    def to_dict(self) -> dict[str, float | None]:
        """Plain values, for JSON."""
        rate = self.frames / self.seconds if self.seconds else None
        return {**asdict(self), "frames_a_second": rate, "seconds_left": self.left}

    @property
    def left(self) -> float | None:
        """Seconds, at the speed so far; None where nothing is done yet."""
        return self.seconds * (1 - self.share) / self.share if self.share else None
