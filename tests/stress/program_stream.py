"""An MPEG program stream (VOB) whose video packets have no times, of film with repeated fields: written by hand.

Film of 24 frames a second is coded as it is, stated as 30 a second, and flagged so that a player repeats a field of
every second frame (soft telecine). The frames' own lengths are the only clock of the picture.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

from tests.support.media import ffmpeg

__all__ = ["SOUND_BEGINS", "without_times"]

FRAMES = 48
CLOCK = 90_000
SOUND_BEGINS = Fraction(1, 2)  # seconds: the sound has times, and its clock does not begin at 0
FLAGS = ((1, 1), (0, 0), (0, 1), (1, 0))  # top field first, repeat first field: of frames shown one after another
PACKET, SOUND = 2000, 384 * 3  # bytes of video, and of three frames of sound


def without_times(folder: Path) -> Path:
    """A VOB of 48 film frames in 2.002 s, and sound from 0.5 s of its clock on."""
    film, sound, path = folder / "film.m2v", folder / "sound.mp2", folder / "no_times.vob"
    picture = ("-f", "lavfi", "-i", "testsrc2=s=160x128:r=24000/1001", "-frames:v", str(FRAMES))
    rate = ("-bsf:v", "mpeg2_metadata=frame_rate=30000/1001")
    ffmpeg(*picture, "-c:v", "mpeg2video", "-bf", "2", "-q:v", "3", *rate, str(film))
    ffmpeg("-f", "lavfi", "-i", "sine=440:r=48000:d=2", "-c:a", "mp2", "-b:a", "128k", str(sound))
    path.write_bytes(multiplexed(softly_telecined(film.read_bytes()), sound.read_bytes()))
    return path


def softly_telecined(stream: bytes) -> bytes:
    """An MPEG-2 stream with the flags of 2:3 pulldown in each picture's coding extension."""
    coded, at, group, count, shown = bytearray(stream), 0, 0, 0, 0
    while (at := coded.find(b"\0\0\1", at)) >= 0:
        kind, at = coded[at + 3], at + 4
        if kind == 0xB8:  # a group of pictures: their numbers start at 0 again
            group = count
        elif kind == 0x00:
            shown, count = group + (coded[at] << 2 | coded[at + 1] >> 6), count + 1
        elif kind == 0xB5 and coded[at] >> 4 == 1:
            coded[at + 1] &= ~0x08  # not a progressive sequence
        elif kind == 0xB5 and coded[at] >> 4 == 8:
            top_first, repeat = FLAGS[shown % 4]
            coded[at + 3] = coded[at + 3] & 0x7D | top_first << 7 | repeat << 1
            coded[at + 4] |= 0x80  # a progressive frame
    return bytes(coded)


def multiplexed(video: bytes, sound: bytes) -> bytes:
    """Both in one program stream; packets of sound have times, those of video have none."""
    videos = [video[i : i + PACKET] for i in range(0, len(video), PACKET)]
    sounds = [sound[i : i + SOUND] for i in range(0, len(sound), SOUND)]
    out, heard = bytearray(), 0
    for i, data in enumerate(videos):
        out += _pack(Fraction(2 * i, len(videos))) + _packet(0xE0, data)
        while heard < len(sounds) and (heard * len(videos) <= i * len(sounds) or i == len(videos) - 1):
            out += _packet(0xC0, sounds[heard], SOUND_BEGINS + Fraction(heard * 3 * 1152, 48000))
            heard += 1
    return bytes(out + b"\0\0\1\xb9")


def _pack(clock: Fraction) -> bytes:
    ticks = int(clock * CLOCK)
    marked = 1 << 46 | (ticks >> 30 & 7) << 43 | 1 << 42 | (ticks >> 15 & 0x7FFF) << 27 | 1 << 26
    marked |= (ticks & 0x7FFF) << 11 | 1 << 10 | 1
    return b"\0\0\1\xba" + marked.to_bytes(6, "big") + bytes([0x01, 0x89, 0xC3, 0xF8])


def _packet(stream: int, data: bytes, time: Fraction | None = None) -> bytes:
    head = b"\x80\0\0"
    if time is not None:
        pts = int(time * CLOCK)
        parts = (0x21 | pts >> 29 & 0xE, pts >> 22 & 255, pts >> 14 & 0xFE | 1, pts >> 7 & 255, pts << 1 & 0xFE | 1)
        head = b"\x80\x80\x05" + bytes(parts)
    return b"\0\0\1" + bytes([stream]) + struct.pack(">H", len(head) + len(data)) + head + data
