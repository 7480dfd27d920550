"""What a training run is: sizes, optimizer, schedule and budget, in one frozen dataclass; a few presets.

The position in a run is a fraction from 0 (start) to 1 (end). With a budget in minutes it is a share of time, otherwise
a share of steps; learning rate and crop size are pure functions of it. A step is one batch on every process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from alanet.errors import OptionError
from alanet.training.loss import FLOOR, PIXELS, Softening
from alanet.training.values import build, hint

__all__ = [
    "PRESETS",
    "Stage",
    "TrainConfig",
    "config_from",
    "preset",
    "softening",
    "stage_at",
    "steps_of",
]


@dataclass(frozen=True, slots=True)
class Stage:
    """From `start` (fraction of the run) on: batches of `batch` clips of `crop` x `crop` pixels (0: whole frames)."""

    start: float  # fraction of the run
    crop: int  # pixels to a side; 0: whole frames
    batch: int  # clips a process


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that changes the weights a run ends with, but for the model and the data."""

    minutes: float | None = None  # budget of wall-clock time, the sum over resumed runs; goes before steps and epochs
    steps: int | None = None  # budget of optimizer steps
    epochs: int | None = None  # budget of passes over the data; needs the number of clips in one
    seed: int = 0  # of the batches; the model comes initialised
    stages: tuple[Stage, ...] = (Stage(0.0, 96, 8),)  # growing crops, in order of start, the first at 0

    optimizer: str = "adamw"  # "adamw" (decoupled decay) | "adam" (L2 decay, as the paper) | "muon" (optim.py)
    lr: float = 5e-4  # the highest learning rate
    flow_share: float | None = None  # of lr, for optical flow trained with the rest, by AdamW; None: as all weights
    betas: tuple[float, float] = (0.9, 0.99)  # of Adam and AdamW
    weight_decay: float = 1e-4  # as `optimizer` defines it
    decay_all: bool = False  # False: norms and biases (tensors of one axis) are not decayed
    clip: float | None = 1.0  # largest gradient norm
    ema: float = 0.999  # decay a step of the running mean of the weights; 0: no mean
    schedule: str = "cosine"  # "cosine" (warm-up, then down to lr * lr_end) | "drops" (lr / 10 at each of `drops`)
    warmup: float = 0.03  # share of the run
    lr_end: float = 0.01  # share of lr at the end of the cosine
    drops: tuple[float, ...] = ()  # fractions of the run

    pixel: str = "charbonnier"  # "l1" | "charbonnier" | "psnr" (log of each image's squared error)
    loss_floor: float = (
        FLOOR  # of "psnr": the squared error below which an image counts less; 3e-4 is 35 dB, 2e-5 is 47
    )
    softness: float = 1e-3  # of the charbonnier, at the end of the run
    softness_first: float = 1e-3  # at its start; 0.1 is nearly a squared error
    soften: tuple[float, float] = (0.2, 0.6)  # fractions of the run between which the one becomes the other
    fourier: float = 0.1  # weight of the L1 distance of Fourier transforms
    perceptual: float = 0.0  # weight of the VGG16 term; above 0 needs the VGG weights

    precision: str = "bf16"  # "fp32" | "bf16" (autocast; weights stay as they are)
    channels_last: bool = True  # memory format of the weights and frames; faster on CPUs
    compile: bool = False  # torch.compile; minutes at the start, paid back by a long run
    workers: int = 1  # background threads that prepare batches; 0: in the loop itself. No effect on results
    ahead: int = 3  # batches prepared ahead
    patience: int = 5  # steps in a row that are not finite before the run stops

    validate_minutes: float = 5.0  # from one validation to the next
    save_minutes: float = 5.0  # from one checkpoint to the next
    validate_steps: int | None = None  # also validate after this number of steps
    save_steps: int | None = None  # also save after this number of steps
    log_steps: int = 50  # steps a line of metrics.jsonl stands for
    keep: int = 3  # checkpoints kept

    def __post_init__(self) -> None:
        check_choice("optimizer", self.optimizer, ("adamw", "adam", "muon"))
        check_choice("schedule", self.schedule, ("cosine", "drops"))
        check_choice("pixel", self.pixel, PIXELS)
        check_choice("precision", self.precision, ("fp32", "bf16"))
        starts = [stage.start for stage in self.stages]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)) or starts[-1] >= 1:
            raise OptionError(f"stages start at {starts}; allowed: rising fractions below 1, the first 0")
        if any(stage.batch < 1 or stage.crop < 0 for stage in self.stages):
            raise OptionError(
                "a stage has a batch below 1 or a crop below 0; give at least 1 clip and 0 (whole frames) or more"
            )
        if len(self.soften) != 2 or not 0 <= self.soften[0] < self.soften[1] <= 1:
            raise OptionError(f"soften is {self.soften}; give two rising fractions of the run, such as [0.2, 0.6]")
        for name in ABOVE_ZERO:
            _check(name, getattr(self, name), lambda value: value > 0, "above 0")
        for name in FROM_ZERO:
            _check(name, getattr(self, name), lambda value: value >= 0, "0 or more")
        for name in ("ema", "warmup"):
            _check(name, getattr(self, name), lambda value: 0 <= value < 1, "from 0 to below 1")
        _check("lr_end", self.lr_end, lambda value: 0 <= value <= 1, "from 0 to 1")
        for name, values in (("betas", self.betas), ("drops", self.drops)):
            for value in values:
                _check(name, value, lambda value: 0 <= value < 1, "from 0 to below 1")


ABOVE_ZERO = (
    *("minutes", "steps", "epochs", "lr", "flow_share", "clip", "loss_floor", "softness", "softness_first"),
    *("ahead", "patience", "validate_minutes", "save_minutes", "validate_steps", "save_steps", "log_steps", "keep"),
)
FROM_ZERO = ("seed", "weight_decay", "fourier", "perceptual", "workers")


def _check(name: str, value: float | None, allows: Callable[[float], bool], allowed: str) -> None:
    """Raise OptionError for a number that is not finite or not allowed; None is no number."""
    if value is not None and not (math.isfinite(value) and allows(value)):
        raise OptionError(f"{name} is {value}; allowed: {allowed}")


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise OptionError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise OptionError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")


# Section 5.2 of the paper as docs/method.md reads it: whole frames, L1 + 0.2 perceptual, Adam, L2 decay of everything.
PAPER = TrainConfig(
    epochs=200,
    stages=(Stage(0.0, 0, 2),),
    optimizer="adam",
    lr=1e-4,
    betas=(0.9, 0.999),
    weight_decay=5e-4,
    decay_all=True,
    clip=None,
    ema=0.0,
    schedule="drops",
    warmup=0.0,
    drops=(0.5, 0.75),
    pixel="l1",
    fourier=0.0,
    perceptual=0.2,
    precision="fp32",
    channels_last=False,
)

# Scenes rendered on a GPU as training goes; crops grow so that what is pooled at the end is like full-size use.
SCENES = TrainConfig(minutes=25.0, stages=(Stage(0.0, 160, 32), Stage(0.6, 224, 16), Stage(0.85, 320, 8)))

# The same on a few CPU cores from a bank of 128 x 128: hours in the background.
CPU = replace(SCENES, minutes=60.0, stages=(Stage(0.0, 96, 8), Stage(0.7, 128, 4)))

# Minutes on any machine, to see that everything works.
QUICK = replace(CPU, minutes=3.0, stages=(Stage(0.0, 64, 4),), validate_minutes=1.0, save_minutes=1.0, log_steps=10)

PRESETS: Mapping[str, TrainConfig] = {"paper": PAPER, "scenes": SCENES, "cpu": CPU, "quick": QUICK}


def preset(name: str, **changes: Any) -> TrainConfig:
    """The named preset with some fields changed.

    A budget among the changes takes the place of the preset's own. Raises OptionError for an unknown name or field.
    """
    if name not in PRESETS:
        raise OptionError(f"preset {name!r}; allowed: {', '.join(PRESETS)}{hint(name, PRESETS)}")
    budget = ("minutes", "steps", "epochs")
    cleared = dict.fromkeys(budget) if any(changes.get(key) is not None for key in budget) else {}
    return config_from({**asdict(PRESETS[name]), **cleared, **changes})


def config_from(values: Mapping[str, Any]) -> TrainConfig:
    """Undo of `dataclasses.asdict`, also after JSON, where tuples are lists; OptionError for a key that is no field."""
    return build(TrainConfig, values, "training")


def steps_of(config: TrainConfig, clips: int) -> int | None:
    """The budget in steps, where it is not minutes; `clips` are the clips of one epoch. None without such a budget."""
    if config.minutes is not None or config.epochs is None:
        return config.steps
    return config.epochs * math.ceil(clips / config.stages[0].batch)


def softening(config: TrainConfig) -> Softening:
    """How the charbonnier's tip sharpens over the run."""
    return Softening(config.softness_first, config.softness, *config.soften)


def stage_at(config: TrainConfig, fraction: float) -> Stage:
    """The stage that `fraction` of the run lies in."""
    return [stage for stage in config.stages if stage.start <= fraction or stage.start == 0][-1]
