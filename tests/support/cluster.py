"""A Ray cluster of several nodes on this machine, and an S3 server, both on loopback."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Bucket", "Nodes", "ray_nodes", "s3_server"]

QUIET = {
    "RAY_worker_niceness": "0",  # tests share the machine with nobody
    "RAY_AUTH_MODE": "disabled",
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "OMP_NUM_THREADS": "1",
}


class Nodes:
    """A head and further nodes of one CPU each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster(initialize_head=True, head_node_args=self._arguments())
        self.address: str = self._cluster.address
        self.alive: list[Any] = []  # beside the head

    def _arguments(self) -> dict[str, Any]:
        return {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}

    def add(self) -> Any:
        """One more node."""
        self.alive.append(self._cluster.add_node(**self._arguments()))
        return self.alive[-1]

    def kill(self, node: Any) -> None:
        """End a node and all its processes at once."""
        self.alive.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def shutdown(self) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()
        gc.collect()  # what Ray leaves open is closed here, and not in another test


@contextmanager
def ray_nodes() -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        nodes = Nodes()
        try:
            yield nodes
        finally:
            nodes.shutdown()


class Bucket:
    """A bucket of the server."""

    def __init__(self, name: str) -> None:
        import s3fs

        self.name, self.url = name, f"s3://{name}"
        self.fs = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
        self.fs.mkdir(name)

    def put(self, source: Path, name: str) -> None:
        self.fs.put_file(str(source), f"{self.name}/{name}")

    def get(self, name: str, target: Path) -> Path:
        self.fs.get_file(f"{self.name}/{name}", str(target))
        return target

    def names(self) -> list[str]:
        """All objects."""
        return sorted(path.removeprefix(f"{self.name}/") for path in self.fs.find(self.name))

    def uploads(self) -> list[Any]:
        """Multipart uploads that are not complete."""
        return list(self.fs.list_multipart_uploads(self.name) or [])


@contextmanager
def s3_server() -> Iterator[str]:
    """An S3 server; its address and credentials are in the environment meanwhile."""
    import s3fs
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.delenv(name, raising=False)
        patch.setitem(os.environ, "NO_PROXY", "127.0.0.1,localhost")
        s3fs.S3FileSystem.clear_instance_cache()  # an instance keeps the address of the server it was made for
        try:
            yield f"http://{host}:{port}"
        finally:
            s3fs.S3FileSystem.clear_instance_cache()
            server.stop()
            gc.collect()
