"""Files written whole or not at all, work folders, and the locks that say who may work in one.

A lock belongs to its process and ends with it. A work folder whose lock is free is what an ended run left: work to
resume, or litter. One run holds the lock alone; runs that share a job hold it together, each with a claim on its part.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from alanet.errors import OutputError, ResourceError

try:
    import fcntl
except ImportError:  # Windows: two runs with one output are not told apart there
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "FINISHED",
    "JOINED",
    "LOCK",
    "admit_others",
    "claim",
    "hold",
    "lock_folder",
    "lock_together",
    "sweep",
    "sync_folder",
    "write_json",
    "write_whole",
]

LOCK = "lock"
JOINED = "joined.json"  # what the manifest is called from when the result is complete in the work folder
FINISHED = "finished"  # that result, with the output's ending
PATIENCE = 3.0  # seconds that a run which would share waits for one that is just beginning


def lock_folder(folder: Path, target: Path, *, shared: bool = False) -> IO[bytes]:
    """Make the work folder ours until the file returned is closed; shared: with others who share it.

    Raises OutputError where another run has it.
    """
    while True:
        folder.mkdir(exist_ok=True)
        lock = open(folder / LOCK, "wb")  # noqa: SIM115  (held as long as the run lives)
        try:
            if fcntl is None:
                return lock
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            if _same(lock, folder / LOCK):
                return lock
        except BlockingIOError:
            lock.close()
            raise OutputError(f"{target}: another run is writing it; wait for it, or give another name") from None
        lock.close()  # its folder was cleared away between the two steps


def lock_together(folder: Path, target: Path) -> tuple[IO[bytes], bool]:
    """Share the work folder until the file returned is closed; and whether nobody else is there, which lasts until
    `admit_others`. Raises OutputError where a run has it alone."""
    if fcntl is None:
        raise ResourceError("several workers need file locks, which this system lacks; leave --workers out")
    until = time.monotonic() + PATIENCE
    while True:
        with suppress(OutputError):
            return lock_folder(folder, target), True
        try:
            return lock_folder(folder, target, shared=True), False
        except OutputError:
            if time.monotonic() > until:
                raise
        time.sleep(0.05)


def admit_others(lock: IO[bytes], target: Path) -> None:
    """Let others share the work folder. Raises OutputError where one has taken it for itself at that moment."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise OutputError(f"{target}: another run is writing it; wait for it, or give another name") from None
        time.sleep(0.05)


def claim(path: Path) -> IO[str] | None:
    """The file, ours until it is closed; None where it is another's, or its folder is gone."""
    try:
        file = open(path, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115  (held while there is work on it)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


@contextmanager
def hold(file: IO[Any]) -> Iterator[None]:
    """A file ours alone for a moment, where others write to it too."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _same(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def sweep(folder: Path, target: Path) -> None:
    """Remove the work folder of a run that was killed between its last step, the result in its place, and tidying."""
    over = (folder / JOINED).exists() and not any(folder.glob(f"{FINISHED}.*"))
    empty = folder.is_dir() and not any(folder.glob("*.json"))
    if over or empty:
        with suppress(OutputError), lock_folder(folder, target):
            shutil.rmtree(folder, ignore_errors=True)


def write_whole(path: Path, *parts: bytes) -> None:
    """Write the bytes to `path` so that a reader (or a crash) sees the old file or the new one, never a piece.

    Raises OutputError; the old file is then still there.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            for piece in parts:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"{path} could not be written ({error.strerror or error}); what was saved before is untouched: "
            "make room or choose another folder, then start again to go on from there"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON that people can read, as `write_whole` does."""
    write_whole(path, (json.dumps(value, indent=1) + "\n").encode())


def sync_folder(folder: Path) -> None:
    """The names in a folder onto the disk; not every system lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
