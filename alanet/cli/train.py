"""`alanet train`: clips -> weights, and `alanet train ship`: a run -> the file that others load.

Under `torchrun` every process runs this; only the first prints progress.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from alanet.cli.options import Verbosity, flag
from alanet.cli.pages import Into, put_into
from alanet.cli.progress import training_progress, warnings_on
from alanet.cli.screen import Screen
from alanet.text import count, duration, size

if TYPE_CHECKING:
    from alanet.training.loop import TrainReport
    from alanet.training.prepare import TrainingRun

__all__ = ["train"]

DATA = Group("Data", sort_key=-1)
CLIPS = Group("Clips", sort_key=0)
NETWORK = Group("Network", sort_key=1)
TRAINING = Group("Training", sort_key=2)
MACHINE = Group("Machine", sort_key=3)

train = App(
    name="train",
    help="Train a network on real videos, rendered scenes or photographs. The same command resumes a run.",
    usage="Usage: alanet train --dataset FOLDER|--photographs FOLDER -o FOLDER [OPTIONS]\n       "
    "alanet train ship FOLDER [OPTIONS]",
    sort_key=11,
    result_action="return_value",
)


@Parameter(name="*", group=DATA)
@dataclass(frozen=True)
class Data:
    """The training data; one of the first two."""

    dataset: Annotated[
        Path | None,
        Parameter(metavar="FOLDER", help="Scenes or real videos, from `alanet data scenes` or `build`."),
    ] = None
    photographs: Annotated[
        Path | None, Parameter(metavar="FOLDER", help="Photographs: scenes are rendered during training.")
    ] = None
    held_out: Annotated[
        Path | None,
        Parameter(metavar="FOLDER", help="Scenes or videos for validation. The default is a tenth of the data."),
    ] = None


@Parameter(name="*", group=CLIPS)
@dataclass(frozen=True)
class Clips:
    """How clips are drawn."""

    t: Annotated[int | None, Parameter(metavar="N", help="Input frames of a clip.")] = None
    between: Annotated[
        int | None, Parameter(metavar="N", help="Interpolated frames per clip, in addition to one deblurred frame.")
    ] = None
    sharp_clips: Annotated[float | None, Parameter(metavar="SHARE", help="Share of clips without a blurry frame.")] = (
        None
    )
    blurry_clips: Annotated[
        float | None,
        Parameter(
            metavar="SHARE", help="Share of clips with blurry frames only. In the others half of the frames are blurry."
        ),
    ] = None
    ramp_steps: Annotated[
        int | None,
        Parameter(metavar="N", help="Batches until scenes of any motion are used. The first scenes move little."),
    ] = None

    def table(self) -> dict[str, Any]:
        mix = _given({"sharp": self.sharp_clips, "blurry": self.blurry_clips})
        return _given({"t": self.t, "between": self.between, "ramp_steps": self.ramp_steps}) | (
            {"mix": mix} if mix else {}
        )


@Parameter(name="*", group=NETWORK)
@dataclass(frozen=True)
class NetworkShape:
    """What the network is."""

    width: Annotated[float | None, Parameter(metavar="X", help="Factor on the paper's channels. The default is 1.")] = (
        None
    )
    residual: Annotated[bool | None, Parameter(help="Predict a correction instead of the frame.")] = None
    attention: Annotated[
        Literal["self", "cross", "both"] | None,
        Parameter(help="Attention, as in the rows of Table 3. The default is both."),
    ] = None
    shared_gate: Annotated[
        bool | None, Parameter(help="One attention module for both, as the equations are written.")
    ] = None
    window: Annotated[int | None, Parameter(metavar="W", help="Number of neighbouring frames; even.")] = None


@Parameter(name="*", group=TRAINING)
@dataclass(frozen=True)
class Training:
    """How it is trained."""

    preset: Annotated[
        Literal["paper", "scenes", "cpu", "quick"] | None,
        Parameter(help="Starting point of all settings. The default is cpu."),
    ] = None
    init: Annotated[str | None, Parameter(metavar="NAME|PATH", help="Weights to start from.")] = None
    minutes: Annotated[
        float | None, Parameter(metavar="N", help="Budget in minutes, over all parts of an interrupted run.")
    ] = None
    steps: Annotated[int | None, Parameter(metavar="N", help="Budget in steps instead.")] = None
    epochs: Annotated[int | None, Parameter(metavar="N", help="Budget in passes over the data instead.")] = None
    lr: Annotated[float | None, Parameter(metavar="X", help="Highest learning rate.")] = None
    stages: Annotated[
        str | None,
        Parameter(
            metavar="START:CROP:BATCH,...",
            help="Crop sizes over time, such as 0:96:8,0.7:128:4. Crop 0 is the whole frame.",
        ),
    ] = None
    vgg: Annotated[Path | None, Parameter(metavar="PATH", help="VGG16 weights for the perceptual loss.")] = None
    seed: Annotated[int | None, Parameter(metavar="N", help="Seed of the first weights and of the clips.")] = None
    set: Annotated[
        list[str] | None,
        Parameter(
            metavar="NAME=VALUE",
            negative="",
            help="Any other key of the configuration, such as fourier=0 or clips.mix.linear=0.",
        ),
    ] = None

    def tables(self) -> dict[str, Any]:
        from alanet.training.recipe import parse_stages

        table = _given({name: getattr(self, name) for name in ("minutes", "steps", "epochs", "lr", "seed")})
        if self.stages is not None:
            table["stages"] = parse_stages(self.stages)
        return _given({name: getattr(self, name) for name in ("preset", "init", "vgg")}) | {"train": table}


@Parameter(name="*", group=MACHINE)
@dataclass(frozen=True)
class Machine:
    """Where it is trained; no part of a config."""

    device: Annotated[
        Literal["cpu", "cuda", "mps"] | None, Parameter(help="Device. The default is cuda if present, else cpu.")
    ] = None
    threads: Annotated[
        int | None, Parameter(metavar="N", help="CPU threads of a process. The default is all physical cores.")
    ] = None


@train.default
def run_training(
    *,
    output: Annotated[
        Path,
        Parameter(name=["--output", "-o"], metavar="FOLDER", help="Folder of the run. An existing run is resumed."),
    ],
    config: Annotated[
        Path | None, Parameter(metavar="FILE", help="Recipe, TOML or JSON. Other options override it.")
    ] = None,
    data: Data = Data(),
    clips: Clips = Clips(),
    shape: NetworkShape = NetworkShape(),
    training: Training = Training(),
    machine: Machine = Machine(),
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Train a network on real videos, rendered scenes or photographs. The same command resumes a run."""
    from alanet.engine.threads import configure_threads
    from alanet.training import distributed
    from alanet.training.prepare import prepare
    from alanet.training.recipe import make_recipe, merged, parse_setting, read_values

    values = _given(asdict(data)) | training.tables() | {"model": _given(asdict(shape)), "clips": clips.table()}
    for setting in training.set or ():
        values = merged(values, parse_setting(setting))
    whole = make_recipe(merged(read_values(config) if config else {}, values))
    configure_threads(machine.threads)
    chief = os.environ.get("RANK", "0") == "0"
    screen = Screen(quiet=verbosity.quiet or not chief)
    try:
        with warnings_on(screen, verbosity.verbose):
            with screen.waiting("opening the data"):
                run = prepare(whole, machine.device)
            _announce(screen, run, output)
            with training_progress(screen) as show:
                report = run.start(output, show)
    finally:
        distributed.leave()
    if chief:
        _conclude(screen, report, output, verbosity.json)
    return distributed.end(128 + report.interrupted if report.interrupted else 0)


@train.command
def ship(
    folder: Annotated[Path, Parameter(name="FOLDER", help="Folder of a run, or a checkpoint.")],
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], metavar="FILE", help="Output path. The default is FOLDER.safetensors."),
    ] = None,
    full: Annotated[bool, flag(["--full"], "Write 32-bit values. The default is 16 bits.")] = False,
    overwrite: Annotated[bool, flag(["--overwrite"], "Replace an existing file.")] = False,
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Write the weights of a run (newest checkpoint, running mean) as a file for --model."""
    from alanet.errors import OutputError
    from alanet.training.checkpoint import ship as write

    path = output or folder.absolute().with_suffix("" if folder.is_file() else folder.suffix)
    path = path if output else path.with_name(f"{path.name}.safetensors")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; --overwrite replaces it")
    digest = write(folder, path, half=not full)
    weight = path.stat().st_size
    screen = Screen(quiet=verbosity.quiet)
    screen.rows([("size", size(weight)), ("sha256", digest), ("result", str(path.absolute()))])
    if verbosity.json:
        print(json.dumps({"weights": str(path), "sha256": digest, "bytes": weight}))
    return 0


@train.command
def log(
    *folders: Annotated[Path, Parameter(name="FOLDER", help="Folders of runs.")],
    into: Into = None,
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Table of runs: network, data, minutes, clips, and gains at the best validation."""
    from alanet.errors import OptionError
    from alanet.training.runlog import runs_table, summarize

    if not folders:
        raise OptionError("no run was given; give the folders that alanet train -o wrote")
    runs = [summarize(folder) for folder in folders]
    put_into(into, runs_table(runs))
    print(json.dumps([asdict(run) for run in runs]) if verbosity.json else runs_table(runs))
    return 0


# --- what a person sees -----------------------------------------------------------------------------------------------


def _announce(screen: Screen, run: TrainingRun, output: Path) -> None:
    recipe = run.recipe
    parameters = sum(p.numel() for p in run.model.parameters()) / 1e6
    screen.heading(f"{recipe.dataset or recipe.photographs} → {output}")
    rows = [
        ("network", f"{recipe.network}, {parameters:.2f} M parameters"),
        ("clips", f"{run.data.clips:,} in an epoch, of {recipe.clips.t} frames"),
    ]
    if run.data.held_out:
        rows.append(("validation", f"{count(len(run.data.held_out), 'held-out clip')}"))
    screen.rows(rows)


def _conclude(screen: Screen, report: TrainReport, output: Path, as_json: bool) -> None:
    done = f"{count(report.step, 'step')}, {count(report.samples, 'clip')}, {duration(60 * report.minutes)}"
    rows = [("stopped" if report.interrupted else "done", done)]
    if report.skipped:
        rows.append(("warning", f"{count(report.skipped, 'step')} skipped: not finite"))
    named = ("deblurred", "deblurred gain", "interpolated", "interpolated gain")
    scores = [f"{name} {report.scores[name]:.2f} dB" for name in named if name in report.scores]
    if scores:
        rows.append(("validation", ", ".join(scores)))
    if report.interrupted:
        rows.append(("kept", "the same command resumes from here"))
    screen.rows(
        [*rows, ("config", str((output / "config.json").absolute())), ("result", str(report.weights.absolute()))]
    )
    if as_json:
        print(json.dumps({**asdict(report), "weights": str(report.weights)}))


# --- values -----------------------------------------------------------------------------------------------------------


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
