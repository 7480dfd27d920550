"""Packets on their way from the input to the output: cut, moved in time, written in the order of their times.

clock of the input  --|------start====================end-----    a cut keeps the packets that meet [start, end)
time of the output    0 = origin (the first frame of a cut, else what begins first)

Here times are on the input's clock, which may begin anywhere; frames' times count from the first shown frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from fractions import Fraction
from math import lcm
from typing import Any

import av

from alanet.notes import Notes
from alanet.video.output.reorder import decodable
from alanet.video.output.streams import name_of
from alanet.video.timestamps import FAR, JUMP, LEAP

__all__ = ["Clock", "Cut", "interleave"]

STEP = Fraction(1, 50)  # seconds back that are a new clock, of sound
SEEK_MARGIN = 30  # seconds before a cut from where its packets are looked for, and after it until where


class Cut:
    """Puts packets of the input on the output's time line, or drops them.

    slow: times as long as the input. Sound keeps its own times then: it is stretched after it is decoded.
    """

    def __init__(
        self, origin: Fraction, start: Fraction | None, end: Fraction | None, *, within_packet: bool, slow: int = 1
    ) -> None:
        self.origin, self.start, self.end, self.slow = origin, start, end, slow
        self._within_packet = within_packet  # the container can begin to play in the middle of a packet
        self._clocks: dict[int, Clock] = {}

    def keeps(self, packet: Any) -> bool:
        """Whether the packet meets the cut; if so, it is moved. Subtitles are shortened to the cut, sound is not."""
        base = Fraction(packet.time_base)
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None:
            return True
        length = (packet.duration or 0) * base
        length = length if 0 <= length < LEAP else Fraction(0)
        sound = packet.stream.type == "audio"
        clock = self._clocks.setdefault(packet.stream_index, Clock(sound))
        begin = clock.steady(stamp * base, length)
        length = length or clock.interval  # MP4 drops a last packet that lasts 0
        end = begin + length
        text = packet.stream.type == "subtitle"
        if self.start is not None and begin < self.origin and not self._reaches(begin, end, text):
            return False
        begin = max(begin, self.origin) if text and self.start is not None else begin
        if self.end is not None:
            if begin >= self.end:
                return False
            end = min(end, self.end) if text else end
        end = _stated_end(packet, begin, end)
        self._place(packet, base, begin, end)
        return True

    def _reaches(self, begin: Fraction, end: Fraction, text: bool) -> bool:
        """Whether a packet from before the cut belongs to it. One of sound may end where the cut begins: it warms the
        decoder up and is not heard."""
        if text or not self._within_packet:
            return text and end > self.origin
        return end + (end - begin) > self.origin

    def past(self, packet: Any) -> bool:
        """Whether nothing that meets the cut can follow."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        return self.end is not None and stamp is not None and stamp * packet.time_base > self.end + SEEK_MARGIN

    def _place(self, packet: Any, base: Fraction, begin: Fraction, end: Fraction) -> None:
        """New times, in ticks fine enough for the origin."""
        fine = Fraction(1, lcm(base.denominator, self.origin.denominator))
        lag = 0 if packet.dts is None or packet.pts is None else packet.pts - packet.dts
        slow = 1 if packet.stream.type == "audio" else self.slow
        packet.time_base = fine
        packet.pts = round(slow * (begin - self.origin) / fine)
        packet.dts = packet.pts - round(lag * base / fine)
        packet.duration = round(slow * (end - begin) / fine)


class Clock:
    """Times of one stream. A clock that jumps (recordings joined) goes on where it was, as the picture's does.

    sound: its packets never overlap, so a small step back is a new clock too, unless the next packet takes it back.
    """

    def __init__(self, sound: bool) -> None:
        self._back = STEP if sound else JUMP
        self._shift = self._before = Fraction(0)  # the latter: of the clock before
        self._last = self._end = Fraction(0)  # begin of the packet before, end of all before
        self.interval = Fraction(0)  # between the last two packets of sound that state no duration
        self._sound = sound
        self._first = True

    def steady(self, begin: Fraction, length: Fraction) -> Fraction:
        """The time made steady, seconds."""
        if self._first:
            self._shift = self._before = Fraction(0) if abs(begin) < FAR else -begin
            self._first = False
        elif self._before != self._shift and abs(begin + self._before - self._end) <= STEP:
            self._shift = self._before  # one packet's mistake
        elif self._last - begin - self._shift >= self._back or begin + self._shift - self._end >= LEAP:
            self._before, self._shift = self._shift, self._end - begin
        else:
            self._before = self._shift
        begin += self._shift
        if self._sound and not length:
            self.interval = max(Fraction(0), begin - self._last)
        self._last, self._end = begin, max(self._end, begin + length)
        return begin


def _stated_end(packet: Any, begin: Fraction, end: Fraction) -> Fraction:
    """MP4 states where a track ends; its last packet may be longer (MP3's padding), and would be heard in full."""
    stream = packet.stream
    if "mp4" not in stream.container.format.name or stream.type != "audio" or not stream.duration:
        return end
    stated: Fraction = ((stream.start_time or 0) + stream.duration) * Fraction(stream.time_base)
    return stated if begin < stated < end else end


def interleave(
    out: Any,
    video: Any,
    pictures: Iterator[Any],
    others: dict[int, Any],
    cut: Cut,
    source: Any,
    notes: Notes,
) -> None:
    """Interleave by decoding time."""
    with closing(_others(source, others, cut, notes)) as sounds:  # type: ignore[type-var]
        out.start_encoding()  # from here on the streams' time bases are the container's
        waiting = next(sounds, None)
        for picture in pictures:
            now = picture.dts * picture.time_base
            while waiting is not None and waiting[0] <= now:
                out.mux(waiting[1])
                waiting = next(sounds, None)
            _to_ticks(picture, video.time_base)
            picture.stream = video
            out.mux(picture)
        while waiting is not None:
            out.mux(waiting[1])
            waiting = next(sounds, None)


def _to_ticks(packet: Any, base: Fraction) -> None:
    """Round a packet's begin and its end, not its duration, to a container's ticks: durations then add up."""
    begin, end = packet.pts * packet.time_base, (packet.pts + packet.duration) * packet.time_base
    decoded = packet.dts * packet.time_base
    packet.time_base = base
    packet.pts, packet.dts = round(begin / base), round(decoded / base)
    packet.duration = round(end / base) - packet.pts


def _after(packet: Any, latest: int | None) -> int | None:
    """Move a packet behind the one before it where the container would refuse it; returns its time in ticks."""
    base = Fraction(packet.stream.time_base)
    if packet.dts is None:
        return latest
    ticks: int = round(packet.dts * packet.time_base / base)
    if latest is None or ticks > latest:
        return ticks
    later = latest + 1
    length = round((packet.duration or 0) * packet.time_base / base)
    shown = later if packet.pts is None else max(later, round(packet.pts * packet.time_base / base))
    packet.time_base, packet.dts, packet.pts, packet.duration = base, later, shown, length
    return later


def _others(source: Any, others: dict[int, Any], cut: Cut, notes: Notes) -> Iterator[tuple[Fraction, Any]]:
    """(time, packet) of the carried streams, as the input stores them. A damaged input ends them with a warning."""
    if not others:
        return
    for stream in source.streams:
        if stream.index not in others:
            stream.discard = av.stream.Discard.all
    if cut.start is not None and cut.start > 2 * SEEK_MARGIN:
        with suppress(av.FFmpegError):  # read from the beginning then
            source.seek(int((cut.start - SEEK_MARGIN) * av.time_base))
    time = Fraction(0)
    latest: dict[int, int | None] = {}

    def written(index: int, packets: list[Any]) -> Iterator[tuple[Fraction, Any]]:
        nonlocal time
        for packet in packets:
            latest[index] = _after(packet, latest.get(index))
            stamp = packet.dts if packet.dts is not None else packet.pts
            time = time if stamp is None else stamp * Fraction(packet.time_base)
            yield time, packet

    try:
        for packet in decodable(source.demux([source.streams[i] for i in others])):
            if not packet.size:
                continue
            if cut.past(packet):
                break
            if cut.keeps(packet):
                yield from written(packet.stream_index, others[packet.stream_index].packets(packet))
    except av.FFmpegError as error:
        names = ", ".join(name_of(source.streams[i]) for i in others)
        notes.warn(f"{names}: the input could not be read beyond {float(time):.1f} s ({error.strerror})")
    for index, writer in others.items():
        yield from written(index, writer.finish())
