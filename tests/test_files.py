"""Atomic writes: a reader sees the old content or the new, and the package renames files in one module only."""

import os
import re
from pathlib import Path
from typing import BinaryIO

import pytest

import alanet
from alanet.errors import OutputError
from alanet.files import AtomicFile, atomic_write, is_unfinished, make_folder, write_json, write_whole

RENAMES = re.compile(r"os\.(replace|rename)\(|\.rename\(|\.(part|new)[\"']")


def test_the_new_content_appears_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.txt"
    make_folder(path.parent)
    write_whole(path, b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["a.txt"]


def fail(file: BinaryIO, error: type[BaseException]) -> None:
    file.write(b"half")
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    write_whole(tmp_path / "a.txt", b"old")
    with pytest.raises(error), atomic_write(tmp_path / "a.txt") as file:
        fail(file, error)
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    write_json(tmp_path / ("n" * 255), [1])
    assert (tmp_path / ("n" * 255)).read_text() == "[\n 1\n]\n"


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.txt: could not be written \(Not a directory\)"):
        write_whole(Path(__file__) / "a.txt", b"")


def test_what_an_ended_process_leaves_is_known(tmp_path: Path) -> None:
    part = AtomicFile(tmp_path / "a.npy")
    (left,) = tmp_path.iterdir()
    assert is_unfinished(left)
    part.discard()
    assert not list(tmp_path.iterdir())


def test_only_one_module_renames_files() -> None:
    root = Path(alanet.__file__).parent
    own = [path.relative_to(root) for path in root.rglob("*.py") if RENAMES.search(path.read_text("utf-8"))]
    assert own == [Path("files.py")]
