"""The work folder of a job: what a run of hours keeps, so that the same command can resume after an interruption.

    work folder:  lock   job.json   segments.jsonl   00000.mp4  00001.mp4 ...

`job.json` is the job of the finished segments, replaced atomically. `segments.jsonl` has a line for each finished
segment, written when its file is on the disk. The next run verifies all of it: the job must be the same, and each
segment must have its size, its digest and its number of frames. After the first that has not, all are made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import av

from alanet.errors import OptionError, OutputError
from alanet.files import JOINED, LOCK, lock_folder, move_into_place, write_json
from alanet.notes import Notes
from alanet.restoration.job import Job, check_same
from alanet.video.output.destination import work_folder
from alanet.video.output.format import OutputPlan
from alanet.video.output.segments import INDEX, Segment, finished_in, recorded, rewrite

__all__ = ["MANIFEST", "begin", "done_so_far", "earlier_job", "joining", "keep_finished", "read_job", "verified"]
__all__ += ["write_job"]

MANIFEST = "job.json"
FORMAT = 1


def earlier_job(target: OutputPlan, job: Job | None, *, shared: bool = False) -> tuple[Job, int] | None:
    """What an interrupted run has left for this job: its manifest, and how many restored frames it finished.

    shared: in any order, where several processes make segments. Raises OptionError where it was another job,
    OutputError where it still runs.
    """
    folder = work_folder(target.path)
    if job is None or not folder.is_dir():
        return None
    lock_folder(folder, target.path).close()
    earlier = read_job(folder)
    if earlier is None:
        return None
    check_same(earlier, job, target.path)
    kept = finished_in(folder).values() if shared else recorded(folder)
    return earlier, sum(segment.frames for segment in kept)


def done_so_far(target: OutputPlan) -> Fraction:
    """Seconds of the output that are finished and kept."""
    return sum((s.end - s.start for s in finished_in(work_folder(target.path)).values()), Fraction(0))


def begin(
    folder: Path, job: Job | None, target: Path, notes: Notes, *, restart: bool = False, scattered: bool = False
) -> list[Segment]:
    """Prepare a locked work folder and return the finished segments after which the run resumes.

    To restart, nothing is kept; `scattered`: finished segments after one that is not are kept, too. Raises OptionError
    or OutputError where what is there is of another job, or of one where there is none now.
    """
    earlier = None if restart else read_job(folder)
    if job is None and earlier is not None:
        raise OutputError(f"{target}: an interrupted run of it is kept; resume it, or give another name with -o")
    if job is None or earlier is None:
        _only(folder)
        if job is not None:
            write_job(folder / MANIFEST, job)
        return []
    check_same(earlier, job, target)
    if scattered:
        segments, fault = _verified_each(folder)
    else:
        segments, fault = verified(folder)
    if fault:
        notes.warn(f"earlier run: {fault}; made again{'' if scattered else ' from there on'}")
    write_job(folder / MANIFEST, earlier)
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
    """Keep only what a later run needs to resume."""
    _only(folder, segments, MANIFEST, JOINED, INDEX)


def joining(folder: Path) -> None:
    """Record that the result is complete and about to be renamed (see `files.sweep`)."""
    move_into_place(folder / MANIFEST, folder / JOINED)


def write_job(path: Path, job: Job) -> None:
    """The manifest, replaced atomically."""
    write_json(path, {"format": FORMAT, **asdict(job)})


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
