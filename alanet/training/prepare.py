"""From a recipe to a run that is ready to start: its network, its data and what it minimises."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from alanet.engine.runner import pick_device
from alanet.errors import OptionError
from alanet.evaluation.perceptual import load_stack
from alanet.files import write_json
from alanet.model.weights import build_network, load_model
from alanet.training import distributed
from alanet.training.checkpoint import checkpoints
from alanet.training.config import softening, steps_of
from alanet.training.datasets import TrainingData, open_data
from alanet.training.loop import Hooks, TrainProgress, TrainReport, network_objective, train
from alanet.training.loss import Perceptual, RestorationLoss
from alanet.training.recipe import Recipe, network_config, read_values
from alanet.training.trainer import describe_model
from alanet.training.validate import validator

__all__ = ["TrainingRun", "loss_of", "prepare"]

log = logging.getLogger("alanet")


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """A run that is ready to start: nothing of it is missing."""

    recipe: Recipe
    model: Any  # a Network
    data: TrainingData
    hooks: Hooks
    device: torch.device

    def start(self, folder: Path, on_progress: Callable[[TrainProgress], object] | None = None) -> TrainReport:
        """Train in `folder`, or resume there; raises what `train` raises.

        The recipe is written as soon as the checkpoint to resume from is accepted.
        """
        hooks = replace(self.hooks, on_progress=on_progress, on_accepted=lambda: self._write_recipe(folder))
        recipe, steps = self.recipe, steps_of(self.recipe.train, self.data.clips)
        return train(self.model, recipe.train, self.data.sampler, folder, hooks=hooks, device=self.device, steps=steps)

    def _write_recipe(self, folder: Path) -> None:
        path, plain = folder / "config.json", json.loads(json.dumps(asdict(self.recipe), default=str))
        if checkpoints(folder) and path.exists():
            try:
                before = {**read_values(path), "train": plain["train"]}  # `train` reports changes of its own config
            except OptionError as error:
                log.warning("%s; it is written again", error)
                before = plain
            if changed := _changes(before, plain):
                log.warning("resuming with other settings than before: %s", ", ".join(changed))
        write_json(path, plain)


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], place: str = "") -> list[str]:
    """ "clips.ramp_steps 0 -> 4000" for every value that differs."""
    found = []
    for key, value in now.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            found += _changes(old, value, f"{place}{key}.")
        elif old != value:
            found.append(f"{place}{key} {old} -> {value}")
    return found


def prepare(recipe: Recipe, device: str | None = None) -> TrainingRun:
    """Open the data, build the network, load its weights; joins the processes that torchrun started.

    Raises OptionError, DataError, WeightsError, ResourceError.
    """
    place = distributed.join(pick_device(device or ("cuda" if torch.cuda.is_available() else "cpu")))
    torch.manual_seed(recipe.train.seed)
    model = _network(recipe)
    about = describe_model(model)
    recipe = replace(recipe, network=about["model"], model=about["config"])
    if recipe.train_only != "all":
        _freeze(recipe, model)
    chief = distributed.rank() == 0
    objective = network_objective(loss_of(recipe, place))
    data = open_data(recipe, place, motion=model.continuous_time, validate=chief)
    hooks = Hooks(objective=objective, validate=validator(data.held_out) if data.held_out else None)
    return TrainingRun(recipe, model, data, hooks, place)


def _network(recipe: Recipe) -> Any:
    """A new network, or that of `init`."""
    table = recipe.model or {}
    if recipe.init is None:
        name = recipe.network or "ALANet"
        return build_network(name, asdict(network_config(name, table)))
    model: Any = load_model(recipe.init)
    name = type(model).__name__
    if recipe.network not in (None, name):
        raise OptionError(f"{recipe.init} is of network {name}, not {recipe.network}; leave network out")
    wanted = asdict(network_config(name, table, model.config))
    for key, value in asdict(model.config).items():
        if value != wanted[key]:
            raise OptionError(f"{recipe.init} has {key} {value}, not {wanted[key]}; leave {key} out")
    return model


# The parts that can be trained alone, by the names that a network gives them.
PARTS = {
    "exposure_head": ("exposure",),
    "generator": ("encoder", "decoder"),
    "generator_and_flow": ("encoder", "decoder", "flow.blocks.2", "flow.blocks.3"),  # the two finer of four scales
    "flow": ("flow",),
}


def _freeze(recipe: Recipe, model: Any) -> None:
    """Only one part of the network is trained."""
    only, parts = recipe.train_only, dict(model.named_modules())
    if not recipe.init or not set(PARTS[only]) <= parts.keys():
        raise OptionError(
            f"train_only {only} needs a network that estimates exposure and is already trained; give init"
        )
    model.requires_grad_(False)
    for name in PARTS[only]:
        parts[name].requires_grad_(True)


def loss_of(recipe: Recipe, device: torch.device) -> RestorationLoss:
    """The distance of restored frames from the ground truth, as the recipe has it."""
    training = recipe.train
    wanted = recipe.vgg is not None and training.perceptual > 0
    perceptual = Perceptual(load_stack(recipe.vgg, "vgg16", stages=2)).to(device) if wanted and recipe.vgg else None
    return RestorationLoss(
        training.pixel, training.fourier, training.perceptual, perceptual, softening(training), training.loss_floor
    )
