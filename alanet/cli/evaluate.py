"""`alanet evaluate`: scores by named protocols, and the paper's tables and figures (`tables.py`)."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from alanet.cli.measure import Material, Measuring, Methods, Videos, measured, print_text
from alanet.cli.options import Telling, flag
from alanet.cli.pages import Into, put_into
from alanet.cli.screen import Screen
from alanet.cli.sharpness import sharpness
from alanet.cli.tables import ablation, crops, strips, table2, table3

__all__ = ["evaluate"]

evaluate = App(
    name="evaluate",
    help="Score networks, and what they are compared with, on sharp high-rate video or scenes.",
    usage="Usage: alanet evaluate [table2|table3|ablation|strips|crops|sharpness] VIDEO... [OPTIONS]",
    sort_key=12,
    result_action="return_value",
)
for verb in (table2, table3, ablation, strips, crops, sharpness):
    evaluate.command(verb)


@evaluate.default
def run_evaluation(
    *videos: Videos,
    material: Material = Material(),
    methods: Methods = Methods(),
    measuring: Measuring = Measuring(),
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], metavar="BASE", help="Write BASE.md, BASE.csv and BASE.json too."),
    ] = None,
    overwrite: Annotated[bool, flag(["--overwrite"], "Replace an existing report.")] = False,
    into: Into = None,
    telling: Telling = Telling(),
) -> int:
    """Score networks, and what they are compared with, on sharp high-rate video or scenes."""
    from alanet.evaluation.page import parse_section
    from alanet.evaluation.report import as_markdown, report_paths, write_report
    from alanet.evaluation.result import to_json

    screen = Screen(quiet=telling.quiet)
    material.check(videos)
    if output is not None:
        report_paths(output, overwrite=overwrite)  # refused before hours of work, not after
    if into is not None:
        parse_section(into)
    measuring.protocols()
    results = measured(partial(material.footage, videos), methods.all(), measuring, methods.machine(), screen)
    if output is not None:
        paths = write_report(results, output, overwrite=overwrite)
        screen.rows([("result", str(path.absolute())) for path in paths])
    put_into(into, re.sub("^## ", "### ", as_markdown(results), flags=re.MULTILINE))
    if telling.json:
        sys.stdout.write(to_json(results))
    else:
        print_text(as_markdown(results))
    return 0
