"""The parts of the page that are not controls, as HTML. Every text is escaped here; nothing else of a visitor's is.

The divider and the players are plain HTML: `gr.ImageSlider` and `gr.Video` need Gradio's file routes, which are closed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from typing import TYPE_CHECKING

from alanet.restoration.summary import describe, estimate, slower
from alanet.text import binary, count, duration, rate, size

if TYPE_CHECKING:
    from alanet.frames.frame import VideoInfo
    from alanet.restoration.plan import RestorePlan
    from alanet.restoration.progress import RestoreProgress
    from alanet.web.jobs import WebJob
    from alanet.web.options import ServerOptions

__all__ = [
    "ESTIMATING",
    "STATES",
    "Compared",
    "cancelled",
    "cancelling",
    "compared",
    "estimated",
    "facts",
    "failure",
    "finishing",
    "footer",
    "pending",
    "queue_line",
    "result",
    "running",
    "upload",
]

STATES = {
    "ready": "not restored yet",
    "waiting": "waiting",
    "running": "restoring",
    "done": "restored",
    "cancelled": "cancelled",
    "failed": "failed",
}

ESTIMATING = '<p class="estimate">Estimating the time</p>'


@dataclass(frozen=True, slots=True)
class Compared:
    """One moment; its pictures are before.png and after.png beside the video."""

    time: Fraction  # seconds from the first frame
    interpolated: bool
    unchanged: bool
    digest: int  # of the pictures


def upload(options: ServerOptions, *, compact: bool) -> str:
    """The place to drop a video. compact: there is one already."""
    limits = f"up to {binary(options.max_size)} and {_length(options.max_length)} long"
    sample = "" if compact else '<button type="button" class="sample">Try a sample</button>'
    text = "Add another video" if compact else "Drop a video here, or choose a file"
    return (
        f'<div class="drop{" compact" if compact else ""}" data-limit="{options.max_size}" '
        f'data-size="{binary(options.max_size)}"><label class="choose"><input type="file" '
        f'accept="video/*,.mkv,.mts,.m2ts,.mxf,.gif,.apng"><strong>{text}</strong><span>{limits}</span></label>{sample}'
        '<div class="sending" hidden><progress max="1" value="0" aria-label="Upload"></progress>'
        '<span class="sent"></span><button type="button" class="abort">Cancel upload</button></div>'
        '<p class="error" role="alert" hidden></p></div>'
    )


def facts(name: str, info: VideoInfo, bytes_: int, timeline: str) -> str:
    """What a video is."""
    containers, own = info.container.split(","), info.path.suffix.lstrip(".")
    several = any(stream.kind == "video" for stream in info.streams)
    rows = [(f"Video {info.stream_index}" if several else "Video", describe(info))]
    rows.append(("File", f"{own if own in containers else containers[0]}, {size(bytes_)}"))
    for stream in info.streams:
        text = ", ".join(filter(None, [stream.codec, stream.detail, stream.language]))
        number = f" {stream.index}" if stream.kind == "video" else ""
        rows.append((f"{stream.kind.capitalize()}{number}", text))
    return f'<section class="facts"><h2>{escape(name)}</h2>{_list(rows)}{timeline}</section>'


def pending(info: VideoInfo) -> str:
    """The place of the two pictures before they are there."""
    return (
        f'<figure class="compare"><div class="frames pending" style="--shape: {_shape(info)}"></div>'
        "<figcaption>Restoring one frame for the preview</figcaption></figure>"
    )


def compared(job: WebJob, info: VideoInfo, found: Compared) -> str:
    """Before and after with a divider."""
    at = f"{float(found.time):.3f} s"
    if found.interpolated:
        left, right, text = "blend", "restored", f"In-between frame at {at}, beside a blend of the frames around it"
    else:
        left, right, text = "input", "restored", f"Deblurred frame at {at}, beside the input frame"
    if found.unchanged:
        text = f"Input frame at {at}, already sharp and left unchanged"
    link = f"/alanet/{job.id}"
    version = f"?{found.digest:x}"
    pictures = "".join(
        f'<img class="{place}" src="{link}/{place}{version}" alt="{what} frame">'
        for place, what in (("after", right), ("before", left))
    )
    return (
        f'<figure class="compare"><div class="frames" style="--shape: {_shape(info)}">{pictures}'
        f'<span class="tag left">{left}</span>'
        f'<span class="tag right">{right}</span><input type="range" min="0" max="100" step="0.5" value="50" '
        f'aria-label="Divider between before and after"><span class="divider"></span></div>'
        f"<figcaption>{text}</figcaption></figure>"
    )


def estimated(plan: RestorePlan) -> str:
    """The result's rate, and how long a restoration takes."""
    return (
        f'<p class="estimate">Result: {rate(plan.rate)}{slower(plan)}. '
        f"Restoring takes {estimate(plan.seconds, plan.frames_in)}.</p>"
    )


def finishing() -> str:
    """The frames are restored; what is left is to make copies that browsers play."""
    return _bar(1.0, "Preparing the result")


def running(progress: RestoreProgress | None) -> str:
    """How far the restoration is."""
    if progress is None:
        return _bar(None, "Starting")
    total = progress.frames_in_total
    share = min(1.0, progress.frames_in / total) if total else None
    parts = [f"{share:.0%}" if share is not None else count(progress.frames_in, "frame")]
    parts += [] if progress.rate is None else [f"{progress.rate:.1f} frames a second"]
    parts += [] if progress.time_left is None else [f"{duration(progress.time_left)} left"]
    parts += [f"resumed after {count(progress.earlier_out, 'frame')}"] if progress.earlier_out else []
    return _bar(share, " · ".join(parts))


def cancelled(*, resumable: bool) -> str:
    """What the next start does. resumable: segments are finished."""
    follows = "Resume continues after the finished part." if resumable else "Nothing was finished: Restore starts over."
    return f'<p class="lead" role="status">Cancelled. {follows}</p>'


def cancelling() -> str:
    """A job stops when its process answers: loading the network or one large frame can take a while."""
    return _bar(None, "Cancelling")


def queue_line(ahead: int) -> str:
    """How many videos are restored before this one."""
    return _bar(None, f"Waiting: {count(ahead, 'video')} before yours" if ahead else "Starting")


def failure(text: str) -> str:
    """A line about something that did not work."""
    sentence = text[:1].upper() + text[1:] if re.match(r"[a-z]+\b", text) else text  # not x4, not a file's name
    return f'<p class="error" role="alert">{escape(sentence)}</p>' if text else ""


def result(job: WebJob, start: float, slow: int) -> str:
    """Input and result side by side, and the download. start: of the part that was restored, seconds of the input."""
    link = f"/alanet/{job.id}"
    videos = "".join(
        f'<figure><video class="{place}" src="{link}/watch-{place}?{job.number}" preload="auto" playsinline '
        f'aria-label="{label}"{" muted" if place == "input" else ""}></video><figcaption>{label}</figcaption></figure>'
        for place, label in (("input", "Input"), ("result", "Result"))
    )
    return (
        f'<section class="result" data-start="{start:.6f}" data-slow="{slow}"><div class="videos">{videos}</div>'
        '<div class="player"><button type="button" class="play" aria-label="Play">▶</button>'
        '<input type="range" class="seek" min="0" max="1" step="0.001" value="0" aria-label="Position">'
        '<span class="clock"></span></div>'
        f'<a class="download" href="{link}/result" download>Download the result</a>'
        f"<details><summary>What was done</summary>{_list(job.rows)}</details></section>"
    )


def _shape(info: VideoInfo) -> str:
    """Width by height as a player shows the picture."""
    shape = info.width * info.pixel_aspect / info.height
    return f"{float(1 / shape if info.rotation % 180 else shape):.5f}"


def _length(seconds: Fraction) -> str:
    """A limit in whole minutes where it is one."""
    return f"{seconds / 60} min" if seconds % 60 == 0 else duration(float(seconds))


def footer(options: ServerOptions) -> str:
    """How long files are kept."""
    return f'<p class="footer">Videos and results are deleted {options.keep:g} hours after their last use.</p>'


def _list(rows: Sequence[Sequence[str]]) -> str:
    items = "".join(f"<div><dt>{escape(word.capitalize())}</dt><dd>{escape(text)}</dd></div>" for word, text in rows)
    return f"<dl>{items}</dl>"


def _bar(share: float | None, text: str) -> str:
    value = "" if share is None else f' value="{share:.4f}"'
    return (
        f'<div class="progress" role="status"><progress max="1"{value} aria-label="Restoration"></progress>'
        f"<span>{escape(text)}</span></div>"
    )
