"""The catalogue's files that are refused: what names other files, what is no video, and bombs. 25 at most."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from tests.stress.catalogue import Entry
from tests.support.media import Track, cut_short, make_video, picture, tone

__all__ = ["ENTRIES"]

PLAYLIST = "a playlist or script, which may name other files, is not opened"
NO_VIDEO = "not a video that can be read"


def refused(
    name: str, content: str | bytes | Callable[[Path], None], line: str, *, quick: bool = False, **named: Any
) -> Entry:
    """A file with this content, beside a good video that it could name."""

    def make(folder: Path) -> Path:
        make_video(folder / "good.mp4", frames=2)
        path = folder / name
        if callable(content):
            content(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return Entry(name.replace("/", ""), make, note=line, refused=2, quick=quick, **named)


def sound_only(path: Path) -> None:
    track = Track(seconds=0.2)
    with av.open(str(path), "w", format="ipod") as out:
        stream = out.add_stream("aac", rate=48000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(tone(track), "fltp", "stereo")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def without_index(path: Path) -> None:
    cut_short(make_video(path, frames=6), path, 0.4)


def void(path: Path) -> None:
    make_video(path, frames=6, container_options={"movflags": "faststart"})
    data = path.read_bytes()
    at = data.find(b"mdat") + 4
    path.write_bytes(data[:at] + bytes(len(data) - at))


def png_of(width: int, height: int) -> bytes:
    """A PNG of black that is small on disk, and says how large it is."""
    rows = zlib.compress(bytes(1 + width * 3) * min(height, 50))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def bomb_folder(path: Path) -> None:
    path.mkdir()
    (path / "1.png").write_bytes(png_of(30000, 30000))


def mixed_folder(path: Path) -> None:
    path.mkdir()
    for i, size in enumerate([(64, 48), (48, 64)]):
        Image.fromarray(picture(i, *size)).save(path / f"{i}.png")


def gif_bomb(path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    data[6:10] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(data))


def matroska_bomb(path: Path) -> None:
    """Its header states 65535 x 65535."""
    make_video(path, frames=2, size=(320, 272), codec="ffv1")
    data = path.read_bytes()
    lied = data.replace(b"\xb0\x82\x01\x40", b"\xb0\x82\xff\xff").replace(b"\xba\x82\x01\x10", b"\xba\x82\xff\xff")
    path.write_bytes(lied)


def jpeg_bomb(path: Path) -> None:
    """The picture itself states 65500 x 65500 where the container states less."""
    make_video(path, frames=2, size=(320, 240), codec="mjpeg", pix_fmt="yuvj420p")
    data = path.read_bytes()
    at = data.index(b"\xff\xc0\x00\x11")
    while at >= 0:
        data = data[: at + 5] + struct.pack(">HH", 65500, 65500) + data[at + 9 :]
        at = data.find(b"\xff\xc0\x00\x11", at + 9)
    path.write_bytes(data)


def webp_bomb(path: Path) -> None:
    """An extended header that states 16384 x 16384."""
    stills = [Image.fromarray(picture(i, 32, 32)) for i in range(2)]
    stills[0].save(path, save_all=True, append_images=stills[1:], duration=40)
    data = bytearray(path.read_bytes())
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = b"\xff\x3f\x00\xff\x3f\x00"
    path.write_bytes(bytes(data))


RATE = {"words": ("--input-rate", "25")}
ENTRIES = [
    refused("list.mp4", "ffconcat version 1.0\nfile good.mp4\n", PLAYLIST, quick=True),
    refused("list.ffconcat", "ffconcat version 1.0\nfile 'good.mp4'\n", PLAYLIST),
    refused("hls.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\ngood.mp4\n#EXT-X-ENDLIST\n", PLAYLIST),
    refused("hls.m3u8", "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", PLAYLIST),
    refused("dash.mpd", '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"/>', PLAYLIST),
    refused("session.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n", PLAYLIST),
    refused(
        "drawn.svg", '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="a"/></svg>', PLAYLIST
    ),
    refused("script.mp4", "#!/bin/sh\ntouch pwned\n", PLAYLIST),
    refused("text.mp4", "only words\n" * 40, NO_VIDEO),
    refused("terminal.ans", b"\x1b[31mhello\x1b[0m\r\n" * 20, NO_VIDEO),
    refused("captions.srt", "1\n00:00:00,000 --> 00:00:01,000\nhello\n", NO_VIDEO),
    refused("empty.mp4", b"", "the file is empty", quick=True),
    refused("packed.mkv", b"PK\x03\x04" + bytes(2000), NO_VIDEO),
    refused("single.png", png_of(32, 32), "a single image, not a video"),
    refused("sound.m4a", sound_only, "no moving picture, only audio (aac)"),
    refused("no-index.mp4", without_index, "cut off before its index"),
    refused("void.mp4", void, "not one picture could be decoded", quick=True),
    refused("bomb", bomb_folder, "decompression bomb", **RATE),
    refused("mixed", mixed_folder, "give images of one size", **RATE),
    refused("bomb.gif", gif_bomb, "far too large", quick=True),
    refused("bomb.webp", webp_bomb, "far too large"),
    refused("bomb.mkv", matroska_bomb, "not one picture could be decoded", quick=True),
    refused("bomb.avi", jpeg_bomb, "not one picture could be decoded"),
    refused("bomb.y4m", b"YUV4MPEG2 W65000 H65000 F25:1 C420jpeg\nFRAME\n" + bytes(1000), "", quick=True),
    refused("pipe.mp4", lambda path: os.mkfifo(path), "not a regular file"),
]
