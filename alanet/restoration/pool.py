"""Worker processes of this machine: `alanet restore --workers N`, on the standard library's process pools.

Each worker is a pool of one process, so that a process that ends concerns its own task only and is replaced by itself.
The network is loaded in the workers; this process starts without torch.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from alanet.engine.threads import wait_passively
from alanet.files import lock_folder
from alanet.restoration.crew import WorkerLostError
from alanet.restoration.work import Failure, Prepared, Setup

if TYPE_CHECKING:
    from alanet.restoration.tasks import Tasks

__all__ = ["Pool"]

SPAWN = multiprocessing.get_context("spawn")  # a forked child of a process with threads may hang


class Pool:
    """A `Crew` of processes."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._pools: dict[int, ProcessPoolExecutor] = {}
        self._counters: list[Any] = []
        self._locks: dict[str, IO[bytes]] = {}
        for number in range(setup.workers):
            self._counters.append(SPAWN.Value("q", 0))
            self._start(number)

    def _start(self, number: int) -> None:
        self._pools[number] = ProcessPoolExecutor(1, SPAWN, _begin, (self._counters[number],))

    def numbers(self) -> Sequence[int]:
        """All workers."""
        return tuple(self._pools)

    def call(self, number: int, task: str, *given: Any) -> Future[Any]:
        """A task for a worker."""
        called: Future[Any] = Future()
        if task == "start":
            given = (self._setup, number)
        try:
            inner = self._pools[number].submit(_run, task, *given)
        except BrokenProcessPool as error:
            called.set_exception(WorkerLostError(_how(error)))
            return called
        inner.add_done_callback(lambda done: _hand_on(done, called))
        return called

    def drop(self, number: int) -> None:
        """Replace a process that ended."""
        self._pools.pop(number).shutdown(wait=False)
        self._start(number)

    def opened(self, prepared: Prepared) -> None:
        """Lock the work folder: no other run may write this result."""
        self._locks[prepared.folder] = lock_folder(Path(prepared.folder), Path(prepared.output))

    def closed(self, prepared: Prepared, *, kept: bool) -> None:
        """Release the work folder, and remove it where nothing in it is of use."""
        lock = self._locks.pop(prepared.folder, None)
        if lock is None:
            return
        with lock:
            if not kept:
                shutil.rmtree(prepared.folder, ignore_errors=True)

    def frames(self) -> int:
        """Restored frames that went to an encoder."""
        return sum(counter.value for counter in self._counters)

    def close(self) -> None:
        """End all processes."""
        for pool in self._pools.values():
            processes = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()
            for process in processes:
                process.join()
        self._pools.clear()


def _hand_on(done: Future[Any], called: Future[Any]) -> None:
    """The result of a pool's future; a broken pool is a lost worker."""
    if done.cancelled():
        called.cancel()
    elif isinstance(error := done.exception(), BrokenProcessPool):
        called.set_exception(WorkerLostError(_how(error)))
    elif error is not None:
        called.set_exception(error)
    else:
        called.set_result(done.result())


def _how(error: BaseException) -> str:
    return "its process ended" if isinstance(error, BrokenProcessPool) else str(error)


# ---- in the worker ---------------------------------------------------------------------------------------------------

_tasks: Tasks | None = None
_counter: Any = None


def _begin(counter: Any) -> None:
    """A process begins: it ends with its parent, and leaves signals of the terminal and standard output to that."""
    global _counter
    _counter = counter
    wait_passively()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(task: str, *given: Any) -> Any:
    global _tasks
    if task == "start":
        from alanet.errors import AlanetError
        from alanet.restoration.tasks import Tasks, described

        try:
            setup, number = given
            _tasks = Tasks(setup, number, _count)
        except AlanetError as error:
            return Failure(str(error), error.exit_code, "run")
        return described(_tasks)
    assert _tasks is not None, "started"
    result = _tasks.run(task, *given)
    with suppress(ValueError):
        sys.stderr.flush()
    return result


def _count() -> None:
    _counter.value += 1
