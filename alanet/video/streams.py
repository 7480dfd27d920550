"""The last step: the joined picture and everything else of the input into one file.

Sound, subtitles and the like are copied packet by packet with the offset to the picture they had; nothing is decoded,
so a minute of video takes a moment. Packets are written in the order of their times: memory does not grow with length.

    time of the input   --|------start====================end-----    a cut keeps the packets that meet [start, end)
    time of the output    0 = origin (the first frame of a cut, else the input's own 0)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from alanet.notes import Notes
from alanet.video.carry import name_of
from alanet.video.opening import open_media, picture_of
from alanet.video.plan import OutputPlan
from alanet.video.segments import Segment, joined

__all__ = ["mux"]

CLOCKS = ("mpegts", "mpeg", "rm", "asf")  # inputs whose times count from a clock, not from the video's start
OWN_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id", "rotate"}
STATISTICS = ("_statistics", "bps", "number_of_", "duration-", "bps-", "source_id")  # of the old packets, by mkvmerge
ITUNES = {  # tags that MP4 keeps by itself; any other needs its general list of tags
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping",
    "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "encoder", "track", "disc",
    "creation_time", "location", "timecode",
}  # fmt: skip
TIMECODE_RATES = {24, 25, 30, 48, 50, 60, 100, 120}
SEEK_MARGIN = 30  # seconds before a cut from where its packets are looked for


def mux(
    plan: OutputPlan,
    folder: Path,
    segments: Sequence[Segment],
    target: Path,
    *,
    start: Fraction | None,
    end: Fraction | None,
    notes: Notes,
) -> None:
    """Write the finished file to `target`. start, end: where the other streams are cut, seconds; None keeps all."""
    assert plan.container is not None
    source = _open_source(plan)
    try:
        origin = _origin(plan, segments, source, start)
        with av.open(f"file:{target}", "w", format=plan.container.format, container_options=_muxing(plan)) as out:
            video, others = _add_streams(plan, out, source, folder / segments[0].name, notes)
            if source is not None:
                _add_globals(plan, out, source, origin, (start, end), notes)
            cut = _Cut(origin, start, end, plan.container.format in ("mp4", "mov"))
            _write(out, video, joined(folder, segments, plan.tick, origin), others, cut, source, notes)
    finally:
        if source is not None:
            source.close()


# ---- what is in the file ---------------------------------------------------------------------------------------------


def _open_source(plan: OutputPlan) -> Any:
    """The input, where it is a file with streams beside the picture or tags worth keeping."""
    return open_media(plan.info.path) if plan.source_is_media else None


def _muxing(plan: OutputPlan) -> dict[str, str]:
    options = {"matroska": {"default_mode": "passthrough"}, "mpegts": {"mpegts_copyts": "1"}}
    own = dict(options.get(plan.container.format if plan.container else "", {}))
    if (
        plan.container
        and plan.container.name == "MP4"
        and {key.lower() for key in plan.info.metadata} - ITUNES - OWN_TAGS
    ):
        own["movflags"] = "use_metadata_tags"
    return own


def _origin(plan: OutputPlan, segments: Sequence[Segment], source: Any, start: Fraction | None) -> Fraction:
    """The input's time that becomes 0."""
    first = segments[0].start
    if start is not None:
        return first
    clock = source is not None and any(name in CLOCKS for name in source.format.name.split(","))
    if clock and plan.container is not None and plan.container.format != "mpegts":
        wanted = {entry.index for entry in plan.carried if entry.how == "copy"}
        starts = [s.start_time * s.time_base for s in source.streams if s.index in wanted and s.start_time is not None]
        earliest: Fraction = min([first, *starts])
        return earliest // plan.tick * plan.tick
    return min(first, Fraction(0))


def _add_streams(plan: OutputPlan, out: Any, source: Any, segment: Path, notes: Notes) -> tuple[Any, dict[int, Any]]:
    """The picture's stream, and the writer of each carried stream by its index in the input, in the input's order."""
    if source is None:
        return _add_video(plan, out, None, segment), {}
    picture = picture_of(source, plan.info.path)
    how = {entry.index: entry.how for entry in plan.carried}
    others: dict[int, Any] = {}
    video = None
    for stream in source.streams:
        if stream.index == picture.index:
            video = _add_video(plan, out, picture, segment)
        elif how.get(stream.index) == "attachment":
            _add_attachment(plan, out, stream)
        elif stream.index in how:
            others[stream.index] = _add_other(plan, out, stream, how[stream.index])
    return video, others


def _add_video(plan: OutputPlan, out: Any, picture: Any, segment: Path) -> Any:
    """A stream like the segments', with the input's language, flags, rotation and tags."""
    assert plan.container is not None
    with av.open(f"file:{segment}") as container:
        stream = out.add_stream_from_template(container.streams.video[0], opaque=True)
    stream.time_base = plan.tick
    stream.codec_context.framerate = plan.rate
    if plan.codec.name == "x265" and plan.container.format in ("mp4", "mov"):
        stream.codec_context.codec_tag = "hvc1"  # Apple's players refuse the default, hev1
    matrix = plan.info.side_data.get("display_matrix")
    if matrix is not None:
        stream.set_display_matrix(matrix)
    if picture is not None:
        stream.metadata.update(_tags(picture.metadata))
        stream.disposition = picture.disposition
        if round(plan.rate) not in TIMECODE_RATES:
            stream.metadata.pop("timecode", None)  # the muxer would refuse the file
    return stream


def _add_attachment(plan: OutputPlan, out: Any, stream: Any) -> None:
    """A font or the like; or cover art, which MKV keeps as an attachment."""
    if stream.type == "attachment":
        name, kind = stream.metadata.get("filename", "attachment"), stream.mimetype or "application/octet-stream"
        out.add_attachment(name, kind, bytes(stream.data))
        return
    codec = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}.get(stream.codec_context.name)
    ending, kind = codec or (stream.codec_context.name, f"image/{stream.codec_context.name}")
    packet = _first_packet(plan, stream.index)
    if packet is not None:
        out.add_attachment(stream.metadata.get("filename", f"cover.{ending}"), kind, bytes(packet))


def _first_packet(plan: OutputPlan, index: int) -> Any:
    """The only packet of a cover picture."""
    with open_media(plan.info.path) as container:
        return next((packet for packet in container.demux(container.streams[index]) if packet.size), None)


def _add_other(plan: OutputPlan, out: Any, stream: Any, how: str) -> Any:
    assert plan.container is not None
    writer: Any
    if how == "text":
        writer = _Retext(out, stream, plan.container.text)
    else:
        writer = _Copy(out.add_stream_from_template(stream, opaque=True))
    writer.stream.metadata.update(_tags(stream.metadata))
    writer.stream.disposition = stream.disposition
    return writer


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    """Tags that still are true of the output."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in OWN_TAGS and not key.lower().startswith(STATISTICS)
    }


def _add_globals(
    plan: OutputPlan,
    out: Any,
    source: Any,
    origin: Fraction,
    cut: tuple[Fraction | None, Fraction | None],
    notes: Notes,
) -> None:
    """Title and other tags, and the chapters that meet the cut."""
    out.metadata.update(_tags(source.metadata))
    chapters = [chapter for chapter in map(_moved(origin, cut), source.chapters()) if chapter]
    if chapters and plan.container is not None and plan.container.chapters:
        out.set_chapters(chapters)
        notes.keep(f"chapters: {len(chapters)}")


def _moved(origin: Fraction, cut: tuple[Fraction | None, Fraction | None]) -> Any:
    """A function that puts a chapter on the output's time line; None for one outside the cut."""
    start, end = cut

    def moved(chapter: dict[str, Any]) -> dict[str, Any] | None:
        base = Fraction(chapter["time_base"] or 1)
        begin, stop = chapter["start"] * base, chapter["end"] * base
        begin = begin if start is None else max(begin, start)
        stop = stop if end is None else min(stop, end)
        if stop <= begin:
            return None
        fine = Fraction(1, 1_000_000)
        ticks = round((begin - origin) / fine), round((stop - origin) / fine)
        return {**chapter, "start": ticks[0], "end": ticks[1], "time_base": fine}

    return moved


# ---- packets ---------------------------------------------------------------------------------------------------------


class _Copy:
    """Hands packets on as they are."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def packets(self, packet: Any) -> list[Any]:
        packet.stream = self.stream
        return [packet]


class _Retext:
    """Writes text subtitles in another text format, through FFmpeg's own decoder and encoder (italics survive)."""

    def __init__(self, out: Any, source: Any, codec: str) -> None:
        self._decoder = source.codec_context
        if not self._decoder.is_open:
            self._decoder.open(strict=False)
        self.stream = out.add_stream(codec)
        self.stream.codec_context.subtitle_header = self._decoder.subtitle_header
        self.stream.codec_context.time_base = self.stream.time_base = Fraction(1, 1000)

    def packets(self, packet: Any) -> list[Any]:
        said = self._decoder.decode2(packet)
        if said is None or not len(said.rects):
            return []
        written = self.stream.codec_context.encode_subtitle(said)
        written.stream, written.time_base = self.stream, packet.time_base
        written.pts = written.dts = packet.pts
        written.duration = packet.duration
        return [written]


class _Cut:
    """Puts packets of the input on the output's time line, or drops them."""

    def __init__(self, origin: Fraction, start: Fraction | None, end: Fraction | None, negative: bool) -> None:
        self.origin, self.start, self.end = origin, start, end
        self._negative = negative  # the container can begin within a packet

    def keeps(self, packet: Any) -> bool:
        """Whether the packet meets the cut; moves it if so."""
        base = Fraction(packet.time_base)
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None:
            return True
        begin, stop = stamp * base, (stamp + (packet.duration or 0)) * base
        if self.start is not None:
            if stop <= self.origin and begin < self.origin:
                return False
            if begin < self.origin and packet.stream.type == "subtitle":
                return self._clip(packet, base, stop)
            if begin < self.origin and not self._negative:
                return False
        if self.end is not None and begin >= self.end:
            return False
        self._move(packet, base)
        return True

    def past(self, packet: Any) -> bool:
        """Whether nothing that meets the cut can follow."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        return self.end is not None and stamp is not None and stamp * packet.time_base > self.end + SEEK_MARGIN

    def _clip(self, packet: Any, base: Fraction, stop: Fraction) -> bool:
        packet.pts = packet.dts = 0
        packet.duration = int((stop - self.origin) / base)
        return True

    def _move(self, packet: Any, base: Fraction) -> None:
        """Shift by the origin, in ticks fine enough for it."""
        if not self.origin:
            return
        fine = Fraction(1, base.denominator * self.origin.denominator)
        scale, shift = base / fine, self.origin / fine
        pts, dts, duration = packet.pts, packet.dts, packet.duration
        packet.time_base = fine
        packet.pts = None if pts is None else int(pts * scale - shift)
        packet.dts = None if dts is None else int(dts * scale - shift)
        packet.duration = int((duration or 0) * scale)


def _write(
    out: Any,
    video: Any,
    pictures: Iterator[Any],
    others: dict[int, Any],
    cut: _Cut,
    source: Any,
    notes: Notes,
) -> None:
    """Interleave by decoding time."""
    with closing(_others(source, others, cut, notes)) as sounds:  # type: ignore[type-var]
        waiting = next(sounds, None)
        for picture in pictures:
            now = picture.dts * picture.time_base
            while waiting is not None and waiting[0] <= now:
                out.mux(waiting[1])
                waiting = next(sounds, None)
            picture.stream = video
            out.mux(picture)
        while waiting is not None:
            out.mux(waiting[1])
            waiting = next(sounds, None)


def _others(source: Any, others: dict[int, Any], cut: _Cut, notes: Notes) -> Iterator[tuple[Fraction, Any]]:
    """(time, packet) of the carried streams, as the input stores them. A damaged input ends them with a warning."""
    if not others:
        return
    for stream in source.streams:
        if stream.index not in others:
            stream.discard = av.stream.Discard.all
    if cut.start is not None and cut.start > 2 * SEEK_MARGIN:
        source.seek(int((cut.start - SEEK_MARGIN) * av.time_base))
    time = Fraction(0)
    try:
        for packet in source.demux([source.streams[i] for i in others]):
            if not packet.size:
                continue
            if cut.past(packet):
                return
            writer = others[packet.stream.index]
            if cut.keeps(packet):
                for written in writer.packets(packet):
                    stamp = written.dts if written.dts is not None else written.pts
                    time = time if stamp is None else stamp * Fraction(written.time_base)
                    yield time, written
    except av.FFmpegError as error:
        names = ", ".join(name_of(source.streams[i]) for i in others)
        notes.warn(f"{names}: the input could not be read beyond {float(time):.1f} s ({error.strerror})")
