"""Small test videos of every kind, made with PyAV.

    make_video(tmp_path / "a.mp4", frames=12, rate=30, size=(64, 48))

Pictures are h w c arrays (RGB; uint16 for deep pixel formats). The default picture i is a smooth ramp with a moving
square, and carries i as a row of black and white blocks, so `number_of(pixels)` reads it back after lossy encoding.
Times are exact seconds. Nothing here comes from the package under test: the maker is its own witness.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from tests.support.witness import program

__all__ = ["Subtitle", "Track", "cut_short", "damage", "make_video", "make_y4m", "number_of", "picture", "tone"]

BITS = 8  # of a picture's number
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP

# FFmpeg's numbers of the tags used in tests: matrix, primaries, transfer, range.
MATRIX = {"gbr": 0, "bt709": 1, "fcc": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "bt2020nc": 9}
PRIMARIES = {"bt709": 1, "bt470bg": 5, "smpte170m": 6, "bt2020": 9}
TRANSFER = {"bt709": 1, "smpte170m": 6, "iec61966-2-1": 13, "bt2020-10": 14, "smpte2084": 16, "arib-std-b67": 18}
RANGE = {"tv": 1, "pc": 2}
SWS = {
    "bt709": Colorspace.ITU709,
    "fcc": Colorspace.FCC,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020nc": Colorspace.BT2020,
}


@dataclass(frozen=True)
class Track:
    """A sound track: a sine tone of `seconds`, beginning at `start`."""

    codec: str = "aac"
    seconds: float = 0.5
    start: Fraction = Fraction(0)
    rate: int = 48000
    layout: str = "stereo"
    language: str | None = None
    title: str | None = None
    tone: float = 440.0  # Hz
    default: bool = True


@dataclass(frozen=True)
class Subtitle:
    """A track of subtitles: (start, end, text), seconds. MP4 and MOV take codec "mov_text", MKV "subrip"."""

    lines: Sequence[tuple[Fraction | float, Fraction | float, str]] = ((0, 0.2, "hello"),)
    codec: str | None = None  # by container
    language: str | None = None


@dataclass
class _Plan:
    """What `make_video` was asked for, once all of it is decided."""

    pictures: list[np.ndarray]
    times: list[Fraction]
    base: Fraction
    options: dict[str, str] = field(default_factory=dict)


def picture(i: int, width: int = 64, height: int = 48, *, deep: bool = False, alpha: bool = False) -> np.ndarray:
    """Picture number i, h w c (c = 3, or 4 with alpha): a ramp, a moving square, and i in blocks along the top."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    rgb = np.stack([x / max(width - 1, 1), y / max(height - 1, 1), 1 - x / max(width - 1, 1)], axis=-1) * 0.8 + 0.1
    side = max(2, height // 4)
    left, top = (3 * i) % max(width - side, 1), height // 2
    rgb[top : top + side, left : left + side] = (0.9, 0.8, 0.1)
    block, rows = width / BITS, max(1, height // 6)
    for bit in range(BITS if width >= BITS else 0):
        rgb[:rows, round(bit * block) : round((bit + 1) * block)] = 0.95 if (i >> bit) & 1 else 0.05
    if alpha:
        rgb = np.concatenate([rgb, (x / max(width - 1, 1))[..., None]], axis=-1)
    return np.rint(rgb * 65535).astype(np.uint16) if deep else np.rint(rgb * 255).astype(np.uint8)


def number_of(pixels: np.ndarray) -> int:
    """The number in a picture's blocks (0 to 255), read from pixels of any depth that went through any codec."""
    height, width = pixels.shape[:2]
    half = np.iinfo(pixels.dtype).max / 2
    row = max(1, height // 6) // 2
    block = width / BITS
    return sum(int(pixels[row, int((bit + 0.5) * block), :3].mean() > half) << bit for bit in range(BITS))


def tone(track: Track) -> np.ndarray:
    """The samples of a track, float32 in [-1, 1], channels x samples."""
    count = round(track.seconds * track.rate)
    wave = 0.4 * np.sin(2 * np.pi * track.tone * np.arange(count) / track.rate)
    channels = av.AudioLayout(track.layout).nb_channels
    return np.repeat(wave[None].astype(np.float32), channels, axis=0)


def make_video(
    path: Path,
    *,
    frames: int | Iterable[np.ndarray] = 12,
    rate: Fraction | int = 30,
    size: tuple[int, int] = (64, 48),
    codec: str | None = None,
    pix_fmt: str = "yuv420p",
    times: Sequence[Fraction | float] | None = None,
    time_base: Fraction | None = None,
    start: Fraction | int = 0,
    color: tuple[str | None, str | None, str | None, str | None] = (None, None, None, None),
    encode_as: tuple[str, str] | None = None,
    bframes: int = 0,
    gop: int = 12,
    interlaced: str | None = None,
    rotation: int = 0,
    pixel_aspect: Fraction | None = None,
    audio: Sequence[Track] | Track | None = (),
    subtitles: Sequence[Subtitle] = (),
    chapters: Sequence[tuple[float, float, str]] = (),
    attachments: Sequence[tuple[str, str, bytes]] = (),
    metadata: dict[str, str] | None = None,
    cover: bool = False,
    hdr: bool = False,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    format: str | None = None,
) -> Path:
    """Write a video and return its path.

    frames: a count of `picture`s, or the pictures themselves (then `size` is theirs). times: a time a frame (a variable
    rate), else i / rate; `start` is added. time_base: the encoder's and container's tick (default: exact for `rate` in
    MP4). color: the tags (matrix, primaries, transfer, range), None leaves one out; pixels are converted by those tags,
    or by encode_as=(matrix, range) where the file shall stay untagged. interlaced: "tff" or "bff": each frame weaves
    picture 2i and 2i+1. options: the encoder's. hdr: 10-bit BT.2020 PQ with mastering display and content light (x265).
    """
    if hdr:
        codec, pix_fmt, color = codec or "libx265", "yuv420p10le", ("bt2020nc", "bt2020", "smpte2084", "tv")
    codec = codec or {".webm": "libvpx-vp9", ".ts": "libx264", ".avi": "mpeg4"}.get(Path(path).suffix, "libx264")
    shape = av.VideoFormat(pix_fmt)
    deep, alpha = max(c.bits for c in shape.components) > 8, any(c.is_alpha for c in shape.components)
    make: Callable[[int], np.ndarray] = lambda i: picture(i, *size, deep=deep, alpha=alpha)  # noqa: E731
    if isinstance(frames, int):
        pictures = [_woven(make, i, interlaced) if interlaced else make(i) for i in range(frames)]
    else:
        pictures = list(frames)
    rate = Fraction(rate)
    moments = (
        [Fraction(t) + start for t in times] if times is not None else [i / rate + start for i in range(len(pictures))]
    )
    plan = _Plan(pictures, moments, time_base or _tick(rate, codec), dict(options or {}))
    tracks = [audio] if isinstance(audio, Track) else list(audio or ())
    with av.open(f"file:{path}", "w", format=format, container_options=container_options or {}) as out:
        out.metadata.update(metadata or {})
        video = out.add_stream(codec, rate=rate)
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = pix_fmt
        video.codec_context.time_base = plan.base
        video.time_base = plan.base
        video.codec_context.thread_count = 1
        _codec_settings(video, codec, plan, bframes, gop, interlaced, hdr)
        _tag(video.codec_context, color)
        if pixel_aspect is not None:
            video.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation:
            video.set_display_rotation(rotation)
        sounds = [_add_audio(out, track) for track in tracks]
        texts = [_add_subtitle(out, Path(path), track) for track in subtitles]
        for name, kind, data in attachments:
            out.add_attachment(name, kind, data)
        pictured = _add_cover(out) if cover else None
        if chapters:
            out.set_chapters(
                [
                    {
                        "id": i,
                        "start": round(a * 1000),
                        "end": round(b * 1000),
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for i, (a, b, title) in enumerate(chapters)
                ]
            )
        if pictured is not None:
            out.mux(pictured.encode(av.VideoFrame.from_ndarray(picture(0, 32, 32))))
            out.mux(pictured.encode(None))
        for stream, subtitle in zip(texts, subtitles, strict=True):
            _write_subtitle(out, stream, subtitle)
        for stream, track in zip(sounds, tracks, strict=True):
            _write_audio(out, stream, track)
        _write_pictures(out, video, plan, color, encode_as, interlaced)
    return Path(path)


def _tick(rate: Fraction, codec: str) -> Fraction:
    """A tick that counts frames of this rate exactly (the MPEG-2 and MPEG-4 encoders only count frames)."""
    if codec in ("mpeg4", "mpeg2video", "mjpeg"):
        return 1 / rate
    return Fraction(1, rate.numerator * (1000 if rate.denominator == 1 else 1))


def _codec_settings(
    video: Any, codec: str, plan: _Plan, bframes: int, gop: int, interlaced: str | None, hdr: bool
) -> None:
    context = video.codec_context
    context.gop_size = gop
    options = plan.options
    if codec in ("libx264", "libx265"):
        options.setdefault("preset", "veryfast")
        options.setdefault("crf", "10")
        options.setdefault("bf", str(bframes))
        if bframes:
            options.setdefault("b_strategy" if codec == "libx264" else "b-adapt", "0")
    else:
        context.max_b_frames = bframes
    if interlaced:
        options["flags"] = "+ildct+ilme"
    if codec == "libx265":
        options.pop("b-adapt", None)
        light = (
            "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400:hdr10=1:"
            if hdr
            else ""
        )
        base = f"log-level=error:pools=1:frame-threads=1:b-adapt=0:bframes={bframes}:keyint={gop}:"
        options["x265-params"] = base + light + options.get("x265-params", "")
        options.pop("bf", None)
    if codec == "libvpx-vp9":
        options.setdefault("cpu-used", "8")
        options.setdefault("deadline", "realtime")
        options.setdefault("crf", "10")
        context.bit_rate = 0
        options.setdefault("auto-alt-ref", "0")  # alpha allows no hidden frames
    if codec in ("mpeg4", "mpeg2video", "mjpeg"):
        options.setdefault("qmin", "2")
        context.bit_rate = 8_000_000
    context.options = options


def _tag(context: Any, color: tuple[str | None, str | None, str | None, str | None]) -> None:
    matrix, primaries, transfer, levels = color
    if matrix:
        context.colorspace = MATRIX[matrix]
    if primaries:
        context.color_primaries = PRIMARIES[primaries]
    if transfer:
        context.color_trc = TRANSFER[transfer]
    if levels:
        context.color_range = RANGE[levels]


def _woven(make: Callable[[int], np.ndarray], i: int, order: str) -> np.ndarray:
    """An interlaced frame: the rows of two moments, the earlier on even rows for "tff" and on odd rows for "bff"."""
    first, second = make(2 * i), make(2 * i + 1)
    frame = first.copy()
    late = 1 if order == "tff" else 0
    frame[late::2] = second[late::2]
    return frame


def _write_pictures(
    out: Any,
    video: Any,
    plan: _Plan,
    color: tuple[str | None, str | None, str | None, str | None],
    encode_as: tuple[str, str] | None,
    interlaced: str | None,
) -> None:
    flags = _flagger(video, plan, interlaced)
    matrix, levels = encode_as or (color[0] or "smpte170m", color[3] or "tv")
    for pixels, time in zip(plan.pictures, plan.times, strict=True):
        name = {(1, 3): "rgb24", (1, 4): "rgba", (2, 3): "rgb48le", (2, 4): "rgba64le"}[
            pixels.itemsize, pixels.shape[-1]
        ]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=name)
        if not av.VideoFormat(video.pix_fmt).is_rgb and video.pix_fmt != "pal8":
            frame = frame.reformat(
                format=video.pix_fmt,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.JPEG if levels == "pc" else ColorRange.MPEG,
                src_colorspace=SWS.get(matrix, Colorspace.ITU601),
                dst_colorspace=SWS.get(matrix, Colorspace.ITU601),
                interpolation=EXACT,
            )
            frame.color_range = RANGE[color[3]] if color[3] else 0
            frame.colorspace = MATRIX[color[0]] if color[0] else 2
        else:
            frame = frame.reformat(format=video.pix_fmt)
        ticks = time / plan.base
        frame.pts, frame.time_base = round(ticks), plan.base
        if flags is not None:
            flags.push(frame)
            frame = flags.pull()
        out.mux(video.encode(frame))
    out.mux(video.encode(None))


def _flagger(video: Any, plan: _Plan, interlaced: str | None) -> Any:
    """A filter that flags frames as interlaced (PyAV cannot), or None."""
    if interlaced is None:
        return None
    graph = av.filter.Graph()
    size, base = f"{video.width}x{video.height}", f"{plan.base.numerator}/{plan.base.denominator}"
    source = graph.add("buffer", video_size=size, pix_fmt=video.pix_fmt, time_base=base)
    graph.link_nodes(source, graph.add("setfield", mode=interlaced), graph.add("buffersink"))
    graph.configure()
    return graph


def _add_audio(out: Any, track: Track) -> Any:
    stream = out.add_stream(track.codec, rate=track.rate, layout=track.layout)
    if track.language:
        stream.metadata["language"] = track.language
    if track.title:
        stream.metadata["title"] = track.title
    stream.disposition = 1 if track.default else 0
    return stream


def _write_audio(out: Any, stream: Any, track: Track) -> None:
    samples = tone(track)
    step = 1024
    resampler = av.AudioResampler(format=stream.format.name, layout=track.layout, rate=track.rate)
    fifo = av.AudioFifo()
    for at in range(0, samples.shape[1], step):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, at : at + step]), "fltp", track.layout)
        frame.sample_rate, frame.time_base = track.rate, Fraction(1, track.rate)
        frame.pts = at
        for part in resampler.resample(frame):
            fifo.write(part)
    stream.codec_context.open(strict=False)
    size = stream.codec_context.frame_size or step
    offset, at = round(track.start * track.rate), 0
    while packet := fifo.read(size, partial=True):
        packet.pts, packet.time_base = at + offset, Fraction(1, track.rate)
        at += packet.samples
        out.mux(stream.encode(packet))
    out.mux(stream.encode(None))


def _add_subtitle(out: Any, path: Path, track: Subtitle) -> Any:
    codec = track.codec or ("mov_text" if path.suffix in (".mp4", ".mov", ".m4v") else "subrip")
    stream = out.add_stream(codec)
    stream.time_base = Fraction(1, 1000)
    header = "[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\n\r\n[Events]\r\n"
    stream.codec_context.subtitle_header = header.encode()
    stream.codec_context.time_base = Fraction(1, 1000)
    if track.language:
        stream.metadata["language"] = track.language
    return stream


def _write_subtitle(out: Any, stream: Any, track: Subtitle) -> None:
    for begin, end, text in track.lines:
        data = text.encode()
        packet = av.Packet(struct.pack(">H", len(data)) + data if stream.codec_context.name == "mov_text" else data)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = round(Fraction(begin) * 1000)
        packet.duration = round((Fraction(end) - Fraction(begin)) * 1000)
        out.mux(packet)


def _add_cover(out: Any) -> Any:
    stream = out.add_stream("mjpeg", rate=1)
    stream.width = stream.height = 32
    stream.pix_fmt = "yuvj420p"
    stream.disposition = 0x400  # attached picture
    return stream


def make_y4m(
    path: Path, *, frames: int = 5, rate: str = "30:1", size: tuple[int, int] = (64, 48), tail: str = ""
) -> Path:
    """A y4m file of 4:2:0 greys, written byte by byte: frame i is luma 16 + 10 i. `tail` ends the header."""
    width, height = size
    chroma = ((width + 1) // 2) * ((height + 1) // 2)
    with open(path, "wb") as out:
        out.write(f"YUV4MPEG2 W{width} H{height} F{rate} Ip A1:1 C420jpeg{tail}\n".encode())
        for i in range(frames):
            out.write(b"FRAME\n" + bytes([16 + 10 * i]) * (width * height) + bytes([128]) * (2 * chroma))
    return Path(path)


def cut_short(path: Path, out: Path, keep: float = 0.6) -> Path:
    """The first part of a file."""
    data = Path(path).read_bytes()
    out.write_bytes(data[: int(len(data) * keep)])
    return out


def damage(path: Path, out: Path, *, at: float = 0.5, count: int = 400, seed: int = 0) -> Path:
    """The file with `count` bytes from `at` (a share of its length) replaced by noise."""
    data = bytearray(Path(path).read_bytes())
    begin = int(len(data) * at)
    noise = np.random.default_rng(seed).integers(0, 256, count, dtype=np.uint8).tobytes()
    data[begin : begin + count] = noise[: len(data) - begin]
    out.write_bytes(bytes(data))
    return out


def ffmpeg(*arguments: str) -> None:
    """Run the outside program ffmpeg (a test that needs it is skipped where it is missing)."""
    subprocess.run([program("ffmpeg"), "-v", "error", "-y", *arguments], check=True)
