"""What a run is, whole: data, network, clips and training in one config; and the function that joins them.

    RunConfig = preset + one of (data, bank, stills) + [model] + [clips] + [train]

A config is written as a TOML or JSON file of those names. What it leaves out is as the preset says, and preset `paper`
also brings the paper's clips. FOLDER/config.json holds the whole config of the run in FOLDER and is itself such a
file. The machine (device, processes, threads) is no part of it.
"""

from __future__ import annotations

import json
import logging
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from alanet.data.clips import BankClips, ClipOptions, MixedClips, SceneClips, validation_batches
from alanet.data.real.dataset import VideoClips, held_out_batches, paper_clips
from alanet.data.real.manifest import has_manifest, read_manifest
from alanet.data.real.teacher_flow import Midway
from alanet.data.real.video_set import VideoSet
from alanet.data.synthetic.bank import Bank
from alanet.data.synthetic.render import Stills, find_stills
from alanet.data.synthetic.scenes import SceneOptions
from alanet.engine.runner import pick_device
from alanet.errors import OptionError
from alanet.evaluation.perceptual import load_stack
from alanet.files import make_folder, write_json
from alanet.frames.exposure import Exposure
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.alanet_plus import FAST, PLUS, ALANetPlus, ALANetPlusConfig
from alanet.model.weights import load_model
from alanet.training import distributed
from alanet.training.checkpoint import checkpoints
from alanet.training.config import Stage, TrainConfig, preset, softening, steps_of
from alanet.training.loader import Sampler
from alanet.training.loop import Hooks, Progress, TrainReport, restoration_objective, train
from alanet.training.loss import Perceptual, RestorationLoss
from alanet.training.objectives import judge_objective, plus_objective
from alanet.training.validate import Validation, validator
from alanet.training.values import build, hint, overlay
from alanet.training.widen import grow

__all__ = [
    "Run",
    "RunConfig",
    "joined",
    "loss_of",
    "parse_setting",
    "parse_stages",
    "prepare",
    "read_config",
    "run_config",
]

log = logging.getLogger("alanet")

SOURCES = ("data", "bank", "stills")
EXCLUSIVE = (SOURCES, ("minutes", "steps", "epochs"))
EPOCH = 10_000  # scenes rendered as training goes have no end; an "epoch" of them


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that a run is, but for the machine it runs on."""

    preset: str = "cpu"
    data: Path | None = None  # a set of real videos (`alanet data build`); its split "train"
    bank: Path | None = None  # rendered scenes (`alanet data scenes`)
    bank_too: Path | None = None  # more of them, of another kind: every second batch or so
    stills: Path | None = None  # photographs: scenes are rendered as training goes
    beside: Path | None = None  # beside scenes: a set of real videos whose motion was estimated (`alanet data motion`)
    beside_share: float = 0.3  # of the batches
    beside_deblurred: int | None = None  # frames of its clips that are deblurred; None: as many as of a scene
    #                                      0 for video that is blurry itself, as most of 30 fps: nor exposures learned
    held_out: Path | None = None  # a bank, or a set with a split "val"; by default that split of `data`
    held_out_clips: int = 24  # of it
    init: str | None = None  # weights to start from, by name or path; they bring their own network unless `plus` asks
    #                           for a larger one, which then begins as what they make (`grow.py`)
    vgg: Path | None = None  # VGG16 weights for the perceptual loss
    exposure: int | None = None  # longest, in sharp frames: by default 11 of `data`, 15 of `stills`; a bank has its own
    period: int = 8  # sharp frames, of `data` and `stills`; a bank has its own
    displacement: float = 24.0  # of `stills`: pixels a period
    model: ALANetConfig = field(default_factory=ALANetConfig)
    plus: ALANetPlusConfig | None = None  # instead of `model`; in a file also `size`: plus or fast
    motion: float = 0.01  # weight of the distance of the estimated motion, of `plus`
    judge: float = 0.01  # weight of the estimates of exposure and sharpness, of `plus`
    motion_first: float = 0.0  # share of the run in which `plus` learns these two alone, and restores nothing
    only: Literal["all", "judge", "generator"] = "all"  # what learns, the rest staying as in `init`, an ALANetPlus:
    #                                                     judge: what judges last; generator: what restores
    clips: ClipOptions = field(default_factory=ClipOptions)
    train: TrainConfig = field(default_factory=TrainConfig)


def run_config(values: Mapping[str, Any]) -> RunConfig:
    """The config of plain values, what is missing as their preset has it. Raises OptionError."""
    name = values.get("preset", RunConfig().preset)
    tables = {key: values.get(key, {}) for key in ("model", "clips", "train")}
    for key, table in tables.items():
        if not isinstance(table, Mapping):
            raise OptionError(f"{key} is {table!r}; give a table of names and values")
    training = preset(str(name), **tables["train"])
    plus = _plus_config(values.get("plus"))
    usual = paper_clips() if name == "paper" else ClipOptions()
    usual = (
        usual if plus is None else replace(usual, factor=8, motion=values.get("data") is None)
    )  # any time; told the motion
    clips = build(ClipOptions, overlay(asdict(usual), tables["clips"], ()), "clips")
    model = build(ALANetConfig, tables["model"], "model")
    config = build(RunConfig, {**values, "model": model, "plus": plus, "clips": clips, "train": training}, "run")
    if sum(getattr(config, source) is not None for source in SOURCES) != 1:
        given = " and ".join(source for source in SOURCES if getattr(config, source) is not None) or "nothing"
        raise OptionError(f"{given} to train on; give one of data (a set), bank, stills")
    if config.bank_too and not config.bank:
        raise OptionError(f"bank_too {config.bank_too} goes with a bank; give both, or bank alone")
    if config.beside and config.data:
        raise OptionError(f"beside {config.beside} goes with scenes (bank, stills), not with data; leave one out")
    return config


def _plus_config(table: Mapping[str, Any] | None) -> ALANetPlusConfig | None:
    """A size, and what differs from it."""
    if table is None:
        return None
    size = table.get("size", "plus")
    if size not in ("plus", "fast"):
        raise OptionError(f"plus.size is {size!r}; allowed: plus, fast")
    changes = {key: value for key, value in table.items() if key != "size"}
    return build(ALANetPlusConfig, {**asdict(PLUS if size == "plus" else FAST), **changes}, "plus")


def joined(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a file with those of flags above them; a source or a budget takes the place of another."""
    return overlay(below, above, EXCLUSIVE)


def read_config(path: Path) -> dict[str, Any]:
    """The plain values of a TOML or JSON file. Raises OptionError."""
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise OptionError(f"{path}: cannot be read ({error.strerror}); give the TOML or JSON file of a run") from None
    except ValueError as error:
        raise OptionError(f"{path}: neither TOML nor JSON ({error}); see docs/training.md for one") from None
    if not isinstance(values, dict):
        raise OptionError(f"{path}: holds no table of names and values; see docs/training.md for one")
    return values


def parse_stages(text: str) -> tuple[Stage, ...]:
    """ "0:96:8,0.7:128:4" -> stages of (start, crop, batch). Raises OptionError."""
    try:
        parts = [part.split(":") for part in text.split(",")]
        return tuple(Stage(float(start), int(crop), int(batch)) for start, crop, batch in parts)
    except ValueError:
        raise OptionError(f"--stages {text}: give START:CROP:BATCH,..., such as 0:96:8,0.7:128:4") from None


def parse_setting(text: str) -> dict[str, Any]:
    """ "clips.mix.sharp=0.1" -> {"clips": {"mix": {"sharp": 0.1}}}; a name alone is one of the run or of its training.

    Values are JSON, or else texts. Raises OptionError.
    """
    name, sign, value = text.partition("=")
    if not sign:
        raise OptionError(f"--set {text}: give NAME=VALUE, such as --set fourier=0")
    try:
        plain: Any = json.loads(value)
    except ValueError:
        plain = value
    parts = name.split(".")
    tops = [one.name for one in fields(RunConfig)]
    if len(parts) == 1 and name not in tops:
        parts = ["train", name]
    elif parts[0] not in tops:
        raise OptionError(f"--set {text}: {parts[0]!r} is unknown{hint(parts[0], tops)}; allowed: {', '.join(tops)}")
    for part in reversed(parts):
        plain = {part: plain}
    return dict(plain)


@dataclass(frozen=True, eq=False)
class Run:
    """A run that is ready to start: nothing of it is missing."""

    config: RunConfig
    model: ALANet | ALANetPlus
    sampler: Sampler
    clips: int  # of one epoch
    hooks: Hooks
    device: torch.device

    def start(self, folder: Path, on_progress: Callable[[Progress], None] | None = None) -> TrainReport:
        """Train in `folder`, or go on there; raises what `train` raises. The config is written there first."""
        if distributed.rank() == 0:
            self._write_config(folder / "config.json")
        hooks = replace(self.hooks, on_progress=on_progress)
        steps = steps_of(self.config.train, self.clips)
        return train(self.model, self.config.train, self.sampler, folder, hooks=hooks, device=self.device, steps=steps)

    def _write_config(self, path: Path) -> None:
        plain = json.loads(json.dumps(asdict(self.config), default=str))
        if checkpoints(path.parent) and path.exists():
            before = {**read_config(path), "train": plain["train"]}  # `train` itself tells what of that has changed
            if changed := _changes(before, plain):
                log.warning("going on with other settings than before: %s", ", ".join(changed))
        make_folder(path.parent)
        write_json(path, plain)


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], place: str = "") -> list[str]:
    """ "clips.growth 0 -> 4000" for every value that differs."""
    found = []
    for key, value in now.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            found += _changes(old, value, f"{place}{key}.")
        elif old != value:
            found.append(f"{place}{key} {old} -> {value}")
    return found


def prepare(config: RunConfig, device: str | None = None) -> Run:
    """Open the data, build the network, read what weights there are; joins the processes that torchrun started.

    Raises OptionError, DataError, WeightsError, ResourceError.
    """
    place = distributed.join(pick_device(device or ("cuda" if torch.cuda.is_available() else "cpu")))
    torch.manual_seed(config.train.seed)
    model: Any = load_model(config.init) if config.init else _new_network(config)
    if isinstance(model, ALANetPlus):
        if config.plus is not None and config.plus != model.config:
            model = grow(model, config.plus)
        # As where `plus` asks for it: what scenes know of their motion is told.
        told = replace(config.clips, motion=config.clips.motion or config.data is None)
        config = replace(config, plus=model.config, clips=told)
    else:
        _check_same_network(config, model.config)
        config = replace(config, model=model.config)
    if config.only != "all":
        _hold_the_rest(config, model)
    sampler, clips = _sampler(config, place)
    hooks = Hooks(objective=_objective(config, place), validate=_validate(config) if distributed.rank() == 0 else None)
    return Run(config, model, sampler, clips, hooks, place)


def _new_network(config: RunConfig) -> ALANet | ALANetPlus:
    return ALANet(config.model) if config.plus is None else ALANetPlus(config.plus)


def _check_same_network(config: RunConfig, found: ALANetConfig) -> None:
    """Weights to start from bring their own network, and what is asked for beside them must be that."""
    if config.plus is not None:
        raise OptionError(f"{config.init} is the paper's network, not `plus`; leave `plus` out")
    usual = ALANetConfig()
    for name in (one.name for one in fields(ALANetConfig)):
        asked = getattr(config.model, name)
        if asked not in (getattr(usual, name), getattr(found, name)):
            raise OptionError(f"{config.init} has {name} {getattr(found, name)}, not {asked}; leave {name} out")


def _sampler(config: RunConfig, device: torch.device) -> tuple[Sampler, int]:
    """A source of batches, and how many clips one pass over it has."""
    seed = config.train.seed
    if config.bank:
        bank = Bank(config.bank)
        clips: BankClips | MixedClips = BankClips(bank, config.clips, seed=seed)
        if config.bank_too:
            clips = MixedClips(clips, BankClips(Bank(config.bank_too), config.clips, seed=seed + 1), 0.5, seed=seed + 1)
        return _beside(config, clips, bank.exposure), len(bank)
    if config.data:
        exposure = Exposure(config.exposure or 11, config.period)
        videos = VideoClips(VideoSet(config.data), config.clips, exposure=exposure, seed=seed)
        return videos, len(videos)
    assert config.stills is not None
    exposure = Exposure(config.exposure or 15, config.period)
    largest = max(stage.crop for stage in config.train.stages)
    if not largest:
        raise OptionError(
            "whole frames (crop 0) of scenes that are rendered as training goes; give --stages with a crop"
        )
    scenes = SceneOptions(largest, largest, exposure.needed(config.clips.t), config.period, config.displacement)
    stills = Stills(find_stills(config.stills), device=device)
    scene_clips = SceneClips(stills, scenes, config.clips, longest=exposure.frames, seed=seed)
    return _beside(config, scene_clips, exposure), EPOCH


def _beside(config: RunConfig, scenes: BankClips | SceneClips | MixedClips, exposure: Exposure) -> Sampler:
    """The scenes, and real video beside them where that is asked for."""
    if config.beside is None:
        return scenes
    videos, seed = VideoSet(config.beside), config.train.seed
    midway = Midway(videos) if config.clips.motion else None
    deblurred = config.clips.deblurred if config.beside_deblurred is None else config.beside_deblurred
    options = replace(config.clips, growth=0, deblurred=deblurred)
    clips = VideoClips(videos, options, exposure=exposure, seed=seed, midway=midway)
    return MixedClips(scenes, clips, config.beside_share, seed=seed)


def _hold_the_rest(config: RunConfig, model: ALANet | ALANetPlus) -> None:
    """Nothing learns but what has the last word on exposure and sharpness, or G."""
    if not config.init or not isinstance(model, ALANetPlus) or not model.config.exposure:
        raise OptionError(f"only {config.only} is for an ALANetPlus with exposure that has learned the rest; give init")
    if config.motion_first or (config.data and config.only == "judge"):
        raise OptionError(f"only {config.only} goes with no motion_first, and judge with scenes (bank, stills) alone")
    judge = model.shutter if model.judges_again else model.judge
    model.requires_grad_(False)
    (judge if config.only == "judge" else model.generator).requires_grad_(True)


def loss_of(config: RunConfig, device: torch.device) -> RestorationLoss:
    """The distance of restored frames from the truth, as the run has it."""
    training = config.train
    wanted = config.vgg is not None and training.perceptual > 0
    perceptual = Perceptual(load_stack(config.vgg, "vgg16", stages=2)).to(device) if wanted and config.vgg else None
    return RestorationLoss(
        training.pixel, training.fourier, training.perceptual, perceptual, softening(training), training.floor
    )


def _objective(config: RunConfig, device: torch.device) -> Any:
    if config.only == "judge":
        return judge_objective()
    first = config.motion_first
    learns = config.plus is not None and config.plus.align and config.clips.motion and config.motion > 0
    if first and not (0 < first < 1 and learns):
        raise OptionError(f"motion_first {first}; allowed: 0 to below 1, of an ALANetPlus that is told scenes' motion")
    loss = loss_of(config, device)
    if config.plus is not None:
        if config.only == "generator":  # what the others are told changes nothing
            return plus_objective(loss, motion=0, exposure=0)
        return plus_objective(loss, motion=config.motion, exposure=config.judge, motion_first=first)
    return restoration_objective(loss)


def _validate(config: RunConfig) -> Callable[[nn.Module], Validation] | None:
    count, folder = config.held_out_clips, config.held_out
    if folder is None:
        if config.data is None or all(video.split != "val" for video in read_manifest(config.data).videos):
            return None
        folder = config.data
    if has_manifest(folder):
        return validator(list(held_out_batches(VideoSet(folder, "val"), clips=count)))
    return validator(list(islice(validation_batches(Bank(folder)), count)))
