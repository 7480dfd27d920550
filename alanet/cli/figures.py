"""`alanet evaluate strips | crops | animation`: pictures of what each method makes of a video (Figures 4 and 5)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from alanet.cli.evaluation_options import Overwrite
from alanet.cli.measure import Material, Measuring, Videos, parse_time
from alanet.cli.methods import Methods
from alanet.cli.options import Verbosity
from alanet.cli.screen import Screen
from alanet.errors import DataError, OptionError

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np
    import numpy.typing as npt

    from alanet.evaluation.figures import CropBox, Restored
    from alanet.evaluation.footage import Footage
    from alanet.notes import Notes

__all__ = ["animation", "crops", "strips"]

AROUND = 2  # inputs restored on each side of what a figure shows

Picture = Annotated[Path, Parameter(name=["--output", "-o"], metavar="FILE.png", help="Output path.")]
Part = Annotated[str | None, Parameter(metavar="X,Y,WxH", help="The part to show, in pixels of the scored size.")]
Zoom = Annotated[int, Parameter(metavar="N", help="Enlargement factor.")]
First = Annotated[int, Parameter(metavar="N", help="The first input shown, from 0.")]
Inputs = Annotated[int, Parameter(metavar="N", help="Number of inputs; frames in between are shown too.")]


def strips(
    *videos: Videos,
    output: Picture,
    first: First = 0,
    inputs: Inputs = 3,
    box: Part = None,
    zoom: Zoom = 1,
    material: Material = Material(),
    methods: Methods = Methods(),
    measuring: Measuring = Measuring(),
    overwrite: Overwrite = False,
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Figure 4: a row per method, a column per time."""
    from alanet.evaluation.figures import strips as draw

    part = _box(box)
    shown, times = _stretch(videos, output, (first, inputs), material, methods, measuring, overwrite)
    return _save(draw(shown, times, part, zoom=zoom), output, overwrite, verbosity)


def crops(
    *videos: Videos,
    output: Picture,
    time: Annotated[
        str, Parameter(metavar="T", help="Frame periods from the first input: 2 is deblurred, 5/2 in between.")
    ] = ("5/2"),
    box: Part = None,
    zoom: Zoom = 2,
    errors: Annotated[
        bool, Parameter(["--errors"], negative="--no-errors", help="Error maps below the pictures and a colour bar.")
    ] = True,
    material: Material = Material(),
    methods: Methods = Methods(),
    measuring: Measuring = Measuring(),
    overwrite: Overwrite = False,
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Figure 5: a part of one restored frame by each method, with error maps and a colour bar."""
    from alanet.evaluation.figures import crops as draw

    at, part = parse_time(time), _box(box)
    if at < 0:
        raise OptionError(f"time {time} is before the first input; allowed: 0 or more")
    span = (int(at // 1), int(-(-at // 1)))
    _refuse_existing(output, overwrite)
    material.check(videos)
    shown, start = _restored(partial(material.footage, videos), methods, measuring, span)
    return _save(draw(shown, at - start, part, zoom=zoom, errors=errors), output, overwrite, verbosity)


def animation(
    *videos: Videos,
    output: Annotated[Path, Parameter(name=["--output", "-o"], metavar="FILE.webp", help="Output path.")],
    first: First = 0,
    inputs: Inputs = 3,
    rate: Annotated[float, Parameter(metavar="N", help="Pictures shown a second.")] = 8.0,
    box: Part = None,
    zoom: Zoom = 2,
    material: Material = Material(),
    methods: Methods = Methods(),
    measuring: Measuring = Measuring(),
    overwrite: Overwrite = False,
    verbosity: Verbosity = Verbosity(),
) -> int:
    """A looping animation: a part of the frames by each method and the ground truth, side by side at one time."""
    from alanet.evaluation.figures import busiest_box, save_animation
    from alanet.evaluation.figures import crops as draw

    if output.suffix.lower() != ".webp" or not 0 < rate <= 100:
        raise OptionError(f"{output} at {rate:g} pictures a second; allowed: a name ending in .webp, 0 to 100")
    part = _box(box)
    shown, times = _stretch(videos, output, (first, inputs), material, methods, measuring, overwrite)
    part = part or busiest_box(shown.trial)
    pictures = [draw(shown, time, part, zoom=zoom, errors=False, inputs=False) for time in times]
    return _report(save_animation(output, pictures, rate, overwrite=overwrite), verbosity)


def _restored(
    footage: Callable[[Notes], Iterator[Footage]], methods: Methods, measuring: Measuring, span: tuple[int, int]
) -> tuple[Restored, int]:
    """Inputs `span` (first, last) of the first video and some around them, restored; and the first of them all."""
    from alanet.evaluation.figures import restore_all
    from alanet.evaluation.protocols import trials
    from alanet.notes import Notes

    protocol = measuring.one_protocol("a figure")
    exposure, video = protocol.exposure, next(footage(Notes()))
    there = exposure.available(len(video.frames))
    first, last = max(0, span[0] - AROUND), min(there, span[1] + AROUND + 1)
    if span[1] >= there:
        raise DataError(f"{video.subject.name} gives {there} inputs, counted from 0; there is no input {span[1]}")
    begin = first * exposure.period
    sharp = video.frames[begin : begin + exposure.needed(last - first)]
    trial = next(trials(video.subject.name, sharp, replace(protocol, part=max(2, last - first))))
    return restore_all(methods.all(), trial), first


def _stretch(
    videos: tuple[Path, ...],
    output: Path,
    stretch: tuple[int, int],
    material: Material,
    methods: Methods,
    measuring: Measuring,
    overwrite: bool,
) -> tuple[Restored, list[Fraction]]:
    """What is restored around `stretch`, the first input and the number of inputs; and its times that are shown."""
    first, inputs = stretch
    if inputs < 1 or first < 0:
        raise OptionError(f"{inputs} inputs from {first} on; allowed: 1 or more, from 0 on")
    _refuse_existing(output, overwrite)
    material.check(videos)
    shown, start = _restored(partial(material.footage, videos), methods, measuring, (first, first + inputs - 1))
    return shown, [time for time in shown.trial.times if first <= time + start <= first + inputs - 1]


def _refuse_existing(path: Path, overwrite: bool) -> None:
    from alanet.errors import OutputError

    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; --overwrite replaces it")


def _box(text: str | None) -> CropBox | None:
    from alanet.evaluation.figures import CropBox

    if text is None:
        return None
    found = re.fullmatch(r"(\d+),(\d+),(\d+)x(\d+)", text.replace(" ", ""))
    if found is None:
        raise OptionError(f"--box {text}: give X,Y,WxH in pixels, such as 100,60,128x96")
    return CropBox(*map(int, found.groups()))


def _save(picture: npt.NDArray[np.uint8], output: Path, overwrite: bool, verbosity: Verbosity) -> int:
    from alanet.evaluation.figures import save_png

    return _report(save_png(output, picture, overwrite=overwrite), verbosity)


def _report(path: Path, verbosity: Verbosity) -> int:
    """Name the written picture."""
    Screen(quiet=verbosity.quiet).rows([("result", str(path.absolute()))])
    if verbosity.json:
        print(json.dumps({"picture": str(path)}))
    return 0
