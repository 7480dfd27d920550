"""Makers of small files of the kinds that went wrong in tools of this sort; each returns the path of its file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.support.media import Track, ffmpeg, make_video

__all__ = ["alpha", "captions", "clock", "joined", "large", "numbers", "old_sound", "on_twos", "phone", "screen"]
__all__ += ["scroll", "telecine", "telemetry", "test_picture", "thumbnail_first"]

TONE = ("-f", "lavfi", "-i", "sine=f=440:d=1.6")
H264 = ("-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv420p")


def _written(path: Path, pictures: Iterable[np.ndarray], times: Sequence[Fraction], rate: int = 30) -> Path:
    return make_video(path, frames=pictures, times=times, rate=rate, time_base=Fraction(1, 15360))


def _page(height: int) -> np.ndarray:
    page = Image.new("RGB", (320, height), (255, 255, 255))
    draw, rng = ImageDraw.Draw(page), np.random.RandomState(3)
    for y in range(4, height - 14, 14):
        words = ("".join(chr(97 + c) for c in rng.randint(0, 26, rng.randint(2, 9))) for _ in range(9))
        draw.text((6, y), " ".join(words), fill=(20, 20, 20))
    return np.array(page)


def scroll(folder: Path, step: int) -> Path:
    """A page of text that scrolls by `step` rows a frame, progressive."""
    page = _page(260 + 30 * step)
    frames = [page[k * step : k * step + 240] for k in range(30)]
    return _written(folder / f"scroll{step}.mp4", frames, [Fraction(k, 30) for k in range(30)])


def test_picture(folder: Path) -> Path:
    path = folder / "testsrc2.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=640x360:r=25", "-frames:v", "32", *H264, str(path))
    return path


def screen(folder: Path) -> Path:
    """A screen recording: nothing is written while nothing changes. The grey value is the frame's number times 20."""
    frame = Fraction(1, 30)
    times = [
        t + k * frame for t, count in ((Fraction(0), 4), (Fraction(8), 3), (Fraction(15), 3)) for k in range(count)
    ]
    return _written(folder / "screen_vfr.mp4", [np.full((48, 64, 3), 20 * i, np.uint8) for i in range(10)], times)


def clock(folder: Path) -> Path:
    """A TV recording whose clock begins at 5001 s."""
    path = folder / "clock_5000s.ts"
    video = ("-f", "lavfi", "-i", "testsrc=s=160x120:r=25:d=1.6")
    ffmpeg(*video, *TONE, *H264, "-g", "12", "-c:a", "aac", "-output_ts_offset", "5000", "-f", "mpegts", str(path))
    return path


def joined(folder: Path) -> Path:
    """Two recordings joined byte by byte: the clock steps back by half a second."""
    part = make_video(folder / "part.ts", frames=12, rate=25, audio=Track(seconds=0.48))
    (folder / "joined.ts").write_bytes(part.read_bytes() * 2)
    return folder / "joined.ts"


def telemetry(folder: Path) -> Path:
    from tests.video.output.test_writers import with_telemetry

    return with_telemetry(folder)


def thumbnail_first(folder: Path) -> Path:
    from tests.video.output.test_writers import two_videos

    return two_videos(folder)


def phone(folder: Path) -> Path:
    """HLG, 10 bits, QuickTime metadata keys."""
    keys = {"com.apple.quicktime.location.ISO6709": "+00.0000+000.0000/", "com.apple.quicktime.make": "Phone"}
    return make_video(
        folder / "phone.mov",
        frames=4,
        codec="libx265",
        pix_fmt="yuv420p10le",
        color=("bt2020nc", "bt2020", "arib-std-b67", "tv"),
        metadata=keys,
        container_options={"movflags": "use_metadata_tags"},
    )


def alpha(folder: Path) -> Path:
    return make_video(folder / "alpha.mov", frames=3, codec="prores_ks", pix_fmt="yuva444p10le")


def old_sound(folder: Path, name: str, codec: str, video: str) -> Path:
    """Sound that Matroska takes by the codec's number in AVI and WMV."""
    path = folder / name
    inputs = ("-f", "lavfi", "-i", "testsrc=s=64x64:r=10", "-f", "lavfi", "-i", "sine=440", "-t", "0.5")
    ffmpeg(*inputs, "-c:v", video, "-c:a", codec, str(path))
    return path


def telecine(folder: Path) -> Path:
    path = folder / "telecine.vob"
    film = ("-f", "lavfi", "-i", "testsrc2=s=320x240:r=24000/1001:d=1.2", "-vf", "telecine=first_field=top:pattern=23")
    ffmpeg(*film, "-flags", "+ilme+ildct", "-c:v", "mpeg2video", "-q:v", "2", str(path))
    return path


def discs() -> list[np.ndarray]:
    """A disc that moves by 8 px in every second frame."""
    shapes = []
    for k in range(24):
        image = Image.new("RGB", (320, 240), (230, 225, 200))
        left = 20 + 8 * (k // 2)
        ImageDraw.Draw(image).ellipse((left, 90, left + 50, 140), fill=(200, 40, 40), outline=(0, 0, 0))
        shapes.append(np.array(image))
    return shapes


def on_twos(folder: Path) -> Path:
    return _written(folder / "on_twos.mp4", discs(), [Fraction(k, 24) for k in range(24)], rate=24)


def large(folder: Path) -> Path:
    """A true video of 16000x16000, two frames."""
    path = folder / "large.mkv"
    color = ("-f", "lavfi", "-i", "color=gray:s=16000x16000:r=5", "-frames:v", "2")
    ffmpeg(*color, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", str(path))
    return path


def numbers(folder: Path) -> Path:
    (folder / "numbers").mkdir()
    shapes = discs()
    for k in (1, 2, 3, 4, 8, 9, 10):
        Image.fromarray(shapes[k]).save(folder / "numbers" / f"img{k}.png")
    return folder / "numbers"


CAPTION = ("9420", "94ae", "9470", "c845", "4c4c", "4f80", "942f")  # CEA-608: load, erase, row 15, "HELLO", show


def captions(folder: Path) -> Path:
    """H.264 with CEA-608 captions: a pair of bytes in each picture, as an SEI message (ITU-T T.35) by hand."""
    plain = make_video(folder / "plain.h264", frames=24, rate=30, gop=12, options={"threads": "1"}).read_bytes()
    pairs = iter([*CAPTION, *["8080"] * 8, "942c", *["8080"] * 8])
    parts = plain.split(b"\0\0\1")
    for i, part in enumerate(parts):
        if part and part[0] & 31 in (1, 5):  # a slice, one a picture
            cc = bytes([0x40 | 1, 0xFF, 0xFC]) + bytes.fromhex(next(pairs)) + b"\xff"
            said = b"\xb5\x00\x31GA94\x03" + cc
            parts[i] = bytes([6, 4, len(said)]) + said + b"\x80\0\0\1" + part
    (folder / "captions.h264").write_bytes(b"\0\0\1".join(parts))
    return folder / "captions.h264"
