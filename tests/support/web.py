"""A server of the page as a process of its own, and raw HTTP requests to it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import IO

from tests.support.paths import ROOT

__all__ = ["Answer", "Site", "serving"]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True)
class Site:
    """A running server."""

    process: subprocess.Popen[str]
    folder: Path
    port: int
    said: list[str]  # the lines of its standard error

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request; underscores in header names are hyphens."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def raw(self, request: bytes) -> Answer:
        """Bytes as they are, which no client would send."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=120) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            reply = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        head, _, body = reply.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1.1 (\d+)", head)
        return Answer(int(status[1]) if status else 0, {}, body)

    def visitor(self) -> str:
        """The cookie of a new visitor."""
        return self.ask("GET", "/").headers["set-cookie"].partition(";")[0]

    def files(self) -> set[str]:
        """All files and folders of the jobs; the server may remove them meanwhile."""
        found: set[str] = set()
        for folder, folders, files in os.walk(self.folder):  # passes over a folder that goes
            found.update((Path(folder) / name).relative_to(self.folder).as_posix() for name in folders + files)
        return found

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=40)


@contextmanager
def serving(folder: Path, *arguments: str, port: int = 0) -> Iterator[Site]:
    """A server, on a free port unless one is given; ended, however the block ends."""
    command = [sys.executable, "-m", "alanet", "web", "--port", str(port), "--folder", str(folder), "--device", "cpu"]
    command += ["--precision", "fp32", "--threads", "1", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    said: list[str] = []
    started = threading.Event()
    reader = threading.Thread(target=_read, args=(process.stderr, said, started), daemon=True)
    reader.start()  # all of it: a full pipe would block the server
    try:
        started.wait(300)
        found = re.search(r"http://[\d.]+:(\d+)/", "".join(said))
        assert found, f"the server did not start: {''.join(said)}"
        yield Site(process, folder, int(found[1]), said)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=30)
        reader.join(timeout=30)


def _read(stream: IO[str], said: list[str], started: threading.Event) -> None:
    """Keep the lines of a stream to its end. started: set at the address, or at the end."""
    with stream:
        for line in stream:
            said.append(line)
            if "http://" in line:
                started.set()
    started.set()
