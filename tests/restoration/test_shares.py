"""How many actors a run has, by the nodes and the other runs of a cluster; with a stand-in for Ray."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from alanet.engine.threads import PASSIVE
from alanet.errors import OptionError, ResourceError
from alanet.restoration import ray_session
from alanet.restoration.cluster import RayCrew, _Actor
from alanet.restoration.crew import WorkerRetiredError
from alanet.restoration.ray_session import ClusterOptions, connect


def node(cpus: int, gpus: int = 0, *, alive: bool = True) -> dict[str, Any]:
    return {"Alive": alive, "Resources": {"CPU": float(cpus), "GPU": float(gpus)}, "NodeID": "n"}


def crew_on(nodes: list[dict[str, Any]], cpus: int | None = None, gpus: float | None = None, runs: int = 1) -> Any:
    """A crew whose actors are objects; `names` are the runs of the cluster."""
    crew: Any = RayCrew.__new__(RayCrew)
    crew.nodes, crew.names, crew.killed = nodes, [f"run-{i}" for i in range(runs)], []
    crew._ray = SimpleNamespace(
        nodes=lambda: crew.nodes,
        util=SimpleNamespace(list_named_actors=lambda: ["other", *crew.names]),
        kill=crew.killed.append,
    )
    crew._gpus = gpus if gpus is not None else float(any(n["Resources"]["GPU"] for n in nodes))
    crew._cpus = cpus or crew._smallest()
    crew._actors, crew._hand, crew._started, crew._next, crew._looked = {}, {}, set(), 0, float("-inf")

    def make() -> None:
        crew._actors[crew._next] = f"actor {crew._next}"
        crew._next += 1

    crew._make = make
    return crew


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "size", "actors"),
    [
        ([node(16), node(8)], None, None, 8, 3),  # by the smallest node
        ([node(16), node(8)], 4, None, 4, 6),
        ([node(16, 4), node(16, 4)], None, None, 4, 8),  # one a GPU, which share the CPUs
        ([node(16, 4), node(64)], None, None, 4, 4),  # no network on a node without GPUs
        ([node(16, 1)], 4, 0.5, 4, 2),
        ([node(16), node(16, alive=False)], 8, None, 8, 2),
        ([node(16), node(0)], None, None, 16, 1),  # a head node that does no work
    ],
)
def test_actors_by_nodes(nodes, cpus, gpus, size, actors):
    crew = crew_on(nodes, cpus, gpus)
    assert crew._cpus == size
    assert len(crew.numbers()) == actors


def test_runs_share_a_cluster_evenly_and_busy_actors_finish_first():
    crew = crew_on([node(6)], 1)
    assert len(crew.numbers()) == 6
    crew._started |= {0, 1, 2, 3}
    crew._hand = {0: Future(), 1: Future(), 4: Future(), 5: Future()}  # 4 and 5 wait for room, 2 and 3 are idle
    waiting = crew._hand[5]
    crew.names.append("run-9")
    crew._looked = float("-inf")
    assert crew.numbers() == (0, 1, 2)
    assert crew.killed == ["actor 5", "actor 4", "actor 3"]
    with pytest.raises(WorkerRetiredError):
        waiting.result()
    crew.names.pop()  # the other run ends
    crew._looked = float("-inf")
    assert len(crew.numbers()) == 6


def test_a_cluster_without_room_for_a_worker_says_what_it_has():
    crew = crew_on([node(4)], 8)
    with pytest.raises(ResourceError, match=r"no node has 8 CPUs and 0 GPUs for a worker; the largest has 4 and 0"):
        crew._check_size()


def test_a_wrong_address_is_refused_before_ray_tries(monkeypatch):
    stand_in = SimpleNamespace(is_initialized=lambda: False, init=lambda *given, **named: pytest.fail("not reached"))
    monkeypatch.setattr(ray_session, "ray_module", lambda: stand_in)
    with pytest.raises(OptionError, match="--cluster head: is no address"):
        connect(ClusterOptions("head"))
    with pytest.raises(ResourceError, match=r"--cluster 127\.0\.0\.1:9: no server answers there"):
        connect(ClusterOptions("127.0.0.1:9"))


def test_a_ray_that_does_not_start_is_one_line(monkeypatch):
    def init(*given, **named):
        raise Exception("The current node timed out during\nstartup.")

    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setattr(ray_session, "ray_module", lambda: SimpleNamespace(is_initialized=lambda: False, init=init))
    with pytest.raises(ResourceError, match=r"could not be started .*\(The current node timed out during startup\)"):
        connect(ClusterOptions())
    with pytest.raises(ResourceError, match=r"--cluster auto: no Ray cluster can be used there \(The current node"):
        connect(ClusterOptions("auto"))


def test_idle_threads_of_an_actor_sleep(monkeypatch, tmp_path):
    """A node that `ray start` starts has none of the driver's environment; torch reads the variables at its import."""
    found: list[str | None] = []

    class Module(SimpleNamespace):
        def __getattr__(self, name: str) -> Any:  # when RemoteTasks, and torch with it, would be imported
            found.append(os.environ.get("OMP_WAIT_POLICY"))
            return lambda *given: SimpleNamespace(describe=dict)

    for name in PASSIVE:
        monkeypatch.setenv(name, "")  # restored afterwards
        monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "alanet.restoration.remote", Module())
    assert _Actor().run("start", None, str(tmp_path)) == {}
    assert "PASSIVE" in found
    assert None not in found
