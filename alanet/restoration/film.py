"""A video of a batch while it is open: its parts, current tasks, tries and failures."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from alanet.restoration.batch import Item
from alanet.restoration.work import Failure, Made, Part, Prepared

__all__ = ["OpenFilm"]


@dataclass
class OpenFilm:
    """A video that is open."""

    item: Item
    began: float
    prepared: Prepared | None = None
    free: deque[Part] = field(default_factory=deque)
    busy: int = 0  # current tasks
    made: Made = field(default_factory=lambda: Made(0, 0))
    finished: int = 0  # segments, an earlier run's included
    tries: dict[int, list[str]] = field(default_factory=dict)  # by segment; -1: prepare or join
    lost: dict[int, str] = field(default_factory=dict)  # segments given up
    failure: Failure | None = None

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return 0.0 if self.prepared is None else self.finished / max(1, self.prepared.segments)
