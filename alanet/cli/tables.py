"""`alanet evaluate table2 | table3 | ablation`: the tables of the paper for the given methods.

A table can also be made from what an evaluation wrote before: give its .json in place of videos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alanet.cli.evaluation_options import EvaluationOptions
from alanet.cli.measure import Videos
from alanet.cli.methods import Methods
from alanet.errors import DataError, OptionError

if TYPE_CHECKING:
    from alanet.evaluation.baselines import Method
    from alanet.evaluation.result import Result
    from alanet.model.network import Network

__all__ = ["ablation", "table2", "table3"]

ROWS = {"self": "only self", "cross": "only cross", "both": "both"}  # of Table 3
RUN = ", run "  # between a row's name and the number of a run


def table2(*videos: Videos, options: EvaluationOptions = EvaluationOptions()) -> int:
    """Table 2: the given methods, and published results marked as quoted."""
    from alanet.evaluation.report import table2 as make

    results = _stored(videos)
    if results is None:
        results = options.results(videos, options.methods.all)
    pages = [(f"Table 2, {one.protocol}", _page(make(one), one)) for one in results]
    return _written(pages, results, options)


def table3(*videos: Videos, options: EvaluationOptions = EvaluationOptions()) -> int:
    """Table 3: mean ± spread over runs for each kind of attention. Each --model is a run."""
    from alanet.evaluation.report import table3 as make

    results = _stored(videos)
    if results is None:
        options.measuring.one_protocol("Table 3")
        results = options.results(videos, partial(_runs, options.methods, _attention, "Table 3"))
    table = make(_runs_of(results, tuple(ROWS.values())))
    pages = [(f"Table 3, {results[0].protocol}", _page(table, results[0]))]
    return _written(pages, results, options)


def ablation(*videos: Videos, options: EvaluationOptions = EvaluationOptions()) -> int:
    """Gain and cost of each part of a network. The first --model is the complete one."""
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
