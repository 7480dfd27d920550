"""A job: what a run of hours keeps in its work folder, so that the same command can go on after anything.

    work folder:  lock   job.json   segments.jsonl   00000.mp4  00001.mp4 ...

`job.json` says what the finished segments depend on: the input, the weights, every option, the versions. It is replaced
atomically. `segments.jsonl` has a line for each finished segment, written once its file is on the disk. On the
next run nothing of this is trusted unseen: the job must be the same, and each segment must have its size, its digest
and its number of frames; after the first that has not, all are made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av

from alanet.errors import OptionError, OutputError
from alanet.files import JOINED, LOCK, move_into_place, write_json
from alanet.frames.frame import VideoInfo
from alanet.notes import Notes
from alanet.video.output.segments import INDEX, Segment, finished_in, recorded, rewrite

__all__ = [
    "MANIFEST",
    "Job",
    "begin",
    "changes",
    "check_same",
    "describe_input",
    "joining",
    "keep_finished",
    "read_job",
    "verified",
]

MANIFEST = "job.json"
FORMAT = 1
PART = 1 << 20  # bytes of the input hashed at its beginning, middle and end


@dataclass(frozen=True)
class Job:
    """What the finished segments depend on, in plain values, each by the name that a person knows."""

    source: str  # absolute path of the input, for `finish`
    input: dict[str, Any]  # "size", "modified", "content": see `describe_input`
    options: dict[str, Any]  # as asked for, by their names on the command line
    software: dict[str, str]  # versions
    chosen: dict[str, Any] = field(default_factory=dict)  # what "auto" came to; a later run takes it over


def changes(before: Job, now: Job) -> list[str]:
    """What makes a job another one now, a few words each; nothing where it is the same."""
    changed = []
    for name in ("size", "modified", "content"):
        if before.input.get(name) != now.input.get(name):
            changed = [f"the input is another (its {name} differs)"]
            break
    for was, given in ((before.options, now.options), (before.software, now.software)):
        for name in sorted(was.keys() | given.keys()):
            if was.get(name) != given.get(name):
                changed.append(f"{name} was {_said(was.get(name))} and is {_said(given.get(name))}")
    return changed


def check_same(before: Job, now: Job, target: Path) -> None:
    """Refuse, with OptionError, to go on with a job that is another one now: one line that says what changed."""
    if changed := changes(before, now):
        raise OptionError(
            f"{target}: an earlier run was interrupted, and since then {'; '.join(changed)}. Repeat the earlier "
            "command to resume, or use --restart to start over"
        )


def _said(value: Any) -> str:
    return "not given" if value is None else str(value)


def describe_input(info: VideoInfo) -> dict[str, Any]:
    """Size, time of change, and a digest of the beginning, middle and end; of all pictures' for a folder of them."""
    files = list(info.files) or [info.path]
    states = [file.stat() for file in files]
    digest = hashlib.sha256()
    for file in [files[0], files[len(files) // 2], files[-1]] if len(files) > 1 else files:
        for part in _parts(file):
            digest.update(part)
    if len(files) > 1:
        names = [[file.name, state.st_size, state.st_mtime_ns] for file, state in zip(files, states, strict=True)]
        digest.update(json.dumps(names).encode())
    return {
        "size": sum(state.st_size for state in states),
        "modified": max(state.st_mtime_ns for state in states),
        "content": digest.hexdigest(),
    }


def _parts(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        for start in sorted({0, max(0, size // 2 - PART // 2), max(0, size - PART)}):
            file.seek(start)
            yield file.read(PART)


def begin(
    folder: Path, job: Job | None, target: Path, notes: Notes, *, restart: bool = False, scattered: bool = False
) -> list[Segment]:
    """Make a locked work folder ready and return the finished segments that the run goes on after.

    To restart, nothing is kept; `scattered`: finished segments after one that is not are kept, too. Raises OptionError
    or OutputError where what is there is of another job, or of one where there is none now.
    """
    earlier = None if restart else read_job(folder)
    if job is None and earlier is not None:
        raise OutputError(f"{target}: an interrupted run of it is kept; resume it, or give another name with -o")
    if job is None or earlier is None:
        _only(folder)
        if job is not None:
            _write_job(folder, job)
        return []
    check_same(earlier, job, target)
    if scattered:
        segments, fault = _verified_each(folder)
    else:
        segments, fault = verified(folder)
    if fault:
        notes.warn(f"earlier run: {fault}; made again{'' if scattered else ' from there on'}")
    _write_job(folder, earlier)
    rewrite(folder, segments)
    _only(folder, segments, MANIFEST, INDEX)
    return segments


def _only(folder: Path, segments: Sequence[Segment] = (), *names: str) -> None:
    """Remove all from a locked work folder but these segments and other names."""
    keep = {LOCK, *names, *(segment.name for segment in segments)}
    for left in folder.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left.name not in keep:
            left.unlink()


def keep_finished(folder: Path, segments: Sequence[Segment]) -> None:
    """What a later run goes on with, and nothing else."""
    _only(folder, segments, MANIFEST, JOINED, INDEX)


def joining(folder: Path) -> None:
    """Say in the work folder that the result is complete and about to be put in its place (see `lock.sweep`)."""
    move_into_place(folder / MANIFEST, folder / JOINED)


def _write_job(folder: Path, job: Job) -> None:
    """The manifest, replaced atomically."""
    write_json(folder / MANIFEST, {"format": FORMAT, **asdict(job)})


def read_job(folder: Path) -> Job | None:
    """The manifest of a work folder; None where there is none. Raises OptionError for one that cannot be read."""
    path = next((folder / name for name in (MANIFEST, JOINED) if (folder / name).exists()), None)
    if path is None:
        return None
    try:
        said = json.loads(path.read_text("utf-8"))
        if said.pop("format") == FORMAT:
            return Job(**said)
        raise ValueError("of another version")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise OptionError(
            f"{path}: the record of an interrupted run cannot be read ({error}); use --restart to start over"
        ) from error


def verified(folder: Path) -> tuple[list[Segment], str]:
    """The finished segments up to the first that is not as it was written, and why that one is not ("" for none)."""
    segments = recorded(folder)
    for i, segment in enumerate(segments):
        fault = _fault(folder / segment.name, segment)
        if fault:
            return segments[:i], f"{segment.name}: {fault}"
    return segments, ""


def _verified_each(folder: Path) -> tuple[list[Segment], str]:
    """All finished segments that are as they were written, and why one is not ("" for none)."""
    segments, last = [], ""
    for segment in finished_in(folder).values():
        fault = _fault(folder / segment.name, segment)
        if fault:
            last = f"{segment.name}: {fault}"
        else:
            segments.append(segment)
    return segments, last


def _fault(path: Path, segment: Segment) -> str:
    try:
        if path.stat().st_size != segment.size:
            return f"{path.stat().st_size} bytes instead of {segment.size}"
        with open(path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != segment.sha256:
                return "its digest differs"
        with av.open(f"file:{path}") as container:
            frames = sum(1 for _ in container.decode(video=0))
    except (OSError, av.FFmpegError) as error:
        return getattr(error, "strerror", None) or str(error)
    return "" if frames == segment.frames else f"{frames} frames instead of {segment.frames}"
