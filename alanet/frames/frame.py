"""What a frame of video is in memory, and what is known of the video it came from.

Pixels are full-range RGB integers, axes `h w c`: uint8 for 8-bit video, uint16 (all 16 bits used) for deeper video;
c = 3, or 4 with straight alpha. Times are exact fractions of a second from the
first shown frame; `VideoInfo.start` is that frame's time on the file's own clock.
The network's float32 RGB in [0, 1] is made from pixels, and rounded back, in `color.py` and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SIDE_DATA", "Color", "ContentLight", "Frame", "MasteringDisplay", "Picture", "Pixels"]
__all__ += ["StreamInfo", "VideoInfo", "shown_pixels"]

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]  # h w c
Picture = npt.NDArray[np.uint8]  # h w 3


@dataclass(frozen=True, slots=True)
class Color:
    """Colour tags by FFmpeg's names; `None` where the file is untagged. `color.py` says what is then assumed."""

    matrix: str | None = None  # "bt709", "smpte170m", "bt2020nc" ...
    primaries: str | None = None
    transfer: str | None = None
    range: str | None = None  # "tv" or "pc"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture at one time.

    `source` is the decoded frame (an `av.VideoFrame`) as long as `pixels` still are exactly its picture: a frame left
    untouched is encoded from its own planes. Code that changes pixels sets `source` to None.

    >>> first = next(alanet.Restorer().frames("holiday.mp4"))
    >>> first.pixels.shape, first.time, first.duration
    ((48, 64, 3), Fraction(0, 1), Fraction(1, 60))
    """

    pixels: Pixels  # h w c
    time: Fraction  # seconds
    duration: Fraction  # seconds it is shown
    source: Any | None = None
    captions: Any | None = None  # the decoded frame whose closed captions belong to this one
    repeats: tuple[Fraction, ...] = ()  # times of the frames after it that repeat it and are skipped


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream beside the picture: sound, subtitles, attachments, data."""

    index: int
    kind: str  # "audio", "subtitle", "attachment", "data", "video" (a further picture, cover art)
    codec: str | None
    language: str | None = None
    detail: str = ""  # "48000 Hz stereo"


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """The screen an HDR video was graded on (SMPTE ST 2086): chromaticities (x, y), luminances in cd/m2."""

    red: tuple[Fraction, Fraction]
    green: tuple[Fraction, Fraction]
    blue: tuple[Fraction, Fraction]
    white: tuple[Fraction, Fraction]
    min_luminance: Fraction
    max_luminance: Fraction


@dataclass(frozen=True, slots=True)
class ContentLight:
    """The brightest pixel and the brightest frame average of an HDR video (CTA-861.3), cd/m2."""

    max_cll: int
    max_fall: int


SIDE_DATA = ("display_matrix", "mastering_display", "content_light", "other")
"""Keys of VideoInfo.side_data, each there only where the video has it: nine integers as FFmpeg keeps them (row by row,
16.16 and 2.30 fixed point), MasteringDisplay, ContentLight, and a tuple of the names of kinds that are not read."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known of a video before it is decoded. Counts and durations are what the file states, and may lie."""

    path: Path  # absolute; Path("-") for standard input
    container: str  # FFmpeg's format name
    codec: str
    width: int  # as stored, before rotation
    height: int
    rate: Fraction  # frames a second, the average the file states
    time_base: Fraction  # seconds a tick
    start: Fraction  # the first shown frame's time on the file's clock, seconds; frames' times count from it
    duration: Fraction | None  # seconds
    frame_count: int | None
    pixel_format: str  # "yuv420p10le"
    depth: int  # bits a component
    color: Color
    rotation: int = 0  # degrees the player turns the picture, counter-clockwise
    pixel_aspect: Fraction = Fraction(1)
    alpha: bool = False
    interlaced: bool = False
    field_order: str | None = None  # "tff" or "bff" as the picture shows it; None: as each frame is flagged
    telecine: bool = False  # film with fields repeated by 2:3 pulldown
    film: bool = False  # these are removed: `rate` and `frame_count` are the film's
    bit_rate: int | None = None
    side_data: dict[str, Any] = field(default_factory=dict)  # by the names of SIDE_DATA
    stream_index: int = 0  # the picture's own stream
    streams: tuple[StreamInfo, ...] = ()  # all others
    chapters: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    steady: bool = True  # the rate is constant by the header
    files: tuple[Path, ...] = ()  # the pictures of a folder, in order
    pixel_limit: int = 2**27  # a picture larger than this is refused
    reader: Any | None = field(default=None, repr=False, compare=False)  # standard input, opened; read once


def shown_pixels(frame: Frame, info: VideoInfo) -> Picture:
    """A frame as a viewer sees it: turned as the player turns it, without alpha, 8-bit."""
    pixels = np.rot90(frame.pixels[..., :3], info.rotation // 90)
    return np.ascontiguousarray(pixels >> 8 if pixels.dtype == np.uint16 else pixels).astype(np.uint8)
