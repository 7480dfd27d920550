"""The thread that restores the queued videos, one at a time, and the networks that it and the page use.

A job that was running when the server ended is put back into the queue, and resumes after its finished segments. A job
that ended the server ATTEMPTS times is not tried again.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from alanet.errors import AlanetError, InputError, OptionError, ResourceError
from alanet.model.weights import available_models
from alanet.restoration.naming import naming_flags
from alanet.restoration.options import NetworkOptions
from alanet.restoration.plan import RestorePlan
from alanet.restoration.progress import RestoreProgress
from alanet.restoration.restorer import Restorer
from alanet.restoration.summary import closing_rows
from alanet.text import binary, size
from alanet.video.output.destination import work_folder
from alanet.video.output.disk import picture_bytes
from alanet.web.controls import options_of, readable
from alanet.web.jobs import Jobs, WebJob, usage
from alanet.web.watch import viewing_copy

__all__ = ["Networks", "Stopped", "WebWorker", "message_of"]

log = logging.getLogger("alanet.web")
ATTEMPTS = 3
DISK_EVERY = 5.0  # seconds between two looks at the disk
SWEEP_EVERY = 60.0  # seconds between two looks for jobs to delete


class Stopped(BaseException):
    """The job was cancelled, or the server is stopping."""


class Networks:
    """Loaded networks by their options. One instance serves one thread at a time."""

    def __init__(self) -> None:
        self._loaded: dict[NetworkOptions, Restorer] = {}
        self.lock = threading.Lock()

    def get(self, options: NetworkOptions) -> Restorer:
        if options not in self._loaded:
            self._loaded[options] = Restorer(**asdict(options))
        return self._loaded[options]


@dataclass(frozen=True, slots=True)
class Step:
    """What the running job is doing."""

    job: str
    progress: RestoreProgress | None = None
    finishing: bool = False


class WebWorker:
    """Restores what is queued until `stop`."""

    def __init__(self, jobs: Jobs, network: NetworkOptions) -> None:
        self.jobs, self.network = jobs, network
        self.models = {name: card.purpose for name, card in available_models().items()}
        self.step: Step | None = None
        self._networks = Networks()
        self._wake, self._cancel, self._stop = threading.Event(), threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="alanet-web-worker", daemon=True)
        self._looked = 0.0

    def start(self) -> None:
        """Put back what an earlier server was restoring, and begin."""
        for job in self.jobs.queue():
            if job.state == "running":
                again = job.attempts < ATTEMPTS
                message = "" if again else f"the server ended {ATTEMPTS} times while it restored this video"
                self.jobs.change(job.id, state="waiting" if again else "failed", message=message)
        self._thread.start()

    def stop(self, patience: float = 20.0) -> None:
        """Stop after the frame in hand; its job resumes when a server starts again."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(patience)

    def wake(self) -> None:
        """Look at the queue."""
        self._wake.set()

    def cancel(self, job: WebJob) -> None:
        """Take a job out of the queue, or stop it; its finished segments are kept."""
        with self._lock:
            now = self.jobs.get(job.id)
            if now is not None and now.state == "waiting":
                self.jobs.change(job.id, state="cancelled")
            elif now is not None and now.state == "running":
                self._cancel.set()

    def _work(self) -> None:
        swept = 0.0
        while not self._stop.is_set():
            self._wake.clear()
            if time.monotonic() - swept > SWEEP_EVERY:
                self.jobs.expire()
                swept = time.monotonic()
            if (job := self._next()) is not None:
                self._run(job)
            else:
                self._wake.wait(SWEEP_EVERY)

    def _next(self) -> WebJob | None:
        """The first waiting job, now running."""
        with self._lock:
            self._cancel.clear()
            waiting = [job for job in self.jobs.queue() if job.state == "waiting"]
            if not waiting:
                return None
            return self.jobs.change(waiting[0].id, state="running", attempts=waiting[0].attempts + 1)

    def _run(self, job: WebJob) -> None:
        self.step = Step(job.id)
        try:
            with naming_flags():
                self._restore(job)
        except Stopped:
            state = "waiting" if self._stop.is_set() and not self._cancel.is_set() else "cancelled"
            self.jobs.change(job.id, state=state, attempts=0, used=time.time())
        except AlanetError as error:
            self.jobs.change(job.id, state="failed", message=message_of(error, self.jobs, job), used=time.time())
        except Exception:
            log.exception("job %s failed", job.id)
            message = "internal error; the log of the server has the details"
            self.jobs.change(job.id, state="failed", message=message, used=time.time())
        finally:
            self.step = None

    def _restore(self, job: WebJob) -> None:
        network, options = options_of(job.values, self.network, self.models)
        restorer = self._networks.get(network)
        source = self.jobs.path(job, job.input)
        try:
            plan = restorer.plan(source, None, options)
        except OptionError:  # of another version or machine: its finished segments are of no use
            self.jobs.clear(job)
            plan = restorer.plan(source, None, options)
        self._check_disk(plan)
        report = restorer.run(plan, on_progress=lambda now: self._watch(job, plan, now))
        self.step = Step(job.id, finishing=True)
        folder = self.jobs.path(job)
        viewing_copy(source, folder / "watch-input.mp4")
        viewing_copy(report.output, folder / "watch-result.mp4")
        rows = [[word, readable(text)] for word, text in closing_rows(report) if word != "result"]
        self.jobs.change(job.id, state="done", result=report.output.name, rows=rows, used=time.time())

    def _watch(self, job: WebJob, plan: RestorePlan, now: RestoreProgress) -> None:
        """Called after each input frame."""
        self.step = Step(job.id, now)
        if self._cancel.is_set() or self._stop.is_set():
            raise Stopped
        limit = self.jobs.options.max_length
        if now.position - plan.info.start > limit * plan.options.schedule.slow:
            raise InputError(f"the video is longer than it states; the limit is {float(limit):g} s")
        if time.monotonic() - self._looked > DISK_EVERY:
            self._looked = time.monotonic()
            if usage(self.jobs.folder) > self.jobs.options.disk:
                raise ResourceError(f"the disk limit of this server ({binary(self.jobs.options.disk)}) is reached")

    def _check_disk(self, plan: RestorePlan) -> None:
        """Refuse a result that is larger than the space that is left. Raises ResourceError."""
        needed = picture_bytes(plan.output) * ((plan.frames_out or 0) - plan.done)
        if usage(self.jobs.folder) + needed > self.jobs.options.disk:
            raise ResourceError(
                f"the result takes about {size(needed)}, more than the disk limit of this server leaves; choose a "
                "lower frame rate or a higher CRF"
            )


def message_of(error: AlanetError, jobs: Jobs, job: WebJob) -> str:
    """An error for a visitor: the visitor's file name instead of paths of the server, controls instead of flags."""
    text = str(error)
    for path in (work_folder(jobs.path(job, "result")), jobs.path(job, job.input), jobs.path(job)):
        text = text.replace(f"{path}", job.name)
    return readable(text.replace(str(jobs.folder), "").replace(str(Path.home()), ""))
