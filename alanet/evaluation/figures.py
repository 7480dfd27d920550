"""The paper's figures for the given methods: strips over time (Figure 4), crops and error maps (Figure 5).

Pictures in and out are h w 3 uint8. An error map shows the absolute difference, mean over the channels, from black
(none) over red and yellow to white (`top` of 255 and more); the colour bar beside it says what is what. Numbers in dB
are of the part that is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from alanet.errors import DataError, OptionError, OutputError
from alanet.evaluation.baselines import Method
from alanet.evaluation.metrics import Picture, psnr
from alanet.evaluation.protocols import Trial
from alanet.files import atomic_write, make_folder

__all__ = [
    "CropBox",
    "Restored",
    "busiest_box",
    "crops",
    "error_map",
    "restore_all",
    "save_animation",
    "save_png",
    "strips",
]

GAP = 4  # pixels between pictures
LINE = 16  # pixels of a line of text
SHOWN = 32  # of 255: the error that is white


@dataclass(frozen=True, slots=True)
class CropBox:
    """A part of a picture, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def of(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Raises OptionError where the box is not inside."""
        height, width = picture.shape[:2]
        inside = min(self.x, self.y) >= 0 and self.x + self.width <= width and self.y + self.height <= height
        if not inside or min(self.width, self.height) < 1:
            crop = f"{self.width}x{self.height} at {self.x},{self.y}"
            raise OptionError(f"a crop of {crop} does not lie in a picture of {width}x{height}; choose one inside")
        return picture[self.y : self.y + self.height, self.x : self.x + self.width]


@dataclass(frozen=True, eq=False)
class Restored:
    """A trial with what each method made of it, for figures."""

    trial: Trial
    by_method: Mapping[str, Sequence[Picture]]  # name -> n pictures


def restore_all(methods: Sequence[Method], trial: Trial) -> Restored:
    """Every method on one trial. Raises what a method raises when it cannot restore the trial's times."""
    return Restored(trial, {method.name: method.restore(trial.inputs, trial.times) for method in methods})


def strips(restored: Restored, times: Sequence[Fraction], box: CropBox | None = None, *, zoom: int = 1) -> Picture:
    """Figure 4: a row a method, between inputs and ground truth; a column a time (`times`: some of the trial's).

    `box`: the part to show, by default all. The row of inputs is empty at times in between.
    """
    trial = restored.trial
    places = [_place(trial, time) for time in times]
    cut = [_part(trial.truth[place], box) for place in places]
    given = [
        _part(trial.inputs[int(time)], box) if time.denominator == 1 else np.full_like(cut[0], 255) for time in times
    ]
    rows = [_row("input", given, [f"time {time}{_blurry(trial, time)}" for time in times], zoom)]
    for name, pictures in restored.by_method.items():
        parts = [_part(pictures[place], box) for place in places]
        rows.append(_row(name, parts, [_decibels(a, b) for a, b in zip(parts, cut, strict=True)], zoom))
    rows.append(_row("ground truth", cut, [""] * len(places), zoom))
    return _stack(rows, axis=0)


def crops(
    restored: Restored,
    time: Fraction,
    box: CropBox | None = None,
    *,
    zoom: int = 2,
    top: int = SHOWN,
    errors: bool = True,
    inputs: bool = True,
) -> Picture:
    """Figure 5: a column a method: the crop (by default where most is moving), under it its error map; a colour bar.

    All columns show exactly `time`, so the input has one for a deblurred frame only. errors: error maps and the colour
    bar. inputs: the column of the input.
    """
    trial, place = restored.trial, _place(restored.trial, time)
    truth = trial.truth[place]
    box = box or busiest_box(trial)
    shown: dict[str, Picture] = {"input": trial.inputs[int(time)]} if inputs and time.denominator == 1 else {}
    shown |= {name: pictures[place] for name, pictures in restored.by_method.items()}
    columns = [_column(name, picture, truth, box, zoom, top if errors else None) for name, picture in shown.items()]
    columns.append(_stack([_text("ground truth", box.width * zoom), _zoomed(box.of(truth), zoom)], axis=0, gap=0))
    if errors:
        columns.append(_colour_bar(columns[0].shape[0], box.height * zoom, top))
    return _stack(columns, axis=1)


def error_map(ours: Picture, truth: Picture, top: int = SHOWN) -> Picture:
    """|ours - truth|, mean over channels, in colours; `top` of 255 and more is white."""
    return _heat(np.abs(ours.astype(np.float32) - truth).mean(2) / top)


def busiest_box(trial: Trial, width: int = 128, height: int = 96) -> CropBox:
    """The part in which the first and the last truth differ most: there is motion to be seen."""
    difference = np.abs(trial.truth[0].astype(np.float64) - trial.truth[-1]).sum(2)
    height, width = min(height, difference.shape[0]), min(width, difference.shape[1])
    total = np.pad(difference.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    return CropBox(int(x), int(y), width, height)


def save_png(path: str | Path, picture: Picture, *, overwrite: bool = False) -> Path:
    """Write a PNG file atomically. Raises OutputError where it exists (unless `overwrite`) or cannot be written."""
    return _save([picture], path, overwrite, format="PNG")


def save_animation(path: str | Path, pictures: Sequence[Picture], rate: float, *, overwrite: bool = False) -> Path:
    """Write pictures (n of h w 3) as an animated WebP that loops, `rate` a second. Raises OutputError as `save_png`."""
    return _save(pictures, path, overwrite, format="WEBP", duration=round(1000 / rate), quality=85, method=6, loop=0)


def _save(pictures: Sequence[Picture], path: str | Path, overwrite: bool, **options: Any) -> Path:
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; choose another name or say that it may be overwritten")
    make_folder(path.parent)
    first, *others = [Image.fromarray(picture) for picture in pictures]
    more: dict[str, Any] = {"save_all": True, "append_images": others} if others else {}
    with atomic_write(path) as file:
        first.save(file, **options, **more)
    return path


# --- the parts of a figure --------------------------------------------------------------------------------------------


def _place(trial: Trial, time: Fraction) -> int:
    if time not in trial.times:
        step = trial.times[1] - trial.times[0]
        raise DataError(f"time {time} was not restored; choose one from 0 to {trial.times[-1]} in steps of {step}")
    return trial.times.index(time)


def _blurry(trial: Trial, time: Fraction) -> str:
    return "" if time.denominator > 1 else ", blurry" if trial.blurred[int(time)] else ", sharp"


def _part(picture: Picture, box: CropBox | None) -> Picture:
    return picture if box is None else box.of(picture)


def _decibels(ours: Picture, truth: Picture) -> str:
    return "exact" if np.array_equal(ours, truth) else f"{psnr(ours, truth):.2f} dB"


def _row(name: str, pictures: Sequence[Picture], captions: Sequence[str], zoom: int) -> Picture:
    cells = [_text(name, 90)]
    for picture, caption in zip(pictures, captions, strict=True):
        shown = _zoomed(picture, zoom)
        cells.append(_stack([_text(caption, shown.shape[1]), shown], axis=0, gap=0))
    return _stack(cells, axis=1)


def _column(name: str, picture: Picture, truth: Picture, box: CropBox, zoom: int, top: int | None) -> Picture:
    """A method's crop and its score, and the error map up to `top` unless that is None."""
    part, true_part = box.of(picture), box.of(truth)
    shown = _zoomed(part, zoom)
    title, score = _text(name, shown.shape[1]), _text(_decibels(part, true_part), shown.shape[1])
    maps = [] if top is None else [_zoomed(error_map(part, true_part, top), zoom)]
    return _stack([title, shown, score, *maps], axis=0, gap=0)


def _colour_bar(total: int, length: int, top: int) -> Picture:
    """A bar as long as the error maps beside it, at their height, with its values in 8-bit steps."""
    scale = np.repeat(np.linspace(1, 0, length)[:, None], 14, axis=1)
    canvas = np.full((total, 70, 3), 255, np.uint8)
    canvas[total - length :, :14] = _heat(scale)
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    for part in (0.0, 0.5, 1.0):
        y = total - 1 - part * (length - 1)
        label = f"{top * part:g}" + ("+" if part == 1 else "")
        draw.text((18, min(max(y - 6, total - length), total - 13)), label, fill=(0, 0, 0), font=_font())
    draw.text((0, total - length - LINE), "error of 255", fill=(0, 0, 0), font=_font())
    return np.asarray(image)


def _heat(values: npt.NDArray[np.floating]) -> Picture:
    """0 to 1 -> black, red, yellow, white."""
    ramps = [np.clip(3 * values - k, 0, 1) for k in range(3)]
    return np.asarray(np.rint(np.stack(ramps, axis=-1) * 255), dtype=np.uint8)


def _zoomed(picture: Picture, zoom: int) -> Picture:
    return picture.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _text(text: str, width: int) -> Picture:
    image = Image.new("RGB", (width, LINE), "white")
    ImageDraw.Draw(image).text((2, 1), text, fill=(0, 0, 0), font=_font())
    return np.asarray(image)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=11)


def _stack(pictures: Sequence[Picture], axis: int, gap: int = GAP) -> Picture:
    """One after the other on white, `gap` pixels apart; the shorter ones are filled up with white."""
    across = 1 - axis
    most = max(picture.shape[across] for picture in pictures)
    parts = []
    for index, picture in enumerate(pictures):
        margins = [(0, 0), (0, 0), (0, 0)]
        margins[across] = (0, most - picture.shape[across])
        margins[axis] = (gap if index else 0, 0)
        parts.append(np.pad(picture, margins, constant_values=255))
    return np.concatenate(parts, axis=axis)
