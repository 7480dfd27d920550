"""The connection to a Ray cluster, and functions mapped over its nodes. ray is imported when it is first used."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from alanet.errors import OptionError, ResourceError

__all__ = ["LOCAL", "ClusterOptions", "connect", "each", "ray_module"]

LOCAL = "local"
NAMESPACE = "alanet"
CONNECT = 5.0  # seconds that a head node has to answer
STORE = 256 << 20  # bytes of a local instance's object store: tasks exchange little


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Where and how a run uses a cluster. address: LOCAL, "auto", HOST:PORT or ray://HOST:PORT."""

    address: str = LOCAL
    scratch: str = field(default_factory=tempfile.gettempdir)
    cpus: int | None = None  # of a worker; None: all of the smallest node, shared by its GPUs
    gpus: float | None = None  # None: one, where there are any


def connect(options: ClusterOptions, *, verbose: bool = False) -> str | None:
    """Connect to the cluster, or start a local instance. Returns the dashboard's address, if there is one.

    Raises ResourceError where ray is not installed or the cluster does not answer, OptionError for a wrong address.
    """
    ray = ray_module()
    if ray.is_initialized():
        return None
    quiet: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": verbose, "logging_level": "ERROR"}
    if options.address == LOCAL:
        os.environ.setdefault("RAY_worker_niceness", "0")  # as --workers; Ray's own is 15
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        try:
            return _dashboard(ray.init("local", num_cpus=cores, object_store_memory=STORE, **quiet))
        except Exception as error:  # Ray has no class of its own for processes that start too slowly
            raise ResourceError(
                f"--cluster: Ray could not be started on this machine ({_line(error)}); it may be too busy: try again, "
                "or give --workers N instead"
            ) from error
    _check_address(options.address)
    try:
        return _dashboard(ray.init(options.address, **quiet))
    except Exception as error:
        raise ResourceError(
            f"--cluster {options.address}: no Ray cluster can be used there ({_line(error)}); a cluster with a token "
            "needs RAY_AUTH_MODE=token and the token of its head in ~/.ray/auth_token"
        ) from error


def _line(error: Exception) -> str:
    """The beginning of an error of Ray, in one line."""
    return " ".join(str(error).split())[:200].rstrip(".")


def ray_module() -> Any:
    """Ray, imported. Raises ResourceError where it is not installed."""
    try:
        import ray
    except ImportError:
        raise ResourceError('--cluster needs Ray, which is not installed: pip install "alanet[cluster]"') from None
    return ray


def _dashboard(context: Any) -> str | None:
    url = getattr(context, "dashboard_url", None)
    return f"http://{url}" if url else None


def _check_address(address: str) -> None:
    """Refuse an address at which no server answers: Ray itself tries for a minute and then ends the process."""
    if address == "auto":
        return
    found = re.fullmatch(r"(?:ray://)?\[?([\w.:-]+?)\]?:(\d{1,5})", address)
    if found is None:
        raise OptionError(f"--cluster {address}: is no address; give HOST:PORT, ray://HOST:PORT, auto or none")
    try:
        socket.create_connection((found[1], int(found[2])), timeout=CONNECT).close()
    except (OSError, OverflowError) as error:
        raise ResourceError(
            f"--cluster {address}: no server answers there ({getattr(error, 'strerror', None) or error}); start a "
            "cluster with 'ray start --head', or check the address"
        ) from None


def _apply(function: Any, item: Any) -> Any:
    return function(item)


def each(function: Any, items: Sequence[Any], *, cpus: int = 1) -> Any:
    """Yields (item, result) of a function for each item, in the order in which they end, on the cluster.

    Ray repeats a task whose node ends. As many tasks as twice the cluster's CPUs are in flight. An error of a task is
    raised as itself.
    """
    ray = ray_module()
    task, shared = ray.remote(num_cpus=cpus, max_retries=3)(_apply), ray.put(function)
    waiting, flying = list(reversed(items)), dict[Any, Any]()
    while waiting or flying:
        limit = max(1, 2 * int(ray.cluster_resources().get("CPU", 1) // cpus))
        while waiting and len(flying) < limit:
            item = waiting.pop()
            flying[task.remote(shared, item)] = item
        (ready,), _ = ray.wait(list(flying), num_returns=1)
        item = flying.pop(ready)
        try:
            yield item, ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
