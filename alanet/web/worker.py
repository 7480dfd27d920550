"""The thread that restores the queued videos, one at a time, in a child process.

A job that was running when the server ended is put back into the queue, and resumes after its finished segments. A job
that ended the server ATTEMPTS times is not tried again.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from alanet.errors import AlanetError
from alanet.model.weights import available_models
from alanet.restoration.options import NetworkOptions
from alanet.web import markup
from alanet.web.child import Child, CrashedError, Stopped
from alanet.web.controls import options_of, readable
from alanet.web.jobs import Jobs, WebJob
from alanet.web.tasks import Work, restore

__all__ = ["WebWorker", "message_of"]

log = logging.getLogger("alanet.web")
ATTEMPTS = 3
SWEEP_EVERY = 60.0  # seconds between two looks for jobs to delete


@dataclass(frozen=True, slots=True)
class Step:
    """What the running job is doing."""

    job: str
    progress: str  # HTML


class WebWorker:
    """Restores what is queued until `stop`."""

    def __init__(self, jobs: Jobs, network: NetworkOptions) -> None:
        self.jobs, self.network = jobs, network
        self.models = {name: card.purpose for name, card in available_models().items()}
        self.step: Step | None = None
        self._child = Child()
        self._wake, self._cancel, self._stop = threading.Event(), threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="alanet-web-worker", daemon=True)

    def start(self) -> None:
        """Put back what an earlier server was restoring, and begin."""
        for job in self.jobs.queue():
            if job.state == "running":
                again = job.attempts < ATTEMPTS
                message = "" if again else f"the server ended {ATTEMPTS} times while it restored this video"
                self.jobs.change(job.id, state="waiting" if again else "failed", message=message)
        self._thread.start()

    def stop(self, patience: float = 20.0) -> None:
        """Stop after the current frame; its job resumes when a server starts again."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(patience)
        self._child.close()

    def wake(self) -> None:
        """Make the worker check the queue now."""
        self._wake.set()

    def cancel(self, job: WebJob) -> None:
        """Take a job out of the queue, or stop it; its finished segments are kept."""
        with self._lock:
            now = self.jobs.get(job.id)
            if now is not None and now.state == "waiting":
                self.jobs.change(job.id, state="cancelled")
            elif now is not None and now.state == "running":
                self._cancel.set()

    @property
    def cancelling(self) -> bool:
        """Whether the running job is being stopped for its visitor."""
        return self._cancel.is_set()

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
        self.step = Step(job.id, markup.running(None))
        try:
            self._restore(job)
        except Stopped:
            state = "waiting" if self._stop.is_set() and not self._cancel.is_set() else "cancelled"
            self.jobs.change(job.id, state=state, attempts=0, used=time.time())
        except AlanetError as error:
            if isinstance(error, CrashedError) and self._stop.wait(1.0):  # it ended with the server
                self.jobs.change(job.id, state="waiting", attempts=0, used=time.time())
            else:
                self.jobs.change(job.id, state="failed", message=message_of(error, self.jobs, job), used=time.time())
        except Exception:
            log.exception("job %s failed", job.id)
            message = "internal error; the log of the server has the details"
            self.jobs.change(job.id, state="failed", message=message, used=time.time())
        finally:
            self.step = None

    def _restore(self, job: WebJob) -> None:
        network, options = options_of(job.values, self.network, self.models)
        work = Work(self.jobs.path(job, job.input), network, options)

        def watch(progress: str) -> None:
            self.step = Step(job.id, progress)
            if self._cancel.is_set() or self._stop.is_set():
                self._child.stop()

        made = self._child.call(restore, work, self.jobs.options, self.jobs.folder, on_report=watch)
        rows = [[word, readable(text)] for word, text in made.rows]
        self.jobs.change(job.id, state="done", result=made.result, rows=rows, used=time.time())


def message_of(error: AlanetError, jobs: Jobs, job: WebJob) -> str:
    """An error for a visitor: the visitor's file name instead of paths of the server, controls instead of flags."""
    from alanet.video.output.destination import work_folder

    text = str(error)
    for path in (work_folder(jobs.path(job, "result")), jobs.path(job, job.input), jobs.path(job)):
        text = text.replace(f"{path}", job.name)
    return readable(text.replace(str(jobs.folder), "").replace(str(Path.home()), ""))
