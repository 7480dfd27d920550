"""The last step: the joined picture and everything else of the input into one file.

Sound, subtitles and the like are copied packet by packet with the offset to the picture they had; nothing is decoded,
so a minute of video takes a moment. Here is what the file's header says; `packets.py` moves what follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any

import av

from alanet.notes import Notes
from alanet.video.open import open_media
from alanet.video.output.format import OutputPlan
from alanet.video.output.mp4flags import hide_subtitles
from alanet.video.output.packets import Cut, interleave
from alanet.video.output.segments import Segment, joined
from alanet.video.output.streams import Carried
from alanet.video.output.writers import Copy, Recode, Retext, codec_of
from alanet.video.tags import set_color
from alanet.video.timestamps import FAR

__all__ = ["mux"]

WARM_UP = Fraction(1, 20)  # seconds of sound that a decoder needs before what is heard
CLOCKS = ("mpegts", "mpeg", "rm", "asf")  # inputs whose times count from a clock, not from the video's start
OWN_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id", "rotate"}
STATISTICS = ("_statistics", "bps", "number_of_", "duration-", "bps-", "source_id")  # of the old packets, by mkvmerge
ITUNES = {  # tags that MP4 keeps by itself; any other needs its general list of tags
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping",
    "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "encoder", "track", "disc",
    "creation_time", "location", "timecode",
}  # fmt: skip


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
    """Write the finished file to `target`.

    start, end: where the other streams are cut, seconds from the first shown frame; None keeps all.
    """
    assert plan.container is not None
    source = _open_source(plan)
    try:
        start = start if start is None or start > 0 else None
        origin, clock = _origin(plan, segments, source, start), plan.info.start
        part = (None if start is None else start + clock, None if end is None else end + clock)
        with av.open(
            f"file:{target}", "w", format=plan.container.format, container_options=_muxing(plan, source)
        ) as out:
            heard = None if end is None else end - origin
            video, others = _add_streams(plan, out, source, folder / segments[0].name, heard)
            if source is not None:
                _add_globals(plan, out, source, origin + clock, part, notes)
            within = plan.container.format in ("mp4", "mov")
            cut = Cut(origin + clock, *part, within_packet=within, slow=plan.slow)
            interleave(out, video, joined(folder, segments, plan.tick, origin), others, cut, source, notes)
        shown = [writer.stream for writer in others.values() if writer.stream.type == "subtitle"]
        if plan.container.format in ("mp4", "mov") and shown and not any(stream.disposition & 1 for stream in shown):
            hide_subtitles(target)
        if source is not None:
            _miss(source, target, notes)
    finally:
        if source is not None:
            source.close()


def _open_source(plan: OutputPlan) -> Any:
    """The input, where it is a file with streams beside the picture or tags worth keeping."""
    return open_media(plan.info.path) if plan.source_is_media else None


def _muxing(plan: OutputPlan, source: Any) -> dict[str, str]:
    # Sound may begin before 0 (AAC's first packet only warms the decoder up): nothing is shifted for its sake.
    matroska = {"default_mode": "passthrough", "avoid_negative_ts": "disabled"}
    options = {"matroska": matroska, "webm": matroska, "mpegts": {"mpegts_copyts": "1"}}
    own = dict(options.get(plan.container.format if plan.container else "", {}))
    if plan.container and plan.container.format in ("mp4", "mov"):
        own["movie_timescale"] = str(_movie_ticks(plan, source))
    if (
        plan.container
        and plan.container.format in ("mp4", "mov")
        and {key.lower() for key in plan.info.metadata} - ITUNES - OWN_TAGS
    ):
        own["movflags"] = "use_metadata_tags"
    return own


def _movie_ticks(plan: OutputPlan, source: Any) -> int:
    """Ticks a second that count the starts of picture and sounds: MP4 keeps these offsets in ticks of its own."""
    ticks = plan.tick.denominator
    for entry in plan.carried:
        base = Fraction(source.streams[entry.index].time_base or 1)
        if lcm(ticks, base.denominator) < 2**31:
            ticks = lcm(ticks, base.denominator)
    return ticks


def _origin(plan: OutputPlan, segments: Sequence[Segment], source: Any, start: Fraction | None) -> Fraction:
    """The time, from the first shown frame, that becomes 0: a cut's first frame, else what begins first.

    Sound in a container that counts from 0 may begin before 0, or just before the picture: that warms its decoder up.
    """
    first = segments[0].start
    if start is not None or source is None:
        return first
    counts_from_clock = any(name in CLOCKS for name in source.format.name.split(","))
    earliest, clock = first, plan.info.start
    for entry in plan.carried:
        stream = source.streams[entry.index]
        if entry.how in ("copy", "lossless") and stream.start_time is not None and plan.slow == 1:
            begins = stream.start_time * Fraction(stream.time_base)
            begins = begins if counts_from_clock else max(begins, min(clock, Fraction(0)))
            if abs(begins) < FAR and (counts_from_clock or begins - clock < first - WARM_UP):
                earliest = min(earliest, begins - clock)
    return earliest // plan.tick * plan.tick


def _add_streams(
    plan: OutputPlan, out: Any, source: Any, segment: Path, heard: Fraction | None
) -> tuple[Any, dict[int, Any]]:
    """The picture's stream, and the writer of each carried stream by its index in the input, in the input's order.

    heard: seconds of sound that slow motion uses; None: all.
    """
    if source is None:
        return _add_video(plan, out, None, segment), {}
    picture = source.streams[plan.info.stream_index]
    kept = {entry.index: entry for entry in plan.carried}
    others: dict[int, Any] = {}
    video = None
    for stream in source.streams:
        if stream.index == picture.index:
            video = _add_video(plan, out, picture, segment)
        elif stream.index in kept and kept[stream.index].how == "attachment":
            _add_attachment(plan, out, stream)
        elif stream.index in kept:
            others[stream.index] = _add_other(plan, out, stream, kept[stream.index], heard)
    return video, others


def _add_video(plan: OutputPlan, out: Any, picture: Any, segment: Path) -> Any:
    """A stream like the segments', with the input's language, flags, rotation and tags."""
    assert plan.container is not None
    with av.open(f"file:{segment}") as container:
        made = container.streams.video[0]
        stream = out.add_stream_from_template(made, opaque=True)
        if plan.codec.name == "prores":
            stream.codec_context.codec_tag = made.codec_context.codec_tag  # its profile
    stream.time_base = plan.tick
    stream.codec_context.framerate = plan.rate
    set_color(stream.codec_context, plan.tags)  # not every segment's container keeps them
    if plan.codec.standard == "hevc" and plan.container.format in ("mp4", "mov"):
        stream.codec_context.codec_tag = "hvc1"  # Apple's players refuse the default, hev1
    matrix = plan.info.side_data.get("display_matrix")
    if matrix is not None:
        stream.set_display_matrix(matrix)
    if picture is not None:
        stream.metadata.update(_stream_tags(plan, picture))
        stream.disposition = picture.disposition
    return stream


def _add_attachment(plan: OutputPlan, out: Any, stream: Any) -> None:
    """A font or the like; or cover art, which MKV keeps as an attachment."""
    if stream.type == "attachment":
        name, kind = stream.metadata.get("filename", "attachment"), stream.mimetype or "application/octet-stream"
        out.add_attachment(name, kind, bytes(stream.data))
        return
    codec = codec_of(stream) or "image"
    ending, kind = {"mjpeg": ("jpg", "image/jpeg")}.get(codec, (codec, f"image/{codec}"))
    packet = _first_packet(plan, stream.index)
    if packet is not None:
        out.add_attachment(stream.metadata.get("filename", f"cover.{ending}"), kind, bytes(packet))


def _first_packet(plan: OutputPlan, index: int) -> Any:
    """The only packet of a cover picture."""
    with open_media(plan.info.path) as container:
        return next((packet for packet in container.demux(container.streams[index]) if packet.size), None)


def _add_other(plan: OutputPlan, out: Any, stream: Any, entry: Carried, heard: Fraction | None) -> Any:
    assert plan.container is not None
    writer: Any
    if entry.how == "text":
        writer = Retext(out, stream, plan.container.text)
    elif entry.encoder:
        writer = Recode(out, stream, entry.encoder, slow=plan.slow, end=heard)
    else:
        writer = Copy(out, stream)
    writer.stream.metadata.update(_stream_tags(plan, stream))
    writer.stream.disposition = stream.disposition
    return writer


def _stream_tags(plan: OutputPlan, stream: Any) -> dict[str, str]:
    tags = _tags(stream.metadata)
    if plan.container is not None and plan.container.format not in ("mp4", "mov"):
        tags.pop("handler_name", None)  # means something only there
    return tags


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
    chapters = [chapter for chapter in map(_moved(origin, cut, plan.slow), source.chapters()) if chapter]
    if chapters and plan.container is not None and plan.container.chapters:
        out.set_chapters(chapters)
        notes.keep(f"chapters: {len(chapters)}")


def _miss(source: Any, target: Path, notes: Notes) -> None:
    """A note for the tags that did not come through."""
    with av.open(f"file:{target}") as made:
        there = {key.lower() for holder in (made, *made.streams) for key in holder.metadata}
    lost = [key for key in _tags(source.metadata) if key.lower() not in there]
    if lost:
        notes.leave_out(f"tags: {', '.join(lost)}: the container has no place for them")


def _moved(origin: Fraction, cut: tuple[Fraction | None, Fraction | None], slow: int) -> Any:
    """A function that puts a chapter on the output's time line; None for one outside the cut."""
    start, end = cut

    def moved(chapter: dict[str, Any]) -> dict[str, Any] | None:
        base = Fraction(chapter["time_base"] or 1)
        begin, stop = chapter["start"] * base, chapter["end"] * base
        begin = max(begin, origin if start is None else start)
        stop = stop if end is None else min(stop, end)
        if stop <= begin:
            return None
        fine = Fraction(1, 1_000_000)
        ticks = round(slow * (begin - origin) / fine), round(slow * (stop - origin) / fine)
        return {**chapter, "start": ticks[0], "end": ticks[1], "time_base": fine}

    return moved
