"""What is in an input, before it is decoded: `probe`, for files, folders of images, animations and standard input.

Containers state sizes, counts, durations and colours before the picture, and often wrongly; so the first frames are
decoded and the picture's own word is taken: its size, pixel format, colour, rotation, HDR data, first time, and whether
it is interlaced. Nothing is counted: `frame_count` and `duration` remain what the file states.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av

from alanet.errors import MediaError, OptionError
from alanet.frames.frame import Color, StreamInfo, VideoInfo
from alanet.video import y4m
from alanet.video.convert import depth_of, has_alpha, to_rgb
from alanet.video.input import animation, images
from alanet.video.input.decode import decoded_frames
from alanet.video.input.deinterlace import ALWAYS_PROGRESSIVE, decide, is_telecine, seen_interlaced
from alanet.video.open import Limits, check_file, check_size, codec_name, decoder_for, open_media, picture_of
from alanet.video.tags import color_of, side_data_of, stated_duration
from alanet.video.timestamps import FAR

__all__ = ["Limits", "probe"]

FIELD_ORDERS = {1: "progressive", 2: "tff", 3: "bff", 4: "bff", 5: "tff"}  # FFmpeg's numbers, by the order shown
PLACES = (Fraction(1, 5), Fraction(2, 5), Fraction(3, 5), Fraction(4, 5))  # of a film, looked at for interlacing
LONG = Fraction(4)  # seconds from which a film has several places
LEAST = 12  # frames looked at for interlacing, however large they are
SLOWEST, FASTEST = Fraction(1, 86400), 10_000  # frames a second; a broken clock can look like any
LOOK_PIXELS = 2**26  # decoded at most while looking for interlacing: 32 frames of 1920x1080


def probe(
    path: str | Path,
    *,
    input_rate: Fraction | None = None,
    stream: int | None = None,
    telecine: str = "keep",
    limits: Limits | None = None,
) -> VideoInfo:
    """What is known of a video file, a folder of images (needs input_rate), a GIF, APNG or WebP, or "-" (y4m on stdin).

    stream: number of the video stream; None chooses (`picture_of`). telecine: "remove": the film behind 2:3 pulldown is
    described, and decoded.

    Raises MediaError for what cannot be opened or holds no picture, OptionError for an input_rate missing or misplaced.
    """
    limits = limits or Limits()
    given = Path(path)
    if str(path) != "-" and os.path.isdir(given):
        return images.probe_folder(given, input_rate, limits)
    if input_rate is not None:
        raise OptionError(
            f"{path}: --input-rate is for folders of images; this input states its own rate, leave it out"
        )
    if str(path) == "-":
        return y4m.probe_stdin(limits)
    given = check_file(given)
    if animation.is_animation(given):
        return animation.probe_animation(given, limits)
    with open_media(given, limits.pixels) as container:
        info = _probe_video(container, given, limits, stream)
    return _film(info) if telecine == "remove" else info


def _probe_video(container: Any, path: Path, limits: Limits, wanted: int | None) -> VideoInfo:
    stream = picture_of(container, path, wanted)
    context = decoder_for(stream, path, limits.pixels, threads=0)
    frames = decoded_frames(container, stream, context)
    first = next(frames, None)
    if first is None:
        check_size(path, limits.pixels)
        raise MediaError(f"{path}: not one picture could be decoded; the file is damaged or its codec unknown")
    interlaced, order, telecine = _interlacing(container, stream, context, first, frames, limits)
    rates = [stream.average_rate, stream.guessed_rate, stream.base_rate, Fraction(25)]
    if (
        first.pts is None
    ):  # a bare stream without a clock: its average is FFmpeg's default, its guess the codec's own word
        rates[:2] = rates[1::-1]
    return VideoInfo(
        path=path,
        container=container.format.name,
        codec=codec_name(stream),
        width=first.width,
        height=first.height,
        rate=next(filter(None, map(_believable, rates))),
        time_base=stream.time_base,
        start=_start(_first_time(first, stream, container)),
        duration=_duration(container, stream),
        frame_count=stream.frames or None,
        pixel_format=first.format.name,
        depth=depth_of(first.format),
        color=color_of(first, stream.codec_context),
        rotation=first.rotation,
        pixel_aspect=_pixel_aspect(stream),
        alpha=_has_alpha(first),
        interlaced=interlaced,
        field_order=order,
        telecine=telecine,
        bit_rate=stream.bit_rate or container.bit_rate or None,
        side_data=side_data_of(first),
        stream_index=stream.index,
        streams=tuple(_stream_info(other) for other in container.streams if other.index != stream.index),
        chapters=len(container.chapters()),
        metadata=dict(container.metadata),
        steady=_steady(stream.average_rate, stream.base_rate),
        pixel_limit=limits.pixels,
    )


def _film(info: VideoInfo) -> VideoInfo:
    """The film behind 2:3 pulldown: four frames for five, progressive. Raises OptionError where there is none."""
    if not info.telecine:
        raise OptionError(f"{info.path}: --telecine remove found no repeated fields; leave it out")
    count = None if info.frame_count is None else info.frame_count * 4 // 5
    rate = info.rate * 4 / 5
    return replace(info, rate=rate, frame_count=count, interlaced=False, field_order=None, film=True)


def _believable(rate: Fraction | None) -> Fraction | None:
    """A stated rate that a video can have, its parts small enough for FFmpeg's integers when multiplied."""
    if not rate or not SLOWEST <= rate <= FASTEST:
        return None
    return Fraction(rate).limit_denominator(max(1, int(2**24 / rate)))


def _steady(average: Fraction | None, base: Fraction | None) -> bool:
    """Whether a stated average is nearly the rate by which all times can be counted, or half of it (field rates)."""
    if not average or not base:
        return False
    return any(abs(base / n / average - 1) < Fraction(1, 20) for n in (1, 2))


def _first_time(first: Any, stream: Any, container: Any) -> Fraction:
    """Of the first frame; without a time it is shown where the file's clock begins."""
    if first.pts is None:
        return Fraction(container.start_time or 0, av.time_base)
    return Fraction(first.pts * stream.time_base)


def _start(time: Fraction) -> Fraction:
    return time if abs(time) < FAR else Fraction(0)


def _has_alpha(frame: Any) -> bool:
    """A palette can hold alpha and seldom does: it is asked."""
    if frame.format.has_palette:
        return bool(to_rgb(frame, Color(range="pc"), depth=8, alpha=True)[..., 3].min() < 255)
    return has_alpha(frame.format)


def _interlacing(
    container: Any, stream: Any, context: Any, first: Any, frames: Iterator[Any], limits: Limits
) -> tuple[bool, str | None, bool]:
    """(interlaced, field order, telecine).

    Looks at the first frames and at other places of the film, at fewer frames of large ones; codecs and sizes that are
    never interlaced are not looked at.
    """
    stated = FIELD_ORDERS.get(stream.codec_context.field_order)
    flagged = bool(first.interlaced_frame) or stated in ("tff", "bff")
    if codec_name(stream) in ALWAYS_PROGRESSIVE or (first.height > 1200 and not flagged):
        return False, None, False
    look = max(LEAST, min(limits.look, LOOK_PIXELS // (first.width * first.height)))
    places = [seen_interlaced(islice(chain([first], frames), look))]
    length = _duration(container, stream)
    if length is not None and length >= LONG:
        begin = Fraction(first.pts or 0) * stream.time_base
        for share in PLACES:
            with suppress(av.FFmpegError, OverflowError):
                container.seek(int((begin + length * share) / stream.time_base), stream=stream)
                context.flush_buffers()
                places.append(seen_interlaced(islice(decoded_frames(container, stream, context), look // 4)))
    return *decide(stated, places), is_telecine(places)


def _duration(container: Any, stream: Any) -> Fraction | None:
    """Seconds the picture's own stream states, else what the container states for everything in it."""
    own = stated_duration(stream)
    if own is None and container.duration:
        return Fraction(container.duration, av.time_base)
    return own


def _pixel_aspect(stream: Any) -> Fraction:
    aspect = stream.sample_aspect_ratio
    return Fraction(aspect) if aspect else Fraction(1)


def _stream_info(stream: Any) -> StreamInfo:
    context = stream.codec_context
    detail = ""
    if stream.type == "audio" and context is not None:
        detail = f"{context.sample_rate} Hz {context.layout.name}"
    elif stream.type == "video" and context is not None:
        detail = f"{context.width}x{context.height}"
    elif stream.type == "attachment":
        detail = stream.metadata.get("filename", "")
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=codec_name(stream) if context is not None else None,
        language=stream.language if stream.language != "und" else None,
        detail=detail,
    )
