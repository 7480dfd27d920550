"""`alanet models`: the weights that come with the package."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from alanet.cli.options import Report
from alanet.cli.show import size

__all__ = ["models"]


def models(*, report: Report = Report()) -> int:
    """List the networks that come with the package: for what, how large, how good."""
    from alanet.model.weights import available_models

    cards = available_models().values()
    if report.json:
        rows = [{**asdict(card), "path": str(card.path), "bytes": card.path.stat().st_size} for card in cards]
        print(json.dumps({"models": rows}))
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, justify in (("name", "left"), ("for", "left"), ("parameters", "right"), ("GMACs a frame", "right")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_column("file", justify="right", no_wrap=True)
    table.add_column("scores", overflow="fold")
    for card in cards:
        name = f"{card.name} (default)" if card.default else card.name
        scores = ", ".join(f"{what} {score}" for what, score in card.scores.items())
        weight = size(card.path.stat().st_size)
        table.add_row(name, card.purpose, f"{card.parameters / 1e6:.1f} M", f"{card.gmacs:.1f}", weight, scores)
    console = Console(highlight=False)
    console.print(table)
    for card in cards:
        console.print(f"\n{card.name}: SHA-256 {card.sha256}, {card.license}", markup=False, soft_wrap=True)
    console.print("\nGMACs: a restored frame at 640x352, x2. A weights file of your own: --model PATH.", style="dim")
    return 0
