"""What training runs were and how far they came, read from their folders: one line a run.

Whoever compares weights needs what they cost: network, data, minutes, clips, device, and what validation said last.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alanet.errors import DataError

__all__ = ["RunSummary", "runs_table", "summarize"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run. Gains in dB are those of the best validation: over the input, and over the mean of both neighbours."""

    name: str
    network: str
    data: str
    minutes: float
    steps: int
    clips: int
    rate: float  # clips a second
    waiting: float  # share of the time
    deblurred: float | None
    interpolated: float | None


def summarize(folder: Path, *, skip: int = 0) -> RunSummary:
    """Read `config.json` and `metrics.jsonl` of a run; rate and waiting are means over its lines but the first `skip`.

    Raises DataError where they are missing or broken.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines() if line]
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} is no folder of a training run ({error}); give what alanet train -o wrote") from None
    steps = [line for line in lines if "samples" in line]
    if len(steps) <= skip:
        raise DataError(f"{folder}: the run has not written a line of metrics.jsonl yet; let it go on")
    checks = [line for line in lines if "validation/gain" in line]
    best: Mapping[str, Any] = max(checks, key=lambda line: line["validation/gain"], default={})
    return RunSummary(
        folder.name,
        _network(config),
        _data(config),
        minutes=steps[-1]["minutes"],
        steps=steps[-1]["step"],
        clips=steps[-1]["samples"],
        rate=statistics.fmean(line["samples_per_second"] for line in steps[skip:]),
        waiting=statistics.fmean(line["waiting"] for line in steps[skip:]),
        deblurred=best.get("validation/deblurred gain"),
        interpolated=best.get("validation/interpolated gain"),
    )


def _data(config: Mapping[str, Any]) -> str:
    """ "bank", or "bank, filmed" with real video beside it, or "bank, bank-far" of two banks."""
    sources = (config["data"] or config["bank"] or config["stills"], config.get("bank_too"), config.get("beside"))
    return ", ".join(Path(source).name for source in sources if source)


def runs_table(runs: Sequence[RunSummary]) -> str:
    """Markdown, a row a run."""
    head = (
        "run | network | data | minutes | steps | clips | a second | waiting | deblurred, over copy "
        "| in between, over blend"
    )
    rows = [
        f"{run.name} | {run.network} | {run.data} | {run.minutes:.0f} | {run.steps:,} | {run.clips:,} | "
        f"{run.rate:.0f} | {100 * run.waiting:.1f} % | {_gain(run.deblurred)} | {_gain(run.interpolated)}"
        for run in runs
    ]
    lines = [head, " | ".join(["---"] * (head.count("|") + 1)), *rows]
    return "\n".join(f"| {line} |" for line in lines)


def _network(config: Mapping[str, Any]) -> str:
    if config.get("plus"):
        channels = config["plus"]["channels"]
        return f"ALANetPlus, channels {' '.join(map(str, channels))} from 1/{config['plus']['stem']} on"
    model = config["model"]
    return f"ALANet, width {model['width']:g}{', residual' if model['residual'] else ''}, {model['attention']}"


def _gain(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f} dB"
