"""`alanet data build`: a folder of high-rate videos -> runs of sharp frames, a manifest of every choice, and a picture.

    plan -> (decode -> cuts -> resize -> runs -> manifest), video by video -> a sheet to look at

A video that cannot be used is skipped and named. Interrupted, the same call goes on after the last finished video,
once it has verified what is there; the result is the same to the byte.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import av

from alanet.data.real.manifest import Manifest, Skipped, Video, read_manifest, write_manifest
from alanet.data.real.overview import draw_overview
from alanet.data.real.plan import BuildOptions, BuildPlan, check_room, nothing_usable, plan_build, skip, stored_size
from alanet.data.real.read import HighRateVideo, digest, fingerprint, read_frames
from alanet.data.real.runs import RunOptions, store_runs
from alanet.errors import DataError, InputError
from alanet.files import is_unfinished
from alanet.notes import Notes
from alanet.restoration.writer import writing

__all__ = ["BuildOptions", "BuildPlan", "BuildProgress", "BuildReport", "build_set", "plan_build", "run_build"]

SHEET = "sheet.png"

Stored = tuple[Video | Skipped, list[str]]  # what became of a video, and warnings


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """Where a build is."""

    name: str  # of the video at work
    videos: int  # done
    videos_total: int
    frames: int  # done
    frames_total: int  # about, as files state it
    seconds: float


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was built."""

    folder: Path
    manifest: Manifest
    sheet: Path
    reused: int  # videos that were there already
    seconds: float
    notes: Notes


def build_set(
    folder: Path,
    out: Path,
    options: BuildOptions = BuildOptions(),
    *,
    on_progress: Callable[[BuildProgress], None] | None = None,
) -> BuildReport:
    """Plan and build. Raises DataError if nothing can be used, OutputError if there is no room."""
    notes = Notes()
    return run_build(plan_build(folder, out, options, notes), notes, on_progress=on_progress)


def run_build(
    plan: BuildPlan,
    notes: Notes,
    *,
    on_progress: Callable[[BuildProgress], None] | None = None,
    each: Callable[[Callable[[HighRateVideo], Stored], Sequence[HighRateVideo]], Iterable[tuple[HighRateVideo, Stored]]]
    | None = None,
) -> BuildReport:
    """Do what was planned. each: maps a function over videos (`ray_session.each`), on machines that see the folders."""
    began = time.monotonic()
    check_room(plan.out, plan.bytes_needed, "choose a smaller --size")
    with writing(plan.out):
        (plan.out / "runs").mkdir(parents=True, exist_ok=True)
        _sweep(plan)
    videos = {name: replace(video, split=plan.split[name]) for name, video in plan.done.items()}
    skipped = list(plan.skipped)
    todo = [one for one in plan.footage if one.source.name not in plan.done]
    total, before = sum(one.frames for one in todo), 0
    _write(plan, videos, skipped)

    def report(name: str, frames: int) -> None:
        if on_progress:
            seconds = time.monotonic() - began
            on_progress(BuildProgress(name, len(videos), len(plan.footage), before + frames, total, seconds))

    def one_by_one() -> Iterator[tuple[HighRateVideo, Stored]]:
        for one in todo:
            yield one, _stored(plan, one, partial(report, one.source.name))

    for one, (made, warnings) in one_by_one() if each is None else each(partial(_stored, plan), todo):
        if isinstance(made, Skipped):
            skipped.append(made)
        else:
            videos[one.source.name] = made
        for line in warnings:
            notes.warn(line)
        before += one.frames
        report(one.source.name, 0)
        _write(plan, videos, skipped)
    if not videos:
        raise nothing_usable(plan.out, skipped)
    final = read_manifest(plan.out)
    with writing(plan.out):
        draw_overview(plan.out, final, plan.out / SHEET)
    return BuildReport(plan.out, final, plan.out / SHEET, len(plan.done), time.monotonic() - began, notes)


def _sweep(plan: BuildPlan) -> None:
    """Remove what an interrupted build left of videos that are not finished."""
    kept = {Path(run.file).name for video in plan.done.values() for run in video.runs}
    for path in (plan.out / "runs").iterdir():
        if path.name not in kept and (path.suffix == ".npy" or is_unfinished(path)):
            path.unlink()


def _write(plan: BuildPlan, videos: dict[str, Video], skipped: list[Skipped]) -> None:
    split = {**asdict(plan.options.split), "layout": plan.layout}
    split["lists"] = {kind: list(names) for kind, names in plan.options.split.lists.items()}
    entries = tuple(videos[one.source.name] for one in plan.footage if one.source.name in videos)
    listed = tuple(sorted(skipped, key=lambda one: one.name))
    with writing(plan.out):
        write_manifest(plan.out, Manifest(plan.layout, plan.options.pixels(), split, entries, listed))


def _stored(plan: BuildPlan, one: HighRateVideo, on_frame: Callable[[int], None] = lambda frames: None) -> Stored:
    """One video into runs, or why it gives none; and the warnings."""
    notes = Notes()
    try:
        return _store(one, plan, notes, on_frame), notes.warnings
    except InputError as error:
        return skip(one.source, error), notes.warnings


def _store(one: HighRateVideo, plan: BuildPlan, notes: Notes, on_frame: Callable[[int], None]) -> Video:
    """One video into runs. Raises InputError if it gives none."""
    options, source = plan.options, one.source
    weight, modified = fingerprint(source)
    size = stored_size(one, options)
    how = RunOptions(size, one.rotation, one.interval, options.cuts, options.shortest)
    own = Notes()
    stored = store_runs(read_frames(one, own), plan.out / "runs" / _file_name(source.name), how, on_frame)
    if not stored.runs:
        raise DataError(
            f"{source.name}: no {options.shortest} sharp frames in a row ({stored.frames} frames, {len(stored.cuts)} "
            f"cuts, {len(stored.gaps)} gaps); give longer video, or --shortest"
        )
    warnings = [*own.warnings]
    if stored.duplicates * 5 > stored.frames:
        warnings.append(f"{stored.duplicates} of {stored.frames} frames repeat the one before: its true rate is lower")
    if one.unreadable:
        warnings.append(f"{len(one.unreadable)} pictures cannot be read, the first is {one.unreadable[0]}")
    for line in warnings:
        notes.warn(f"{source.name}: {line}")
    return Video(
        name=source.name,
        split=plan.split[source.name],
        sha256=digest(source),
        bytes=weight,
        modified=modified,
        stated_rate=None if one.stated_rate is None else str(one.stated_rate),
        rate=str(one.rate),
        source_size=one.size,
        rotation=one.rotation,
        size=size,
        frames=stored.frames,
        cuts=tuple(stored.cuts),
        gaps=tuple(stored.gaps),
        duplicates=stored.duplicates,
        unreadable=tuple(one.unreadable),
        runs=tuple(stored.runs),
        warnings=tuple(warnings),
        made_by=_versions(),
    )


def _file_name(name: str) -> str:
    """A name that every file system takes, and that no other video has."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[-60:]
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _versions() -> dict[str, str]:
    from alanet.version import __version__

    return {"alanet": __version__, "av": av.__version__, "ffmpeg": str(av.ffmpeg_version_info)}
