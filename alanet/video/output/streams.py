"""Which of the input's other streams the output's container can hold, and in what form; found by trying.

    copy        packets as they are: sound, subtitles, data
    text        text subtitles written anew in the container's own text format
    cover       a picture stream marked as attached
    attachment  a file in the header: fonts, cover art in MKV

Each stream that cannot be kept is one line for the user. Data streams that the container makes itself (chapter texts,
time code) are neither kept nor missed.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import av

from alanet.notes import Notes
from alanet.video.output.codecs import Container

__all__ = ["Carried", "carried", "codec_of", "lacking", "name_of"]

TEXT = {"subrip", "mov_text", "webvtt", "ass", "ssa", "text"}  # subtitles that are text
REMADE = {"bin_data", "text"}  # the track of chapter titles, which the muxer writes anew as it does the time code


@dataclass(frozen=True, slots=True)
class Carried:
    """A stream of the input that goes to the output."""

    index: int  # in the input
    how: Literal["copy", "text", "cover", "attachment"]


def carried(
    streams: Sequence[Any], picture: int, container: Container, notes: Notes, *, timed: bool = True
) -> tuple[Carried, ...]:
    """What becomes of each stream of an open input but the picture's own, in the input's order.

    timed: False where the picture gets other times (slow motion): sound, subtitles and data would not fit it.
    """
    kept: list[Carried] = []
    unfit = [] if timed else [stream for stream in streams if stream.index != picture and _is_timed(stream)]
    if unfit:
        notes.leave_out(f"{', '.join(name_of(stream) for stream in unfit)}: would not fit slow motion")
    for stream in streams:
        if stream.index == picture or stream in unfit:
            continue
        how = _form(stream, container)
        if how is not None:
            kept.append(Carried(stream.index, how))
        elif not _remade(stream):
            notes.leave_out(f"{name_of(stream)}: {container.name} cannot hold it; a name ending in .mkv may keep it")
        if how == "text":
            notes.warn(f"{name_of(stream)}: written as {container.text}, the text format of {container.name}")
    _report(streams, kept, notes)
    return tuple(kept)


def lacking(streams: Sequence[Any], picture: int, container: Container) -> list[str]:
    """Names of the sound and subtitle streams that a container cannot hold in any form."""
    return [
        name_of(stream)
        for stream in streams
        if stream.index != picture and stream.type in ("audio", "subtitle") and _form(stream, container) is None
    ]


def name_of(stream: Any) -> str:
    """ "audio 2 (dts, fre)": kind and number in the input, codec, language."""
    codec = codec_of(stream) or getattr(stream, "name", None)
    about = ", ".join(part for part in (codec, stream.language) if part and part != "und")
    kind = "cover art" if stream.type == "video" and _is_cover(stream) else stream.type
    return f"{kind} {stream.index}" + (f" ({about})" if about else "")


def codec_of(stream: Any) -> str | None:
    """The codec's own name, not its decoder's: mp3, not mp3float."""
    return stream.codec_context.codec.canonical_name if stream.codec_context is not None else None


def _form(stream: Any, container: Container) -> Literal["copy", "text", "cover", "attachment"] | None:
    if stream.type == "attachment":
        return "attachment" if container.attachments else None
    if stream.type == "video" and _is_cover(stream):
        if container.cover == "attachment":
            return "attachment"
        return "cover" if container.cover and _can_hold(stream, container) else None
    if _remade(stream):
        return None
    if _can_hold(stream, container):
        return "copy"
    is_text = stream.type == "subtitle" and codec_of(stream) in TEXT
    return "text" if is_text and container.text else None


def _is_timed(stream: Any) -> bool:
    return stream.type != "attachment" and not (stream.type == "video" and _is_cover(stream)) and not _remade(stream)


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _remade(stream: Any) -> bool:
    return stream.type == "data" and (stream.name in REMADE or "timecode" in stream.metadata)


def _can_hold(stream: Any, container: Container) -> bool:
    """Write a header with this stream alone, to memory."""
    try:
        with av.open(io.BytesIO(), "w", format=container.format) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _report(streams: Sequence[Any], kept: Sequence[Carried], notes: Notes) -> None:
    by_index = {stream.index: stream for stream in streams}
    copied = [by_index[entry.index] for entry in kept if entry.how == "copy"]
    for kind in ("audio", "subtitle", "data", "video"):
        names = [name_of(stream) for stream in copied if stream.type == kind]
        if names:
            notes.keep(f"{', '.join(names)}: packets copied")
    others = [name_of(by_index[entry.index]) for entry in kept if entry.how in ("cover", "attachment")]
    if others:
        notes.keep(f"{', '.join(others)}: kept")
