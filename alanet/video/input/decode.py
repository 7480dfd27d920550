"""An input's frames, in the order shown, each with its exact time and duration: `decode` is a generator.

    packets -> decoder (its own threads) -> times repaired -> deinterlaced where asked -> RGB pixels -> Frame

Nothing decoded is kept: memory does not grow with the video. A damaged file gives what can be decoded, and a note.
Closing the generator, or dropping it, closes the file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any

import av
from av.video.reformatter import VideoReformatter

from alanet.errors import OptionError
from alanet.frames.color import assumed_color
from alanet.frames.frame import Color, Frame, VideoInfo
from alanet.notes import Notes
from alanet.video import y4m
from alanet.video.convert import CONVERTED, to_rgb
from alanet.video.input import animation, images
from alanet.video.input.damage import Damage, note_damage, note_shortfall
from alanet.video.input.deinterlace import deinterlaced, without_pulldown
from alanet.video.open import decoder_for, open_media
from alanet.video.tags import stated_duration
from alanet.video.timestamps import durations, rising

__all__ = ["decode", "decoded_frames"]

log = logging.getLogger("alanet")
DEINTERLACE = ("auto", "on", "off")
STEPS_BACK = (Fraction(1), Fraction(4), Fraction(16))  # seconds before `start` at which a key frame is looked for
GIVE_UP = 100  # unreadable packets in a row that end a file


def decode(
    info: VideoInfo,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
    deinterlace: str = "auto",
    notes: Notes | None = None,
    threads: int = 0,
) -> Iterator[Frame]:
    """The frames of what `probe` described, times strictly rising; those shown at some moment of [start, end).

    Times, `start` and `end` are seconds from the first shown frame, which is at `info.start` on the file's clock.
    deinterlace: "auto" where `info.interlaced`, "on", "off". threads: of the decoder and the colour conversion, 0 for
    one a core. Standard input can be decoded once.
    """
    notes = notes if notes is not None else Notes()
    if deinterlace not in DEINTERLACE:
        raise OptionError(f"--deinterlace {deinterlace}: allowed are {', '.join(DEINTERLACE)}")
    if info.container in animation.CONTAINERS:
        return (Frame(*shown) for shown in _within(animation.pictures(info, notes), start, end))
    work = _Work(info, start, end, deinterlace, notes, threads)
    if info.files:
        if numbers := images.missing_numbers(info.files):
            notes.warn(f"pictures: numbers {numbers} are missing in {info.path.name}; the others follow each other")
        return _frames(work, images.pictures(info, start), Damage())
    if info.reader is not None:
        return _frames(work, y4m.pictures(info, notes), Damage())
    return _frames_of_file(work)


@dataclass(frozen=True, slots=True)
class _Work:
    info: VideoInfo
    start: Fraction | None  # seconds from the first shown frame
    end: Fraction | None
    deinterlace: str
    notes: Notes
    threads: int

    @property
    def range(self) -> tuple[Fraction | None, Fraction | None]:
        """`start` and `end` on the file's clock."""
        first = self.info.start
        return (
            None if self.start is None else self.start + first,
            None if self.end is None else self.end + first,
        )


def decoded_frames(container: Any, stream: Any, context: Any, damage: Damage | None = None) -> Iterator[Any]:
    """`av.VideoFrame`s in the order shown; packets that cannot be decoded are passed over and counted."""
    damage = damage if damage is not None else Damage()
    for packet in _packets(container, stream, damage):
        yield from _decoded(context, packet, damage)
    yield from _decoded(context, None, damage)


def _packets(container: Any, stream: Any, damage: Damage) -> Iterator[Any]:
    """A stream's packets; an unreadable one ends nothing until GIVE_UP of them came in a row."""
    failures = 0
    while failures < GIVE_UP:
        try:
            for packet in container.demux(stream):
                failures = 0
                damage.passed_over += packet.is_discard or (packet.size == 0 and packet.dts is not None)
                if packet.size:  # an empty packet would end the decoder; those with no dts are good
                    yield packet
            return
        except av.FFmpegError as error:
            failures += 1
            damage.reading = error.strerror or str(error)


def _decoded(context: Any, packet: Any, damage: Damage) -> Iterator[Any]:
    try:
        frames = context.decode(packet)
    except MemoryError:
        raise
    except av.FFmpegError:
        damage.packets += 1
        return
    for frame in frames:
        damage.concealed += frame.is_corrupt
        yield frame


def _frames_of_file(work: _Work) -> Iterator[Frame]:
    damage = Damage()
    container, stream, decoded = _opened(work, damage)
    with container:
        last = None
        for frame in _frames(work, decoded, damage):
            last = frame.time + frame.duration
            yield frame
        if work.start is None and work.end is None and last is not None:
            note_shortfall(work.info, damage, last, stated_duration(stream), work.notes)


def _opened(work: _Work, damage: Damage) -> tuple[Any, Any, Iterator[Any]]:
    """The container, its picture stream, and frames from a key frame at or before `start` on: of key frames ever
    further back the first that does; without `start`, or where a file cannot be searched, from its beginning."""
    info, (start, _) = work.info, work.range
    targets = [start - step for step in STEPS_BACK if start - step > info.start] if start is not None else []
    for target in [*targets, None]:
        container = open_media(info.path, info.pixel_limit)
        stream = container.streams[info.stream_index]
        context = decoder_for(stream, info.path, info.pixel_limit, work.threads)
        if target is None:
            return container, stream, decoded_frames(container, stream, context, damage)
        with suppress(av.FFmpegError):
            container.seek(int(target / info.time_base), stream=stream)
            decoded = decoded_frames(container, stream, context)
            first = next(decoded, None)
            if first is not None and first.pts is not None and first.pts * info.time_base <= target:
                return container, stream, chain([first], decoded)
        container.close()
    raise AssertionError("the last target opens the file from its beginning")


def _frames(work: _Work, decoded: Iterator[Any], damage: Damage) -> Iterator[Frame]:
    """Decoded frames of any kind of input -> timed, deinterlaced and converted; says at the end what was wrong."""
    info = work.info
    color = assumed_color(info.color, info.width, info.height)
    _note_color(info, color, work.notes)
    base, period = info.time_base, 1 / info.rate
    if info.film:
        decoded = without_pulldown(decoded, base, info.rate * 5 / 4)
        work.notes.keep(f"telecine: removed, {float(info.rate):.3f} frames a second of film remain")
    elif work.deinterlace == "on" or (work.deinterlace == "auto" and info.interlaced):
        only_flagged = work.deinterlace == "auto" and info.field_order is None
        decoded = deinterlaced(decoded, base, order=info.field_order, only_flagged=only_flagged)
        if info.telecine:
            work.notes.warn("telecine: film with repeated fields; --telecine remove restores the film's own frames")
        work.notes.warn("interlaced: deinterlaced, one frame of each (bwdif); --deinterlace off leaves it as it is")
    elif info.interlaced:
        work.notes.warn(
            "interlaced, not deinterlaced: moving edges are combed, and the network expects progressive frames"
        )
    stamped = ((frame, None if frame.pts is None else frame.pts * (frame.time_base or base)) for frame in decoded)
    timed = durations(
        rising(stamped, period, info.start, damage.repairs, lambda frame: _shown(frame, base, period)),
        of_last=lambda frame: frame.duration * (frame.time_base or base) or period,
        period=period,
        repairs=damage.repairs,
    )
    reformatter = VideoReformatter()
    for picture, time, duration in _within(timed, *work.range):
        yield _frame(work, picture, time - info.start, duration, color, reformatter)
    note_damage(info, damage, work.notes)


def _shown(frame: Any, base: Fraction, period: Fraction) -> Fraction:
    """Seconds that a frame without a time is shown: a period, or, where a field is repeated (soft telecine), 3/2."""
    repeated = period * 3 / 2
    stated = frame.duration * (frame.time_base or base)
    return repeated if abs(stated - repeated) < period / 10 else period


def _within(
    timed: Iterable[tuple[Any, Fraction, Fraction]], start: Fraction | None, end: Fraction | None
) -> Iterator[tuple[Any, Fraction, Fraction]]:
    """Those shown at some moment of [start, end)."""
    for item, time, duration in timed:
        if end is not None and time >= end:
            return
        if start is None or time + duration > start:
            yield item, time, duration


def _frame(work: _Work, picture: Any, time: Fraction, duration: Fraction, color: Color, reformatter: Any) -> Frame:
    """A decoded picture with its RGB; one of another size (a stream may change it) is scaled to the first one's."""
    info = work.info
    same_size = (picture.width, picture.height) == (info.width, info.height)
    if not same_size:
        work.notes.warn(
            f"the picture changes to {picture.width}x{picture.height}: scaled to {info.width}x{info.height}"
        )
    pixels = to_rgb(
        picture,
        color,
        depth=info.depth,
        alpha=info.alpha,
        size=(info.width, info.height),
        reformatter=reformatter,
        threads=work.threads,
    )
    own = same_size and picture.format.name == info.pixel_format
    return Frame(pixels, time, duration, source=picture if own else None)


def _note_color(info: VideoInfo, color: Color, notes: Notes) -> None:
    if av.VideoFormat(info.pixel_format).is_rgb or len(av.VideoFormat(info.pixel_format).components) < 3:
        return
    if info.color.matrix is None:
        name = {"bt709": "BT.709", "smpte170m": "BT.601"}.get(color.matrix or "", color.matrix)
        size = f"{info.width}x{info.height}"
        log.info(f"colour untagged: taken as {name}, as is usual for {size}, and left untagged")
    elif info.color.matrix not in CONVERTED:
        notes.warn(f"colour matrix {info.color.matrix}: worked on as if it were BT.709, and left tagged as it is")
