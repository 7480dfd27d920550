"""What is not Gradio's: the upload, and the files of a job for the visitor whose job it is.

    POST   /alanet/upload?name=NAME    the bytes of one video; 201, or one line of text and nothing left on the disk
    POST   /alanet/sample              the bundled sample as a job
    GET    /alanet/ID/FILE             input, result (a download), watch-input, watch-result, before, after

A visitor is known by a cookie. An unknown job and another visitor's job are the same 404.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from alanet.errors import AlanetError, InputError
from alanet.text import binary, clock
from alanet.web.jobs import Jobs, WebJob, display_name, owner_of
from alanet.web.safety import COOKIE
from alanet.web.worker import message_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from alanet.frames.frame import VideoInfo

__all__ = ["Routes", "sample_path"]

VIDEOS = (
    "mp4",
    "m4v",
    "mov",
    "mkv",
    "webm",
    "avi",
    "ts",
    "mts",
    "m2ts",
    "mpg",
    "mpeg",
    "wmv",
    "flv",
    "3gp",
    "ogv",
    "mxf",
)
ENDINGS = {f".{ending}" for ending in (*VIDEOS, "gif", "apng", "webp")}
TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"}
NEXT = "Choose another file, or convert this one to MP4 with another program."  # after a file that is no video
STALLED = 60.0  # seconds without a byte of an upload
UPLOADS = 4  # at a time


class Routes:
    """The requests that are answered here."""

    def __init__(self, jobs: Jobs, probe: Callable[[Path], VideoInfo]) -> None:
        self.jobs, self._probe = jobs, probe
        self._uploads = 0

    def table(self) -> list[tuple[str, Callable[[Request], Any], list[str]]]:
        """Path, function and methods of each route."""
        return [
            ("/alanet/upload", self.upload, ["POST"]),
            ("/alanet/sample", self.sample, ["POST"]),
            ("/alanet/{id}/{file}", self.file, ["GET", "HEAD"]),
        ]

    async def upload(self, request: Request) -> Response:
        """Write the body to a new job's folder; refuse it where it is too large, no video, or too long."""
        length = request.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            return _line("the size of the upload is not stated", 411)
        if int(length) > self.jobs.options.max_size:
            return _line(f"the file has {binary(int(length))}; the limit is {binary(self.jobs.options.max_size)}", 413)
        if int(length) == 0:
            return _line("the file is empty", 400)
        if self._uploads >= UPLOADS:
            return _line("several uploads are running; try again in a minute", 503)
        name = request.query_params.get("name", "")[:500]
        self._uploads += 1
        try:
            with self.jobs.adding(_owner(request), name, int(length), _ending(name)) as (path, job):
                await _receive(request, path, int(length))
                await asyncio.to_thread(self._examine, path, job)
        except AlanetError as error:
            return _line(str(error), 507 if error.exit_code == 5 else 415)
        except (TimeoutError, ConnectionError):
            return _line("the upload ended early", 400)
        finally:
            self._uploads -= 1
        return _line(job.id, 201)

    async def sample(self, request: Request) -> Response:
        """A job with the bundled sample."""
        source = sample_path()
        try:
            with self.jobs.adding(_owner(request), source.name, source.stat().st_size, source.suffix) as (path, job):
                shutil.copyfile(source, path)
        except AlanetError as error:
            return _line(str(error), 507)
        return _line(job.id, 201)

    def _examine(self, path: Path, job: WebJob) -> None:
        """Raises InputError for what is not a video within the limits; its message has no path of the server."""
        try:
            info = self._probe(path)
        except AlanetError as error:
            raise InputError(f"{message_of(error, self.jobs, job)}. {NEXT}") from None
        limit = self.jobs.options.max_length
        if info.duration is not None and info.duration > limit:
            raise InputError(
                f"{job.name} lasts {clock(float(info.duration))}; the limit is {clock(float(limit))}: cut it first"
            )

    async def file(self, request: Request) -> Response:
        """One file of a job."""
        from starlette.responses import FileResponse

        job = self.jobs.find(_owner(request), request.path_params["id"])
        found = None if job is None else self._file(job, request.path_params["file"])
        if job is None or found is None or not found.is_file():
            return _line("there is no such file", 404)
        self.jobs.use(job)
        if found.suffix == ".png":
            return FileResponse(found, media_type="image/png", headers={"cache-control": "private, no-store"})
        headers = {"cache-control": "private, no-cache"}
        if request.path_params["file"] == "result":
            name = display_name(Path(job.name).stem + found.stem.removeprefix("input") + found.suffix)
            headers["content-disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        kind = TYPES.get(found.suffix, "application/octet-stream")
        return FileResponse(found, media_type=kind, headers=headers)

    def _file(self, job: WebJob, name: str) -> Path | None:
        """The path of what may be asked for; every name is one of this list."""
        if name in ("before", "after"):
            return self.jobs.path(job, f"{name}.png")
        if name in ("watch-input", "watch-result") and job.result:
            copy = self.jobs.path(job, f"{name}.mp4")
            own = job.input if name == "watch-input" else job.result
            return copy if copy.is_file() else self.jobs.path(job, own)
        if name == "result" and job.result:
            return self.jobs.path(job, job.result)
        return None


async def _receive(request: Request, path: Path, length: int) -> None:
    """The body into a file. Raises TimeoutError where it stalls, InputError where it is longer than stated."""
    taken, chunks = 0, request.stream().__aiter__()
    with path.open("xb") as file:
        while True:
            try:
                chunk = await asyncio.wait_for(anext(chunks), STALLED)
            except StopAsyncIteration:
                break
            except Exception as error:  # the visitor went away
                raise ConnectionError from error
            taken += len(chunk)
            if taken > length:
                raise InputError("the upload is longer than stated")
            await asyncio.to_thread(file.write, chunk)
    if taken < length:
        raise ConnectionError


def _owner(request: Request) -> str:
    return owner_of(request.cookies[COOKIE])


def _ending(name: str) -> str:
    """The ending of a visitor's file name, if it is one of ENDINGS: it tells apart containers that share a format."""
    ending = Path(display_name(name)).suffix.lower()
    return ending if ending in ENDINGS else ""


def _line(text: str, status: int) -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(text, status_code=status)


def sample_path() -> Path:
    """The bundled sample."""
    from importlib import resources

    return Path(str(resources.files("alanet") / "sample" / "bikes.mp4"))
