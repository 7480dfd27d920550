"""The plain command for machines without the rest of the package: `python -m alanet.training.train --help`.

It joins a bank of scenes (or stills, rendered as training goes), a network and a preset, and prints a line at times.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from alanet.data.bank import Bank
from alanet.data.clips import BankClips, ClipOptions, SceneClips, validation_batches
from alanet.data.render import Stills, find_stills
from alanet.data.scenes import SceneOptions
from alanet.errors import AlanetError, OptionError
from alanet.evaluation.perceptual import load_stack
from alanet.frames.exposure import Exposure
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.alanet_plus import FAST, PLUS, ALANetPlus
from alanet.model.weights import load_model
from alanet.training import parallel
from alanet.training.config import PRESETS, Stage, TrainConfig, preset, steps_of
from alanet.training.loss import Perceptual, RestorationLoss
from alanet.training.supervise import plus_objective
from alanet.training.train import Hooks, Progress, TrainReport, restoration_objective, train
from alanet.training.trainer import Objective
from alanet.training.validate import Validation, validator

__all__ = ["main", "parse_stages"]

LONGEST = 15  # sub-frames: the longest exposure scenes are rendered for
EPOCH = 10_000  # scenes rendered as training goes have no end; an "epoch" of them


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
        chief = parallel.rank() == 0
        parallel.leave()
    if chief:
        scores = ", ".join(f"{name} {score:.2f}" for name, score in report.scores.items())
        print(f"{report.step} steps, {report.samples} clips, {report.minutes:.1f} min; {scores or 'not validated'}")
        print(report.weights)
    return 128 + report.interrupted if report.interrupted else 0


def _run(options: argparse.Namespace) -> TrainReport:
    if options.threads:
        torch.set_num_threads(options.threads)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    config = make_config(options)
    torch.manual_seed(config.seed)
    model = load_model(options.init) if options.init else _new_model(options)
    plus = isinstance(model, ALANetPlus)
    sampler, clips = _sampler(options, config, device, plus)
    hooks = Hooks(_objective(config, options, device, plus), _validate(options), _printer(options.every))
    steps = steps_of(config, clips)
    return train(model, config, sampler, options.out, hooks=hooks, device=device, steps=steps)


def make_config(options: argparse.Namespace) -> TrainConfig:
    """The preset with what the command line changes. Raises OptionError."""
    changes: dict[str, Any] = {"seed": options.seed}
    for name in ("minutes", "steps", "lr"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    if options.stages:
        changes["stages"] = parse_stages(options.stages)
    for pair in options.set:
        name, sign, value = pair.partition("=")
        try:
            changes[name] = json.loads(value) if sign else None
        except ValueError:
            changes[name] = value
        if not sign:
            raise OptionError(f"--set {pair}: give NAME=VALUE, such as --set fourier=0")
    return preset(options.preset, **changes)


def parse_stages(text: str) -> tuple[Stage, ...]:
    """ "0:96:8,0.7:128:4" -> stages of (start, crop, batch). Raises OptionError."""
    try:
        parts = [part.split(":") for part in text.split(",")]
        return tuple(Stage(float(start), int(crop), int(batch)) for start, crop, batch in parts)
    except ValueError:
        raise OptionError(f"--stages {text}: give START:CROP:BATCH,..., such as 0:96:8,0.7:128:4") from None


def _new_model(options: argparse.Namespace) -> ALANet | ALANetPlus:
    match options.model:
        case "plus":
            return ALANetPlus(PLUS)
        case "fast":
            return ALANetPlus(FAST)
    return ALANet(ALANetConfig(options.width, options.window, options.attention, options.shared_gate, options.residual))


def _sampler(options: argparse.Namespace, config: TrainConfig, device: str, plus: bool) -> tuple[Any, int]:
    """A source of batches, and how many clips one pass over it has. `plus` wants any time, and is told the motion."""
    factor = 8 if plus else 2
    clips = ClipOptions(t=options.t, between=options.between, factor=factor, motion=plus, growth=options.growth)
    if options.bank:
        bank = Bank(options.bank)
        return BankClips(bank, clips, seed=config.seed), len(bank)
    largest = max(stage.crop for stage in config.stages)
    if not largest:
        raise OptionError(
            "whole frames (crop 0) of scenes that are rendered as training goes; give --stages with a crop"
        )
    frames = Exposure(LONGEST, SceneOptions().period).needed(options.t)
    scenes = SceneOptions(height=largest, width=largest, frames=frames, max_displacement=options.displacement)
    stills = Stills(find_stills(options.stills), device=device)
    return SceneClips(stills, scenes, clips, longest=LONGEST, seed=config.seed), EPOCH


def _objective(config: TrainConfig, options: argparse.Namespace, device: str, plus: bool) -> Objective:
    vgg = options.vgg if config.perceptual else None
    perceptual = Perceptual(load_stack(vgg, "vgg16", stages=2)).to(device) if vgg else None
    loss = RestorationLoss(config.pixel, config.fourier, config.perceptual, perceptual)
    if plus:
        return plus_objective(loss, motion=options.motion, exposure=options.exposure)
    return restoration_objective(loss)


def _validate(options: argparse.Namespace) -> Callable[[nn.Module], Validation] | None:
    if not options.held_out:
        return None
    return validator(list(islice(validation_batches(Bank(options.held_out)), options.held_out_scenes)))


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
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--bank", type=Path, help="folder of rendered scenes (python -m alanet.data.bank)")
    data.add_argument("--stills", type=Path, help="folder of photographs: scenes are rendered as training goes")
    parser.add_argument("--held-out", type=Path, help="bank to validate on")
    parser.add_argument("--held-out-scenes", type=int, default=24, help="how many of its scenes")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; a run there goes on")
    parser.add_argument("--preset", default="cpu", help=", ".join(PRESETS))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--stages", help="START:CROP:BATCH,... such as 0:96:8,0.7:128:4")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any field of TrainConfig")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--init", help="weights to start from, by name or path; they bring their own network")
    parser.add_argument("--model", default="paper", choices=("paper", "plus", "fast"))
    parser.add_argument("--motion", type=float, default=0.01, help="weight of the motion's loss (plus, fast)")
    parser.add_argument("--exposure", type=float, default=0.01, help="weight of the exposure's loss (plus, fast)")
    parser.add_argument("--growth", type=int, default=0, help="batches that begin with calm scenes")
    parser.add_argument("--width", type=float, default=0.5, help="times the paper's channels")
    parser.add_argument("--window", type=int, default=2)
    parser.add_argument("--attention", default="both", choices=("self", "cross", "both"))
    parser.add_argument("--shared-gate", action="store_true")
    parser.add_argument("--residual", action="store_true")
    parser.add_argument("--vgg", type=Path, help="VGG16 weights for the perceptual loss")
    parser.add_argument("--t", type=int, default=5, help="input frames of a clip")
    parser.add_argument(
        "--between", type=int, default=1, help="in-between frames restored a clip, beside one deblurred"
    )
    parser.add_argument("--displacement", type=float, default=24.0, help="of rendered scenes, pixels a period")
    parser.add_argument("--device", help="default: cuda where there is one")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--every", type=float, default=20.0, help="seconds between printed lines")
    return parser
