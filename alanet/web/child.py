"""A process for work on visitors' files: a decoder that crashes ends it, and the server starts another.

    server                          child
    call(function, ...)   ------>   function(...)
    on_report(what)       <------   report(what)        while it works; raises Stopped once `stop` was called
    the result            <------

The pipe between them ends with either process: a child whose server is gone ends at once.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from alanet.engine.threads import wait_passively
from alanet.errors import AlanetError, MediaError, ResourceError
from alanet.restoration.naming import naming_flags

__all__ = ["Child", "CrashedError", "Report", "Stopped"]

Report = Callable[[Any], None]

log = logging.getLogger("alanet.web")
# A server of children imports torch once: a child then starts in a moment. Windows has none.
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
CONTEXT: Any = multiprocessing.get_context(METHOD)
PRELOADED = ["alanet.restoration.moment", "alanet.restoration.restorer"]
PATIENCE = 5.0  # seconds for a process to end by itself


class Stopped(BaseException):
    """The work was stopped: by its visitor, or because the server ends."""


class CrashedError(MediaError):
    """The process ended while it worked."""


class Child:
    """Calls functions in a process of its own, one at a time. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._calling, self._sending = threading.Lock(), threading.Lock()
        self._process: Any = None
        self._pipe: Any = None

    def call(
        self,
        function: Callable[..., Any],
        *given: Any,
        seconds: float | None = None,
        on_report: Report | None = None,
    ) -> Any:
        """The result of a function of a module; it is called with `report` as well where `on_report` is given.

        seconds: after which the process is ended.

        Raises:
            AlanetError: what the function raises.
            CrashedError: the process ended, as by a crash of a decoder.
            ResourceError: it took longer than `seconds`.
            RuntimeError: any other error of the function, with its traceback.
            Stopped: see `stop`.
        """
        with self._calling:
            self._start()
            until = None if seconds is None else time.monotonic() + seconds
            try:
                self._send((function, given, on_report is not None))
                while self._pipe.poll(None if until is None else max(0.0, until - time.monotonic())):
                    kind, value = self._pipe.recv()
                    if kind == "report" and on_report is not None:
                        on_report(value)
                    elif kind == "result":
                        return value
                    elif kind == "error":
                        raise value
            except (EOFError, OSError):
                how = self._end()
                log.warning("a process that worked on a video ended (%s)", how)
                why = "the memory may be full" if how == "SIGKILL" else "the decoder crashed on this video"
                raise CrashedError(f"{why} ({how})") from None
            self._end()
            raise ResourceError(f"this takes longer than {seconds:g} s and was stopped")

    def stop(self) -> None:
        """Let the running call raise Stopped at its next report."""
        with suppress(OSError, AttributeError):  # it has ended
            self._send(None)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()

    def _start(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        wait_passively()
        if METHOD == "forkserver":
            CONTEXT.set_forkserver_preload(PRELOADED)
        self._pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=_work, args=(theirs,), name="alanet-web-child", daemon=True)
        self._process.start()
        theirs.close()

    def _send(self, message: Any) -> None:
        with self._sending:
            self._pipe.send(message)

    def _end(self) -> str:
        """How the process ended; it is ended where it has not."""
        process = self._process
        process.join(PATIENCE if self._pipe.poll() else 0)
        process.kill()
        process.join(PATIENCE)
        self._pipe.close()
        self._process = None
        code = process.exitcode or 0
        try:
            return signal.Signals(-code).name if code < 0 else f"exit status {code}"
        except ValueError:
            return f"signal {-code}"


# ---- in the child ----------------------------------------------------------------------------------------------------


def _work(pipe: Connection) -> None:
    """Answer calls until the server ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server's, which says when to stop
    calls: queue.SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...], bool]] = queue.SimpleQueue()
    stopped = threading.Event()
    threading.Thread(target=_listen, args=(pipe, calls, stopped), daemon=True).start()

    def report(value: Any) -> None:
        if stopped.is_set():
            raise Stopped
        pipe.send(("report", value))

    while True:
        function, given, reports = calls.get()
        try:
            with naming_flags():
                answer = ("result", function(*given, report=report) if reports else function(*given))
        except (AlanetError, Stopped) as error:
            answer = ("error", error)
        except Exception:
            answer = ("error", RuntimeError(traceback.format_exc()))
        pipe.send(answer)


def _listen(pipe: Connection, calls: queue.SimpleQueue[Any], stopped: threading.Event) -> None:
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            os._exit(1)
        if message is None:
            stopped.set()
        else:
            stopped.clear()
            calls.put(message)
