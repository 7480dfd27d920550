"""Sharp high-rate video of kinds that photographs do not show: drawn animation and a computer's screen.

    animation  flat colours and outlines: a panning landscape, a walking figure, a bouncing ball, a still caption
    screen     a page of text that is scrolled, a window that is dragged, a mouse pointer, still bars

Everything moves evenly or with ease in and out, as such content does; the fastest motion is about two pixels a frame,
so that the mean of 11 frames is motion blur without gaps. Frame k is the same whatever the number of frames. Drawn at
three times the size and reduced, so that motion below a pixel is seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from alanet.errors import OptionError

__all__ = ["KINDS", "Kind", "draw"]

Kind = Literal["animation", "screen"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WIDTH, HEIGHT = 640, 352  # pixels
SCALE = 3  # of drawing over frame
INK = (24, 22, 30)
TEXT = (
    "The exposure of a frame is the time its shutter was open. What moves while it is open is blurred along its path, "
    "and the blur is as long as the motion. A frame between two others is found by motion: each of its places is "
    "looked up in the frame before and in the frame after. Where one of them hides it, the other is taken. "
)


def draw(kind: Kind, count: int) -> npt.NDArray[np.uint8]:
    """The first `count` frames: t 352 640 3. Raises OptionError for a kind or a count that is not allowed."""
    if kind not in KINDS:
        raise OptionError(f"generated video '{kind}' is not known; choose from {', '.join(KINDS)}")
    if count < 1:
        raise OptionError(f"{count} frames; give 1 or more")
    paint: Callable[[_Canvas, float], None] = {"animation": _animation, "screen": _screen}[kind]
    frames = np.empty((count, HEIGHT, WIDTH, 3), np.uint8)
    for k in range(count):
        canvas = _Canvas()
        paint(canvas, float(k))
        frames[k] = canvas.reduced()
    return frames


class _Canvas:
    """A picture three times as large, drawn on in pixels of the frame."""

    def __init__(self) -> None:
        self.picture = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE))
        self._draw = ImageDraw.Draw(self.picture)

    def polygon(self, points: list[tuple[float, float]], fill: tuple[int, int, int], line: float = 0) -> None:
        whole = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.polygon(whole, fill)
        if line:
            self._draw.line([*whole, whole[0], whole[1]], INK, round(line * SCALE), "curve")

    def box(self, x: float, y: float, w: float, h: float, fill: tuple[int, int, int], line: float = 0) -> None:
        self.polygon([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], fill, line)

    def disc(self, x: float, y: float, rx: float, ry: float, fill: tuple[int, int, int], line: float = 2) -> None:
        box = [(x - rx) * SCALE, (y - ry) * SCALE, (x + rx) * SCALE, (y + ry) * SCALE]
        self._draw.ellipse(box, fill, INK if line else None, round(line * SCALE))

    def limb(self, points: list[tuple[float, float]], width: float, fill: tuple[int, int, int]) -> None:
        whole = [(x * SCALE, y * SCALE) for x, y in points]
        for wide, colour in ((width + 4, INK), (width, fill)):
            self._draw.line(whole, colour, round(wide * SCALE), "curve")
            for x, y in whole:
                r = wide * SCALE / 2
                self._draw.ellipse([x - r, y - r, x + r, y + r], colour)

    def text(self, x: float, y: float, text: str, size: float, fill: tuple[int, int, int] = INK) -> None:
        self._draw.text((x * SCALE, y * SCALE), text, fill, ImageFont.load_default(size * SCALE))

    def reduced(self) -> npt.NDArray[np.uint8]:
        return np.asarray(self.picture.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


def _animation(canvas: _Canvas, k: float) -> None:
    pan = 0.6 * k
    canvas.box(0, 0, WIDTH, HEIGHT, (150, 200, 240))
    canvas.disc(520 - 0.05 * pan, 70, 34, 34, (255, 230, 130))
    for x, y in ((80, 60), (330, 40), (640, 90)):
        for dx, dy, r in ((0, 0, 26), (26, -8, 30), (56, 2, 24)):
            canvas.disc(x + dx - 0.15 * pan, y + dy, r, 0.6 * r, (250, 250, 255), 0)
    for depth, colour, base, high in ((0.3, (120, 160, 150), 190, 60), (0.6, (90, 150, 90), 235, 40)):
        ridge = [(x, base - high * math.sin((x + depth * pan) / 95 / (1.4 - depth)) ** 2) for x in range(-10, 660, 10)]
        canvas.polygon([*ridge, (650.0, 352.0), (-10.0, 352.0)], colour, 2)
    canvas.box(-10, 280, 660, 80, (170, 140, 100), 2)
    for i in range(14):  # a fence near the camera
        canvas.box(70 * i - pan % 70, 236, 9, 62, (205, 185, 150), 2)
    canvas.box(-10, 254, 660, 8, (205, 185, 150), 2)
    _figure(canvas, 130 + 0.9 * k, 306, k)
    hop = (k % 120) / 120
    canvas.disc(430 + 25 * math.sin(k / 40), 316 - 200 * hop * (1 - hop), 16, 16, (230, 70, 60))
    canvas.text(24, 322, "A walk by the fields", 18, (255, 255, 255))


def _figure(canvas: _Canvas, x: float, ground: float, k: float) -> None:
    """A walking person: legs and arms swing against each other, once in 80 frames."""
    swing = math.sin(2 * math.pi * k / 80)
    hip, shoulder = ground - 62, ground - 112
    for side, shade in ((-1, 0.8), (1, 1.0)):
        step = side * swing
        knee = (x + 16 * step, hip + 30)
        canvas.limb([(x, hip), knee, (knee[0] + 10 * step - 4, ground - 2)], 12, _shaded((60, 80, 150), shade))
        canvas.limb([(x, shoulder + 6), (x - 13 * step, shoulder + 30), (x - 18 * step + 6, shoulder + 50)], 9,
                    _shaded((235, 190, 150), shade))  # fmt: skip
    canvas.polygon([(x - 17, hip + 4), (x + 17, hip + 4), (x + 14, shoulder), (x - 14, shoulder)], (220, 120, 60), 2)
    canvas.disc(x + 2, shoulder - 20, 17, 19, (240, 200, 165))
    canvas.polygon([(x - 17, shoulder - 24), (x - 4, shoulder - 44), (x + 16, shoulder - 34), (x + 4, shoulder - 28)],
                   (90, 50, 30), 2)  # fmt: skip
    canvas.disc(x + 9, shoulder - 20, 2, 3, INK, 0)


def _shaded(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    r, g, b = (round(c * factor) for c in colour)
    return r, g, b


def _screen(canvas: _Canvas, k: float) -> None:
    canvas.box(0, 0, WIDTH, HEIGHT, (252, 252, 250))
    words = TEXT.split()
    scrolled = 30 * _eased(k / 50) + 400
    for row in range(int(scrolled // 16), int(scrolled // 16) + 23):
        line = " ".join(words[(row * 9 + i) % len(words)] for i in range(9))
        canvas.text(40, row * 16 - scrolled + 26, line, 12, (40, 40, 44))
    angle = k / 45
    _window(canvas, 330 + 50 * math.sin(angle), 120 + 26 * math.cos(angle))
    canvas.box(0, 0, WIDTH, 24, (52, 60, 76))
    canvas.text(10, 4, "File    Edit    View    Help", 13, (235, 235, 240))
    canvas.box(0, 334, WIDTH, 18, (226, 228, 232))
    canvas.text(10, 336, "Page 3 of 12", 11, (70, 70, 76))
    x, y = 378 + 50 * math.sin(angle), 132 + 26 * math.cos(angle)
    canvas.polygon([(x, y), (x, y + 17), (x + 4, y + 13), (x + 7, y + 20), (x + 10, y + 18), (x + 7, y + 12),
                    (x + 12, y + 12)], (255, 255, 255), 1)  # fmt: skip


def _window(canvas: _Canvas, x: float, y: float) -> None:
    canvas.box(x, y, 220, 130, (244, 246, 250), 1)
    canvas.box(x, y, 220, 20, (70, 130, 200), 1)
    canvas.text(x + 8, y + 2, "Frames a second", 12, (255, 255, 255))
    for i, height in enumerate((22, 40, 34, 66, 58, 80, 74)):
        canvas.box(x + 18 + 27 * i, y + 118 - height, 18, height, (240, 160, 60) if i % 2 else (90, 170, 110), 1)


def _eased(position: float) -> float:
    """Steps of one, each with ease in and out."""
    whole = math.floor(position)
    rest = position - whole
    return whole + rest * rest * (3 - 2 * rest)
