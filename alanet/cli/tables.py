"""`alanet evaluate table2 | table3 | strips | crops`: the paper's tables and figures, of the methods at hand.

A table can also be made from what an evaluation wrote before: give its .json in place of videos.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from alanet.cli.measure import Material, Measuring, Methods, Videos, measured, parse_time, print_text
from alanet.cli.options import Telling, flag
from alanet.cli.pages import Into, put_into
from alanet.cli.screen import Screen
from alanet.errors import DataError, OptionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alanet.evaluation.baselines import Method
    from alanet.evaluation.figures import Box, Restored
    from alanet.evaluation.footage import Footage
    from alanet.evaluation.result import Result
    from alanet.notes import Notes

__all__ = ["crops", "strips", "table2", "table3"]

ROWS = {"self": "only self", "cross": "only cross", "both": "both"}  # of Table 3
AROUND = 2  # inputs restored on each side of what a figure shows

Base = Annotated[
    Path | None, Parameter(name=["--output", "-o"], metavar="BASE", help="Write BASE.md, BASE.csv and BASE.json too.")
]
Picture = Annotated[Path, Parameter(name=["--output", "-o"], metavar="FILE.png", help="The picture to write.")]
Overwrite = Annotated[bool, flag(["--overwrite"], "Replace an existing result.")]
Part = Annotated[str | None, Parameter(metavar="X,Y,WxH", help="The part to show, in pixels of the scored size.")]
Zoom = Annotated[int, Parameter(metavar="N", help="Enlarge so many times.")]


def table2(
    *videos: Videos,
    material: Material = Material(),
    methods: Methods = Methods(),
    measuring: Measuring = Measuring(),
    output: Base = None,
    overwrite: Overwrite = False,
    into: Into = None,
    telling: Telling = Telling(),
) -> int:
    """Table 2: all methods at hand, and what others have published, marked as quoted."""
    from alanet.evaluation.report import table2 as make

    screen = Screen(quiet=telling.quiet)
    results = _stored(videos)
    if results is None:
        _refuse_early(videos, material, measuring, output, overwrite, into)
        results = measured(partial(material.footage, videos), methods.all(), measuring, methods.machine(), screen)
    _tell(results, "\n".join(_page(make(result), result) for result in results), telling)
    put_into(into, "\n\n".join(_page(make(result), result) for result in results))
    head = "".join(f"# Table 2, {result.protocol}\n\n{make(result)}\n\n" for result in results)
    _write(results, head, output, overwrite, screen)
    return 0


def table3(
    *videos: Videos,
    material: Material = Material(),
    methods: Methods = Methods(),
    measuring: Measuring = Measuring(),
    output: Base = None,
    overwrite: Overwrite = False,
    into: Into = None,
    telling: Telling = Telling(),
) -> int:
    """Table 3: the ablation, mean ± spread over runs. Every --model is a run; its weights say what attention it has."""
    from alanet.evaluation.report import table3 as make

    screen = Screen(quiet=telling.quiet)
    results = _stored(videos)
    if results is None:
        _refuse_early(videos, material, measuring, output, overwrite, into)
        if len(measuring.protocols()) > 1:
            raise OptionError("Table 3 is of one protocol; give one --protocol")
        results = measured(partial(material.footage, videos), _ablation(methods), measuring, methods.machine(), screen)
    table = make(_runs_of(results))
    _tell(results, _page(table, results[0]), telling)
    put_into(into, _page(table, results[0]))
    _write(results, f"# Table 3, {results[0].protocol}\n\n{table}\n\n", output, overwrite, screen)
    return 0


def strips(
    *videos: Videos,
    output: Picture,
    first: Annotated[int, Parameter(metavar="N", help="The first input shown, from 0.")] = 0,
    inputs: Annotated[int, Parameter(metavar="N", help="How many inputs, and what lies between them.")] = 3,
    box: Part = None,
    zoom: Zoom = 1,
    material: Material = Material(),
    methods: Methods = Methods(),
    measuring: Measuring = Measuring(),
    overwrite: Overwrite = False,
    telling: Telling = Telling(),
) -> int:
    """Figure 4: what each method makes of a stretch of time, a row a method, a column a time."""
    from alanet.evaluation.figures import strips as draw

    if inputs < 1 or first < 0:
        raise OptionError(f"{inputs} inputs from {first} on; allowed: 1 or more, from 0 on")
    part = _box(box)
    _refuse_existing(output, overwrite)
    material.check(videos)
    shown, start = _restored(partial(material.footage, videos), methods, measuring, (first, first + inputs - 1))
    times = [time for time in shown.trial.times if first <= time + start <= first + inputs - 1]
    return _save(draw(shown, times, part, zoom=zoom), output, overwrite, telling)


def crops(
    *videos: Videos,
    output: Picture,
    time: Annotated[str, Parameter(metavar="T", help="In periods from the first input; 2 deblurred, 5/2 between.")] = (
        "5/2"
    ),
    box: Part = None,
    zoom: Zoom = 2,
    material: Material = Material(),
    methods: Methods = Methods(),
    measuring: Measuring = Measuring(),
    overwrite: Overwrite = False,
    telling: Telling = Telling(),
) -> int:
    """Figure 5: a part of one restored frame by each method, its error map under it, and a colour bar."""
    from alanet.evaluation.figures import crops as draw

    at, part = parse_time(time), _box(box)
    if at < 0:
        raise OptionError(f"time {time} is before the first input; allowed: 0 or more")
    span = (int(at // 1), int(-(-at // 1)))
    _refuse_existing(output, overwrite)
    material.check(videos)
    shown, start = _restored(partial(material.footage, videos), methods, measuring, span)
    return _save(draw(shown, at - start, part, zoom=zoom), output, overwrite, telling)


# --- tables -----------------------------------------------------------------------------------------------------------


def _stored(videos: tuple[Path, ...]) -> list[Result] | None:
    """The results in .json files; None for videos."""
    from alanet.evaluation.result import load_results

    stored = [path.suffix == ".json" for path in videos]
    if not any(stored):
        return None
    if not all(stored):
        raise OptionError("videos and results (.json) together; give one or the other")
    return [result for path in videos for result in load_results(path)]


def _refuse_early(
    videos: tuple[Path, ...],
    material: Material,
    measuring: Measuring,
    output: Path | None,
    overwrite: bool,
    into: str | None,
) -> None:
    """What can be refused before hours of work."""
    from alanet.evaluation.page import parse_section
    from alanet.evaluation.report import report_paths

    material.check(videos)
    measuring.protocols()
    if output is not None:
        report_paths(output, overwrite=overwrite)
    if into is not None:
        parse_section(into)


def _page(table: str, result: Result) -> str:
    from alanet.evaluation.report import foot

    return f"{table}\n\n{foot(result)}\n"


def _tell(results: list[Result], text: str, telling: Telling) -> None:
    from alanet.evaluation.result import to_json

    if telling.json:
        sys.stdout.write(to_json(results))
    else:
        print_text(text)


def _write(results: list[Result], head: str, output: Path | None, overwrite: bool, screen: Screen) -> None:
    from alanet.evaluation.report import write_report

    if output is not None:
        paths = write_report(results, output, head=head, overwrite=overwrite)
        screen.rows([("result", str(path.absolute())) for path in paths])


def _ablation(methods: Methods) -> list[Method]:
    """The models under the names "only self, run 1" ..., by the attention that their weights state."""
    from alanet.evaluation.evaluate import of_restorer
    from alanet.model.alanet import ALANetConfig

    named: list[Method] = []
    for _, restorer, digest in methods.networks():
        config = restorer.model.config
        if not isinstance(config, ALANetConfig):
            raise OptionError("Table 3 compares runs of the paper's network; leave ALANetPlus out")
        row = ROWS[config.attention]
        number = 1 + sum(method.name.startswith(f"{row}, ") for method in named)
        named.append(of_restorer(restorer, f"{row}, run {number}", weights=digest))
    if not named:
        raise OptionError("no run for Table 3; give --model for each of them")
    return [*(method for method in methods.others() if method.name != "minterpolate"), *named]


def _runs_of(results: list[Result]) -> dict[str, list[Result]]:
    """Row -> a result a run. Raises DataError for results that cannot stand in one table."""
    measured_on = {(result.description, tuple(one.pixels for one in result.subjects)) for result in results}
    if len(measured_on) > 1:
        raise DataError("the results are of different protocols or videos; Table 3 compares runs on the same")
    runs: dict[str, list[Result]] = {row: [] for row in ROWS.values()}
    for result in results:
        for name, digest in result.methods:
            row, sign, _ = name.partition(", run ")
            if sign and row in runs:
                scores = tuple(replace(score, method="ours") for score in result.of(name))
                runs[row].append(replace(result, methods=(("ours", digest),), scores=scores))
    if not any(runs.values()):
        raise DataError("the results hold no runs of an ablation; give what alanet evaluate table3 -o BASE wrote")
    return runs


# --- figures ----------------------------------------------------------------------------------------------------------


def _restored(
    footage: Callable[[Notes], Iterator[Footage]], methods: Methods, measuring: Measuring, span: tuple[int, int]
) -> tuple[Restored, int]:
    """Inputs `span` (first, last) of the first video and some around them, restored; and the first of them all."""
    from alanet.evaluation.figures import restore_all
    from alanet.evaluation.protocols import trials
    from alanet.notes import Notes

    protocols = measuring.protocols()
    if len(protocols) > 1:
        raise OptionError("a figure is of one protocol; give one --protocol, and not sweep")
    exposure, video = protocols[0].exposure, next(footage(Notes()))
    there = exposure.available(len(video.frames))
    first, last = max(0, span[0] - AROUND), min(there, span[1] + AROUND + 1)
    if span[1] >= there:
        raise DataError(f"{video.subject.name} gives {there} inputs, counted from 0; there is no input {span[1]}")
    begin = first * exposure.period
    sharp = video.frames[begin : begin + exposure.needed(last - first)]
    trial = next(trials(video.subject.name, sharp, replace(protocols[0], part=max(2, last - first))))
    return restore_all(methods.all(), trial), first


def _refuse_existing(path: Path, overwrite: bool) -> None:
    from alanet.errors import OutputError

    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; --overwrite replaces it")


def _box(text: str | None) -> Box | None:
    from alanet.evaluation.figures import Box

    if text is None:
        return None
    found = re.fullmatch(r"(\d+),(\d+),(\d+)x(\d+)", text.replace(" ", ""))
    if found is None:
        raise OptionError(f"--box {text}: give X,Y,WxH in pixels, such as 100,60,128x96")
    return Box(*map(int, found.groups()))


def _save(picture: npt.NDArray[np.uint8], output: Path, overwrite: bool, telling: Telling) -> int:
    from alanet.evaluation.figures import save_png

    path = save_png(output, picture, overwrite=overwrite)
    Screen(quiet=telling.quiet).rows([("result", str(path.absolute()))])
    if telling.json:
        print(json.dumps({"picture": str(path)}))
    return 0
