"""Ctrl-C and SIGTERM. Both unwind as exceptions, so that whoever has something half-written removes it.

An exception that falls into the wrong line would leave it behind after all. So where files are written a first signal
waits for the next safe place; a second one, or one that has waited for PATIENCE, does not.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Terminated", "gently", "raise_signals"]

PATIENCE = 10.0  # seconds: longer than most frames take; an input that has stalled must not hold a signal off

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


@contextmanager
def gently() -> Iterator[Callable[[], None]]:
    """Inside it, a first signal is raised by the next call of what is yielded, which marks the safe places."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # signals go to the main thread
        return
    waiting: list[type[BaseException]] = []

    def hold(kind: type[BaseException]) -> Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            if waiting:
                raise kind
            waiting.append(kind)
            signal.signal(signal.SIGALRM, _raising(kind))
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)

        return handle

    def check() -> None:
        if waiting:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise waiting[0]

    before = {number: signal.signal(number, hold(kind)) for number, kind in KINDS.items()}
    alarm = signal.getsignal(signal.SIGALRM)
    try:
        yield check
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in {**before, signal.SIGALRM: alarm}.items():
            signal.signal(number, handler)


def _raising(kind: type[BaseException]) -> Handler:
    def handle(number: int, frame: FrameType | None) -> None:
        raise kind

    return handle
