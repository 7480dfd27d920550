"""The page's data of a job, and what its parts show: no Gradio here.

A visitor's values are checked by `controls.options_of`; a job is found by the visitor's cookie and the job's number.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alanet.errors import AlanetError
from alanet.frames.timing import output_rate
from alanet.web import markup, tasks
from alanet.web.child import Child
from alanet.web.controls import options_of
from alanet.web.jobs import Jobs, WebJob
from alanet.web.tasks import Work
from alanet.web.worker import WebWorker, message_of

if TYPE_CHECKING:
    from alanet.frames.frame import VideoInfo
    from alanet.restoration.options import RestoreOptions

__all__ = ["Moments", "View"]

REMEMBERED = 50  # videos
EXAMINING, LOOKING, COMPARING = 60.0, 120.0, 600.0  # seconds that a child process may take
ESTIMATE = '<p class="estimate">'


@dataclass(frozen=True, slots=True)
class Moments:
    """The times that the slider offers: those of the result's frames, in seconds from the video's first frame."""

    last: float
    step: float


class View:
    """Reads jobs for the page. Methods raise nothing for what a visitor gives; a refusal is a line of HTML."""

    def __init__(self, jobs: Jobs, worker: WebWorker) -> None:
        self.jobs, self.worker = jobs, worker
        self._examining, self._looking, self._comparing = Child(), Child(), Child()
        self._infos: OrderedDict[tuple[Any, ...], VideoInfo] = OrderedDict()
        self._timelines: OrderedDict[str, str] = OrderedDict()

    def start(self) -> None:
        """Load the network in the background: the first picture comes sooner."""
        loading = partial(self._comparing.call, tasks.load, self.worker.network)
        threading.Thread(target=loading, name="alanet-web-load", daemon=True).start()

    def close(self) -> None:
        """End the child processes."""
        for child in (self._examining, self._looking, self._comparing):
            child.close()

    def examine(self, path: Path, stream: int | None = None, telecine: str = "keep") -> VideoInfo:
        """What a video is. Raises MediaError where it is none, or crashes the decoder."""
        given = (path, stream, telecine)
        if (info := self._infos.get(given)) is None:
            info = self._infos[given] = self._examining.call(tasks.examine, *given, seconds=EXAMINING)
            _shorten(self._infos)
        return info

    def facts(self, job: WebJob) -> str:
        """What the video is, with its timeline where that is known."""
        bytes_ = self.jobs.path(job, job.input).stat().st_size
        return markup.facts(job.name, self._info(job), bytes_, self._timelines.get(job.id, ""))

    def look(self, job: WebJob) -> str:
        """The same, once the frames have been looked at."""
        if job.id not in self._timelines:
            try:
                found = self._looking.call(tasks.timeline, self._info(job), seconds=LOOKING)
            except AlanetError as error:
                found = markup.failure(message_of(error, self.jobs, job))
            self._timelines[job.id] = found
            _shorten(self._timelines)
        return self.facts(job)

    def several(self, job: WebJob) -> bool:
        """Whether the file has more than one video."""
        return any(stream.kind == "video" for stream in self._info(job).streams)

    def moments(self, job: WebJob, values: Mapping[str, Any]) -> Moments:
        """What the slider offers with these options; with wrong ones, the input's frames."""
        info = self._info(job)
        try:
            options = options_of(values, self.worker.network, self.worker.models)[1]
            info = self._info(job, options)
            frames = output_rate(options.schedule, info.rate) * options.schedule.slow
        except AlanetError:
            frames = info.rate
        length = info.duration or Fraction(info.frame_count or 1) / info.rate
        return Moments(max(float(length - 1 / frames), 0.0), float(1 / frames))

    def pending(self, job: WebJob) -> str:
        """The place of the comparison."""
        return markup.pending(self._info(job))

    def compare(self, job: WebJob, values: Mapping[str, Any], at: float) -> str:
        """Before and after at a time, in seconds from the first frame; the pictures are files of the job."""
        return self._guarded(job, values, partial(self._compare, job, at))

    def estimate(self, job: WebJob, values: Mapping[str, Any]) -> tuple[str, bool]:
        """How long a restoration takes, and the rate of its result; or why these options cannot be used, and True."""
        text = self._guarded(job, values, self._estimate)
        return text, not text.startswith(ESTIMATE)

    def status(self, job: WebJob) -> str:
        """The progress, the place in the queue, or what went wrong."""
        if job.state == "running" and self.worker.cancelling:
            return markup.cancelling()
        if job.state == "running":
            step = self.worker.step
            return step.progress if step is not None and step.job == job.id else markup.running(None)
        if job.state == "waiting":
            return markup.queue_line(sum(other.number < job.number for other in self.jobs.queue()))
        if job.state == "cancelled":
            return markup.cancelled(resumable=self.jobs.resumable(job))
        return markup.failure(job.message) if job.state == "failed" else ""

    def result(self, job: WebJob) -> str:
        """The result beside the input; "" where there is none."""
        if job.state != "done":
            return ""
        _, options = options_of(job.values, self.worker.network, self.worker.models)
        return markup.result(job, float(options.start or 0), options.schedule.slow)

    def _guarded(self, job: WebJob, values: Mapping[str, Any], make: Callable[[Work], str]) -> str:
        """What `make` returns with these options, or why they cannot be used."""
        try:
            network, options = options_of(values, self.worker.network, self.worker.models)
            return make(Work(self.jobs.path(job, job.input), network, options))
        except AlanetError as error:
            return markup.failure(message_of(error, self.jobs, job))

    def _compare(self, job: WebJob, at: float, work: Work) -> str:
        info = self._info(job, work.options)
        return markup.compared(job, info, self._comparing.call(tasks.compare, work, info, at, seconds=COMPARING))

    def _estimate(self, work: Work) -> str:
        text: str = self._comparing.call(tasks.estimate, work, seconds=EXAMINING)
        return text

    def _info(self, job: WebJob, options: RestoreOptions | None = None) -> VideoInfo:
        """The video of a job, as the options choose it."""
        path = self.jobs.path(job, job.input)
        return self.examine(path) if options is None else self.examine(path, options.stream, options.telecine)


def _shorten(remembered: OrderedDict[Any, Any]) -> None:
    while len(remembered) > REMEMBERED:
        remembered.popitem(last=False)
