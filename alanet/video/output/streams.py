"""Which of the input's other streams the output's container can hold, and in what form; found by trying.

    copy        packets as they are: sound, subtitles, data, further videos
    text        text subtitles written anew in the container's own text format
    lossless    sound that the container cannot hold, encoded losslessly in a codec that it can
    slowed      sound of slow motion, at the same pitch
    cover       a picture stream marked as attached
    attachment  a file in the header: fonts, cover art in MKV

A trial writes the first packets of a stream alone into memory and reads them back. Each stream that cannot be kept is
one line for the user, with a container that keeps it where one does. Data streams that the container makes itself
(chapter titles, time code) are neither kept nor missed.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import av

from alanet.notes import Notes
from alanet.video.output.codecs import CONTAINERS, Container
from alanet.video.output.reorder import decodable
from alanet.video.output.writers import alike, codec_of, copied_stream, lossless_encoder, read_back, slowed_encoder

__all__ = ["Carried", "Form", "Source", "carried", "lacking", "name_of"]

TEXT = {"subrip", "mov_text", "webvtt", "ass", "ssa", "text"}  # subtitles that are text
SLACK = Fraction(1, 200)  # seconds
SAMPLE = 8  # packets of each stream that a trial writes
LOOK = 2000  # packets read at most to find them
Form = Literal["copy", "text", "lossless", "slowed", "cover", "attachment"]


@dataclass(frozen=True, slots=True)
class Carried:
    """A stream of the input that goes to the output."""

    index: int  # in the input
    how: Form
    encoder: str = ""  # of "lossless" and "slowed"


@dataclass(frozen=True)
class Source:
    """An open input: its streams, the picture's index, and the first packets of each stream for trials."""

    streams: Sequence[Any] = ()
    picture: int = 0
    packets: Mapping[int, Sequence[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, container: Any, picture: int) -> Source:
        """Of an open container, which it reads from."""
        streams = list(container.streams)
        wanted = {stream.index for stream in streams if stream.index != picture and stream.type != "attachment"}
        found: dict[int, list[Any]] = {index: [] for index in wanted}
        if not wanted:
            return cls(streams, picture)
        try:
            for count, packet in enumerate(container.demux([streams[index] for index in sorted(wanted)])):
                if packet.size and len(found[packet.stream_index]) < SAMPLE:
                    found[packet.stream_index].append(packet)
                if count > LOOK or all(len(packets) >= SAMPLE for packets in found.values()):
                    break
        except (av.FFmpegError, ValueError):
            pass  # a damaged input: its header alone is tried
        return cls(streams, picture, found)

    @property
    def others(self) -> list[Any]:
        """All streams but the picture's."""
        return [stream for stream in self.streams if stream.index != self.picture]


def carried(
    source: Source, container: Container, codec: str, notes: Notes, *, slow: int = 1, slow_audio: str = "stretch"
) -> tuple[Carried, ...]:
    """What becomes of each stream of an open input but the picture's own, in the input's order.

    codec: of the picture. slow: times as long as the input: sound is slowed down (slow_audio "stretch") or dropped,
    subtitles are moved, further videos and data are left out.
    """
    kept: list[Carried] = []
    for stream in source.others:
        slowed = slow > 1 and stream.type in ("audio", "video", "data") and not _is_cover(stream)
        entry = _slowed(stream, container, slow_audio, notes) if slowed else _entry(stream, source, container)
        if entry is not None:
            kept.append(entry)
            _note_form(stream, entry, container, notes)
        elif not slowed and not _remade(stream):
            notes.leave_out(f"{name_of(stream)}: {_why_not(stream, source, container, codec)}")
    _report(source, kept, notes)
    return tuple(kept)


def lacking(source: Source, container: Container) -> list[str]:
    """Names of the sound and subtitle streams that a container cannot hold as they are."""
    return [
        name_of(stream)
        for stream in source.others
        if stream.type in ("audio", "subtitle")
        and ((entry := _entry(stream, source, container)) is None or entry.how == "lossless")
    ]


def name_of(stream: Any) -> str:
    """ "audio 2 (dts, fre)": kind and number in the input, codec, language."""
    codec = codec_of(stream) or getattr(stream, "name", None)
    title = stream.metadata.get("handler_name", "").strip() if stream.type == "data" else ""
    about = ", ".join(part for part in (codec, stream.language, title) if part and part != "und")
    kind = "cover art" if _is_cover(stream) else stream.type
    return f"{kind} {stream.index}" + (f" ({about})" if about else "")


def _entry(stream: Any, source: Source, container: Container) -> Carried | None:
    """How a stream is kept at its own speed; None where it cannot be."""
    if stream.type == "attachment":
        return Carried(stream.index, "attachment") if container.attachments else None
    cover = _is_cover(stream)
    if cover and container.cover == "attachment":
        return Carried(stream.index, "attachment")
    if (cover and not container.cover) or _remade(stream):
        return None
    if can_hold(stream, container, source.packets.get(stream.index, ())):
        return Carried(stream.index, "cover" if cover else "copy")
    if stream.type == "subtitle" and codec_of(stream) in TEXT and container.text:
        return Carried(stream.index, "text")
    encoder = lossless_encoder(stream, container) if stream.type == "audio" else None
    return None if encoder is None else Carried(stream.index, "lossless", encoder)


def _slowed(stream: Any, container: Container, slow_audio: str, notes: Notes) -> Carried | None:
    """How sound is kept in slow motion; another stream is None, and named here."""
    if stream.type == "audio":
        encoder = slowed_encoder(stream, container) if slow_audio == "stretch" else None
        if encoder is None:
            why = "dropped as asked" if slow_audio == "drop" else "no encoder here writes it; a name in .mkv keeps it"
            notes.leave_out(f"{name_of(stream)}: {why}")
        return None if encoder is None else Carried(stream.index, "slowed", encoder)
    if stream.type in ("video", "data") and not _remade(stream):
        notes.leave_out(f"{name_of(stream)}: not slowed down with the picture; without --slow it is kept")
    return None


def can_hold(stream: Any, container: Container, packets: Sequence[Any]) -> bool:
    """Whether a stream alone, written to memory by the container's muxer, is the same when it is read."""
    memory = io.BytesIO()
    try:
        with av.open(memory, "w", format=container.format) as trial:
            copy = copied_stream(trial, stream)
            trial.start_encoding()
            latest: int | None = None
            for packet in decodable(packets):
                latest = _mux_copy(trial, copy, packet, latest)
        if not packets or stream.type not in ("audio", "video", "subtitle"):
            return True
        with read_back(memory, container) as written:
            same = [each for each in written.streams if each.type == stream.type]
            found = [each for each in same if alike(codec_of(each), codec_of(stream))]
            if not found or stream.type == "subtitle" or _is_cover(stream):
                return bool(found)
            return _shows(written, found[0]) if stream.type == "video" else _same_sound(written, found[0], packets)
    except (av.FFmpegError, ValueError, LookupError, OverflowError):
        return False


def _shows(container: Any, stream: Any) -> bool:
    """Whether a video that was read back gives a picture: some containers lose what its decoder needs."""
    return next(container.decode(stream), None) is not None


def _same_sound(container: Any, stream: Any, given: Sequence[Any]) -> bool:
    """Whether packets that were read back last as long as those given, and hold their bytes or, re-framed, most.

    WMA's decoder has to open, too: MOV and MP4 lose the block size that it needs.
    """
    if (codec_of(stream) or "").startswith("wma"):
        stream.codec_context.open(strict=False)  # raises av.FFmpegError
    read = [packet for packet in container.demux(stream) if packet.size]
    whole = len(read) != len(given)  # re-framed: the last packets are not the same
    spans = [_span(packets, whole) for packets in (read, given)]
    sizes = [sum(packet.size for packet in packets) for packets in (read, given)]
    return 2 * sizes[0] >= sizes[1] and abs(spans[0] - spans[1]) <= max(SLACK, spans[1] / 10)


def _span(packets: Sequence[Any], whole: bool) -> Fraction:
    """Seconds from the first packet's begin to the last one's, or, as a whole, to its end.

    A last packet without a length is as long as the others in the mean.
    """
    if not packets:
        return Fraction(0)
    first, last = packets[0], packets[-1]
    begins = Fraction((last.pts or 0) * last.time_base - (first.pts or 0) * first.time_base)
    if not whole:
        return begins
    return begins + ((last.duration or 0) * last.time_base or begins / max(1, len(packets) - 1))


def _mux_copy(trial: Any, stream: Any, given: Any, latest: int | None) -> int | None:
    """Write a copy of a packet, decoded after `latest`; returns its decoding time."""
    packet = av.Packet(bytes(given))
    packet.time_base, packet.pts, packet.dts, packet.duration = (
        given.time_base,
        given.pts,
        given.dts if given.dts is not None else given.pts,
        given.duration,
    )
    if latest is not None and packet.dts is not None and packet.dts <= latest:  # readers round them
        packet.dts = latest + 1
        packet.pts = None if packet.pts is None else max(packet.pts, packet.dts)
    packet.is_keyframe = given.is_keyframe
    packet.stream = stream
    decoded: int | None = packet.dts
    trial.mux(packet)
    return decoded


def _why_not(stream: Any, source: Source, container: Container, codec: str) -> str:
    """Why a stream is left out, and a container that keeps it beside this codec, if there is one."""
    for other in sorted(CONTAINERS.values(), key=lambda each: each.name != "MKV"):
        if other is not container and codec in other.codecs:
            entry = _entry(stream, source, other)
            if entry is not None and entry.how != "lossless":
                return f"{container.name} cannot hold it; a name ending in {other.endings[0]} keeps it"
    return f"{container.name} cannot hold it, nor can another container with {codec}; it remains in the input"


def _note_form(stream: Any, entry: Carried, container: Container, notes: Notes) -> None:
    if entry.how == "text":
        notes.keep(f"{name_of(stream)}: written as {container.text}, the text format of {container.name}")
    elif entry.how == "lossless":
        notes.keep(f"{name_of(stream)}: written losslessly as {entry.encoder}, as {container.name} cannot hold it")
    elif entry.how == "slowed":
        notes.keep(f"{name_of(stream)}: slowed down at the same pitch, as {entry.encoder}")


def _is_cover(stream: Any) -> bool:
    return stream.type == "video" and bool(stream.disposition & av.stream.Disposition.attached_pic)


def _remade(stream: Any) -> bool:
    """The track of chapter titles, which FFmpeg does not read as a stream, and time code: the muxer makes both."""
    return stream.type == "data" and (stream.discard == av.stream.Discard.all or "timecode" in stream.metadata)


def _report(source: Source, kept: Sequence[Carried], notes: Notes) -> None:
    by_index = {stream.index: stream for stream in source.streams}
    copied = [by_index[entry.index] for entry in kept if entry.how == "copy"]
    for kind in ("audio", "subtitle", "data", "video"):
        names = [name_of(stream) for stream in copied if stream.type == kind]
        if names:
            notes.keep(f"{', '.join(names)}: packets copied")
    others = [name_of(by_index[entry.index]) for entry in kept if entry.how in ("cover", "attachment")]
    if others:
        notes.keep(f"{', '.join(others)}: kept")
    videos = [stream.index for stream in source.others if stream.type == "video" and not _is_cover(stream)]
    if videos:
        choices = ", ".join(f"--stream {index}" for index in videos)
        notes.keep(f"videos: stream {source.picture} is restored, of {len(videos) + 1}; {choices} restores another")
