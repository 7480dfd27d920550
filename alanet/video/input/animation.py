"""Animated GIF, PNG and WebP: frames with their own durations, composed and decoded by Pillow.

Players show a frame whose stated duration is nothing (for GIF: below 20 ms) for 100 ms, and so does this file; every
other duration is exact: hundredths of a second in GIF, milliseconds in WebP, any fraction in APNG.
"""

from __future__ import annotations

import math
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from alanet.errors import MediaError
from alanet.frames.frame import Color, Pixels, VideoInfo
from alanet.notes import Notes
from alanet.video.open import Limits

__all__ = ["CONTAINERS", "is_animation", "pictures", "probe_animation"]

CONTAINERS = frozenset({"gif", "apng", "webp"})
BROKEN = (  # what Pillow's readers come upon in damaged files
    OSError, EOFError, ValueError, SyntaxError, LookupError, TypeError, ArithmeticError, AttributeError, struct.error,
    zlib.error, Image.DecompressionBombError,
)  # fmt: skip
UNSTATED = Fraction(1, 10)  # seconds a frame is shown that states no duration


def is_animation(path: Path) -> bool:
    """By the first bytes: GIF, PNG with an animation chunk, WebP."""
    with path.open("rb") as file:
        head = file.read(4096)
    return (
        head.startswith((b"GIF87a", b"GIF89a"))
        or (head.startswith(b"\x89PNG\r\n\x1a\n") and b"acTL" in head)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
    )


def probe_animation(path: Path, limits: Limits) -> VideoInfo:
    """All frames are looked at once: durations and transparency are stated nowhere else."""
    alpha, stated = False, []
    with _opened(path, limits.pixels) as image:
        container = "apng" if image.format == "PNG" else str(image.format).lower()
        width, height = image.size
        for picture in _seek_through(image, Notes()):
            stated.append(_duration(image))
            alpha = alpha or _transparent(picture)
        metadata = {"comment": _text(image.info["comment"])} if image.info.get("comment") else {}
    if not stated:
        raise MediaError(f"{path}: not one picture could be decoded; the file is damaged")
    total = sum(stated, Fraction(0))
    return VideoInfo(
        steady=False,
        path=path,
        container=container,
        codec=container,
        width=width,
        height=height,
        rate=len(stated) / total,
        time_base=Fraction(1, 100 if container == "gif" else 1000),
        start=Fraction(0),
        duration=total,
        frame_count=len(stated),
        pixel_format="rgba" if alpha else "rgb24",
        depth=8,
        color=Color(),
        alpha=alpha,
        metadata=metadata,
        pixel_limit=limits.pixels,
    )


def pictures(info: VideoInfo, notes: Notes) -> Iterator[tuple[Pixels, Fraction, Fraction]]:
    """(pixels h w c, time, duration) of every frame; a damaged file gives those before the damage, and a note."""
    time = Fraction(0)
    with _opened(info.path, info.pixel_limit) as image:
        for picture in _seek_through(image, notes):
            duration = _duration(image)
            shown = picture.crop((0, 0, info.width, info.height))  # a frame may reach beyond the screen
            yield np.array(shown.convert("RGBA" if info.alpha else "RGB")), time, duration
            time += duration


@contextmanager
def _opened(path: Path, pixel_limit: int) -> Iterator[Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes that the limit below checks
            image = Image.open(path, formats=["GIF", "PNG", "WEBP"])
    except BROKEN as error:
        raise MediaError(f"{path}: not an animation that can be read (damaged, or far too large)") from error
    with image:
        width, height = image.size
        if width * height > pixel_limit:
            raise MediaError(f"{path}: a picture of {width}x{height} is beyond the limit of {pixel_limit} pixels")
        yield image


def _seek_through(image: Any, notes: Notes) -> Iterator[Any]:
    """The image at each of its frames. An APNG's still picture for programs that cannot play it is none of them."""
    for index in range(1 if image.info.get("default_image") else 0, _count(image)):
        try:
            image.seek(index)
            image.load()
        except BROKEN as error:
            notes.warn(f"damaged from frame {index + 1} on ({error}); the {index} before it are used")
            return
        yield image


def _count(image: Any) -> int:
    """Frames; where a damaged one stops the counting, more than there are: it will stop the decoding too."""
    try:
        return int(getattr(image, "n_frames", 1))
    except BROKEN:
        return sys.maxsize


def _duration(image: Any) -> Fraction:
    """Seconds. Pillow gives milliseconds, for APNG a float made of two 16-bit integers, which are found again."""
    stated = image.info.get("duration") or 0
    seconds = (Fraction(stated) / 1000).limit_denominator(65535) if math.isfinite(stated) else UNSTATED
    return UNSTATED if seconds <= 0 or (image.format == "GIF" and seconds < Fraction(2, 100)) else seconds


def _transparent(picture: Any) -> bool:
    if picture.mode not in ("RGBA", "LA", "PA") and "transparency" not in picture.info:
        return False
    return bool(picture.convert("RGBA").getextrema()[3][0] < 255)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
