"""One run an output: the lock in a work folder, which dies with its process however that ends.

So a work folder whose lock is free is what an ended run has left: work to go on with, or litter.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO

from alanet.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows: two runs with one output are not told apart there
    fcntl = None  # type: ignore[assignment]

__all__ = ["FINISHED", "JOINED", "LOCK", "lock_folder", "sweep", "sync_folder"]

LOCK = "lock"
JOINED = "joined.json"  # what the manifest is called from when the result is complete in the work folder
FINISHED = "finished"  # that result, with the output's ending


def lock_folder(folder: Path, target: Path) -> IO[bytes]:
    """Make the work folder ours until the file returned is closed. Raises OutputError where another run has it."""
    while True:
        folder.mkdir(exist_ok=True)
        lock = open(folder / LOCK, "wb")  # noqa: SIM115  (held as long as the run lives)
        try:
            if fcntl is None:
                return lock
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(lock, folder / LOCK):
                return lock
        except BlockingIOError:
            lock.close()
            raise OutputError(f"{target}: another run is writing it; wait for it, or give another name") from None
        lock.close()  # its folder was cleared away between the two steps


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
