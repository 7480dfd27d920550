"""How a training run is shown while it goes: a bar on a terminal, else a line now and then; its warnings at once."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from alanet.cli.screen import Screen
from alanet.text import clock

if TYPE_CHECKING:
    from alanet.training.loop import Progress

__all__ = ["following", "training_line", "warnings_on"]

SECONDS_A_LINE = 20.0  # where there is no terminal; runs are long


@contextmanager
def following(screen: Screen) -> Iterator[Callable[[Progress], None] | None]:
    """Inside it, what is called with the progress of a run shows it: a bar on a terminal, else a line now and then."""
    if screen.quiet:
        yield None
    elif screen.console.is_terminal:
        columns = (TextColumn("  training"), BarColumn(30), TextColumn("{task.fields[line]}", markup=False))
        with Bar(*columns, console=screen.console, transient=True) as bar:
            task = bar.add_task("training", total=1.0, line="")
            yield lambda progress: bar.update(task, completed=progress.fraction, line=training_line(progress))
    else:
        last = -math.inf

        def tell(progress: Progress) -> None:
            nonlocal last
            if time.monotonic() - last >= SECONDS_A_LINE:
                last = time.monotonic()
                screen.console.print(Text(f"  training: {training_line(progress)}"))

        yield tell


def training_line(progress: Progress) -> str:
    """ "12.3 %   step 1,234   loss 0.01234   27.1 clips a second   41:10 left   gain +0.31 dB"."""
    left = f"{clock(progress.left)} left" if math.isfinite(progress.left) else ""
    waiting = f"waits for data {progress.waiting:.0%}" if progress.waiting > 0.05 else ""
    gain = f"gain {progress.scores['gain']:+.2f} dB" if "gain" in progress.scores else ""
    rate = f"{progress.samples_per_second:.1f} clips a second"
    share, loss = f"{100 * progress.fraction:.1f} %", f"loss {progress.loss:.5f}"
    return "   ".join(filter(None, [share, f"step {progress.step:,}", loss, rate, waiting, left, gain]))


@contextmanager
def warnings_on(screen: Screen, verbose: bool) -> Iterator[None]:
    """What the library warns of while it trains (steps skipped, batches replaced) is shown at once."""
    log, handler = logging.getLogger("alanet"), _Rows(screen)
    if not verbose:  # then every line is shown anyway
        log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _Rows(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self.screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self.screen.rows([("warning", record.getMessage())])
