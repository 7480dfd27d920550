"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from alanet.errors import OutputError

__all__ = ["write_json", "write_whole"]


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
        _sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"{path} could not be written ({error.strerror or error}); what was saved before is untouched: "
            "make room or choose another folder, then start again to go on from there"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON that people can read, as `write_whole` does."""
    write_whole(path, (json.dumps(value, indent=1) + "\n").encode())


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where folders can be opened (not on Windows)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
