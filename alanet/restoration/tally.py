"""What a summary counts beside frames, for a whole run, however often it was interrupted.

The counts as of the last finished segment are kept beside the segments; a run that resumes adds them to its own.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from alanet.engine.counts import Counts
from alanet.errors import OutputError
from alanet.files import write_json
from alanet.frames.estimate_sums import EstimateSums
from alanet.restoration.workdir import COUNTS

__all__ = ["Tally", "TallyKeeper"]


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of restored frames and of the estimates of input frames."""

    frames_out: int = 0
    seconds: float = 0.0
    untouched: int = 0
    passed: int = 0
    estimates: EstimateSums = field(default_factory=EstimateSums)

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Tally)))


class TallyKeeper:
    """Keeps the tally of the finished segments in a work folder (None: nowhere). earlier: of interrupted runs."""

    def __init__(self, folder: Path | None, *, resumed: bool) -> None:
        self.earlier = _read(folder / COUNTS) if folder is not None and resumed else Tally()
        self._folder = folder
        self._since: deque[Tally] = deque()  # a restored frame each, after the last finished segment

    def whole(self, counts: Counts, seconds: float, made: int) -> Tally:
        """Of all runs together, this one included. made: restored frames of this run."""
        return self.earlier + _tally(counts, seconds, made)

    def add(self, counts: Counts, seconds: float, made: int) -> None:
        """After each restored frame."""
        if self._folder is not None:
            self._since.append(_tally(counts, seconds, made))

    def keep(self, finished: int) -> None:
        """After a segment is finished. finished: restored frames of this run in finished segments."""
        last = None
        while self._since and self._since[0].frames_out <= finished:
            last = self._since.popleft()
        if last is not None and self._folder is not None:
            try:
                write_json(self._folder / COUNTS, asdict(self.earlier + last))
            except (OSError, OutputError):  # a summary is not worth a run; a full disk is found by the encoder
                self._folder = None


def _tally(counts: Counts, seconds: float, made: int) -> Tally:
    return Tally(made, seconds, counts.untouched, counts.passed, counts.estimates)


def _read(path: Path) -> Tally:
    """What is kept; nothing where there is none or it is damaged."""
    try:
        said = json.loads(path.read_text("utf-8"))
        estimates = EstimateSums(
            **{name: type(none)(said["estimates"][name]) for name, none in asdict(EstimateSums()).items()}
        )
        return Tally(
            int(said["frames_out"]), float(said["seconds"]), int(said["untouched"]), int(said["passed"]), estimates
        )
    except (OSError, ValueError, TypeError, KeyError):
        return Tally()
