"""Jobs on disk: one folder a video, named by a random number; names from visitors are shown and are never paths.

    FOLDER/                         lock
    FOLDER/0123...cdef/             job.json   input.mp4   result.mp4   before.png   after.png
    FOLDER/0123...cdef/.result...   finished segments of an interrupted run

    ready -> waiting -> running -> done
               ^           |-----> cancelled, failed
               '-----------+------------'  (restore again: resumes after the finished segments)

`job.json` is replaced atomically. A job belongs to the visitor who uploaded it, known by the digest of a cookie.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from alanet.errors import InputError, OutputError, ResourceError
from alanet.files import lock_folder, make_folder, write_json
from alanet.text import binary
from alanet.web.options import ServerOptions

__all__ = ["RECORD", "Jobs", "State", "WebJob", "display_name", "empty_folder", "owner_of", "usage"]

State = Literal["ready", "waiting", "running", "done", "cancelled", "failed"]
RECORD = "job.json"
ID = re.compile(r"[0-9a-f]{32}")
LONGEST = 80  # characters of a name that is shown
MOST = 20  # videos of one visitor


@dataclass(frozen=True, slots=True)
class WebJob:
    """One uploaded video and what becomes of it."""

    id: str
    owner: str  # digest of the visitor's cookie
    name: str  # as the visitor's file was called; shown, never a path
    input: str  # file name in the job's folder
    created: float  # seconds since 1970
    used: float  # of the last request; the retention counts from here
    state: State = "ready"
    number: int = 0  # order of the queue
    attempts: int = 0  # starts that did not end, as after a crash
    values: dict[str, Any] = field(default_factory=dict)  # the options, by name, as the page gives them
    result: str = ""  # file name in the job's folder
    message: str = ""  # why it failed
    rows: list[list[str]] = field(default_factory=list)  # what was done: a word and a text each


class Jobs:
    """All jobs of a folder, in memory and on disk. Methods may be called from any thread; used as a context manager.

    Raises OutputError where another server uses the folder.
    """

    def __init__(self, folder: Path, options: ServerOptions) -> None:
        self.folder, self.options = folder.absolute(), options
        make_folder(self.folder)
        self.folder.chmod(0o700)
        try:
            self._hold = lock_folder(self.folder, self.folder)
        except OutputError:
            raise OutputError(f"{folder}: another alanet web uses it; give another folder with --folder") from None
        self._lock = threading.RLock()
        self._reserved = 0  # bytes of uploads that are on their way
        self._jobs = {job.id: job for job in self._read()}

    def __enter__(self) -> Jobs:
        return self

    def __exit__(self, *error: object) -> None:
        """Let another server use the folder."""
        self._hold.close()

    def _read(self) -> Iterator[WebJob]:
        """The jobs that an earlier server left; a folder without a record is an upload that was cut off."""
        for folder in self.folder.iterdir():
            if folder.is_dir() and ID.fullmatch(folder.name):
                try:
                    yield WebJob(**json.loads((folder / RECORD).read_text("utf-8")))
                except (OSError, ValueError, TypeError):
                    shutil.rmtree(folder, ignore_errors=True)

    def path(self, job: WebJob, name: str = "") -> Path:
        """The folder of a job, or a file in it."""
        return self.folder / job.id / name

    def find(self, owner: str | None, id: str | None) -> WebJob | None:
        """A job of this visitor; None for any other, whether it exists or not."""
        with self._lock:
            job = self._jobs.get(id) if isinstance(id, str) else None  # a visitor may send anything
            return job if job is not None and job.owner == owner else None

    def of(self, owner: str | None) -> list[WebJob]:
        """The jobs of a visitor, the latest first."""
        with self._lock:
            own = [job for job in self._jobs.values() if job.owner == owner]
        return sorted(own, key=lambda job: job.created, reverse=True)

    def get(self, id: str) -> WebJob | None:
        """A job as it is now; None where it has been deleted."""
        with self._lock:
            return self._jobs.get(id)

    def queue(self) -> list[WebJob]:
        """The running job and the waiting ones, in order."""
        with self._lock:
            return sorted((j for j in self._jobs.values() if j.state in ("running", "waiting")), key=lambda j: j.number)

    @contextmanager
    def adding(self, owner: str, name: str, bytes_: int, ending: str) -> Iterator[tuple[Path, WebJob]]:
        """The path of a new input and its job, which exists once the block has ended without an error.

        After an error nothing is left. Raises ResourceError where a limit is reached.
        """
        self.expire()
        with self._lock:
            if len(self.of(owner)) >= MOST:
                raise ResourceError(f"{MOST} videos are kept for one visitor; delete one first")
            if usage(self.folder) + self._reserved + bytes_ > self.options.disk:
                raise ResourceError(
                    f"the disk limit of this server ({binary(self.options.disk)}) is reached; try later"
                )
            self._reserved += bytes_
        now = time.time()
        job = WebJob(secrets.token_hex(16), owner, display_name(name), f"input{ending}", now, now)
        try:
            self.path(job).mkdir(mode=0o700)
            yield self.path(job, job.input), job
            self.save(job)
        except BaseException:
            shutil.rmtree(self.path(job), ignore_errors=True)
            raise
        finally:
            with self._lock:
                self._reserved -= bytes_

    def save(self, job: WebJob) -> None:
        """Keep a job in memory and on disk."""
        with self._lock:
            write_json(self.path(job, RECORD), asdict(job))
            self._jobs[job.id] = job

    def change(self, id: str, **changes: Any) -> WebJob | None:
        """The job with new values; None where it has been deleted."""
        with self._lock:
            job = self._jobs.get(id)
            if job is None:
                return None
            self.save(changed := replace(job, **changes))
            return changed

    def enqueue(self, job: WebJob, values: dict[str, Any]) -> WebJob:
        """Put a job at the end of the queue. Options other than before begin from nothing.

        Raises InputError where it is in the queue already.
        """
        with self._lock:
            now = self._jobs[job.id]
            if now.state in ("waiting", "running"):
                raise InputError("this video is in the queue already")
            if values != now.values or now.state == "done":
                self.clear(now)
            last = max((other.number for other in self._jobs.values()), default=0)
            queued = replace(
                now, state="waiting", number=last + 1, attempts=0, values=values, result="", message="", rows=[]
            )
            self.save(replace(queued, used=time.time()))
            return self._jobs[job.id]

    def resumable(self, job: WebJob) -> bool:
        """Whether an interrupted run left finished segments."""
        from alanet.video.output.segments import INDEX

        return any(index.stat().st_size for index in self.path(job).glob(f".*/{INDEX}"))

    def clear(self, job: WebJob) -> None:
        """Remove the result and the finished segments."""
        empty_folder(self.path(job), keep=(RECORD, job.input))

    def use(self, job: WebJob) -> None:
        """The retention counts from now; written to disk at most once a minute."""
        if time.time() - job.used > 60:
            self.change(job.id, used=time.time())

    def delete(self, job: WebJob) -> None:
        """Remove a job and its files."""
        with self._lock:
            self._jobs.pop(job.id, None)
            shutil.rmtree(self.path(job), ignore_errors=True)

    def expire(self) -> None:
        """Delete the jobs that were not used within the retention and are not in the queue."""
        with self._lock:
            oldest = time.time() - self.options.keep * 3600
            for job in list(self._jobs.values()):
                if job.used < oldest and job.state not in ("waiting", "running"):
                    self.delete(job)


def empty_folder(folder: Path, keep: Collection[str]) -> None:
    """Remove what is in a folder, except the names to keep."""
    for path in folder.iterdir():
        if path.name not in keep:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def display_name(name: str) -> str:
    """The last part of a visitor's file name, without control characters, shortened."""
    last = re.split(r"[/\\]", name)[-1]
    clean = "".join(c for c in last if c.isprintable()).strip().lstrip(".") or "video"
    if len(clean) <= LONGEST:
        return clean
    stem, dot, ending = clean.rpartition(".")
    return f"{stem[: LONGEST - len(ending) - 1]}{dot}{ending}" if dot and len(ending) < 8 else clean[:LONGEST]


def owner_of(token: str) -> str:
    """What is kept of a visitor's cookie."""
    return hashlib.sha256(token.encode()).hexdigest()


def usage(folder: Path) -> int:
    """Bytes of all files in a folder; what is removed meanwhile is not counted."""
    total = 0
    for parent, _, names in os.walk(folder):  # skips a folder that was removed
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
