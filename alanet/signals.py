"""Ctrl-C and SIGTERM. Both are raised as exceptions, so that unfinished files are removed on the way out.

Where files are written, `deferred_signals` delays the first signal until the next safe place. A second signal is raised
at once, and so is one that has waited for PATIENCE. Where finished parts are kept, the next safe place is the end of
the current part, unless that takes longer than SOON or is not known yet. `noted_signals` only records signals, for a
loop that looks between two steps.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from alanet.text import duration

__all__ = ["SafePlace", "Terminated", "deferred_signals", "noted_signals", "raise_signals"]

PATIENCE = 10.0  # seconds: longer than most frames take; an input that has stalled must not hold a signal off
SOON = 30.0  # seconds that are spent on finishing a part; one that needs more is dropped

ALARM: signal.Signals | None = getattr(signal, "SIGALRM", None)  # Windows has none: there a second Ctrl-C ends a wait
Handler = Callable[[int, FrameType | None], None]


class Terminated(BaseException):
    """SIGTERM; what KeyboardInterrupt is to Ctrl-C."""


KINDS: dict[signal.Signals, type[BaseException]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


def raise_signals() -> None:
    """From here on SIGTERM raises Terminated wherever the program is, as Ctrl-C raises KeyboardInterrupt."""
    signal.signal(signal.SIGTERM, _raising(Terminated))


class SafePlace:
    """Called at each safe place; raises the signal that waits there."""

    def __init__(self, tell: Callable[[str], None] | None) -> None:
        self.waiting: list[type[BaseException]] = []
        self.at_once = False
        self._tell, self._told = tell or (lambda text: None), False
        self._finished: int | None = None
        self._last, self._longest = time.monotonic(), 0.0

    def __call__(self, finished: int | None = None, wait: float | None = None) -> None:
        """finished: parts of the work that are safe; a signal waits for one more. None: nothing would be lost here.

        wait: seconds until there is one more. None: not known yet, because the work has just begun.
        """
        now = time.monotonic()
        self._last, self._longest = now, max(self._longest, now - self._last)
        if not self.waiting:
            self._finished = finished
            return
        _alarm(0)
        if self.at_once or finished is None or finished != self._finished:
            raise self.waiting[0]
        if not self._told:
            self._told = True
            if wait is None or wait > SOON:
                needs = "has just begun" if wait is None else f"needs about {duration(wait)} more"
                self._tell(f"Stopping now: the current segment {needs}, and is not kept.")
                raise self.waiting[0]
            self._tell(
                f"Finishing the current segment (about {duration(max(1.0, wait))}). Press Ctrl-C again to stop now."
            )
        _alarm(self.patience)

    @property
    def patience(self) -> float:
        """Seconds without a safe place after which something has stalled."""
        return max(PATIENCE, 4 * self._longest)


@contextmanager
def deferred_signals(tell: Callable[[str], None] | None = None) -> Iterator[SafePlace]:
    """Inside it, the first signal is raised by the next call of the yielded object, which marks the safe places.

    tell: called with a line of text when a part of the work is finished first.
    """
    place = SafePlace(tell)
    if threading.current_thread() is not threading.main_thread():
        yield place  # signals go to the main thread
        return

    def hold(kind: type[BaseException]) -> Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            if place.waiting:
                place.at_once = True  # where Python drops the exception (in a generator that it frees): raise later
                raise kind
            place.waiting.append(kind)
            if ALARM is not None:
                signal.signal(ALARM, _raising(kind))
            _alarm(place.patience)

        return handle

    before = {number: signal.signal(number, hold(kind)) for number, kind in KINDS.items()}
    if ALARM is not None:
        before[ALARM] = signal.getsignal(ALARM)
    try:
        yield place
    finally:
        _alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Inside it, SIGTERM and Ctrl-C are appended to the list and raise nothing; a second Ctrl-C ends the process."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    before = {number: signal.getsignal(number) for number in KINDS}
    try:
        for number in before:
            signal.signal(number, note)
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _alarm(seconds: float) -> None:
    """Raise ALARM after this number of seconds; 0: not at all."""
    if ALARM is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _raising(kind: type[BaseException]) -> Handler:
    def handle(number: int, frame: FrameType | None) -> None:
        raise kind

    return handle
