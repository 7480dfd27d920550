"""One video restored by several processes: each calls `run_worker`, and takes segments until none is left.

Every process decodes the whole video, so that times, fields and cuts are those of one run alone, and its network works
only from the window of a segment's first frame on: the restored frames are that run's, bit for bit. What decoding costs
beside a network is little; where it is not, more processes do not help.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

from alanet.engine.memory import exhaustion_told
from alanet.engine.stream import Counts
from alanet.errors import AlanetError, IncompleteError, InputError, OptionError, OutputError
from alanet.files import FINISHED, FULL, admit_others, claim, lock_folder, lock_together
from alanet.frames.frame import Frame
from alanet.restoration.claims import ClaimSink, Share, Status
from alanet.restoration.loaded import LoadedNetwork
from alanet.restoration.pipeline import restored_frames
from alanet.restoration.plan import RestorePlan, RestoreReport, nothing_shown
from alanet.restoration.progress import RestoreProgress
from alanet.restoration.run import report
from alanet.restoration.workdir import MANIFEST, begin, keep_finished, read_job
from alanet.restoration.writer import VideoWriter, put_in_place, writing
from alanet.video.output.destination import work_folder
from alanet.video.output.disk import check_room
from alanet.video.output.mux import mux
from alanet.video.output.segments import Segment, finished_in

__all__ = ["run_worker"]

log = logging.getLogger("alanet")


def run_worker(
    network: LoadedNetwork,
    plan: RestorePlan,
    *,
    helping: bool = False,
    on_begun: Callable[[], None] | None = None,
    on_progress: Callable[[RestoreProgress], None] | None = None,
    about_to: Callable[[Path, Counts], None] | None = None,
) -> RestoreReport | None:
    """Make segments of a plan (of `plan(..., shared=True)`) until none is left; who finds all finished joins them.

    helping: only where others are at work on it. on_begun: told once others may take part. about_to: told by who joins
    where the complete result lies, before it gets its name.

    Returns the report of who joined; None where the rest is with others. Raises IncompleteError where a segment was
    given up, by who leaves last; it is named, and the others are kept.
    """
    folder, path = work_folder(plan.output.path), plan.output.path
    assert plan.job is not None, "only jobs can be shared"
    existed = path.exists()
    lock, alone = lock_together(folder, path)
    with lock:
        if alone and (helping or (path.exists() and not (existed and plan.options.encode.overwrite))):
            _tidy(folder)  # others have finished it since
            return None
        if room := check_room(plan.output, plan.frames_out, done=plan.done):
            plan.notes.warn(f"disk: {room}")
        if alone:
            with writing(path):
                begin(folder, plan.job, path, plan.notes, restart=plan.options.restart, scattered=True)
            admit_others(lock, path)
        elif read_job(folder) != plan.job:
            raise OutputError(f"{path}: another run began it at this moment; run it again to take part in that one")
        if on_begun is not None:
            on_begun()
        share = Share(folder, plan.segment)
        try:
            return _until_done(network, plan, share, on_progress, about_to)
        finally:
            lock.close()
            _leave(folder, path)


def _until_done(
    network: LoadedNetwork,
    plan: RestorePlan,
    share: Share,
    on_progress: Callable[[RestoreProgress], None] | None,
    about_to: Callable[[Path, Counts], None] | None,
) -> RestoreReport | None:
    began, earlier = time.perf_counter(), sum(s.frames for s in finished_in(share.folder).values())
    if earlier:
        plan.notes.keep(f"earlier run: {earlier:,} restored frames, reused")
    while True:
        counts = _pass(network, plan, share, on_progress)
        if counts is None:
            continue  # a segment failed: try the others, and that one up to TRIES times
        standing = share.standing()
        if standing.free:
            continue  # whoever had taken it is gone
        if standing.held:
            return None
        if standing.failed:
            raise IncompleteError(_given_up(plan, standing))
        if not _join(plan, share, standing.finished, counts, about_to):
            return None
        made = share.frames
        return report(network, plan, plan.output.path, counts, time.perf_counter() - began, counts.frames_out - made)


def _pass(
    network: LoadedNetwork, plan: RestorePlan, share: Share, on_progress: Callable[[RestoreProgress], None] | None
) -> Counts | None:
    """Go over the video once and make the segments that nobody else has; None where one of them failed.

    Raises what is no single segment's failure: an input that cannot be read, a full disk.
    """
    turns = _Turns(plan, share, on_progress)
    sink = ClaimSink(plan.output, share)
    share.begin_pass()
    try:
        with exhaustion_told(network.device), VideoWriter(plan.output, sink, None) as writer:
            for frame in restored_frames(network, plan, turns):
                writer.write(frame)
                share.given(frame)
                turns.report(frame.time)
            writer.finish()
    except Exception as error:
        full = isinstance(error, OutputError) and getattr(error.__cause__, "errno", None) in FULL
        reason = str(error) if isinstance(error, AlanetError) else f"{type(error).__name__}: {error}"
        if not share.fail(reason, sink.failed) or full or isinstance(error, InputError):
            raise
        log.warning("a segment failed: %s", reason)
        return None
    except BaseException:
        share.leave()
        raise
    if not turns.counts.frames_in:
        raise OptionError(nothing_shown(plan))
    return turns.counts


class _Turns:
    """One pass over the video: what is counted of it, and which restored frames are ours to make."""

    def __init__(self, plan: RestorePlan, share: Share, on_progress: Callable[[RestoreProgress], None] | None) -> None:
        self.counts = Counts()
        self._share, self._total, self._on_progress = share, plan.frames_in, on_progress
        self._began, self._skipped = time.perf_counter(), 0

    def watched(self, frames: Iterable[tuple[Frame, bool]]) -> Iterator[tuple[Frame, bool]]:
        """The frames, told of: of most, nothing is made here."""
        for frame, starts in frames:
            yield frame, starts
            self.report(frame.time)

    def skips(self, time: Fraction) -> bool:
        """Whether the restored frame at a time is in a segment that is not ours."""
        skips = not self._share.takes(time)
        self._skipped += skips
        return skips

    def report(self, position: Fraction) -> None:
        """RestoreProgress; a safe place where nothing is in hand."""
        if self._on_progress is not None:
            self._on_progress(
                RestoreProgress(
                    self.counts.frames_in,
                    self._total,
                    self.counts.frames_out,
                    time.perf_counter() - self._began,
                    position,
                    earlier_out=self._skipped,
                    finished=self._share.made if self._share.turns else None,
                )
            )


def _given_up(plan: RestorePlan, standing: Status) -> str:
    """What failed, for a person."""
    number, why = standing.failed[0]
    more = f", and {len(standing.failed) - 1} more" if len(standing.failed) > 1 else ""
    return (
        f"{plan.info.path}: segment {number} failed three times ({why}){more}; the other {len(standing.finished)} are "
        "finished and kept, and the same command tries again"
    )


def _join(
    plan: RestorePlan,
    share: Share,
    segments: Iterable[Segment],
    counts: Counts,
    about_to: Callable[[Path, Counts], None] | None,
) -> bool:
    """Put the result in place; False where another process does so or has."""
    path, segments = plan.output.path, list(segments)
    for segment, begins in zip(segments, share.starts, strict=True):
        if abs(segment.start - begins) > plan.output.tick:
            raise OutputError(f"{path}: {segment.name} does not fit the input; use --restart to start over")
    lock = claim(share.folder / "join.claim")
    if lock is None:
        return False
    with lock:
        if not (share.folder / MANIFEST).exists():
            return False
        made = share.folder / f"{FINISHED}{path.suffix}"
        start, end = plan.options.start, plan.options.end
        with writing(path):
            mux(plan.output, share.folder, segments, made, start=start, end=end, notes=plan.notes)
            if about_to is not None:
                about_to(made, counts)
            put_in_place(made, plan.output, plan.job)
        shutil.rmtree(share.folder, ignore_errors=True)
    return True


def _leave(folder: Path, path: Path) -> None:
    """The last to leave removes what nobody can go on with."""
    if not folder.is_dir():
        return
    try:
        lock = lock_folder(folder, path)
    except OutputError:
        return
    with lock:
        if finished_in(folder):
            keep_finished(folder, list(finished_in(folder).values()))
        else:
            _tidy(folder)


def _tidy(folder: Path) -> None:
    if not finished_in(folder):
        shutil.rmtree(folder, ignore_errors=True)
