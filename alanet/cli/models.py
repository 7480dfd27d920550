"""`alanet models`: the weights that come with the package."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from alanet.cli.options import Reporting
from alanet.cli.screen import Paper, page
from alanet.text import size

__all__ = ["models"]


def models(*, report: Reporting = Reporting()) -> int:
    """List the networks that come with the package: for what, how large, how good."""
    from alanet.model.weights import available_models

    cards = available_models().values()
    if report.json:
        rows = [{**asdict(card), "path": str(card.path), "bytes": card.path.stat().st_size} for card in cards]
        print(json.dumps({"models": rows}))
        return 0
    console = Paper()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("for", overflow="fold")
    for name in ("parameters", "GMACs", "file"):
        table.add_column(name, justify="right", no_wrap=True)
    for card in cards:
        name = f"{card.name} (default)" if card.default else card.name
        weight = size(card.path.stat().st_size)
        table.add_row(name, card.purpose, f"{card.parameters / 1e6:.1f} M", f"{card.gmacs:.1f}", weight)
    console.print(table)
    for card in cards:
        facts = [("scores", f"{what} {score}") for what, score in card.scores.items()]
        facts += [("sha256", card.sha256), ("license", card.license)]
        console.print(Text(f"\n{card.name}", style="bold"))
        console.print(page(facts, console), soft_wrap=True)
    console.print(
        "\nGMACs: a restored frame at 640x352, x2. Weights of your own: --model PATH.", style="dim", soft_wrap=True
    )
    return 0
