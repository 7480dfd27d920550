"""The catalogue's files that are restored: containers, codecs, clocks, pictures, other streams, names, damage."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image

from tests.stress.catalogue import Entry
from tests.stress.catalogue_checks import (
    HDR,
    attached,
    chaptered,
    covered,
    like,
    shaped,
    spoken,
    subtitled,
    tagged,
    tracked,
)
from tests.support.media import Subtitle, Track, cut_short, damage, make_video, make_y4m, picture

__all__ = ["ENTRIES"]

F = Fraction
HALF_TICK = {  # of what writes the input
    **dict.fromkeys((".mkv", ".webm", ".flv", ".asf", ".wmv"), F(1, 2000)),
    **dict.fromkeys((".ts", ".m2ts", ".mpg", ".vob"), F(1, 180000)),
    ".mxf": F(0),
}
NTSC, FILM = F(30000, 1001), F(24000, 1001)
NUMBERS = 32  # pixels of width from which pictures' numbers can be read
PROGRAM = F(1, 2) + F(1, 25)  # a program stream begins after half a second, and MPEG-2's decoder waits for one picture
WRAP = F(2**33, 90000)  # seconds after which a transport stream's clock begins anew


def video(
    name: str,
    *,
    out: str = "x264",
    quick: bool = False,
    note: str = "",
    extra: Callable[[Path, Path], None] | None = None,
    first: Fraction | None = None,
    numbers: Sequence[int] | None = None,
    witness: bool = True,
    words: tuple[str, ...] = (),
    keeps_sound: bool = True,
    last: Fraction | None = None,
    **options: Any,
) -> Entry:
    """An entry made by `make_video`. first: the first frame's time where the container moves it; last: the last frame's
    own duration where that is not the rate's."""
    options = {"frames": 6, "rate": 30, **options}
    suffix = Path(name).suffix
    given = options.get("times") or [i / F(options["rate"]) for i in range(options["frames"])]
    start = options.get("start", 0) if first is None else first
    times = [F(t) + start for t in given]
    width = options.get("size", (64, 48))[0]
    if numbers is None:
        numbers = range(len(times)) if width >= NUMBERS else ()
    exact = suffix in (".mp4", ".mov", ".m4v")
    return Entry(
        name,
        lambda folder: make_video(folder / name, **options),
        times,
        times[-1] + (last or 1 / F(options["rate"])) if exact else None,
        numbers or None,
        HALF_TICK.get(suffix, F(0)),
        words,
        out,
        note,
        extra,
        witness,
        quick=quick,
        keeps_sound=keeps_sound,
    )


def made(name: str, make: Callable[[Path], Path], count: int = 6, rate: Fraction | int = 30, **named: Any) -> Entry:
    """An entry made in another way, at a constant rate from 0."""
    named = {"times": [i / F(rate) for i in range(count)], "numbers": range(count), **named}
    return Entry(name, make, **named)


def hurt(name: str, make: Callable[[Path], Path], least: int, numbers: Sequence[int], **named: Any) -> Entry:
    """A damaged one, of which at least so many frames come out."""
    return Entry(name, make, least=least, numbers=numbers, **named)


SOUND = Track(seconds=0.3)
VARIED = [F(n, 1000) for n in (0, 33, 67, 100, 250, 266, 301, 900)]

CONTAINERS = [
    video("plain.mp4", audio=SOUND, quick=True),
    video("plain.mov", audio=SOUND),
    video("plain.m4v", audio=SOUND),
    video("plain.mkv", audio=SOUND, quick=True),
    video("plain.webm", audio=Track("libopus", 0.3), words=("-o", "out.mkv")),
    video("plain.avi", audio=Track("pcm_s16le", 0.3), quick=True),
    video("plain.ts", start=1, audio=Track("mp2", 0.3, F(1)), quick=True),
    video("plain.m2ts", start=1, audio=Track("ac3", 0.3, F(1))),
    video("plain.mpg", codec="mpeg2video", rate=25, audio=Track("mp2", 0.3), first=PROGRAM, quick=True),
    video("plain.vob", codec="mpeg1video", rate=25, time_base=F(1, 25), audio=Track("mp2", 0.3), first=PROGRAM),
    video("plain.flv", start=1, audio=Track("libmp3lame", 0.3, F(1), rate=44100)),
    video("plain.nut", audio=Track("flac", 0.3)),
    video("plain.asf", codec="msmpeg4", audio=Track("pcm_s16le", 0.3)),
    video("plain.wmv", codec="wmv2"),
    video("plain.mxf", codec="mpeg2video", rate=25),
    video("plain.ivf", codec="libvpx"),
    video("plain.3gp", codec="mpeg4", audio=SOUND),
    video(
        "fragments.mp4",
        container_options={"movflags": "frag_keyframe+empty_moov+delay_moov"},
        gop=3,
        audio=SOUND,
        quick=True,
    ),
    video("faststart.mp4", container_options={"movflags": "faststart"}, audio=SOUND),
    video("live.mkv", container_options={"live": "1"}),
    video("raw.h264", rate=25, time_base=F(1, 25), bframes=2, note="states no times", quick=True),
    video("raw.hevc", codec="libx265", rate=25, time_base=F(1, 25), size=(64, 64), note="states no times"),
    video("raw.m2v", codec="mpeg2video", rate=25, first=F(1, 25)),
    video("raw.mjpeg", codec="mjpeg", pix_fmt="yuvj420p", rate=25),
    made("raw.y4m", lambda folder: make_y4m(folder / "raw.y4m", frames=5), 5, numbers=None),
]

CODECS = [
    video("hevc.mp4", codec="libx265", size=(64, 64), bframes=2),
    video("av1.mp4", codec="libsvtav1", size=(64, 64), options={"preset": "12", "svtav1-params": "lp=1"}),
    video("vp8.webm", codec="libvpx", words=("-o", "out.mkv")),
    video("vp9.webm", words=("-o", "out.mkv")),
    video("mpeg4.avi", codec="mpeg4", bframes=0, quick=True),
    video("msmpeg4v2.avi", codec="msmpeg4v2", time_base=F(1, 30)),
    video("flv1.flv", codec="flv"),
    video("mjpeg.mov", codec="mjpeg", pix_fmt="yuvj422p"),
    video("prores.mov", codec="prores_ks", pix_fmt="yuv422p10le", frames=3),
    video("dnxhr.mov", codec="dnxhd", pix_fmt="yuv422p", size=(256, 128), frames=3, options={"profile": "dnxhr_sq"}),
    video("ffv1.mkv", codec="ffv1"),
    video("huffyuv.avi", codec="huffyuv", time_base=F(1, 30), pix_fmt="yuv422p"),
    video("ffvhuff.avi", codec="ffvhuff", time_base=F(1, 30)),
    video("utvideo.avi", codec="utvideo", time_base=F(1, 30)),
    video("magicyuv.avi", codec="magicyuv", time_base=F(1, 30), pix_fmt="gbrp", out="ffv1"),
    video("raw.avi", codec="rawvideo", time_base=F(1, 30), pix_fmt="yuv420p"),
    video("v210.mov", codec="v210", pix_fmt="yuv422p10le", frames=3),
    video("png.mov", codec="png", pix_fmt="rgb24", frames=3),
    video("qtrle.mov", codec="qtrle", pix_fmt="rgb24", frames=3),
    video("jpeg2000.mov", codec="jpeg2000", frames=3),
    video("cinepak.avi", codec="cinepak", time_base=F(1, 30), pix_fmt="rgb24", frames=3),
    video("snow.avi", codec="snow", time_base=F(1, 30), options={"strict": "-2"}),
    video("h263.avi", codec="h263p", time_base=F(1, 30)),
]

CLOCKS = [
    video("film.mp4", rate=FILM, bframes=2, quick=True),
    video("film.mkv", rate=FILM, bframes=2),
    video("pal.mp4", rate=25),
    video("ntsc.ts", rate=NTSC),
    video("double.mp4", rate=2 * NTSC),
    video("120.mp4", rate=120),
    video("240.mp4", rate=240),
    video("slow.mp4", rate=F(1, 5), frames=4, time_base=F(1, 1000)),
    video("twelve.mp4", rate=F(25, 2), time_base=F(1, 1000)),
    video("ninety.mp4", rate=NTSC, time_base=F(1, 90000)),
    video("millionths.mp4", rate=25, time_base=F(1, 1_000_000)),
    video("sevenths.mp4", rate=7, time_base=F(1, 7)),
    video("one.mp4", frames=1, rate=25, audio=SOUND, quick=True),
    video("two.mp4", frames=2, rate=25),
    replace(video("varied.mp4", times=VARIED, frames=8, time_base=F(1, 1000), quick=True), end=None),
    video("varied.mkv", times=VARIED, frames=8),
    video("late-picture.mp4", start=F(1, 2), audio=Track(seconds=1), quick=True),
    video("late-sound.mp4", audio=Track(seconds=0.3, start=F(1, 4))),
    video("early.mkv", start=F(100), audio=Track(seconds=0.3, start=F(100))),
    video(
        "wrap.ts", start=F(95442), rate=25, frames=40, gop=20, first=F(95442) - WRAP, audio=Track("mp2", 1.6, F(95442))
    ),
    video("b-frames.mp4", bframes=3, frames=12, audio=SOUND, quick=True),
    video("open-gop.mp4", bframes=3, frames=20, gop=8, options={"x264-params": "open-gop=1"}),
    video("intra.mp4", gop=1),
    Entry(  # three frames are hidden by the edit list
        "edited.mp4",
        lambda folder: make_video(
            folder / "edited.mp4",
            frames=12,
            start=F(-1, 10),
            bframes=2,
            container_options={"avoid_negative_ts": "disabled"},
        ),
        [F(i, 30) for i in range(9)],
        numbers=range(3, 12),
        quick=True,
    ),
]

GRAY, DEEP = {"codec": "ffv1", "out": "ffv1"}, {"frames": 3, "codec": "ffv1", "out": "ffv1"}
PICTURES = [
    *(video(f"turned-{a}.mp4", frames=3, rotation=a, extra=like("rotation"), quick=a == 90) for a in (90, 180, 270)),
    video("wide-pixels.mp4", frames=3, pixel_aspect=F(4, 3), extra=like("sample_aspect_ratio")),
    video("1x1.mkv", size=(1, 1), pix_fmt="yuv444p", **DEEP),
    video("2x2.mkv", size=(2, 2), pix_fmt="yuv444p", quick=True, **DEEP),
    video("2x2.mp4", size=(2, 2), pix_fmt="yuv444p", frames=3),
    video("16x16.mp4", size=(16, 16), frames=3),
    video("17x33.mp4", size=(17, 33), pix_fmt="yuv444p", frames=3, extra=shaped(17, 33), quick=True),
    video("63x47.mkv", size=(63, 47), extra=shaped(63, 47), **{**DEEP, "pix_fmt": "yuv420p"}),
    video("320x2.mkv", size=(320, 2), pix_fmt="yuv444p", extra=shaped(320, 2), **DEEP),
    video("10-bit.mp4", pix_fmt="yuv420p10le", frames=3, extra=like("pix_fmt"), note="players", quick=True),
    video("10-bit-hevc.mp4", codec="libx265", pix_fmt="yuv420p10le", size=(64, 64), frames=3, extra=like("pix_fmt")),
    video("422.mp4", pix_fmt="yuv422p", frames=3, extra=like("pix_fmt")),
    video("444-10.mp4", pix_fmt="yuv444p10le", frames=3, extra=like("pix_fmt")),
    video("12-bit.mkv", pix_fmt="yuv422p12le", extra=like("pix_fmt"), **DEEP),
    video("16-bit.mkv", pix_fmt="rgb48le", extra=like("bits_per_raw_sample"), **DEEP),
    video("gbrp10.mkv", pix_fmt="gbrp10le", extra=like("pix_fmt"), **DEEP),
    video("411.mkv", pix_fmt="yuv411p", extra=like("pix_fmt"), **DEEP),
    video("gray.mkv", pix_fmt="gray", frames=3, extra=like("pix_fmt"), quick=True, **GRAY),
    video("gray10.mkv", pix_fmt="gray10le", frames=3, **GRAY),
    video("rgb.mkv", pix_fmt="bgr0", quick=True, **DEEP),
    video("rgb555.mov", codec="qtrle", pix_fmt="rgb555be", frames=3),
    video("full-range.mp4", color=("bt709", "bt709", "bt709", "pc"), frames=3, extra=like("color_range")),
    video("709.mp4", color=("bt709", "bt709", "bt709", "tv"), frames=3, extra=like("color_space", "color_transfer")),
    video("hlg.mp4", pix_fmt="yuv420p10le", color=("bt2020nc", "bt2020", "arib-std-b67", "tv"), frames=3,
          extra=like("color_space", "color_primaries", "color_transfer")),
    video("hdr10.mp4", hdr=True, size=(96, 64), frames=3, out="x265", extra=like(*HDR)),
    video("alpha.webm", pix_fmt="yuva420p", frames=3, out="ffv1", quick=True, words=("-o", "out.mkv")),
    video("alpha.mov", codec="prores_ks", pix_fmt="yuva444p10le", frames=3, out="prores"),
    video("alpha.mkv", pix_fmt="bgra", extra=like("pix_fmt"), **DEEP),
    video("woven.mp4", rate=25, interlaced="tff", witness=False, note="interlaced", numbers=range(0, 12, 2)),
    video("woven.mpg", codec="mpeg2video", rate=25, interlaced="bff", witness=False, note="interlaced", numbers=(),
          first=PROGRAM),
]  # fmt: skip


def animation(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        stills = [Image.fromarray(picture(i, alpha=name.endswith((".png", ".webp")))) for i in range(4)]
        more: dict[str, Any] = {"lossless": True} if name.endswith("webp") else {}
        stills[0].save(folder / name, save_all=True, append_images=stills[1:], duration=[40, 80, 40, 200], **more)
        return folder / name

    return make


def folder_of(ending: str, mode: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "pictures").mkdir()
        for i in range(4):
            Image.fromarray(picture(i)).convert(mode).save(folder / "pictures" / f"{i}.{ending}")
        return folder / "pictures"

    return make


SHOWN = {"times": [F(0), F(1, 25), F(3, 25), F(4, 25)], "end": F(9, 25), "numbers": range(4)}
STILLS = [
    made("moving.gif", animation("moving.gif"), **SHOWN, quick=True),
    made("moving.png", animation("moving.png"), **SHOWN, codec="ffv1"),
    made("moving.webp", animation("moving.webp"), **SHOWN, codec="ffv1"),
    made("pictures-png", folder_of("png", "RGB"), 4, 25, words=("--input-rate", "25"), codec="ffv1", quick=True),
    made("pictures-bmp", folder_of("bmp", "RGB"), 4, FILM, words=("--input-rate", "24000/1001"), codec="ffv1"),
    made("pictures-out", folder_of("png", "RGB"), 4, 25, words=("--input-rate", "25"), codec="png"),
]

TRACKS = [
    video("tracks.mkv", quick=True, extra=tracked, audio=[
        Track("aac", 0.3, language="eng", title="original"),
        Track("ac3", 0.3, language="deu", default=False),
        Track("flac", 0.3, layout="mono", default=False),
    ]),
    video("tracks.mp4", extra=tracked, audio=[Track(seconds=0.3, language="eng"), Track("ac3", 0.3, language="fra")]),
    video("pcm.mov", audio=Track("pcm_s16le", 0.3)),
    video("pcm.avi", codec="mpeg4", audio=Track("pcm_s16le", 0.3)),
    video("long-sound.mp4", audio=Track(seconds=2)),
    video("mute.mp4", audio=None),
    video("subtitled.mkv", subtitles=[Subtitle(language="fra")], extra=subtitled),
    video("subtitled.mp4", subtitles=[Subtitle(language="fra")], extra=subtitled),
    video("chapters.mkv", chapters=[(0, 0.1, "one"), (0.1, 0.2, "two")], extra=chaptered, quick=True),
    video("chapters.mp4", chapters=[(0, 0.1, "one"), (0.1, 0.2, "two")], extra=chaptered),
    video("fonts.mkv", attachments=[("a.ttf", "font/ttf", b"0123456789")], extra=attached),
    video("cover.mp4", cover=True, extra=covered),
    video("title.mkv", metadata={"title": "holiday"}, extra=tagged),
    video("sound-first.mkv", audio=Track("libopus", 0.3), extra=spoken),
]  # fmt: skip

NAMES = ["-rf.mp4", "a|b.mp4", "new\nline.mp4", "%03d.mp4", "é ñ 視頻 🎬.mp4", "'quoted' \"twice\".mp4", "file:x.mp4",
         "concat:a|b.mp4", "pipe:0.mp4", "http:x.mp4", "$(touch x).mp4", "x" * 240 + ".mp4",
         os.fsdecode(b"\xff\xfe.mp4"), "a;b&c.mp4", "[bold]x.mp4", ".hidden.mp4", "UPPER.MP4"]  # fmt: skip


def named(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        made = make_video(folder / "plain.mp4", frames=3)
        return made.rename(folder / name)

    return make


def named_otherwise(name: str) -> Callable[[Path], Path]:
    return lambda folder: make_video(folder / "plain.mp4", frames=3, audio=SOUND).rename(folder / name)


NAMED = [
    *(made(name, named(name), 3, quick=i < 4 or name[0] in "x\udcff") for i, name in enumerate(NAMES)),
    made("mp4 named as.avi", named_otherwise("mp4 named as.avi"), 3),
    made("mp4 named as.txt", named_otherwise("mp4 named as.txt"), 3),
    made("no ending", named_otherwise("no ending"), 3),
]


def trouble(name: str, change: Callable[[bytes], bytes], **options: Any) -> Callable[[Path], Path]:
    """A video whose bytes are changed."""

    def make(folder: Path) -> Path:
        path = make_video(folder / name, **{"frames": 40, "gop": 10, **options})
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def cut(name: str, keep: float, **options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = make_video(folder / name, **{"frames": 40, "gop": 10, "audio": SOUND, **options})
        return cut_short(path, path, keep)

    return make


def noisy(name: str, **options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = make_video(folder / name, **{"frames": 40, "gop": 10, **options})
        return damage(path, path, at=0.4, count=700)

    return make


def retimed(name: str, change: Callable[[int, Any], None]) -> Callable[[Path], Path]:
    """The packets of a video with other times."""

    def make(folder: Path) -> Path:
        whole = make_video(folder / "whole.mkv", frames=12)
        with av.open(str(whole)) as given, av.open(str(folder / name), "w") as out:
            stream = out.add_stream_from_template(given.streams.video[0], opaque=True)
            for i, packet in enumerate(given.demux(video=0)):
                if packet.size:
                    change(i, packet)
                    packet.stream = stream
                    out.mux(packet)
        whole.unlink()
        return folder / name

    return make


def strayed(i: int, packet: Any) -> None:
    packet.pts += 5000 if i == 5 else 0


def stood_still(i: int, packet: Any) -> None:
    packet.pts = 167 if 3 <= i <= 5 else packet.pts


def two_sizes(folder: Path) -> Path:
    parts = [
        make_video(folder / f"{i}.h264", frames=4, gop=4, size=size) for i, size in enumerate([(64, 48), (96, 80)])
    ]
    path = folder / "two-sizes.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()
    return path


DAMAGED = [
    hurt("cut.mkv", cut("cut.mkv", 0.6), 6, range(40), note="states", quick=True),
    hurt("cut.mp4", cut("cut.mp4", 0.6, container_options={"movflags": "faststart"}), 6, range(40), note="states 40"),
    hurt("cut.ts", cut("cut.ts", 0.6, audio=Track("mp2", 0.3)), 6, range(40)),
    hurt("cut.avi", cut("cut.avi", 0.6, audio=None), 15, range(40)),
    hurt("cut.webm", cut("cut.webm", 0.6, frames=20, audio=None), 4, range(20), words=("-o", "out.mkv")),
    hurt("noise.mp4", noisy("noise.mp4"), 20, range(256)),
    hurt("noise.mkv", noisy("noise.mkv"), 20, range(256)),
    hurt("noise.ts", noisy("noise.ts"), 20, range(256)),
    hurt("noise.avi", noisy("noise.avi"), 20, range(256)),
    hurt("tail.mp4", trouble("tail.mp4", lambda data: data + bytes(5000)), 40, range(40)),
    hurt("no-index.avi", trouble("no-index.avi", lambda data: data[: data.rindex(b"idx1")]), 40, range(40)),
    hurt("led.ts", trouble("led.ts", lambda data: bytes(100) + data), 40, range(40)),
    hurt("from-the-middle.ts", trouble("from-the-middle.ts", lambda data: data[188 * 20 :]), 20, range(40)),
    hurt("twice.ts", trouble("twice.ts", lambda data: data * 2), 80, range(40), note="clock jumps"),
    hurt("two-sizes.h264", two_sizes, 8, range(4), note="scaled to 64x48"),
    Entry("stray.mkv", retimed("stray.mkv", strayed), [F(i, 30) for i in range(12)], numbers=range(12),
          coarse=F(1, 500), note="1 frame without a usable time", witness=False, quick=True),
    hurt("standing.mkv", retimed("standing.mkv", stood_still), 12, range(12)),
    Entry("leap.mkv", retimed("leap.mkv", lambda i, p: _leap(i, p)), [F(i, 30) for i in range(12)], numbers=range(12),
          coarse=F(1, 500), note="its clock jumps", witness=False, quick=True),
]  # fmt: skip


def _leap(i: int, packet: Any) -> None:
    """A clock that is thirty days ahead from the middle on."""
    packet.pts = packet.dts = packet.pts + (30 * 86_400_000 if i > 5 else 0)


ENTRIES = [*CONTAINERS, *CODECS, *CLOCKS, *PICTURES, *STILLS, *TRACKS, *NAMED, *DAMAGED]
