"""Whether a hardware encoder can be used here: FFmpeg must have it, and the machine must have its device.

Only an encoder that was opened and has encoded a frame is known to work. This is tried before any frame is restored.
Encoders that take frames of device memory only (h264_vaapi) are not offered: PyAV cannot make such frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import av

from alanet.errors import ResourceError
from alanet.video.output.codecs import CODECS, Codec, encoder_options

__all__ = ["check_hardware", "hardware_lacks", "try_encoder"]

TRIAL = (320, 192)  # above the smallest size of every hardware encoder


def hardware_lacks(codec: Codec) -> str:
    """What is missing for a hardware encoder to work here, in words; "" where it works."""
    try:
        av.Codec(codec.encoder, "w")
    except av.codec.codec.UnknownCodecError:
        return "the FFmpeg inside PyAV was built without it"
    options = encoder_options(codec, crf=None, preset=None, threads=0, hdr="")
    try:
        try_encoder(codec, TRIAL, codec.formats[0], options)
    except (av.FFmpegError, OSError):
        return f"it does not open here; it needs an {codec.hardware} and its driver"
    return ""


def check_hardware(codec: Codec) -> None:
    """Raise ResourceError if `codec` is a hardware encoder that does not work here."""
    lacks = hardware_lacks(codec) if codec.hardware else ""
    if lacks:
        working = [name for name, each in CODECS.items() if each.hardware and not hardware_lacks(each)]
        others = " or ".join([{"h264": "x264", "hevc": "x265", "av1": "av1"}[codec.standard], *working])
        raise ResourceError(f"--codec {codec.name}: {lacks}; use --codec {others}")


def try_encoder(
    codec: Codec,
    size: tuple[int, int],
    pixel_format: str,
    options: Mapping[str, str],
    *,
    tick: Fraction = Fraction(1, 25),
    rate: Fraction = Fraction(25),
) -> None:
    """Open the encoder; let a hardware encoder also encode one frame. Raises av.FFmpegError where it cannot."""
    context: Any = av.CodecContext.create(codec.encoder, "w")
    context.width, context.height = size
    context.pix_fmt = pixel_format
    context.time_base, context.framerate = tick, rate
    context.options = dict(options)
    context.open()
    if codec.hardware:
        frame = av.VideoFrame(*size, pixel_format)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.time_base = 0, tick
        context.encode(frame)
        context.encode(None)
