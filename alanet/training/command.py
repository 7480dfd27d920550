"""The plain command for machines without the rest of the package: `python -m alanet.training.train --help`.

It joins a bank of scenes (or stills, rendered as training goes), a network and a preset, and prints a line at times.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from alanet.errors import AlanetError
from alanet.training import distributed
from alanet.training.config import PRESETS
from alanet.training.loop import Progress, TrainReport
from alanet.training.recipe import RunConfig, joined, parse_setting, parse_stages, prepare, read_config, run_config

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Parse, train, return the exit code: 0, what the error tree says, or 128 + the signal that ended the run."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        report = _run(options)
    except AlanetError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        chief = distributed.rank() == 0
        distributed.leave()
    if chief:
        scores = ", ".join(f"{name} {score:.2f}" for name, score in report.scores.items())
        print(f"{report.step} steps, {report.samples} clips, {report.minutes:.1f} min; {scores or 'not validated'}")
        print(report.weights)
    return distributed.end(128 + report.interrupted if report.interrupted else 0)


def _run(options: argparse.Namespace) -> TrainReport:
    if options.threads:
        torch.set_num_threads(options.threads)
    return prepare(make_config(options), options.device).start(options.out, _printer(options.every))


TOP = ("preset", "data", "bank", "stills", "held_out", "held_out_clips", "init", "vgg", "displacement")
TABLES = {
    "model": ("width", "window", "attention", "shared_gate", "residual"),
    "clips": ("t", "between"),
    "train": ("minutes", "steps", "lr", "seed"),
}


def make_config(options: argparse.Namespace) -> RunConfig:
    """The file of `--config`, if any, with what the command line changes. Raises OptionError."""
    given = {name: value for name, value in vars(options).items() if value not in (None, False)}
    values: dict[str, Any] = {name: given[name] for name in TOP if name in given}
    for table, names in TABLES.items():
        values[table] = {name: given[name] for name in names if name in given}
    if options.stages:
        values["train"]["stages"] = parse_stages(options.stages)
    for setting in options.set:
        values = joined(values, parse_setting(setting))
    return run_config(joined(read_config(options.config) if options.config else {}, values))


def _printer(every: float) -> Callable[[Progress], None]:
    last = -every

    def show(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < every:
            return
        last = now
        gain = f"  gain {progress.scores['gain']:+.2f} dB" if "gain" in progress.scores else ""
        print(
            f"{progress.fraction:6.1%}  step {progress.step}  loss {progress.loss:.5f}  lr {progress.lr:.1e}  "
            f"{progress.samples_per_second:.1f} clips/s  waiting {progress.waiting:.1%}  "
            f"left {progress.left / 60:.0f} min{gain}",
            flush=True,
        )

    return show


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m alanet.training.train", description=__doc__)
    parser.add_argument("--config", type=Path, help="TOML or JSON file of a run; the other options override it")
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--data", type=Path, help="set of real videos (alanet data build)")
    data.add_argument("--bank", type=Path, help="folder of rendered scenes (python -m alanet.data.bank)")
    data.add_argument("--stills", type=Path, help="folder of photographs: scenes are rendered as training goes")
    parser.add_argument("--held-out", type=Path, help="bank or set to validate on")
    parser.add_argument("--held-out-clips", type=int, help="how many of its clips; by default 24")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; a run there goes on")
    parser.add_argument("--preset", help=f"{', '.join(PRESETS)}; by default cpu")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--stages", help="START:CROP:BATCH,... such as 0:96:8,0.7:128:4")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any name of a config")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--init", help="weights to start from, by name or path; they bring their own network")
    parser.add_argument("--width", type=float, help="times the paper's channels; by default 1")
    parser.add_argument("--window", type=int)
    parser.add_argument("--attention", choices=("self", "cross", "both"))
    parser.add_argument("--shared-gate", action="store_true")
    parser.add_argument("--residual", action="store_true")
    parser.add_argument("--vgg", type=Path, help="VGG16 weights for the perceptual loss")
    parser.add_argument("--t", type=int, help="input frames of a clip")
    parser.add_argument("--between", type=int, help="in-between frames restored a clip, beside one deblurred")
    parser.add_argument("--displacement", type=float, help="of rendered scenes, pixels a period")
    parser.add_argument("--device", help="default: cuda where there is one")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--every", type=float, default=20.0, help="seconds between printed lines")
    return parser
