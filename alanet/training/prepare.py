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
from alanet.model.widen import widen
from alanet.training import distributed
from alanet.training.checkpoint import checkpoints
from alanet.training.config import softening, steps_of
from alanet.training.datasets import TrainingData, open_data
from alanet.training.loop import Hooks, TrainProgress, TrainReport, network_objective, train
from alanet.training.loss import Perceptual, RestorationLoss
from alanet.training.objectives import exposure_objective, plus_objective
from alanet.training.recipe import Recipe, network_config, read_values
from alanet.training.trainer import Objective, describe_model
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
    objective = _objective(recipe, model, place)
    data = open_data(recipe, place, motion=model.continuous_time, validate=chief)
    hooks = Hooks(objective=objective, validate=validator(data.held_out) if data.held_out else None)
    return TrainingRun(recipe, model, data, hooks, place)


def _network(recipe: Recipe) -> Any:
    """A new network, or that of `init`, widened where the recipe names a larger one."""
    table = recipe.model or {}
    if recipe.init is None:
        name = recipe.network or "ALANet"
        return build_network(name, asdict(network_config(name, table)))
    model: Any = load_model(recipe.init)
    name = type(model).__name__
    if recipe.network not in (None, name):
        raise OptionError(f"{recipe.init} is of network {name}, not {recipe.network}; leave network out")
    wanted = network_config(name, table, model.config)
    return model if wanted == model.config else widen(model, wanted, recipe.init)


# The parts that can be trained alone, by the names that networks give them; the first that a network has.
PARTS = {
    "exposure_head": (("exposure_refiner",), ("exposure_head",), ("exposure",)),
    "generator": (("generator",), ("encoder", "decoder")),
    "flow": (("flow",),),
}


def _freeze(recipe: Recipe, model: Any) -> None:
    """Only one part of the network is trained."""
    only, parts = recipe.train_only, dict(model.named_children())
    found = next((names for names in PARTS[only] if set(names) <= parts.keys()), ())
    if not recipe.init or not model.estimates or not found:
        raise OptionError(
            f"train_only {only} needs a network that estimates exposure and is already trained; give init"
        )
    if recipe.objective.motion_warmup:
        raise OptionError(f"train_only {only} does not go with motion_warmup; leave one of them out")
    model.requires_grad_(False)
    for name in found:
        parts[name].requires_grad_(True)


def loss_of(recipe: Recipe, device: torch.device) -> RestorationLoss:
    """The distance of restored frames from the ground truth, as the recipe has it."""
    training = recipe.train
    wanted = recipe.vgg is not None and training.perceptual > 0
    perceptual = Perceptual(load_stack(recipe.vgg, "vgg16", stages=2)).to(device) if wanted and recipe.vgg else None
    return RestorationLoss(
        training.pixel, training.fourier, training.perceptual, perceptual, softening(training), training.loss_floor
    )


def _objective(recipe: Recipe, model: Any, device: torch.device) -> Objective:
    learns = model.auxiliary_losses
    if recipe.train_only == "exposure_head" and learns:
        return exposure_objective()
    options, loss = recipe.objective, loss_of(recipe, device)
    if options.motion_warmup and not (learns and model.config.align and options.motion > 0):
        raise OptionError("motion_warmup needs a network with a loss of its motion, and objective.motion above 0")
    if not learns:
        return network_objective(loss)
    if recipe.train_only == "generator":  # the losses of the other parts change nothing
        return plus_objective(loss, motion=0, exposure=0)
    return plus_objective(loss, motion=options.motion, exposure=options.exposure, motion_warmup=options.motion_warmup)
