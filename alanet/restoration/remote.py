"""The tasks of a restoration on a node of a cluster: inputs are staged to its scratch folder, segments are objects.

    SCRATCH/alanet-RUN/KEY/in/NAME                   the input, once a node while its video is open
    SCRATCH/alanet-RUN/KEY/out/.NAME.alanet-part/    the work folder of `tasks.py`
    OUT/.alanet-work/KEY/job.json  00000.mp4  00000.json ...    finished segments, until the video is joined
    OUT/NAME                                         the result, whole
    OUT/.alanet-batch/NAME.json                      of which job and input it is the result

A segment's record (.json) is written after its file, so that what is recorded is there. All of it may be done twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alanet.errors import InputError, OptionError, OutputError
from alanet.files import FINISHED, FULL, hold_folder, sweep_folders
from alanet.restoration.batch import RECORDS, Item, Outcome
from alanet.restoration.job import Job, changes
from alanet.restoration.naming import naming_flags
from alanet.restoration.parts import make_part
from alanet.restoration.plan import RestorePlan
from alanet.restoration.storage import Store, key_of
from alanet.restoration.tasks import Tasks, add_warnings, described, failure, join_segments
from alanet.restoration.work import Failure, Made, Part, Prepared, Setup
from alanet.restoration.workdir import MANIFEST, read_job, write_job
from alanet.restoration.writer import writing
from alanet.video.output.destination import work_folder
from alanet.video.output.segments import INDEX, Segment, line_of, name_of_segment, segment_in

__all__ = ["WORK", "RemoteTasks", "run_folder"]

WORK = ".alanet-work"
FORMAT = 1


def run_folder(scratch: str, run: str) -> Path:
    """What a run has on a node."""
    return Path(scratch) / f"alanet-{run}"


@dataclass(frozen=True, slots=True)
class _RemoteFilm:
    """The inputs of a segment's task besides the plan."""

    item: Item
    plan: bytes  # a pickled RestorePlan, its paths in the scratch folder
    target: str  # the result's name in OUT


class RemoteTasks:
    """`Tasks` with staging. weights: of a network that was given as a file; the node may not have that file."""

    def __init__(self, setup: Setup, scratch: str, run: str, out: str, weights: bytes | None = None) -> None:
        self._scratch, self._folder = scratch, run_folder(scratch, run)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = hold_folder(self._folder)
        sweep_folders(Path(scratch), "alanet-*")
        if weights is not None:
            path = self._folder / f"weights-{os.getpid()}.safetensors"
            path.write_bytes(weights)
            setup = replace(setup, network=replace(setup.network, model=str(path)))
        self._tasks = Tasks(setup)
        if weights is not None:
            path.unlink()
        self._out = Store(out)
        self._staged: dict[str, str] = {}  # the URL of each path, for messages; of the latest input only

    def describe(self) -> dict[str, str]:
        """What rounding may depend on."""
        return described(self._tasks)

    def run(self, task: str, over: frozenset[str], *given: Any) -> Any:
        """Do a task by its name; a Failure where it fails.

        over: keys of videos that are over; what this node has of them is removed. (Not all but the open ones: another
        worker of the node may have begun a video since this task was given.)
        """
        try:
            for key in over:
                shutil.rmtree(self._folder / key, ignore_errors=True)
            with naming_flags():
                return getattr(self, task)(*given)
        except Exception as error:
            causes = [error, error.__cause__, error.__context__]
            if any(getattr(cause, "errno", None) in FULL for cause in causes):
                reason = (
                    f"{self._scratch}: the scratch disk of {socket.gethostname()} is full; free some space or give "
                    "another with --scratch. Finished segments are kept, and the same command resumes"
                )
                return Failure(reason, 5, "run")
            failed = failure(error, task)
            reason = failed.reason
            for path, url in self._staged.items():
                reason = reason.replace(path, url)
            return replace(failed, reason=reason)

    # ---- prepare -----------------------------------------------------------------------------------------------------

    def prepare(self, item: Item) -> Prepared | Outcome:
        """Stage a video, plan it, and find its segments."""
        fingerprint = Store(item.source, InputError).fingerprint()
        done = self._done_before(item, fingerprint)
        if done is not None:
            return done
        folder = self._folder / key_of(item.name)
        try:
            return self._prepare(item, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _prepare(self, item: Item, folder: Path) -> Prepared:
        source, work = self._stage(item), f"{WORK}/{key_of(item.name)}"
        local = Item(item.name, str(source), str(folder / "out"))
        worker = self._tasks.worker
        plan = worker.plan(local, look=True, shared=True)
        target = item.name.removesuffix(source.name) + plan.output.path.name
        if not worker.options.encode.overwrite and self._out.size(target) is not None:
            raise OutputError(f"{self._out.path(target)}: exists already; --overwrite replaces it")
        if worker.options.restart:
            self._out.remove(work)
        kept = self._mirror(work, work_folder(plan.output.path))
        plan = worker.plan(local, shared=True)
        assert plan.job is not None, "refused in the plan"
        if self._out.size(f"{work}/{MANIFEST}") is None:
            manifest = folder / MANIFEST
            write_job(manifest, plan.job)
            self._out.upload(manifest, f"{work}/{MANIFEST}")
        prepared = self._tasks.indexed(plan, kept)
        film = _RemoteFilm(item, prepared.plan, target)
        output, stored = self._out.path(target), self._out.path(work)
        return replace(prepared, plan=pickle.dumps(film), source=item.source, output=output, folder=stored)

    def _done_before(self, item: Item, fingerprint: dict[str, Any]) -> Outcome | None:
        """The outcome where the result is there, of the same input, options, weights and versions."""
        if self._tasks.worker.options.restart:
            return None
        record = self._out.read(f"{RECORDS}/{item.name}.json")
        try:
            said: dict[str, Any] = json.loads(record or b"")
            if said["format"] != FORMAT or self._out.size(said["result"]) != said["size"]:
                return None
            source, asked, frames = said["source"], said["asked"], said["frames"]
        except (ValueError, KeyError, TypeError):
            return None
        path = self._out.path(said["result"])
        changed = ["the input is another"] if source != fingerprint else []
        changed = changed or changes(Job("", {}, **asked), Job("", {}, **self._asked()))
        if not changed:
            return Outcome(item.name, "skipped", path, int(frames[0]), int(frames[1]))
        if not self._tasks.worker.options.encode.overwrite:
            raise OptionError(
                f"{path}: is there from an earlier run, and since then {'; '.join(changed)}; --overwrite replaces it"
            )
        return None

    def _asked(self) -> dict[str, Any]:
        """As it is read from a record."""
        asked: dict[str, Any] = json.loads(json.dumps(self._tasks.asked()))
        return asked

    def _mirror(self, work: str, folder: Path) -> list[Segment]:
        """What an earlier run has finished, as `plan` finds it in a work folder; the segments' files stay where they
        are."""
        shutil.rmtree(folder, ignore_errors=True)
        manifest = self._out.read(f"{work}/{MANIFEST}")
        if manifest is None:
            return []
        folder.mkdir(parents=True)
        (folder / MANIFEST).write_bytes(manifest)
        read_job(folder)  # raises OptionError where it cannot be read
        sizes = self._out.names(work)
        kept = []
        for name in sizes:
            if name.endswith(".json") and not name.endswith(MANIFEST):
                segment = segment_in((self._out.read(name) or b"").decode("utf-8", "replace"))
                if segment is not None and sizes.get(f"{work}/{segment.name}") == segment.size:
                    kept.append(segment)
        (folder / INDEX).write_text("".join(map(line_of, kept)), "utf-8")
        return kept

    # ---- segment -----------------------------------------------------------------------------------------------------

    def segment(self, film: bytes, part: Part) -> Made:
        """Make a segment and store it."""
        known: _RemoteFilm = pickle.loads(film)
        plan: RestorePlan = pickle.loads(known.plan)
        self._stage(known.item)
        folder, work = work_folder(plan.output.path), f"{WORK}/{key_of(known.item.name)}"
        folder.mkdir(parents=True, exist_ok=True)
        own = folder / f"{os.getpid()}"  # another worker of this node may be at the same segment
        own.mkdir(exist_ok=True)
        try:
            with writing(plan.output.path):
                segment, made = make_part(self._tasks.worker.restorer.network, plan, part, own)
            self._out.upload(own / segment.name, f"{work}/{segment.name}")
            self._out.write(f"{work}/{Path(segment.name).stem}.json", line_of(segment).encode())
        finally:
            shutil.rmtree(own, ignore_errors=True)
        return made

    def _stage(self, item: Item) -> Path:
        """The input on this node, with its time of change, which the job names."""
        store = Store(item.source, InputError)
        target = self._folder / key_of(item.name) / "in" / item.source.rstrip("/").rpartition("/")[2]
        out = self._out.path(item.name.rpartition("/")[0]).rstrip("/")
        self._staged = {str(target): item.source, str(target.parents[1] / "out"): out}
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            fingerprint = store.fingerprint()
            if shutil.disk_usage(target.parent).free < fingerprint["size"]:
                raise OSError(28, "No space left on device")
            store.download("", target)
            if (modified := fingerprint["modified"]) is not None:
                os.utime(target, (modified, modified))
        return target

    # ---- join --------------------------------------------------------------------------------------------------------

    def join(self, item: Item, prepared: Prepared, made: Made, seconds: float) -> Outcome:
        """All segments into the result, and that to its place; then the segments are removed."""
        film: _RemoteFilm = pickle.loads(prepared.plan)
        plan: RestorePlan = pickle.loads(film.plan)
        self._stage(item)
        folder, work = work_folder(plan.output.path), f"{WORK}/{key_of(item.name)}"
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        segments = self._fetch(work, folder, plan, prepared.segments)
        add_warnings(plan, made)
        result = folder / f"{FINISHED}{plan.output.path.suffix}"
        with writing(plan.output.path):
            join_segments(plan, folder, segments, result)
        if not plan.options.encode.overwrite and self._out.size(film.target) not in (None, result.stat().st_size):
            raise OutputError(f"{self._out.path(film.target)}: has come to exist meanwhile; --overwrite replaces it")
        seconds += time.perf_counter() - began
        frames = (prepared.frames_in, prepared.expected)
        record = {"format": FORMAT, "result": film.target, "size": result.stat().st_size, "frames": frames}
        record |= {"seconds": seconds, "source": Store(item.source, InputError).fingerprint(), "asked": self._asked()}
        self._out.write(f"{RECORDS}/{item.name}.json", json.dumps(record, indent=1).encode())
        self._out.upload(result, film.target)
        self._out.remove(work)
        shutil.rmtree(self._folder / key_of(item.name), ignore_errors=True)
        notes = {key: getattr(plan.notes, key) for key in ("kept", "left_out", "warnings")}
        return Outcome(
            item.name, "done", self._out.path(film.target), *frames, seconds, notes=notes, estimates=made.estimates
        )

    def _fetch(self, work: str, folder: Path, plan: RestorePlan, number: int) -> Sequence[Segment]:
        """All segments of a video on this node, verified. What is damaged is removed, so that a rerun makes it."""
        segments = []
        for i in range(number):
            name = name_of_segment(i, plan.output)
            record = f"{work}/{Path(name).stem}.json"
            segment = segment_in((self._out.read(record) or b"").decode("utf-8", "replace"))
            if segment is None:
                raise OutputError(f"{self._out.path(record)}: is gone; the same command makes it again")
            self._out.download(f"{work}/{name}", folder / name)
            with open(folder / name, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != segment.sha256:
                    self._out.remove(record)
                    raise OutputError(
                        f"{self._out.path(f'{work}/{name}')}: is damaged; the same command makes it again"
                    )
            segments.append(segment)
        return segments
