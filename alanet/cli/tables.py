"""`alanet evaluate table2 | table3 | ablation | strips | crops`: tables and figures as the paper's, of what is at hand.

A table can also be made from what an evaluation wrote before: give its .json in place of videos.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from alanet.cli.evaluation_options import EvaluationOptions, Overwrite
from alanet.cli.measure import Material, Measuring, Videos, parse_time
from alanet.cli.methods import Methods
from alanet.cli.options import Verbosity
from alanet.cli.screen import Screen
from alanet.errors import DataError, OptionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alanet.evaluation.baselines import Method
    from alanet.evaluation.figures import CropBox, Restored
    from alanet.evaluation.footage import Footage
    from alanet.evaluation.result import Result
    from alanet.model.network import Network
    from alanet.notes import Notes

__all__ = ["ablation", "crops", "strips", "table2", "table3"]

ROWS = {"self": "only self", "cross": "only cross", "both": "both"}  # of Table 3
RUN = ", run "  # between a row's name and the number of a run
AROUND = 2  # inputs restored on each side of what a figure shows

Picture = Annotated[Path, Parameter(name=["--output", "-o"], metavar="FILE.png", help="The picture to write.")]
Part = Annotated[str | None, Parameter(metavar="X,Y,WxH", help="The part to show, in pixels of the scored size.")]
Zoom = Annotated[int, Parameter(metavar="N", help="Enlarge so many times.")]


def table2(*videos: Videos, options: EvaluationOptions = EvaluationOptions()) -> int:
    """Table 2: all methods at hand, and what others have published, marked as quoted."""
    from alanet.evaluation.report import table2 as make

    results = _stored(videos)
    if results is None:
        results = options.results(videos, options.methods.all)
    pages = [(f"Table 2, {one.protocol}", _page(make(one), one)) for one in results]
    return _written(pages, results, options)


def table3(*videos: Videos, options: EvaluationOptions = EvaluationOptions()) -> int:
    """Table 3: the ablation, mean ± spread over runs. Every --model is a run; its weights say what attention it has."""
    from alanet.evaluation.report import table3 as make

    results = _stored(videos)
    if results is None:
        options.measuring.one_protocol("Table 3")
        results = options.results(videos, partial(_runs, options.methods, _attention, "Table 3"))
    table = make(_runs_of(results, tuple(ROWS.values())))
    pages = [(f"Table 3, {results[0].protocol}", _page(table, results[0]))]
    return _written(pages, results, options)


def ablation(*videos: Videos, options: EvaluationOptions = EvaluationOptions()) -> int:
    """What each part of a network gives and costs. The first --model is the whole; others: what differs."""
    from alanet.evaluation.report import ablation as make
    from alanet.model.cost import count_parameters

    options.measuring.one_protocol("an ablation")
    costs: dict[str, tuple[int, float]] = {}

    def name(model: Network, whole: Network) -> str:
        label = _difference(model, whole)
        costs[label] = count_parameters(model), model.cost().output
        return label

    results = options.results(videos, partial(_runs, options.methods, name, "an ablation"))
    pages = [(f"Ablation, {results[0].protocol}", _page(make(_runs_of(results), costs), results[0]))]
    return _written(pages, results, options)


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
    verbosity: Verbosity = Verbosity(),
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
    return _save(draw(shown, times, part, zoom=zoom), output, overwrite, verbosity)


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
    verbosity: Verbosity = Verbosity(),
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
    return _save(draw(shown, at - start, part, zoom=zoom), output, overwrite, verbosity)


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


def _written(pages: Sequence[tuple[str, str]], results: list[Result], options: EvaluationOptions) -> int:
    """`pages`: what each is headed by in a report, and its Markdown."""
    head = "".join(f"# {title}\n\n{text}\n" for title, text in pages)
    return options.report.write(results, "\n".join(text for _, text in pages), options.verbosity, head=head)


def _page(table: str, result: Result) -> str:
    from alanet.evaluation.provenance import foot

    return f"{table}\n\n{foot(result)}\n"


def _runs(methods: Methods, name: Callable[[Network, Network], str], what: str) -> list[Method]:
    """The models as "NAME, run 1" ..., by what `name` says of one beside the first; before them the baselines."""
    from alanet.evaluation.evaluate import of_restorer

    networks = methods.networks()
    named: list[Method] = []
    for _, restorer, digest in networks:
        row = name(restorer.model, networks[0][1].model)
        number = 1 + sum(method.name.startswith(f"{row}{RUN}") for method in named)
        named.append(of_restorer(restorer, f"{row}{RUN}{number}", weights=digest))
    if not named:
        raise OptionError(f"no run for {what}; give --model for each of them")
    return [*(method for method in methods.others() if method.name != "minterpolate"), *named]


def _attention(model: Network, _: object) -> str:
    attention = getattr(model.config, "attention", None)
    if attention not in ROWS:
        raise OptionError(f"Table 3 compares runs of the paper's network; leave {type(model).__name__} out")
    return ROWS[attention]


def _difference(model: Network, whole: Network) -> str:
    """ "whole", or what differs from it: "still = False"."""
    if type(model) is not type(whole):
        return f"{type(model).__name__}, {', '.join(f'{k} = {v}' for k, v in _unusual(model.config))}".rstrip(", ")
    theirs = asdict(whole.config)
    changes = {key: value for key, value in asdict(model.config).items() if value != theirs[key]}
    changes.pop("sharp_above", None)  # chosen after training
    return ", ".join(f"{key} = {value}" for key, value in changes.items()) or "whole"


def _unusual(config: Any) -> list[tuple[str, object]]:
    usual = asdict(type(config)())
    return [(key, value) for key, value in asdict(config).items() if value != usual[key]]


def _runs_of(results: list[Result], rows: tuple[str, ...] = ()) -> dict[str, list[Result]]:
    """Row -> a result a run, `rows` first. Raises DataError for results that cannot stand in one table."""
    measured_on = {(result.description, tuple(one.pixels for one in result.subjects)) for result in results}
    if len(measured_on) > 1:
        raise DataError("the results are of different protocols or videos; Table 3 compares runs on the same")
    runs: dict[str, list[Result]] = {row: [] for row in rows}
    for result in results:
        idle = tuple(score for name in ("copy", "blend") for score in result.of(name))
        for name, digest in result.methods:
            row, sign, _ = name.rpartition(RUN)
            if sign and (not rows or row in runs):
                scores = tuple(replace(score, method="ours") for score in result.of(name))
                runs.setdefault(row, []).append(replace(result, methods=(("ours", digest),), scores=(*scores, *idle)))
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

    path = save_png(output, picture, overwrite=overwrite)
    Screen(quiet=verbosity.quiet).rows([("result", str(path.absolute()))])
    if verbosity.json:
        print(json.dumps({"picture": str(path)}))
    return 0
