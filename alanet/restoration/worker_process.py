"""A worker process of `alanet restore --workers`: tasks come in on standard input, what happens goes out on standard
output, a JSON object a line each. `pool.py` is the other end.

    in    {"setup": ...}   {"task": 0, "item": {...}, "helping": false} ...   and the end of input ends it
    out   {"ready": true}  {"task": 0, "planned": [...]}  {"begun"}  {"progress"}  {"outcome": {...}} ...

A setup that cannot be used is {"refused": message, "kind": class}. When nobody reads any more, the process ends.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO

from alanet.errors import AlanetError
from alanet.restoration.batch import Item
from alanet.restoration.naming import naming_flags
from alanet.restoration.options import NetworkOptions, RestoreOptions
from alanet.signals import SafePlace, Terminated, deferred_signals, raise_signals
from alanet.text import SafeFormatter

if TYPE_CHECKING:
    from alanet.restoration.plan import RestorePlan
    from alanet.restoration.progress import RestoreProgress
    from alanet.restoration.worker import Worker

__all__ = ["Setup", "main", "packed"]

A_MOMENT = 0.5  # seconds between two words on progress


@dataclass(frozen=True)
class Setup:
    """What every worker of a run has in common."""

    network: NetworkOptions
    options: RestoreOptions
    workers: int
    verbose: bool = False


def packed(setup: Setup) -> str:
    """As text, from a process to the ones it has started itself."""
    return base64.b64encode(pickle.dumps(setup)).decode()


def main() -> int:
    """The process; its number among the workers is the argument."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no message
    raise_signals()
    try:
        return _work(int(sys.argv[1]), out)
    except BrokenPipeError:
        return 4
    except KeyboardInterrupt:
        return 130
    except Terminated:
        return 143


def _work(number: int, out: TextIO) -> int:
    def tell(**said: Any) -> None:
        out.write(json.dumps(said) + "\n")
        out.flush()

    setup: Setup = pickle.loads(base64.b64decode(json.loads(sys.stdin.readline())["setup"]))
    _log(setup.verbose)
    try:
        with naming_flags():
            worker = _worker(setup, number)
    except AlanetError as error:
        tell(refused=str(error), kind=type(error).__name__)
        return error.exit_code
    tell(ready=True)
    for line in sys.stdin:
        task = json.loads(line)
        with naming_flags(), deferred_signals() as safe_place:
            _restore(worker, task, tell, safe_place)
    return 0


def _worker(setup: Setup, number: int) -> Worker:
    """With its share of the memory, and of the GPUs."""
    import torch

    from alanet.restoration.restorer import Restorer
    from alanet.restoration.worker import Worker

    devices = torch.cuda.device_count() if setup.network.device in ("auto", "cuda") else 0
    if devices:
        torch.cuda.set_device(number % devices)
    processes = -(-setup.workers // devices) if devices else setup.workers
    return Worker(Restorer(**asdict(setup.network), processes=processes), setup.options, shared=True)


def _restore(worker: Worker, task: dict[str, Any], tell: Callable[..., None], safe_place: SafePlace) -> None:
    number = task["task"]
    last, finished = 0.0, 0

    def on_planned(plan: RestorePlan) -> None:
        from alanet.restoration.summary import opening_rows

        restorer = worker.restorer
        rows = opening_rows(plan, f"{restorer.model_name} on {restorer.device}, {plan.precision}")
        paths = {"source": str(plan.info.path), "output": str(plan.output.path)}
        tell(task=number, planned=rows, expected=plan.frames_out, there=plan.done, **paths)

    def on_progress(progress: RestoreProgress) -> None:
        nonlocal last, finished
        if time.monotonic() - last >= A_MOMENT or (progress.finished or 0) > finished:
            last, finished = time.monotonic(), max(finished, progress.finished or 0)
            made = progress.frames_out - progress.earlier_out
            tell(task=number, worker=sys.argv[1], made=made, finished=finished)
        safe_place(progress.finished)

    outcome = worker.restore(
        Item(**task["item"]),
        helping=task["helping"],
        on_planned=on_planned,
        on_begun=lambda: tell(task=number, begun=True),
        on_progress=on_progress,
    )
    tell(task=number, outcome=asdict(outcome))


def _log(verbose: bool) -> None:
    """The library's log goes to standard error if it was asked for."""
    log = logging.getLogger("alanet")
    if not verbose:
        log.addHandler(logging.NullHandler())
        return
    handler = logging.StreamHandler()
    handler.setFormatter(SafeFormatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # nothing is left to tidy up, and taking PyTorch apart takes seconds
