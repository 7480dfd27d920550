"""What a run writes down about itself, and summaries of several runs.

`metrics.jsonl` gets a line of JSON every `log_steps` steps; TensorBoard too, if installed. A summary is one line
a run: network, data, minutes, clips, and the gains of its best validation.
"""

from __future__ import annotations

import json
import logging
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from alanet.errors import DataError, OutputError
from alanet.evaluation import plots
from alanet.files import write_whole

__all__ = ["Journal", "RunSummary", "Sums", "read_metrics", "runs_table", "summarize"]

log = logging.getLogger("alanet")

STEP_LINE = ("step", "samples", "minutes", "samples_per_second", "waiting")  # in every line about steps


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl that are whole; a damaged line (cut by a crash, bytes that are no text) is left
    out."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict) and _is_number(values.get("step")):
            found.append(values)
    return found


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


class Journal:
    """`FOLDER/metrics.jsonl`, one object a line with "step", and TensorBoard's files in `FOLDER/tensorboard`.

    Lines after `step` (written after the checkpoint that a run resumes from) and damaged lines are dropped.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        self.path = folder / "metrics.jsonl"
        if self.path.exists():
            kept = [json.dumps(line) for line in read_metrics(self.path) if line["step"] <= step]
            write_whole(self.path, "".join(f"{line}\n" for line in kept).encode())
        self.board = _tensorboard(folder / "tensorboard", step)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """One line; numbers also go to TensorBoard under their names."""
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise OutputError(f"{self.path} could not be written ({error.strerror}); make room, then resume") from error
        if self.board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self.board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: Tensor) -> None:
        """An image panel, `c h w` in [0, 1], for TensorBoard."""
        if self.board is not None:
            self.board.add_image(name, image.float().clamp(0, 1).cpu(), step)

    def draw(self) -> None:
        """Write `curves.png` beside the metrics: loss, learning rate and validation. Nothing without matplotlib."""
        if plots.available() and self.path.exists():
            plots.save(plots.training_curves(read_metrics(self.path)), self.path.with_name("curves.png"))

    def close(self) -> None:
        """Flush everything."""
        if self.board is not None:
            self.board.close()


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info("TensorBoard is not installed: metrics go to metrics.jsonl only")
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


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
        network, data = _network(config), _data(config)
        lines = read_metrics(folder / "metrics.jsonl")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(
            f"{folder} is no folder of a training run ({reason}); give what alanet train -o wrote"
        ) from None
    steps = [line for line in lines if all(_is_number(line.get(name)) for name in STEP_LINE)]
    if len(steps) <= skip:
        raise DataError(f"{folder}: the run has not written a line of metrics.jsonl yet; let it continue")
    checks = [line for line in lines if _is_number(line.get("validation/gain"))]
    best: Mapping[str, Any] = max(checks, key=lambda line: line["validation/gain"], default={})
    return RunSummary(
        folder.name,
        network,
        data,
        minutes=steps[-1]["minutes"],
        steps=steps[-1]["step"],
        clips=steps[-1]["samples"],
        rate=statistics.fmean(line["samples_per_second"] for line in steps[skip:]),
        waiting=statistics.fmean(line["waiting"] for line in steps[skip:]),
        deblurred=best.get("validation/deblurred gain"),
        interpolated=best.get("validation/interpolated gain"),
    )


def _data(config: Mapping[str, Any]) -> str:
    """ "scenes", or "scenes, filmed" with extra data, or "scenes, scenes-far" with a second dataset."""
    sources = (config["dataset"] or config["photographs"], config["second_dataset"], config["extra_data"])
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
    """The class and the values of its config that say how large it is."""
    model = config["model"]
    size = [f"{name} {_plain(model[name])}" for name in ("width", "channels", "stem") if name in model]
    return ", ".join([config["network"], *size, *(name for name in ("residual",) if model.get(name)),
                      *([model["attention"]] if "attention" in model else [])])  # fmt: skip


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value:g}"


def _gain(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f} dB"


class Sums:
    """Sums since the last line of the journal: samples, losses and seconds."""

    def __init__(self, used: float) -> None:
        self.began, self.samples, self.waited, self.losses = used, 0, 0.0, 0.0
        self.steps = 0

    def add(self, loss: float | None, samples: int, waited: float) -> None:
        self.samples += samples
        self.waited += waited
        if loss is not None:
            self.losses += loss
            self.steps += 1

    @property
    def loss(self) -> float:
        return self.losses / self.steps if self.steps else math.nan

    def rate(self, used: float) -> tuple[float, float]:
        """Samples a second, and the share of time spent waiting for data."""
        span = max(used - self.began, 1e-9)
        return self.samples / span, min(self.waited / span, 1.0)
