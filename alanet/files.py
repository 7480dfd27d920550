"""Atomic writes, work folders, and locks on work folders. Only this module renames a temporary file into place.

A lock belongs to its process and ends with it. A work folder without a lock is what an ended run left behind: work to
resume, or nothing of use.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from alanet.errors import OptionError, OutputError

try:
    import fcntl
except ImportError:  # Windows: two runs with one output are not detected there
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "FINISHED",
    "FULL",
    "JOINED",
    "LOCK",
    "LONGEST_NAME",
    "AtomicFile",
    "as_path",
    "atomic_write",
    "hold_folder",
    "is_unfinished",
    "lock_folder",
    "make_folder",
    "move_into_place",
    "sweep",
    "sweep_folders",
    "sync_folder",
    "unfinished_name",
    "write_error",
    "write_errors",
    "write_json",
    "write_text",
    "write_whole",
]

UNFINISHED = ".part"  # the ending of a file that is being written
LONGEST_NAME = 255  # bytes, of nearly every file system
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

LOCK = "lock"
JOINED = "joined.json"  # what the manifest is called from when the result is complete in the work folder
FINISHED = "finished"  # that result, with the output's ending


def as_path(value: str | os.PathLike[str], name: str) -> Path:
    """The path that a caller gave as the argument `name`. Raises OptionError for another type and for no path."""
    if not isinstance(value, str | os.PathLike):
        raise OptionError(f"{name} is of type {type(value).__name__}; give a path")
    if "\0" in str(value) or not str(value):
        raise OptionError(f"{name} {str(value)!r} is not a path")
    return Path(value)


def lock_folder(folder: Path, target: Path) -> IO[bytes]:
    """Make the work folder ours until the file returned is closed.

    Raises OutputError where another run has it.
    """
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


def hold_folder(folder: Path) -> IO[bytes]:
    """Mark a folder as used by this process, and by others, until the file returned is closed or the process ends."""
    lock = open(folder / LOCK, "wb")  # noqa: SIM115  (held as long as the folder is used)
    if fcntl is not None:
        fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def sweep_folders(parent: Path, pattern: str) -> None:
    """Remove folders that processes marked (`hold_folder`) and that none of them uses any more."""
    for folder in parent.glob(pattern) if fcntl is not None else ():
        with suppress(OSError), open(folder / LOCK, "rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


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


def unfinished_name(path: Path) -> Path:
    """Where this process writes what becomes `path`: a hidden name in the same folder."""
    name = f".{path.name}.{os.getpid()}{UNFINISHED}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}.{os.getpid()}{UNFINISHED}"
    return path.with_name(name)


class AtomicFile:
    """A file that appears under its name, complete and on the disk, with `commit`; `discard` leaves what was there.

    The bytes go to a hidden file beside it. Raises OutputError when it cannot be made or completed.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._hidden = path, unfinished_name(path)
        with write_errors(path):
            self.file: BinaryIO = open(self._hidden, "wb")  # noqa: SIM115  (closed by `commit` or `discard`)

    def commit(self) -> None:
        """Put the file in its place, instead of one that may be there."""
        try:
            with write_errors(self.path):
                self.file.flush()
                self.file.close()
                move_into_place(self._hidden, self.path)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove what was written."""
        with suppress(OSError):  # a full disk may refuse to close
            self.file.close()
        self._hidden.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """A stream for the new content of a file, which replaces the old one when the block ends without an error.

    A reader, or a crash, sees the old file or the new one. Raises OutputError for what goes wrong while writing.
    """
    part = AtomicFile(Path(path))
    try:
        with write_errors(part.path):
            yield part.file
    except BaseException:
        part.discard()
        raise
    part.commit()


def write_whole(path: Path, *parts: bytes) -> None:
    """Write the bytes to `path` atomically. Raises OutputError; the old file is then still there."""
    with atomic_write(path) as file:
        for piece in parts:
            file.write(piece)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, as `write_whole` does."""
    write_whole(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON that people can read, as `write_whole` does."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, unless it exists. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); give another folder") from error


def move_into_place(made: Path, target: Path) -> None:
    """Rename a complete file, or folder, to its final name in one step, on the disk when this returns."""
    if made.is_file():
        with open(made, "rb+") as file:
            os.fsync(file.fileno())
    os.replace(made, target)
    sync_folder(target.parent)


def is_unfinished(path: Path) -> bool:
    """Whether a file is what an ended process left of an atomic write."""
    return path.suffix == UNFINISHED


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError while `path` is written into an OutputError of one line."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


def write_error(path: Path, error: BaseException) -> OutputError:
    """Why `path` could not be written."""
    if getattr(error, "errno", None) in FULL:
        return OutputError(f"{path}: the disk is full; free some space or give another folder with -o")
    return OutputError(f"{path}: could not be written ({getattr(error, 'strerror', None) or error})")


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
