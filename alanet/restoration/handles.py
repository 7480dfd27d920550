"""Videos in memory: bytes or a file object as the input, a file object as the output.

Both go through a temporary folder, because a video is read more than once (probe, pictures, sound).
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from alanet.errors import AlanetError, InputError, OptionError, OutputError
from alanet.files import as_path

__all__ = ["Input", "Output", "as_file", "check_output", "deliver", "ending_of", "temporary_folder"]

Input = str | os.PathLike[str] | bytes | BinaryIO
Output = str | os.PathLike[str] | BinaryIO


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end; errors do not name it."""
    with TemporaryDirectory(prefix="alanet-") as folder:
        try:
            yield Path(folder)
        except AlanetError as error:
            error.args = (str(error).replace(f"{folder}{os.sep}", ""),)
            raise


@contextmanager
def as_file(source: Input) -> Iterator[Path]:
    """The path of an input; bytes and file objects are written into a temporary folder.

    Raises OptionError for another type, for text and for a file object that cannot be read, InputError for nothing.
    """
    if isinstance(source, str | os.PathLike):
        yield as_path(source, "the input")
        return
    if isinstance(source, bytes | bytearray | memoryview):
        stream: BinaryIO = io.BytesIO(source)
    elif hasattr(source, "read"):
        stream = source
    else:
        raise OptionError(
            f"the input is of type {type(source).__name__}; give a path, bytes or a file object opened with 'rb'"
        )
    if not _able(stream, "readable"):
        raise OptionError("the input is a file object that is closed or cannot be read; open it with 'rb'")
    if isinstance(stream, io.TextIOBase):
        raise OptionError("the input is a file object of text; open it with 'rb'")
    with temporary_folder() as folder:
        path = folder / f"input{ending_of(source)}"
        with open(path, "wb") as file:
            while block := stream.read(1 << 20):
                if not isinstance(block, bytes):
                    raise OptionError("the input is a file object of text; open it with 'rb'")
                file.write(block)
            if not file.tell():
                raise InputError("the input has no bytes; a file object is read from its position on")
        yield path


def check_output(output: object) -> None:
    """OptionError unless a file object takes bytes."""
    if not hasattr(output, "write"):
        raise OptionError(f"output is of type {type(output).__name__}; give a path or a file object opened with 'wb'")
    if isinstance(output, io.TextIOBase):
        raise OptionError("output is a file object of text; open it with 'wb'")
    if not _able(output, "writable"):
        raise OptionError("output is a file object that is closed or cannot be written; open it with 'wb'")


def _able(handle: object, what: str) -> bool:
    """Whether a file object is open and "readable" or "writable"; one that does not say so is."""
    return not getattr(handle, "closed", False) and (not hasattr(handle, what) or bool(getattr(handle, what)()))


def ending_of(handle: object) -> str:
    """The ending of a file object's name; "" where it has none."""
    name = getattr(handle, "name", None)
    return Path(name).suffix if isinstance(name, str) else ""


def deliver(made: Path, output: BinaryIO) -> None:
    """Copy a finished video to a file object. Raises OutputError where it does not take it."""
    if made.is_dir():
        raise OptionError("codec png writes a folder; give a path as the output")
    try:
        with open(made, "rb") as file:
            shutil.copyfileobj(file, output)
    except (OSError, ValueError) as error:
        raise OutputError(f"the file object does not take the result: {error}") from error
