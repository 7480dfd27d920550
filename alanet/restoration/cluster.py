"""Restoration on a Ray cluster: an actor holds the network on each GPU, or on the CPUs of a node, and does the tasks.

    driver: Dispatch (order, repeats, progress) -> RayCrew -> actors on the nodes: RemoteTasks -> object storage

Ray starts the actors where there is room, reports those that end with their node, and names new nodes. A task whose
actor ends goes to another one: Ray's own retries repeat it on the same actor, which needs room on another node first.
Several runs share a cluster evenly: each registers by a named actor, and keeps its share of the actors.

torch is not imported here; ray is, when a crew is made (`ray_session.py`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from alanet.errors import ResourceError
from alanet.restoration.batch import Item
from alanet.restoration.crew import WorkerLostError, WorkerRetiredError
from alanet.restoration.ray_session import ClusterOptions, ray_module
from alanet.restoration.storage import key_of
from alanet.restoration.work import Failure, Prepared, Setup

__all__ = ["RayCrew"]

REFRESH = 5.0  # seconds between two looks at the cluster's nodes and runs
CLEAN = 15.0  # seconds that nodes have to remove their scratch folders
REMEMBERED = 500  # keys of videos that are over, sent with each task; a node that misses one cleans up at the end


class _Actor:
    """What an actor does. Its module is all that is imported before "start"."""

    def __init__(self) -> None:
        self._tasks: Any = None

    def run(self, task: str, *given: Any) -> Any:
        """A task by its name; "start" loads the network."""
        if task != "start":
            return self._tasks.run(task, *given)
        from alanet.engine.threads import wait_passively
        from alanet.errors import AlanetError

        wait_passively()  # before torch is imported
        from alanet.restoration.remote import RemoteTasks

        try:
            self._tasks = RemoteTasks(*given)
            return self._tasks.describe()
        except AlanetError as error:
            return Failure(str(error), error.exit_code, "run")
        except OSError as error:
            reason = f"{given[1]}: the scratch folder of {socket.gethostname()} cannot be used ({error.strerror})"
            return Failure(f"{reason}; give another with --scratch", 5, "run")


class RayCrew:
    """A `Crew` of actors. Make it after `connect`."""

    def __init__(self, setup: Setup, options: ClusterOptions, out: str) -> None:
        self._ray = ray = ray_module()
        from ray.exceptions import RayActorError, RayError

        self._actor_error, self._error = RayActorError, RayError
        self._run, self._options = uuid.uuid4().hex[:8], options
        self._gpus = options.gpus if options.gpus is not None else float(any(_gpus(node) for node in self._nodes()))
        self._cpus = options.cpus or self._smallest()
        self._check_size()
        self._arguments = self._for_actors(setup, out)
        self._actors: dict[int, Any] = {}
        self._hand: dict[int, Future[Any]] = {}
        self._started: set[int] = set()
        self._over: deque[str] = deque(maxlen=REMEMBERED)
        self._next, self._looked = 0, float("-inf")
        self._marker = ray.remote(num_cpus=0)(_Marker).options(name=f"run-{self._run}").remote()

    def _for_actors(self, setup: Setup, out: str) -> tuple[Any, ...]:
        """The arguments of RemoteTasks: threads by the CPUs of an actor, memory by the actors of a node."""
        network, weights = setup.network, None
        if network.model is not None and os.path.isfile(network.model):
            weights = Path(network.model).read_bytes()
        threads = network.threads or self._cpus
        encode = replace(setup.options.encode, threads=threads)
        setup = replace(
            setup,
            network=replace(network, threads=threads),
            options=replace(setup.options, encode=encode),
            workers=1 if self._gpus >= 1 else max(map(self._slots, self._nodes())),
        )
        return setup, self._options.scratch, self._run, out, weights

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _smallest(self) -> int:
        """CPUs of a worker: those of the smallest node, shared by its GPUs."""
        nodes = [node for node in self._nodes() if not self._gpus or _gpus(node)]
        each = [_cpus(node) // max(1, int(_gpus(node) // self._gpus) if self._gpus else 1) for node in nodes]
        return max(1, int(min((cpus for cpus in each if cpus >= 1), default=1)))

    def _slots(self, node: dict[str, Any]) -> int:
        """Workers that fit on a node."""
        fit = int(_cpus(node) // self._cpus)
        return min(fit, int(_gpus(node) // self._gpus)) if self._gpus else fit

    def _check_size(self) -> None:
        if not any(map(self._slots, self._nodes())):
            most = max((_cpus(node) for node in self._nodes()), default=0)
            gpus = max((_gpus(node) for node in self._nodes()), default=0)
            raise ResourceError(
                f"no node has {self._cpus} CPUs and {self._gpus:g} GPUs for a worker; the largest has {most:g} and "
                f"{gpus:g}: give --cpus-per-worker and --gpus-per-worker"
            )

    def numbers(self) -> Sequence[int]:
        """The actors; looks at the cluster now and then, and makes or ends some."""
        if time.monotonic() - self._looked >= REFRESH:
            self._looked = time.monotonic()
            slots = sum(map(self._slots, self._nodes()))
            runs = sum(name.startswith("run-") for name in self._ray.util.list_named_actors())
            wanted = max(1, -(-slots // max(1, runs)))
            for _ in range(wanted - len(self._actors)):
                self._make()
            self._retire(len(self._actors) - wanted)
        return tuple(self._actors)

    def _make(self) -> None:
        remote = self._ray.remote(num_cpus=self._cpus, num_gpus=self._gpus, max_restarts=0)(_Actor)
        self._actors[self._next] = remote.remote()
        self._next += 1

    def _retire(self, number: int) -> None:
        """End this number of actors: those that wait for room first, then those that have nothing to do."""
        waiting = [n for n in self._actors if n in self._hand and n not in self._started]
        idle = [n for n in self._actors if n not in self._hand]
        for n in [*reversed(waiting), *reversed(idle)][: max(0, number)]:
            future = self._hand.pop(n, None)
            self.drop(n)
            if future is not None:
                with contextlib.suppress(Exception):
                    future.set_exception(WorkerRetiredError())

    def call(self, number: int, task: str, *given: Any) -> Future[Any]:
        """A task for an actor."""
        given = self._arguments if task == "start" else (frozenset(self._over), *given)
        called: Future[Any] = Future()
        self._hand[number] = called
        inner = self._actors[number].run.remote(task, *given).future()
        item = given[1] if task == "prepare" else None
        inner.add_done_callback(lambda done: self._hand_on(done, called, number, item))
        return called

    def _hand_on(self, done: Future[Any], called: Future[Any], number: int, item: Item | None) -> None:
        """The result of an actor's task; run by a thread of Ray's."""
        if self._hand.get(number) is called:
            del self._hand[number]
        with contextlib.suppress(Exception):  # retired meanwhile
            error = done.exception()
            if isinstance(error, self._actor_error):
                called.set_exception(WorkerLostError(_last_line(error)))
            elif isinstance(error, self._error):
                called.set_result(Failure(f"Ray: {_last_line(error)}", 1, "video"))
            elif error is not None:
                called.set_exception(error)
            else:
                self._started.add(number)
                if item is not None and not isinstance(done.result(), Prepared):
                    self._over.append(key_of(item.name))
                called.set_result(done.result())

    def drop(self, number: int) -> None:
        """End an actor, if it has not ended; another is made where there is room."""
        actor = self._actors.pop(number, None)
        self._looked = float("-inf")
        if actor is not None:
            with contextlib.suppress(Exception):
                self._ray.kill(actor)

    def opened(self, prepared: Prepared) -> None:
        """Nothing to do: objects need no lock."""

    def closed(self, prepared: Prepared, *, kept: bool) -> None:
        """Nodes remove what they have of the video with their next task."""
        self._over.append(prepared.folder.rpartition("/")[2])

    def frames(self) -> int:
        """Only finished segments are counted."""
        return 0

    def close(self) -> None:
        """End all actors and remove what the run has on the nodes."""
        for number in tuple(self._actors):
            self.drop(number)
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        clean = self._ray.remote(num_cpus=0, max_retries=0)(_clean)
        with contextlib.suppress(Exception):
            refs = [
                clean.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                    self._options.scratch, self._run
                )
                for node in self._nodes()
            ]
            self._ray.wait(refs, num_returns=len(refs), timeout=CLEAN)
        with contextlib.suppress(Exception):
            self._ray.kill(self._marker)


class _Marker:
    """Says by its name that a run uses the cluster; it ends with the run's driver."""


def _clean(scratch: str, run: str) -> None:
    """On a node: remove what a run has left, once its actors are gone."""
    import shutil

    folder = Path(scratch) / f"alanet-{run}"
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.2)


def _cpus(node: dict[str, Any]) -> float:
    return float(node["Resources"].get("CPU", 0))


def _gpus(node: dict[str, Any]) -> float:
    return float(node["Resources"].get("GPU", 0))


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
