"""What will be written and where, decided before any work; everything that can be refused is refused here.

    input's container -> the same where it can hold the codec and the sound, else MKV (MOV for ProRes); one note says so
    input's depth and chroma -> kept, or one note says what became of them
    input's times -> a tick in which every restored frame's time is a whole number

A plan is only a description: `segments.py` writes frames, `streams.py` copies the other streams.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd
from pathlib import Path
from typing import Any, Literal

import av

from alanet.errors import MediaError, OptionError, OutputError
from alanet.frames.color import assumed_color
from alanet.frames.frame import Color, VideoInfo
from alanet.frames.timing import Factor, Schedule, output_rate
from alanet.notes import Notes
from alanet.video.open import open_media
from alanet.video.output.captions import CAPTIONED, CAPTIONING
from alanet.video.output.codecs import (
    CODECS,
    Y4M,
    Codec,
    Container,
    encoder_options,
    losses,
    mastering_words,
    pixel_format,
    shape_of,
)
from alanet.video.output.destination import STDOUT, beside, check_target, container_for, ending_of
from alanet.video.output.hardware import check_hardware, try_encoder
from alanet.video.output.options import EncodeOptions
from alanet.video.output.streams import Carried, Source, carried

__all__ = ["OutputPlan", "plan_output"]

HDR = ("smpte2084", "arib-std-b67")  # transfers: PQ, HLG


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """All inputs of the writer."""

    info: VideoInfo
    path: Path  # absolute; Path("-") for standard output
    kind: Literal["video", "pictures", "y4m"]
    container: Container | None  # of a video
    codec: Codec
    options: EncodeOptions
    pixel_format: str
    size: tuple[int, int]  # width, height as written
    tick: Fraction  # seconds; every frame's time is a whole number of these
    rate: Fraction  # nominal frames a second
    tags: Color  # as written; None stays untagged
    color: Color  # complete: what the pixels are converted by
    encoder_options: dict[str, str]
    slow: int = 1  # times as long as the input
    source_is_media: bool = False  # the input is a file with streams and tags, not pictures or a pipe
    captions: bool = False  # closed captions of input frames are written
    carried: tuple[Carried, ...] = ()  # the other streams of the input that come along


def plan_output(
    info: VideoInfo,
    output: str | Path | None,
    options: EncodeOptions,
    notes: Notes,
    *,
    suffix: str = "_x2",
    schedule: Schedule = Factor(2),
    folder: Path | None = None,
) -> OutputPlan:
    """Decide what `output` will be; None names it after the input (NAME_x2.EXT), "-" is y4m on standard output.

    folder: where it is to be, under the input's own name (`beside`), absolute.

    An existing folder, or the codec png, makes a folder of PNG pictures. Raises OptionError, OutputError or
    ResourceError, one line each, for whatever cannot be written.
    """
    codec = _codec(options)
    if output is not None and Path(output) == STDOUT:
        _note_streams(info, "y4m", notes)
        return _described(info, STDOUT, "y4m", None, Y4M, options, notes, schedule)
    given = None if output is None else Path(os.path.abspath(output))
    if codec.name == "png" or (given is not None and os.path.isdir(given)):
        path = given or beside(info, suffix, "")
        plan = _described(info, path, "pictures", None, CODECS["png"], options, notes, schedule)
    else:
        plan = _video(info, given, codec, options, notes, suffix, schedule, folder)
    if plan.kind == "pictures":
        _note_streams(info, "a folder of pictures", notes)
    check_target(plan.path, plan.kind, info.path, overwrite=options.overwrite)
    return plan


def _video(
    info: VideoInfo,
    given: Path | None,
    codec: Codec,
    options: EncodeOptions,
    notes: Notes,
    suffix: str,
    schedule: Schedule,
    folder: Path | None,
) -> OutputPlan:
    check_hardware(codec)
    source = _open_source(info)
    try:
        others = Source() if source is None else Source.of(source, info.stream_index)
        container = container_for(info, given, codec, others, notes)
        path = given or beside(info, suffix, ending_of(info, container), folder)
        plan = _described(info, path, "video", container, codec, options, notes, schedule)
        kept = carried(others, container, codec.name, notes, slow=plan.slow, slow_audio=options.slow_audio)
    finally:
        if source is not None:
            source.close()
    _try_encoder(plan)
    return replace(plan, source_is_media=source is not None, carried=kept)


def _open_source(info: VideoInfo) -> Any:
    """The input's container, or None where it has no streams to carry: pictures, animations, standard input."""
    if info.path == STDOUT or not info.path.is_file():
        return None
    try:
        return open_media(info.path)
    except MediaError:  # an animation: already probed, so not a damaged video
        return None


def _codec(options: EncodeOptions) -> Codec:
    if options.codec not in CODECS:
        raise OptionError(f"--codec {options.codec} is unknown; choose {', '.join(CODECS)}")
    codec = CODECS[options.codec]
    if options.crf is not None and codec.crf is None:
        raise OptionError(f"--crf goes with encoders of H.264, H.265 and AV1; {codec.name} has none, leave it out")
    if options.crf is not None and not codec.best_crf <= options.crf <= codec.worst_crf:
        allowed = f"{codec.best_crf} (best) to {codec.worst_crf} (worst), {codec.crf:g} is usual"
        raise OptionError(f"--crf {options.crf:g} is out of range; give {allowed}")
    if options.preset is not None and codec.preset is None:
        raise OptionError(f"--preset: {codec.name} has no presets; leave it out")
    if options.preset is not None and codec.presets and options.preset not in codec.presets:
        raise OptionError(f"--preset {options.preset!r} is none of {codec.name}'s: {', '.join(codec.presets)}")
    if options.threads < 0:
        raise OptionError(f"encoder threads {options.threads} is not a whole number from 0 (the encoder's choice) up")
    return codec


def _described(
    info: VideoInfo,
    path: Path,
    kind: Literal["video", "pictures", "y4m"],
    container: Container | None,
    codec: Codec,
    options: EncodeOptions,
    notes: Notes,
    schedule: Schedule,
) -> OutputPlan:
    """The plan, with a note for everything of the picture that the codec cannot keep."""
    size = (info.width, info.height)
    if options.compatible and kind == "video" and (size[0] % 2 or size[1] % 2):
        size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        notes.warn(f"size: {info.width}x{info.height} became {size[0]}x{size[1]}, as 8-bit 4:2:0 needs even sizes")
    written = pixel_format(codec, info.pixel_format, size, alpha=info.alpha, compatible=options.compatible)
    if loss := losses(info.pixel_format, written):
        notes.leave_out(
            f"depth and chroma: {loss}, {'as asked' if options.compatible else f'the most of {codec.name}'}"
        )
    if info.alpha and not shape_of(written).alpha:
        notes.leave_out(f"alpha: {codec.name} has none; --codec prores, ffv1 or png keeps it")
    shape = shape_of(written)
    hdr = info.color.transfer in HDR
    if codec.standard == "h264" and (shape.depth > 8 or shape.chroma != (1, 1)):
        advice = "--codec x265 is what HDR players expect" if hdr else "--compatible writes 8-bit 4:2:0"
        notes.warn(f"players: many do not play {shape} H.264; {advice}")
    if container is not None and not container.rotation and info.rotation:
        notes.leave_out(f"rotation: {container.name} has no place for it; a name ending in .mp4 keeps it")
    if options.compatible and hdr:
        notes.warn("colour: HDR is written in 8 bits as asked, and looks banded; without --compatible it does not")
    tags, color = _colors(info, written)
    captions = _captions(info, codec, schedule, notes)
    own = encoder_options(
        codec, crf=options.crf, preset=options.preset, threads=options.threads, hdr=_hdr(info, codec, notes)
    )
    return OutputPlan(
        info=info,
        path=path,
        kind=kind,
        container=container,
        codec=codec,
        options=options,
        pixel_format=written,
        size=size,
        tick=_tick(info, schedule, codec.finest, notes),
        rate=output_rate(schedule, info.rate),
        slow=schedule.slow,
        tags=tags,
        color=color,
        captions=captions,
        encoder_options=own | ({"a53cc": "1"} if captions and codec.name == "x265" else {}),
    )


def _note_streams(info: VideoInfo, what: str, notes: Notes) -> None:
    """What of the input an output without a container cannot hold."""
    kinds = sorted({stream.kind for stream in info.streams})
    if kinds:
        notes.leave_out(f"{', '.join(kinds)}: {what} holds only the picture")
    if info.rotation:
        notes.leave_out(f"rotation: {what} keeps the picture as it is stored; turn it by {info.rotation} degrees")


def _colors(info: VideoInfo, written: str) -> tuple[Color, Color]:
    """(tags, complete colour). RGB that becomes YUV gets the tags of that step, which no player could guess."""
    color = assumed_color(info.color, info.width, info.height)
    source, target = shape_of(info.pixel_format), shape_of(written)
    if info.pixel_format.startswith("yuvj"):
        color = replace(color, range="pc")
        return replace(info.color, range="pc"), color
    if target.rgb or not source.rgb:
        return info.color, color
    plain = replace(info.color, matrix=None, range=None)
    matrix = assumed_color(plain, info.width, info.height).matrix
    return replace(info.color, matrix=matrix, range="tv"), replace(color, matrix=matrix, range="tv")


def _captions(info: VideoInfo, codec: Codec, schedule: Schedule, notes: Notes) -> bool:
    """Whether closed captions are written; a note where the video begins with some."""
    whole = isinstance(schedule, Factor) and not info.film
    carried = codec.name in CAPTIONING and info.codec in CAPTIONED and whole
    if "A53_CC" not in info.side_data.get("other", ()):
        return carried
    if carried:
        notes.keep("closed captions: on the restored input frames")
        return True
    why = f"{codec.name} does not write them; --codec x264 keeps them" if whole else "input frames are left out"
    extract = f"ffmpeg -f lavfi -i 'movie={info.path.name}[out+subcc]' -map 0:s captions.srt"
    notes.leave_out(f"closed captions: {why}; this writes them to a file: {extract}")
    return False


def _hdr(info: VideoInfo, codec: Codec, notes: Notes) -> str:
    """The HDR data in x265's words; a note where the encoder has no place for them."""
    screen, light = info.side_data.get("mastering_display"), info.side_data.get("content_light")
    for other in info.side_data.get("other", ()):
        if other != "A53_CC":
            notes.leave_out(f"side data: {other.lower().replace('_', ' ')} is not carried over")
    if screen is None and light is None:
        return ""
    if codec.name not in ("x264", "x265", "av1"):
        notes.leave_out(f"HDR data (mastering display, MaxCLL): {codec.name} does not write them; x265 does")
        return ""
    return mastering_words(codec, screen, light)


def _tick(info: VideoInfo, schedule: Schedule, finest: int, notes: Notes) -> Fraction:
    """The coarsest tick that counts the input's times and all between that the schedule asks for.

    finest: ticks a second that the encoder can count.
    """
    if isinstance(schedule, Factor):
        tick = info.time_base / schedule.n
    else:
        a, b = info.time_base, 1 / schedule.rate
        tick = Fraction(gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)
    if tick.denominator > finest:
        coarse = min(finest, 1_000_000)
        unit = "a microsecond" if coarse == 1_000_000 else f"1/{coarse} s"
        notes.warn(f"times: rounded to {unit}, as the encoder counts no finer")
        return Fraction(1, coarse)
    return Fraction(1, tick.denominator)


def _try_encoder(plan: OutputPlan) -> None:
    """Open the encoder once where its limits are near: very small and very large pictures; a hardware one always."""
    os.environ.setdefault("SVT_LOG", "0")  # SVT-AV1 writes to stderr unless limited to fatal errors
    if not plan.codec.hardware and min(plan.size) >= 64 and max(plan.size) <= 4096:
        return
    try:
        try_encoder(plan.codec, plan.size, plan.pixel_format, plan.encoder_options, tick=plan.tick, rate=plan.rate)
    except av.FFmpegError:
        size, form = f"{plan.size[0]}x{plan.size[1]}", ""
        if plan.codec.hardware:
            preset = plan.encoder_options.get("preset")
            form = f", {shape_of(plan.pixel_format)}" + (f", preset {preset}" if preset else "")
        raise OutputError(
            f"{plan.codec.name} cannot encode pictures of {size}{form}; choose another --codec, x264 or png"
        ) from None
