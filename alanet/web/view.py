"""What the page knows of a job, and what its parts show: no Gradio here.

A visitor's values are checked by `controls.options_of`; a job is found by the visitor's cookie and the job's number.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

from PIL import Image

from alanet.errors import AlanetError
from alanet.files import atomic_write
from alanet.frames.frame import Picture, VideoInfo
from alanet.frames.timing import output_rate
from alanet.restoration.moment import compare_at
from alanet.restoration.naming import naming_flags
from alanet.restoration.options import RestoreOptions
from alanet.restoration.restorer import Restorer
from alanet.video.input.probe import probe
from alanet.web import markup
from alanet.web.controls import options_of
from alanet.web.jobs import Jobs, WebJob
from alanet.web.timeline import drawing, look
from alanet.web.worker import Networks, WebWorker, message_of

__all__ = ["Moments", "View"]

REMEMBERED = 50  # timelines
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
        self._networks = Networks()
        self._timelines: OrderedDict[str, str] = OrderedDict()
        self._looking = threading.Lock()

    def facts(self, job: WebJob) -> str:
        """What the video is, with its timeline where that is known."""
        path = self.jobs.path(job, job.input)
        return markup.facts(job.name, probe(path), path.stat().st_size, self._timelines.get(job.id, ""))

    def look(self, job: WebJob) -> str:
        """The same, once the frames have been looked at."""
        if job.id not in self._timelines:
            with self._looking:
                self._timelines[job.id] = drawing(look(self._info(job)))
                while len(self._timelines) > REMEMBERED:
                    self._timelines.popitem(last=False)
        return self.facts(job)

    def moments(self, job: WebJob, values: Mapping[str, Any]) -> Moments:
        """What the slider offers with these options; with wrong ones, the input's frames."""
        info = self._info(job)
        try:
            schedule = options_of(values, self.worker.network, self.worker.models)[1].schedule
            frames = output_rate(schedule, info.rate) * schedule.slow
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
        text = self._guarded(job, values, partial(self._estimate, job))
        return text, not text.startswith(ESTIMATE)

    def status(self, job: WebJob) -> str:
        """The progress, the place in the queue, or what went wrong."""
        if job.state == "running":
            step = self.worker.step
            own = step is not None and step.job == job.id
            return markup.running(
                step.progress if own and step else None, finishing=bool(own and step and step.finishing)
            )
        if job.state == "waiting":
            return markup.queue_line(sum(other.number < job.number for other in self.jobs.queue()))
        if job.state == "cancelled":
            return markup.CANCELLED
        return markup.failure(job.message) if job.state == "failed" else ""

    def result(self, job: WebJob) -> str:
        """The result beside the input; "" where there is none."""
        if job.state != "done":
            return ""
        _, options = options_of(job.values, self.worker.network, self.worker.models)
        return markup.result(job, float(options.start or 0), options.schedule.slow)

    def _guarded(self, job: WebJob, values: Mapping[str, Any], make: Callable[[Restorer, RestoreOptions], str]) -> str:
        """What `make` says with these options, or why they cannot be used, which is said at once."""
        try:
            network, options = options_of(values, self.worker.network, self.worker.models)
            with naming_flags(), self._networks.lock:
                return make(self._networks.get(network), options)
        except AlanetError as error:
            return markup.failure(message_of(error, self.jobs, job))

    def _compare(self, job: WebJob, at: float, restorer: Restorer, options: RestoreOptions) -> str:
        info = self._info(job)
        step = 1 / (output_rate(options.schedule, info.rate) * options.schedule.slow)
        moment = info.start + round(Fraction(at) / step) * step
        found = compare_at(restorer, info, moment, replace(options, start=None, end=None))
        for name, picture in (("before", found.before), ("after", found.after)):
            self._save(job, name, picture)
        return markup.compared(job, info, found)

    def _estimate(self, job: WebJob, restorer: Restorer, options: RestoreOptions) -> str:
        return markup.estimated(restorer.plan(self.jobs.path(job, job.input), None, replace(options, restart=True)))

    def _save(self, job: WebJob, name: str, picture: Picture) -> None:
        with atomic_write(self.jobs.path(job, f"{name}.png")) as file:
            Image.fromarray(picture).save(file, format="png", compress_level=1)

    def _info(self, job: WebJob) -> VideoInfo:
        return probe(self.jobs.path(job, job.input))
