"""Labelled pictures side by side: before | after | difference.

Pixels are `h w 3` uint8. The label strip is above the pictures and its height follows theirs; a difference is shown
around mid-grey, so that brighter and darker differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from alanet.frames.frame import Picture

__all__ = ["difference", "side_by_side"]

INK, PAPER, GAP = (235, 235, 235), (24, 24, 24), 4


def difference(before: Picture, after: Picture, gain: float) -> Picture:
    """`after - before`, times `gain`, around mid-grey."""
    moved: Picture = np.clip(128 + gain * (after.astype(np.float32) - before), 0, 255).round().astype(np.uint8)
    return moved


def side_by_side(
    pictures: Sequence[Picture], labels: Sequence[str], *, longest: str = "", even: bool = False
) -> Picture:
    """Pictures of one size in a row, each below its label.

    longest: a label that the letters leave room for. even: pad to even sides, which video encoders ask for.
    """
    height, width = pictures[0].shape[:2]
    strip = max(16, height // 16)
    sheet = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, strip + height), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = _font([*labels, longest], width, strip)
    for place, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        left = place * (width + GAP)
        sheet.paste(Image.fromarray(picture), (left, strip))
        draw.text((left + strip // 4, strip // 2), label, fill=INK, font=font, anchor="lm")
    pixels = np.asarray(sheet)
    odd_rows, odd_columns = (pixels.shape[0] % 2, pixels.shape[1] % 2) if even else (0, 0)
    return np.pad(pixels, ((0, odd_rows), (0, odd_columns), (0, 0)), mode="edge")


def _font(labels: Sequence[str], width: int, strip: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, as large as the strip and the picture's width allow for the longest label."""
    size = strip * 0.7
    wide = max(map(ImageFont.load_default(size).getlength, labels))
    return ImageFont.load_default(max(6.0, size * min(1.0, (width - strip / 2) / max(wide, 1.0))))
