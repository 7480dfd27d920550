"""`alanet evaluate`: scores by named protocols, and the paper's tables and figures (`tables.py`)."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App

from alanet.cli.evaluation_options import EvaluationOptions
from alanet.cli.figures import animation, crops, strips
from alanet.cli.measure import Videos
from alanet.cli.motion import motion
from alanet.cli.options import flag
from alanet.cli.sharpness import sharpness
from alanet.cli.tables import ablation, table2, table3

__all__ = ["evaluate"]

evaluate = App(
    name="evaluate",
    help="Score networks and baselines on sharp high-rate video or scenes.",
    usage="Usage: alanet evaluate [table2|table3|ablation|strips|crops|animation|sharpness|motion] VIDEO... [OPTIONS]",
    sort_key=12,
    result_action="return_value",
)
for verb in (table2, table3, ablation, strips, crops, animation, sharpness, motion):
    evaluate.command(verb)


@evaluate.default
def run_evaluation(
    *videos: Videos,
    options: EvaluationOptions = EvaluationOptions(),
    brief: Annotated[bool, flag(["--brief"], "Only the tables that have all protocols side by side.")] = False,
) -> int:
    """Score networks and baselines on sharp high-rate video or scenes."""
    from alanet.evaluation.report import as_markdown

    results = options.results(videos, options.methods.all)
    return options.report.write(results, as_markdown(results, brief=brief), options.verbosity)
