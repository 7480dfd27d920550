"""Options shared by `alanet evaluate` and its tables, and where results go: terminal, files, a section of a page."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from alanet.cli.measure import Material, Measuring, Videos, measured, print_text
from alanet.cli.methods import Methods
from alanet.cli.options import Verbosity, flag
from alanet.cli.pages import Into, put_into
from alanet.cli.screen import Screen
from alanet.errors import OptionError

if TYPE_CHECKING:
    from alanet.evaluation.baselines import Method
    from alanet.evaluation.result import Result

__all__ = ["EvaluationOptions", "Overwrite", "ResultFiles"]

Base = Annotated[
    Path | None, Parameter(name=["--output", "-o"], metavar="BASE", help="Also write BASE.md, BASE.csv and BASE.json.")
]
Overwrite = Annotated[bool, flag(["--overwrite"], "Replace an existing result.")]


@Parameter(name="*")
@dataclass(frozen=True)
class ResultFiles:
    """Where results go beside the terminal."""

    output: Base = None
    overwrite: Overwrite = False
    into: Into = None
    plots: Annotated[
        bool, flag(["--plots"], "Draw BASE-time.png, -frame.png, -extent.png and -cost.png. Needs the extra plots.")
    ] = False

    def check(self) -> None:
        """What can be refused before hours of work."""
        from alanet.evaluation.page import parse_section
        from alanet.evaluation.report import report_paths

        if self.plots:
            from alanet.evaluation.plots import check_available

            check_available()
            if self.output is None:
                raise OptionError("--plots needs a name for its files; give -o BASE")
        written = {} if self.output is None else report_paths(self.output, overwrite=self.overwrite)
        page = None if self.into is None else parse_section(self.into)[0]
        if page is not None and page.absolute() in {path.absolute() for path in written.values()}:
            raise OptionError(f"-o {self.output} and --into {self.into} write the same file; choose another name")

    def write(self, results: list[Result], text: str, verbosity: Verbosity, *, head: str = "") -> int:
        """`text`: Markdown for the terminal and the section, in which it stands a heading lower; `head`: what comes
        before the results in the file."""
        from alanet.evaluation.report import write_report
        from alanet.evaluation.result import to_json

        if verbosity.json:
            sys.stdout.write(to_json(results))
        else:
            print_text(text)
        put_into(self.into, re.sub("^## ", "### ", text, flags=re.MULTILINE))
        if self.output is not None:
            paths = [*write_report(results, self.output, head=head, overwrite=self.overwrite)]
            paths += _drawn(results, self.output, self.overwrite) if self.plots else []
            Screen(quiet=verbosity.quiet).rows([("result", str(path.absolute())) for path in paths])
        return 0


def _drawn(results: list[Result], base: Path, overwrite: bool) -> list[Path]:
    """The plots of each result, beside its report."""
    from alanet.evaluation.plots import plots_of, save
    from alanet.model.weights import available_models

    costs = {name: card.gmacs for name, card in available_models().items()}
    paths = []
    for result in results:
        protocol = "" if len(results) == 1 else "-" + re.sub(r"[^a-z0-9]+", "-", result.protocol.lower())
        for what, figure in plots_of(result, costs).items():
            path = base.with_name(f"{base.name}{protocol}-{what}.png")
            paths.append(save(figure, path, overwrite=overwrite))
    return paths


@Parameter(name="*")
@dataclass(frozen=True)
class EvaluationOptions:
    """What is measured, of what, and where the results go."""

    material: Material = field(default_factory=Material)
    methods: Methods = field(default_factory=Methods)
    measuring: Measuring = field(default_factory=Measuring)
    report: ResultFiles = field(default_factory=ResultFiles)
    verbosity: Verbosity = field(default_factory=Verbosity)

    def results(self, videos: tuple[Videos, ...], gather: Callable[[], list[Method]]) -> list[Result]:
        """Everything measured; what can be refused is refused before hours of work. `gather` makes the methods."""
        self.material.check(videos)
        self.measuring.protocols()
        self.report.check()
        screen = Screen(quiet=self.verbosity.quiet)
        footage = partial(self.material.footage, videos)
        return measured(footage, gather(), self.measuring, self.methods.machine(), screen, self.material.number(videos))
