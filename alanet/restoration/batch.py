"""A batch: which videos of a folder are restored, under which names, and what became of each.

    FOLDER/holiday/a.mp4  ->  OUT/holiday/a.mp4        the name stays where the container does
    FOLDER/holiday/a.avi  ->  OUT/holiday/a.avi.mkv    else its ending is added: no two results share a name
                              OUT/.alanet-batch/...    a record for each result: of which job it is the result

A file counts as done where its record names the job that would be run now and the result is as it was recorded. Records
are files of their own, replaced atomically, so that several processes and machines can write them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from alanet.errors import OptionError, OutputError
from alanet.files import make_folder, write_json
from alanet.frames.estimate_sums import EstimateSums

if TYPE_CHECKING:
    from alanet.restoration.job import Job

__all__ = ["RECORDS", "VIDEOS", "Item", "Outcome", "State", "find_items", "read_record", "write_record"]

RECORDS = ".alanet-batch"
FORMAT = 1
ENDINGS = (
    "3g2 3gp apng asf avi divx dv f4v flv gif ivf m2t m2ts m4v mkv mov mp4 mpeg mpg mts mxf nut ogm ogv rm rmvb ts vob "
    "webm wmv wtv y4m"
)
VIDEOS = frozenset(f".{ending}" for ending in ENDINGS.split())

State = Literal["done", "skipped", "failed", "open"]


@dataclass(frozen=True)
class Item:
    """One video of a batch, or the only one of a run with several workers."""

    name: str  # as messages show it: below FOLDER, with "/" between the parts
    source: str
    folder: str | None = None  # where the result goes, under the input's own name
    record: str | None = None  # where it is written down that this was done; None: nowhere
    output: str | None = None  # the result's name, where it was given


@dataclass(frozen=True)
class Outcome:
    """What became of a video. open: others are at work on the rest of it."""

    name: str
    state: State
    output: str | None = None
    frames_in: int = 0
    frames_out: int = 0
    seconds: float = 0.0
    reason: str | None = None  # why it failed, in one line
    code: int = 0  # the exit code that this failure alone would have had
    notes: dict[str, list[str]] = field(default_factory=dict)  # "kept", "left_out", "warnings"
    estimates: EstimateSums = field(default_factory=EstimateSums)  # of input frames: how many are sharp, exposure

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = asdict(self)
        return {
            "file": plain.pop("name"),
            **{key: plain[key] for key in plain if key not in ("notes", "code", "estimates")},
            **self.estimates.to_dict(),
            **self.notes,
        }


def find_items(folder: Path, out: Path) -> tuple[list[Item], int]:
    """The videos below a folder in the order of their names, and the number of other files.

    Recognised by their file name extensions, so that a damaged video is one that fails and a text file is none. Hidden
    files are ignored, links to folders not followed; results in the folder itself are none of its videos. Makes `out`.
    """
    top, target = folder.resolve(), out.resolve()
    if top == target:
        raise OptionError(f"{folder}: the results would lie among the videos; name another folder with -o")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"{out}: is a file; --recursive writes many, name a folder with -o") from None
    except OSError as error:
        raise OutputError(f"{out}: cannot be made ({error.strerror}); name another folder with -o") from None
    items, others = [], 0
    for path in _files(top, target):
        if path.suffix.lower() not in VIDEOS:
            others += 1
            continue
        name = path.relative_to(top)
        record = target / RECORDS / name.with_name(f"{name.name}.json")
        items.append(Item(name.as_posix(), str(path), str((target / name).parent), str(record)))
    return items, others


def _files(top: Path, leave_out: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise OptionError(f"{error.filename}: cannot be read ({error.strerror}); --recursive looks into every folder")

    for where, folders, files in os.walk(top, onerror=refuse):
        here = Path(where)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and here / name != leave_out)
        yield from (here / name for name in sorted(files) if not name.startswith("."))


def write_record(item: Item, job: Job, result: Path, made: Path, frames: tuple[int, int], seconds: float) -> None:
    """Write down that `made`, which is about to be called `result`, is what a job comes to; on disk when it returns."""
    if item.record is None:
        return
    said = {"format": FORMAT, "result": result.name, "size": made.stat().st_size, "frames": frames}
    make_folder(Path(item.record).parent)
    write_json(Path(item.record), {**said, "seconds": seconds, "job": asdict(job)})


def read_record(item: Item) -> dict[str, Any] | None:
    """The record of a result that is there as it was recorded; None where there is no such result or record."""
    if item.record is None or item.folder is None:
        return None
    try:
        said: dict[str, Any] = json.loads(Path(item.record).read_text("utf-8"))
        result = Path(item.folder) / Path(said["result"]).name
        there = said["format"] == FORMAT and result.stat().st_size == said["size"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return {**said, "result": result} if there else None
