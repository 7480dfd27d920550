"""Gives the videos of a batch, in parts, to workers: one loop for processes of this machine and for a cluster.

    waiting -> prepare -> segments, up to TRIES times each -> join -> over

Order: videos finish one after another. A worker that is free joins a finished video, else makes the next segment of the
earliest open one. A new video is opened when the open ones have fewer free segments than there are workers, so that as
many videos are open as keep the workers busy, and the space that they take is bounded.

A worker may end at any moment: its task is given to another. Torch, PyAV and NumPy are not imported here.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from alanet.errors import AlanetError, IncompleteError, InputError, OutputError, ResourceError
from alanet.restoration.batch import Item, Outcome
from alanet.restoration.crew import Crew, Progress, WorkerLostError, WorkerRetiredError
from alanet.restoration.film import OpenFilm
from alanet.restoration.work import Failure, Made, Part, Prepared
from alanet.signals import KINDS, noted_signals

__all__ = ["ERRORS", "TRIES", "Dispatch"]

TRIES = 3  # of a segment, or of another task whose worker ends
STARTS = 3  # of workers that end in a row, before any task is done, that end the run
A_MOMENT = 0.5  # seconds between two looks at workers and signals
ERRORS: dict[int, type[AlanetError]] = {2: InputError, 3: IncompleteError, 4: OutputError, 5: ResourceError}


class Dispatch:
    """One batch. over: called with each outcome; prepared: when a video is opened; say: with a line for a person."""

    def __init__(
        self,
        items: Sequence[Item],
        crew: Crew,
        *,
        over: Callable[[Outcome], None] = lambda outcome: None,
        opened: Callable[[Prepared], None] = lambda prepared: None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._crew, self._over, self._opened, self._on_progress, self._say = crew, over, opened, on_progress, say
        self._waiting, self._total = deque(items), len(items)
        self._open: list[OpenFilm] = []
        self._hand: dict[Future[Any], tuple[int, str, OpenFilm | None, Part | None]] = {}
        self._started: set[int] = set()
        self._busy: set[int] = set()
        self._deaths = 0  # in a row
        self._files = self._segments = self._segments_total = self._frames = self._frames_total = 0
        self._began = time.monotonic()
        self._machine: dict[str, str] = {}  # of the first worker
        self._warned = self._stopping = False

    def run(self) -> None:
        """Restore all. Raises what concerns the whole run, and interruptions once the current segments are finished."""
        try:
            with noted_signals() as noted:
                while self._files < self._total:
                    if noted and self._stopped(noted):
                        raise next(kind for number, kind in KINDS.items() if number == noted[0])
                    if not noted:
                        self._deal()
                    self._hear()
                    if self._segments_total or self._files:
                        self._on_progress(self._progress())
        finally:
            self._crew.close()
            for film in self._open:
                self._close(film)

    def _stopped(self, noted: list[int]) -> bool:
        """Whether no current task is worth waiting for. Reports once what is waited for."""
        if not self._stopping:
            self._stopping = True
            self._say("Workers finish their current segments. Press Ctrl-C again to stop now.")
        return len(noted) > 1 or not any(task in ("segment", "join") for _, task, _, _ in self._hand.values())

    # ---- giving out --------------------------------------------------------------------------------------------------

    def _deal(self) -> None:
        """A task for every free worker."""
        numbers = self._crew.numbers()
        for number in numbers:
            if number in self._busy:
                continue
            if number not in self._started:
                self._give(number, "start", None)
            elif not self._give_task(number, len(numbers)):
                return

    def _give_task(self, number: int, workers: int) -> bool:
        """The next task to a worker; False where there is none."""
        for film in self._open:
            if film.prepared is not None and not film.free and not film.busy:
                seconds = time.monotonic() - film.began + film.prepared.seconds / max(1, len(self._started))
                self._give(number, "join", film, None, film.item, film.prepared, film.made, seconds)
                return True
        free = sum(len(film.free) for film in self._open)
        preparing = sum(film.prepared is None and film.busy for film in self._open)
        if self._waiting and len(self._open) <= workers and (not free or (free < workers and not preparing)):
            film = OpenFilm(self._waiting.popleft(), time.monotonic())
            self._open.append(film)
            self._give(number, "prepare", film, None, film.item)
            return True
        for film in self._open:
            if film.prepared is None and not film.busy:  # its worker ended
                self._give(number, "prepare", film, None, film.item)
                return True
            if film.prepared is not None and film.free:
                part = film.free.popleft()
                self._give(number, "segment", film, part, film.prepared.plan, part)
                return True
        return False

    def _give(self, number: int, task: str, film: OpenFilm | None, part: Part | None = None, *given: Any) -> None:
        self._busy.add(number)
        if film is not None:
            film.busy += 1
        self._hand[self._crew.call(number, task, *given)] = (number, task, film, part)

    # ---- taking in ---------------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        """Wait a moment for tasks that end, and take their results in."""
        if not self._hand:
            time.sleep(A_MOMENT if not self._started else 0.01)
            return
        for future in wait(self._hand, timeout=A_MOMENT, return_when=FIRST_COMPLETED).done:
            number, _, film, part = self._hand.pop(future)
            self._busy.discard(number)
            if film is not None:
                film.busy -= 1
            try:
                result = future.result()
            except WorkerRetiredError:
                continue
            except WorkerLostError as error:
                self._worker_lost(number, film, part, str(error))
                continue
            if film is None:
                self._start(number, result)
            else:
                self._deaths = 0
                self._take(film, part, result)
                self._settle(film)

    def _start(self, number: int, result: Any) -> None:
        """A worker is ready, or refuses the setup."""
        if isinstance(result, Failure):
            raise ERRORS.get(result.code, AlanetError)(result.reason)
        self._started.add(number)
        self._deaths = 0
        if isinstance(result, dict):
            self._compare(result)

    def _compare(self, machine: dict[str, str]) -> None:
        """Say once that machines differ in what rounding depends on."""
        self._machine = self._machine or machine
        first = self._machine
        differs = [name for name in machine if name != "machine" and machine[name] != first[name]]
        if differs and not self._warned:
            self._warned = True
            self._say(
                f"warning: machines differ ({differs[0]}: {first[differs[0]]} on {first['machine']}, "
                f"{machine[differs[0]]} on {machine['machine']}); restored frames may differ in their last bits from "
                "segment to segment"
            )

    def _worker_lost(self, number: int, film: OpenFilm | None, part: Part | None, how: str) -> None:
        """Its task goes to another worker."""
        self._crew.drop(number)
        self._started.discard(number)
        if film is None:
            self._deaths += 1
            if self._deaths >= STARTS:
                raise ResourceError(f"workers end as soon as they begin ({how}); start fewer, or see their log with -v")
            return
        if part is not None:
            self._retry(film, part, f"its worker ended ({how})")
        else:
            tries = film.tries.setdefault(-1, [])
            tries.append(how)
            if len(tries) >= TRIES:
                film.failure = Failure(f"{film.item.source}: its worker ended {TRIES} times ({how})", 5, "video")
        self._settle(film)

    def _take(self, film: OpenFilm, part: Part | None, result: Any) -> None:
        """What a task of a video came to."""
        match result:
            case Failure(concerns="run"):
                raise ERRORS.get(result.code, AlanetError)(result.reason)
            case Failure() if part is not None and result.concerns == "segment":
                self._retry(film, part, result.reason)
            case Failure():
                film.failure = film.failure or result
            case Made():
                self._made(film, result)
            case Prepared():
                self._prepared(film, result)
            case Outcome():
                self._end(film, result)

    def _prepared(self, film: OpenFilm, prepared: Prepared) -> None:
        try:
            self._crew.opened(prepared)
        except AlanetError as error:
            film.failure = Failure(str(error), error.exit_code, "video")
            return
        film.prepared, film.free = prepared, deque(prepared.parts)
        film.finished = prepared.segments - len(prepared.parts)
        film.made = prepared.made or film.made
        self._segments += film.finished
        self._segments_total += prepared.segments
        self._frames_total += prepared.expected - prepared.there
        self._opened(prepared)

    def _made(self, film: OpenFilm, made: Made) -> None:
        film.made += made
        film.finished += 1
        self._segments += 1
        self._frames += made.frames

    def _retry(self, film: OpenFilm, part: Part, reason: str) -> None:
        """A segment failed: once more, by another worker if there is one, up to TRIES times."""
        tries = film.tries.setdefault(part.number, [])
        tries.append(reason)
        if len(tries) < TRIES:
            film.free.append(part)
        else:
            until = "its end" if part.end is None else f"{float(part.end):.1f} s"
            film.lost[part.number] = f"from {float(part.start):.1f} s to {until}: {reason}"

    def _settle(self, film: OpenFilm) -> None:
        """End a video of which nothing is left to do."""
        if film.failure is not None:
            film.free.clear()
        if film.busy or film.free or film not in self._open:
            return
        if film.failure is not None:
            self._end(film, self._failed(film, film.failure.reason, film.failure.code))
        elif film.lost:
            number, why = min(film.lost.items())
            more = f", and {len(film.lost) - 1} more" if len(film.lost) > 1 else ""
            reason = (
                f"{film.item.source}: segment {number} failed three times ({why}){more}; the other {film.finished} are "
                "finished and kept, and the same command tries again"
            )
            self._end(film, self._failed(film, reason, IncompleteError.exit_code))

    def _failed(self, film: OpenFilm, reason: str, code: int) -> Outcome:
        return Outcome(film.item.name, "failed", seconds=time.monotonic() - film.began, reason=reason, code=code)

    def _end(self, film: OpenFilm, outcome: Outcome) -> None:
        self._open.remove(film)
        self._files += 1
        if outcome.state != "failed":
            film.finished = 0
        self._close(film)
        self._over(outcome)

    def _close(self, film: OpenFilm) -> None:
        if film.prepared is not None:
            self._crew.closed(film.prepared, kept=film.finished > 0)
        if film.item.folder is not None:
            _remove_empty(Path(film.item.folder))

    def _progress(self) -> Progress:
        share = (self._files + sum(film.share for film in self._open)) / max(1, self._total)
        frames = max(self._frames, self._crew.frames())
        return Progress(
            self._files,
            self._total,
            self._segments,
            self._segments_total,
            frames,
            self._frames_total,
            len(self._started),
            time.monotonic() - self._began,
            share,
        )


def _remove_empty(folder: Path) -> None:
    """A folder made for a result that did not come to be."""
    with suppress(OSError):
        folder.rmdir()
