"""A picture of a whole set, to be looked at before training on it: a row a video.

    name, split, rate, frames and runs
    [frame] [frame] [frame] [frame]  [sharp] [blurry]

Four frames spread over its runs; then a frame beside the mean of the 11 around it, which is what training will make of
it: motion blur, not separate copies of each edge, which a low frame rate gives.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from alanet.data.real.manifest import Manifest, Video
from alanet.files import atomic_write

__all__ = ["draw_overview"]

TALL = 88  # pixels of a picture
GAP = 4
LINE = 14  # of text
ROWS = 40  # videos below each other; further ones go beside them
SPREAD = 4
EXPOSURE = 11  # frames

Picture = npt.NDArray[np.uint8]


def draw_overview(folder: Path, manifest: Manifest, target: Path) -> None:
    """Write the picture of a built set as a PNG, atomically."""
    rows = [_row(folder, video) for video in manifest.videos]
    width = max(row.width for row in rows) + 4 * GAP
    height = TALL + LINE + 2 * GAP
    down = min(len(rows), ROWS)
    sheet = Image.new("RGB", (width * -(-len(rows) // ROWS), height * down), "white")
    for k, row in enumerate(rows):
        sheet.paste(row, (k // ROWS * width + GAP, k % ROWS * height + GAP))
    with atomic_write(target) as file:
        sheet.save(file, format="PNG")


def _row(folder: Path, video: Video) -> Image.Image:
    pictures = [_small(picture) for picture in (*_spread(folder, video), *_pair(folder, video))]
    sizes = [picture.width + GAP for picture in pictures]
    row = Image.new("RGB", (max(sum(sizes) + GAP, 4 * TALL), TALL + LINE), "white")
    frames = sum(run.frames for run in video.runs)
    rate = f"{_number(video.rate):.4g} fps"
    if video.stated_rate != video.rate:
        rate += " assumed"
    text = "   ".join((
        video.name[-60:], video.split, rate, f"{video.size[0]}x{video.size[1]}",
        f"{frames} frames in {len(video.runs)} run{'' if len(video.runs) == 1 else 's'}",
    ))  # fmt: skip
    ImageDraw.Draw(row).text((0, 0), text.encode("ascii", "replace").decode(), fill="black")
    left = 0
    for k, (picture, size) in enumerate(zip(pictures, sizes, strict=True)):
        row.paste(picture, (left + (GAP if k >= SPREAD else 0), LINE))
        left += size
    return row


def _number(text: str) -> float:
    over, _, under = text.partition("/")
    return int(over) / int(under or 1)


def _spread(folder: Path, video: Video) -> list[Picture]:
    """Frames at equal distances through all runs."""
    total = sum(run.frames for run in video.runs)
    chosen = []
    for k in range(SPREAD):
        at = total * (2 * k + 1) // (2 * SPREAD)
        for run in video.runs:
            if at < run.frames:
                chosen.append(np.array(np.load(folder / run.file, mmap_mode="r")[at]))
                break
            at -= run.frames
    return chosen


def _pair(folder: Path, video: Video) -> list[Picture]:
    """A frame from the middle of the longest run, and the mean of the frames around it."""
    run = max(video.runs, key=lambda run: run.frames)
    frames = np.load(folder / run.file, mmap_mode="r")
    middle, half = run.frames // 2, min(EXPOSURE, run.frames) // 2
    mean = frames[max(0, middle - half) : middle + half + 1].mean(axis=0)
    return [np.array(frames[middle]), np.rint(mean).astype(np.uint8)]


def _small(picture: Picture) -> Image.Image:
    width = max(1, round(picture.shape[1] * TALL / picture.shape[0]))
    return Image.fromarray(picture).resize((width, TALL), Image.Resampling.BILINEAR)
