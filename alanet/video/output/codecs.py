"""What can be written: the codecs, the containers that hold them, and the pixel format nearest to the input's.

A codec is named as on the command line (x264), its encoder as in FFmpeg (libx264). Depth and chroma are kept where the
codec has them; what it has not is lost in this order: chroma before depth; each loss is one line for the user.
A hardware encoder has FFmpeg's own name (h264_nvenc); `hardware.py` tries whether it can be opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av

from alanet.errors import OptionError, ResourceError
from alanet.frames.frame import ContentLight, MasteringDisplay
from alanet.video.convert import depth_of

__all__ = [
    "CODECS",
    "CONTAINERS",
    "Y4M",
    "Codec",
    "Container",
    "Shape",
    "encoder_options",
    "losses",
    "mastering_words",
    "pixel_format",
    "shape_of",
]


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to write pictures."""

    name: str
    encoder: str
    crf: float | None = None  # default quality; None: the codec has no such scale
    worst_crf: int = 51
    preset: str | None = None
    presets: tuple[str, ...] = ()  # every one; (): none, or those of a hardware encoder, which is tried
    subsampled_odd: bool = True  # writes odd sizes in 4:2:0 and 4:2:2
    alpha: bool = False
    rgb: Literal["never", "kept", "always"] = "never"  # whether RGB is written
    segment: str = "mp4"  # a container that keeps its times exactly and can be joined by packet copy
    standard: Literal["h264", "hevc", "av1", ""] = ""
    formats: tuple[str, ...] = ()  # pixel formats that are used; (): all of the encoder's
    hardware: str = ""  # the device that encodes, as a message names it; "" for software
    best_crf: int = 0
    finest: int = 2**31 - 1  # ticks a second that MP4 and the encoder can count


def _hardware(name: str, *formats: str) -> Codec:
    """A hardware encoder that takes frames in main memory; its default quality is that of the software encoder."""
    standard, _, interface = name.partition("_")
    device, preset = HARDWARE[interface]
    return Codec(
        name,
        name,
        crf={"h264": 18, "hevc": 20, "av1": 24}[standard],
        best_crf=1,
        preset=preset,
        subsampled_odd=False,
        standard=standard,  # type: ignore[arg-type]
        formats=formats,
        hardware=device,
        finest=90_000 if interface == "qsv" else 2**31 - 1,  # Quick Sync keeps times in ticks of 1/90000 s
    )


X26 = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
SVT = tuple(map(str, range(14)))
HARDWARE = {  # FFmpeg's interface: the device, the default preset
    "nvenc": ("NVIDIA GPU with NVENC", "p5"),
    "qsv": ("Intel GPU with Quick Sync", "medium"),
    "videotoolbox": ("Apple hardware encoder", None),
}
CODECS = {
    codec.name: codec
    for codec in (
        Codec("x264", "libx264", crf=18, preset="medium", presets=X26, subsampled_odd=False, standard="h264"),
        Codec("x265", "libx265", crf=20, preset="medium", presets=X26, subsampled_odd=False, standard="hevc"),
        Codec("av1", "libsvtav1", crf=24, worst_crf=63, preset="8", presets=SVT, standard="av1"),
        Codec("prores", "prores_ks", alpha=True, segment="mov"),
        Codec("ffv1", "ffv1", alpha=True, rgb="kept", segment="nut"),
        Codec("png", "png", alpha=True, rgb="always", segment=""),
        _hardware("h264_nvenc", "yuv420p", "yuv444p"),
        _hardware("hevc_nvenc", "yuv420p", "yuv444p", "p010le"),
        _hardware("av1_nvenc", "yuv420p", "p010le"),
        _hardware("h264_qsv", "nv12"),
        _hardware("hevc_qsv", "nv12", "p010le"),
        _hardware("h264_videotoolbox", "yuv420p"),
        _hardware("hevc_videotoolbox", "yuv420p", "p010le"),
    )
}
APPLE_STEP = 1.75  # of Apple's scale, a step of crf: 20 becomes 65, 51 becomes 11
LAMBDA = 118  # FF_QP2LAMBDA: FFmpeg's unit of -q:v
Y4M = Codec("y4m", "")  # what goes to standard output
Y4M_FORMATS = ("yuv420p", "yuv411p", "yuv422p", "yuv444p")
Y4M_DEEP = tuple(f"yuv{chroma}p{depth}le" for chroma in (420, 422, 444) for depth in (10, 12))
H264, HEVC, AV1 = (tuple(c.name for c in CODECS.values() if c.standard == kind) for kind in ("h264", "hevc", "av1"))


@dataclass(frozen=True, slots=True)
class Container:
    """A file format of the output."""

    name: str
    format: str  # FFmpeg's muxer
    endings: tuple[str, ...]
    codecs: tuple[str, ...]
    chapters: bool = True
    rotation: bool = True
    attachments: bool = False  # fonts and the like
    cover: str = "stream"  # how a cover picture is kept: as a stream, as an attachment, or ""
    text: str = ""  # the codec that text subtitles are converted to


CONTAINERS = {
    container.name: container
    for container in (
        Container("MP4", "mp4", (".mp4", ".m4v"), (*H264, *HEVC, *AV1), text="mov_text"),
        Container("MOV", "mov", (".mov", ".qt"), (*H264, *HEVC, "prores"), cover="", text="mov_text"),
        Container(
            "MKV",
            "matroska",
            (".mkv",),
            (*H264, *HEVC, *AV1, "prores", "ffv1"),
            attachments=True,
            cover="attachment",
            text="subrip",
        ),
        Container("WebM", "webm", (".webm",), AV1, cover="", text="webvtt"),
        Container(
            "MPEG-TS", "mpegts", (".ts", ".m2ts", ".mts"), (*H264, *HEVC), chapters=False, rotation=False, cover=""
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a pixel format can hold. chroma: times its planes are halved across and down; (0, 0) is 4:4:4."""

    depth: int
    chroma: tuple[int, int]
    alpha: bool
    rgb: bool
    grey: bool

    def __str__(self) -> str:
        names = {(0, 0): "4:4:4", (1, 0): "4:2:2", (1, 1): "4:2:0", (0, 1): "4:4:0", (2, 0): "4:1:1", (2, 2): "4:1:0"}
        kind = "RGB" if self.rgb else "grey" if self.grey else names.get(self.chroma, "odd chroma")
        return f"{self.depth}-bit {kind}"


def shape_of(name: str) -> Shape:
    """The shape of a pixel format named as FFmpeg names it."""
    pixels = av.VideoFormat(name, 16, 16)
    parts = pixels.components
    rgb = pixels.is_rgb or pixels.has_palette or pixels.is_bayer
    grey = not rgb and len(parts) < 3
    halved = {16: 0, 8: 1, 4: 2}
    chroma = (0, 0) if rgb or grey else (halved.get(pixels.chroma_width(), 0), halved.get(pixels.chroma_height(), 0))
    alpha = bool(pixels.has_palette or any(part.is_alpha for part in parts))
    return Shape(max(8, depth_of(pixels)), chroma, alpha, bool(rgb), grey)


def pixel_format(codec: Codec, source: str, size: tuple[int, int], *, alpha: bool, compatible: bool) -> str:
    """The pixel format, of those the codec can write, that loses least of `source` and adds least to it.

    size: (width, height). alpha: whether the video has any. compatible: 8-bit 4:2:0 whatever the source is (the size
    must be even). ResourceError where this build of PyAV lacks the encoder.
    """
    if compatible:
        if codec.alpha:
            raise OptionError(
                f"--compatible writes 8-bit 4:2:0, which {codec.name} is not for; use --codec x264, x265 or av1"
            )
        return codec.formats[0] if codec.formats else "yuv420p"
    want = shape_of(source)
    fits = [
        (_distance(want, shape), name)
        for name, shape in _shapes(codec).items()
        if _allowed(codec, want, shape, size, alpha)
    ]
    if not fits and codec.hardware:
        raise OptionError(
            f"{codec.name} cannot encode the odd size {size[0]}x{size[1]}; "
            "--compatible pads it to an even one, --codec x264 encodes it"
        )
    assert fits, f"{codec.name} has no pixel format for {source}"
    return min(fits)[1]


def _shapes(codec: Codec) -> dict[str, Shape]:
    """The integer pixel formats of the encoder, without the doubles (yuvj420p, nv12) of others."""
    if codec is Y4M:
        return {name: shape_of(name) for name in (*Y4M_FORMATS, *Y4M_DEEP)}
    if codec.formats:
        return {name: shape_of(name) for name in codec.formats}
    try:
        formats = av.Codec(codec.encoder, "w").video_formats or []
    except av.codec.codec.UnknownCodecError:
        raise ResourceError(
            f"this build of PyAV has no {codec.encoder} encoder; choose another --codec, or install PyAV's wheel"
        ) from None
    doubles = ("yuvj", "nv", "pal", "mono")
    names = [f.name for f in formats if not f.name.startswith(doubles) and "f16" not in f.name and "f32" not in f.name]
    return {name: shape_of(name) for name in names}


def _allowed(codec: Codec, want: Shape, shape: Shape, size: tuple[int, int], alpha: bool) -> bool:
    odd = not codec.subsampled_odd and any(halved and side % 2 for halved, side in zip(shape.chroma, size, strict=True))
    return (
        not odd
        and shape.alpha == (alpha and codec.alpha)
        and shape.rgb == (codec.rgb == "always" or (want.rgb and codec.rgb == "kept"))
        and shape.grey == (want.grey and codec.rgb == "kept")
    )


def _distance(want: Shape, shape: Shape) -> tuple[int, ...]:
    """Smaller is nearer: depth lost, chroma lost, then what is more than needed."""
    needed = (1, 1) if want.grey else want.chroma
    lost = sum(max(0, have - need) for have, need in zip(shape.chroma, needed, strict=True))
    spare = sum(max(0, need - have) for have, need in zip(shape.chroma, needed, strict=True))
    return max(0, want.depth - shape.depth), lost, max(0, shape.depth - want.depth), spare


def losses(source: str, written: str) -> str | None:
    """What of the source's depth and chroma a pixel format cannot hold, in words; None where nothing is lost."""
    want, shape = shape_of(source), shape_of(written)
    depth, chroma, *_ = _distance(want, shape)
    return f"{want} became {shape}" if depth or chroma else None


def encoder_options(codec: Codec, *, crf: float | None, preset: str | None, threads: int, hdr: str) -> dict[str, str]:
    """The encoder's private options. hdr: `mastering_words`, or empty."""
    options: dict[str, str] = {}
    if codec.crf is not None and codec.hardware:
        return _hardware_options(codec, codec.crf if crf is None else crf, preset)
    if codec.crf is not None:
        options["crf"] = f"{codec.crf if crf is None else crf:g}"
        options["preset"] = preset or codec.preset or "medium"
    if codec.name == "x264" and hdr:
        options["x264-params"] = hdr
    if codec.name == "x265":
        pools = f":pools={threads}" if threads else ""
        options["x265-params"] = f"log-level=none{pools}" + (f":hdr10=1:{hdr}" if hdr else "")
    if codec.name == "av1":
        options["svtav1-params"] = f"lp={threads}" + (f":{hdr}" if hdr else "")
    if codec.name == "ffv1":
        options |= {"level": "3", "slicecrc": "1", "g": "1"}
    return options


def _hardware_options(codec: Codec, crf: float, preset: str | None) -> dict[str, str]:
    """Constant quality in the encoder's own scale, of which only Apple's (1 to 100) is higher for better."""
    interface = codec.name.partition("_")[2]
    quality = {
        "nvenc": {"rc": "vbr", "cq": f"{crf:g}", "b": "0"},
        "qsv": {"global_quality": f"{round(crf)}"},
        "videotoolbox": {"flags": "+qscale", "global_quality": f"{round(100 - APPLE_STEP * crf) * LAMBDA}"},
    }[interface]
    preset = preset or codec.preset
    return quality | ({"preset": preset} if preset else {})


def mastering_words(codec: Codec, screen: MasteringDisplay | None, light: ContentLight | None) -> str:
    """HDR data as x264, x265 and SVT-AV1 take it among their parameters: in steps of 1/50000 and 1/10000, or plain."""
    plain = codec.name == "av1"
    names = {
        "x264": ("mastering-display", "cll"),
        "x265": ("master-display", "max-cll"),
        "av1": ("mastering-display", "content-light"),
    }[codec.name]
    words = []
    if screen is not None:

        def number(value: Fraction, steps: int) -> str:
            return f"{float(value):.5f}" if plain else str(round(value * steps))

        points = zip("GBR", (screen.green, screen.blue, screen.red), strict=True)
        places = [*points, ("WP", screen.white)]
        primaries = "".join(f"{name}({number(x, 50000)},{number(y, 50000)})" for name, (x, y) in places)
        bright, dark = number(screen.max_luminance, 10000), number(screen.min_luminance, 10000)
        words.append(f"{names[0]}={primaries}L({bright},{dark})")
    if light is not None:
        words.append(f"{names[1]}={light.max_cll},{light.max_fall}")
    return ":".join(words)
