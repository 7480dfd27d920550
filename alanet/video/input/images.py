"""A folder of images as a video: pictures in the natural order of their names, at a rate given by the user.

Each image is decoded by FFmpeg as it comes (16-bit PNG and TIFF keep their depth); Pillow reads the sizes ahead, so
that a folder of mixed sizes is refused before any work.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from PIL import Image, UnidentifiedImageError

from alanet.errors import MediaError, OptionError
from alanet.frames.frame import VideoInfo
from alanet.video.convert import depth_of, has_alpha
from alanet.video.open import Limits
from alanet.video.tags import color_of, side_data_of

__all__ = ["missing_numbers", "natural_order", "pictures", "probe_folder"]


logging.getLogger("PIL").addHandler(
    logging.NullHandler()
)  # it logs its errors before it raises them, and errors are reported in one line

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pnm", ".dpx", ".jp2", ".qoi", ".tga")
)
READERS = {  # first bytes -> FFmpeg's reader for a single image
    b"\x89PNG": "png_pipe",
    b"\xff\xd8\xff": "jpeg_pipe",
    b"BM": "bmp_pipe",
    b"II*\x00": "tiff_pipe",
    b"MM\x00*": "tiff_pipe",
    b"RIFF": "webp_pipe",
    b"P5": "pgm_pipe",
    b"P6": "ppm_pipe",
    b"SDPX": "dpx_pipe",
    b"XPDS": "dpx_pipe",
    b"\x00\x00\x00\x0cjP": "j2k_pipe",
    b"qoif": "qoi_pipe",
}


def natural_order(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key: numbers inside names by value ("2.png" before "10.png"), letters without regard to case."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part], name


def probe_folder(folder: Path, rate: Fraction | None, limits: Limits) -> VideoInfo:
    """A folder's images as one video. Raises OptionError without a rate, MediaError for none, damaged, mixed sizes."""
    folder = folder.absolute()
    if rate is None:
        raise OptionError(
            f"{folder}: a folder of images has no rate of its own; give --input-rate, 25 or 30000/1001 say"
        )
    if rate <= 0:
        raise OptionError(f"--input-rate {rate}: must be above 0 frames a second")
    files = sorted((f for f in folder.iterdir() if _is_image(f)), key=lambda file: natural_order(file.name))
    if not files:
        raise MediaError(f"{folder}: no images in this folder; allowed are {', '.join(sorted(SUFFIXES))}")
    alpha = _check(files, limits)
    first = _decode(files[0], limits.pixels)
    return VideoInfo(
        path=folder,
        container="images",
        codec=files[0].suffix.lstrip(".").lower(),
        width=first.width,
        height=first.height,
        rate=rate,
        time_base=1 / rate,
        start=Fraction(0),
        duration=len(files) / rate,
        frame_count=len(files),
        pixel_format=first.format.name,
        depth=depth_of(first.format),
        color=color_of(first),
        rotation=first.rotation,
        alpha=alpha if alpha is not None else has_alpha(first.format),
        side_data=side_data_of(first),
        files=tuple(files),
        pixel_limit=limits.pixels,
    )


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _check(files: list[Path], limits: Limits) -> bool | None:
    """Refuses mixed and immense sizes by the headers; -> whether any has alpha (None: Pillow cannot read this kind)."""
    size, alpha = None, False
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(file) as image:
                    mine, mode = image.size, image.mode
                    alpha = alpha or mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
        except UnidentifiedImageError:
            if file.stat().st_size == 0 or file.suffix.lower() not in (".dpx", ".qoi", ".jp2"):
                raise MediaError(f"{file}: not an image that can be read; remove or repair it") from None
            return None
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise MediaError(f"{file}: cannot be read ({error})") from error
        if mine[0] * mine[1] > limits.pixels:
            raise MediaError(f"{file}: a picture of {mine[0]}x{mine[1]} is beyond the limit of {limits.pixels} pixels")
        if size is not None and mine != size:
            raise MediaError(
                f"{file}: {mine[0]}x{mine[1]}, but {files[0].name} is {size[0]}x{size[1]}; give images of one size"
            )
        size = mine
    return alpha


def missing_numbers(files: Sequence[Path]) -> str:
    """The numbers that a numbered series of files lacks, as "5 to 7, 12"; "" where it is whole, or no series."""
    numbers = [re.findall(r"[0-9]+", file.stem)[-1:] for file in files]
    counted = [int(found[0]) for found in numbers if found]
    if len(counted) < len(files) or any(a >= b for a, b in pairwise(counted)):
        return ""
    gaps = [(a + 1, b - 1) for a, b in pairwise(counted) if b - a > 1]
    if not gaps or len(gaps) > len(files) // 4 + 1:  # names that are times, or every second number
        return ""
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in gaps)


def pictures(info: VideoInfo, start: Fraction | None) -> Iterator[Any]:
    """The folder's images as `av.VideoFrame`s, pts counting from 0; those that end before `start` are not opened."""
    begin = max(0, int(start * info.rate)) if start is not None else 0
    for index in range(begin, len(info.files)):
        frame = _decode(info.files[index], info.pixel_limit)
        if (frame.width, frame.height) != (info.width, info.height):
            raise MediaError(
                f"{info.files[index]}: {frame.width}x{frame.height}, but {info.files[0].name} is "
                f"{info.width}x{info.height}; give images of one size"
            )
        frame.pts, frame.time_base, frame.duration = index, info.time_base, 1
        yield frame


def _decode(file: Path, pixel_limit: int) -> Any:
    """One image file -> its picture."""
    try:
        head = file.read_bytes()[:12] if file.stat().st_size < 64 else _head(file)
        reader = next((name for magic, name in READERS.items() if head.startswith(magic)), None)
        if reader is None and file.suffix.lower() != ".tga":
            raise MediaError(f"{file}: not an image that can be read; remove or repair it")
        with av.open(f"file:{file}", format=reader, container_options={"protocol_whitelist": "file"}) as container:
            stream = container.streams.video[0]
            stream.codec_context.options = {"max_pixels": str(pixel_limit)}
            frame = next(container.decode(stream), None)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise MediaError(f"{file}: not an image that can be read; remove or repair it") from error
    if frame is None:
        raise MediaError(f"{file}: not an image that can be read; remove or repair it")
    return frame


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(12)
