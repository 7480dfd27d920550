"""Several worker processes and one queue: whole videos first, then segments of those that others are at work on.

    files  a b c d      worker 0: a ......... d (helps) .....
                        worker 1: b ... c ... d .............

A worker that ends early is replaced; its segment is released (`claims.py`), and an idle worker takes it. Signals that
stop this process are passed on to the workers, and it waits for them.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from alanet import errors
from alanet.errors import AlanetError, ResourceError
from alanet.restoration.batch import Item, Outcome
from alanet.restoration.worker_process import Setup, packed
from alanet.signals import Terminated

__all__ = ["Pool"]

DEATHS = 4  # of workers in a row at one video, without a finished segment between, that end the work on it
STARTS = 3  # that fail in a row before there is no point in more
AGAIN = 5.0  # seconds until a video is looked at again whose rest is with others than these workers
Tell = Callable[[int, dict[str, Any]], None]


@dataclass
class _File:
    """A video and who is at work on it."""

    item: Item
    workers: set[int] = field(default_factory=set)
    begun: bool = False  # others may help
    full: bool = False  # nothing of it is free to take
    deaths: int = 0
    failed: Outcome | None = None
    open: Outcome | None = None  # the rest of it is with others
    outcome: Outcome | None = None


class Pool:
    """Worker processes. tell: called with a video's number and what is said of it, by any of them. over: with each
    outcome, as a video is over. say: with a line for the person who waits."""

    def __init__(
        self,
        items: Sequence[Item],
        setup: Setup,
        tell: Tell,
        *,
        over: Callable[[Outcome], None] = lambda outcome: None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._over, self._say = over, say
        self._files = [_File(item) for item in items]
        self._setup, self._tell = setup, tell
        self._heard: queue.Queue[tuple[subprocess.Popen[str], dict[str, Any] | None]] = queue.Queue()
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._at: dict[int, int | None] = {}  # worker: its video; None: idle. Only those that are ready
        self._failed_starts = 0

    def run(self) -> list[Outcome]:
        """Restore all; the outcomes in the order of the items. Raises what keeps every worker from beginning, and
        interruptions once all workers have ended."""
        for number in range(self._setup.workers):
            self._start(number)
        try:
            while not all(file.outcome for file in self._files):
                self._deal()
                self._hear()
        except (KeyboardInterrupt, Terminated) as error:
            self._stop(signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
            raise
        finally:
            self._end()
        return [file.outcome for file in self._files if file.outcome is not None]

    def _start(self, number: int) -> None:
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        process = subprocess.Popen(
            [sys.executable, "-m", "alanet.restoration.worker_process", str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
            process_group=0,  # the signals of a terminal come through us
        )
        self._processes[number] = process
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        self._send(number, {"setup": packed(self._setup)})

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None, "piped"
        with process.stdout, suppress(ValueError):  # a word that its end has cut off
            for line in process.stdout:
                self._heard.put((process, json.loads(line)))
        process.wait()
        self._heard.put((process, None))

    def _send(self, number: int, said: dict[str, Any]) -> None:
        stdin = self._processes[number].stdin
        assert stdin is not None, "piped"
        with suppress(BrokenPipeError):  # it has ended, as will be heard
            stdin.write(json.dumps(said) + "\n")
            stdin.flush()

    def _deal(self) -> None:
        """Work for every idle worker: a video that nobody is at, else a part of one that others are at."""
        for number in [number for number, at in self._at.items() if at is None]:
            there = [i for i, file in enumerate(self._files) if file.outcome is None and not file.full]
            fresh = [i for i in there if not self._files[i].workers]
            begun = [i for i in there if self._files[i].begun and self._files[i].workers]
            if not fresh and not begun:
                return
            at = fresh[0] if fresh else min(begun, key=lambda i: len(self._files[i].workers))
            file = self._files[at]
            self._send(number, {"task": at, "item": asdict(file.item), "helping": not fresh})
            self._at[number] = at
            file.workers.add(number)

    def _hear(self) -> None:
        """Wait for what a worker says, and take it in."""
        elsewhere = [file for file in self._files if file.outcome is None and file.full and not file.workers]
        try:
            process, said = self._heard.get(timeout=AGAIN if elsewhere else None)
        except queue.Empty:
            for file in elsewhere:
                self._look_again(file)
            return
        number = next((n for n, own in self._processes.items() if own is process), None)
        if number is None:
            return
        if said is None:
            self._ended(number, process.returncode)
        elif "refused" in said:
            raise _error(said)
        elif "ready" in said:
            self._at[number], self._failed_starts = None, 0
        else:
            self._said(number, self._files[said["task"]], said)
            self._tell(said["task"], said)

    def _look_again(self, file: _File) -> None:
        """Where the rest of a video was with another machine: it has joined it, or there is something to do again."""
        from alanet.video.output.destination import work_folder

        result = None if file.open is None or file.open.output is None else Path(file.open.output)
        if file.open is not None and result is not None and result.exists() and not work_folder(result).exists():
            self._settle(file, replace(file.open, state="done", reason="the rest by another run, which joined it"))
        file.full = False

    def _said(self, number: int, file: _File, said: dict[str, Any]) -> None:
        if "begun" in said:
            file.begun = True
        if said.get("finished"):
            file.deaths = 0
        if "outcome" in said:
            outcome = Outcome(**said["outcome"])
            file.workers.discard(number)
            self._at[number] = None
            if outcome.state in ("done", "skipped"):
                self._settle(file, outcome)
            elif outcome.state == "failed":
                file.failed = outcome
            else:
                file.open = outcome
            file.full = True
            self._close(file)

    def _ended(self, number: int, code: int) -> None:
        """Replace a worker that ended before its time."""
        _let_go(self._processes.pop(number))
        at = self._at.pop(number, None)
        if at is None:
            self._failed_starts += 1
            if self._failed_starts >= STARTS:
                raise ResourceError(f"worker processes end as soon as they begin ({_how(code)}); try fewer --workers")
        else:
            file = self._files[at]
            file.workers.discard(number)
            file.deaths, file.full = file.deaths + 1, False
            if file.deaths >= DEATHS:
                reason = f"{file.item.source}: its worker ended {DEATHS} times in a row ({_how(code)})"
                file.failed, file.full = Outcome(file.item.name, "failed", reason=reason, code=5), True
            self._close(file)
        if not all(file.outcome for file in self._files):
            self._start(number)

    def _close(self, file: _File) -> None:
        """A video that failed is over when the last one has left it: another may still finish it."""
        if not file.workers:
            file.begun = False
            if file.failed is not None and file.full:
                self._settle(file, file.failed)

    def _settle(self, file: _File, outcome: Outcome) -> None:
        if file.outcome is None:
            file.outcome = outcome
            self._over(outcome)

    def _stop(self, number: int) -> None:
        """Pass a signal on to all workers, and each further one, and wait until they have ended."""
        self._say("Workers finish their current segments. Press Ctrl-C again to stop now.")
        while self._processes:
            for process in self._processes.values():
                if process.poll() is None:
                    process.send_signal(number)
            try:
                while self._processes:
                    process, said = self._heard.get()
                    if said is None:
                        _let_go(process)
                        self._processes = {n: own for n, own in self._processes.items() if own is not process}
            except KeyboardInterrupt:
                number = signal.SIGINT
            except Terminated:
                number = signal.SIGTERM

    def _end(self) -> None:
        """No more work: idle workers end by themselves; those still at a video that is over are not waited for."""
        for number, process in self._processes.items():
            _let_go(process)
            if self._at.get(number) is not None or number not in self._at:
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _let_go(process: subprocess.Popen[str]) -> None:
    """Nothing more is sent to a worker."""
    assert process.stdin is not None, "piped"
    with suppress(BrokenPipeError):
        process.stdin.close()


def _error(said: dict[str, Any]) -> AlanetError:
    """What a worker refused its setup with, here."""
    kind: type[AlanetError] = getattr(errors, said["kind"])
    return kind(said["refused"])


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
