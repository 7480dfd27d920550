"""The state of a training run and one step of it: weights, their running mean, optimizer, and how far the run is.

A step whose loss or gradient is not finite changes nothing; too many in a row end the run. All decisions rest on
numbers that every process holds alike (see `distributed`).
"""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from alanet.errors import AlanetError, OptionError, WeightsError
from alanet.training import distributed
from alanet.training.checkpoint import Checkpoint, random_state, restore_random_state
from alanet.training.config import Stage, TrainConfig, stage_at
from alanet.training.loss import LossTerms
from alanet.training.optim import Ema, Muon, learning_rate, make_optimizers

__all__ = ["Objective", "StepResult", "Trainer", "describe_model"]

log = logging.getLogger("alanet")

# (model, batch, fraction of the run that is over) -> (loss, terms worth logging)
Objective = Callable[[nn.Module, Any, float], tuple[Tensor, LossTerms]]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step did; `taken` is False when it was skipped because something was not finite."""

    loss: float  # mean over the processes
    terms: LossTerms
    gradient: float  # its norm before clipping
    lr: float
    taken: bool
    stop: bool  # some process was asked to stop


class Trainer:
    """Model, optimizers, running mean and position of one run; `steps` is None where the budget is in minutes."""

    def __init__(
        self, model: nn.Module, config: TrainConfig, objective: Objective, *, steps: int | None, device: torch.device
    ) -> None:
        if steps is None and config.minutes is None:
            raise OptionError("no budget: give minutes, steps or epochs")
        self.config, self.objective, self.steps, self.device = config, objective, steps, device
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.model = model.to(device=device, memory_format=layout).train()  # type: ignore[call-overload]
        self.dtype = next(model.parameters()).dtype
        self.optimizers = make_optimizers(model, config)
        self.ema = Ema(model, config.ema) if config.ema else None
        self.step = 0  # steps begun, taken or skipped: also the index of the next batch
        self.used = 0.0  # seconds of wall clock, in sum over resumed runs
        self.samples = 0
        self.skipped = 0
        self.bad_in_a_row = 0
        self.best = -math.inf
        if config.compile:
            for child in model.children():
                child.compile(dynamic=False)

    @property
    def fraction(self) -> float:
        """How far the run is, 0 to 1."""
        return self.fraction_at(self.step)

    def fraction_at(self, step: int) -> float:
        """The position of a step; with a budget in minutes it is the time used so far, whatever the step."""
        if self.config.minutes is not None:
            return min(self.used / (60 * self.config.minutes), 1.0)
        return min(step / (self.steps or 1), 1.0)

    def stage_of(self, step: int) -> Stage:
        """Crop and batch size of the batch for `step`."""
        return stage_at(self.config, self.fraction_at(step))

    @property
    def averaged(self) -> nn.Module:
        """The network to validate and to ship: the running mean, or the model itself without one."""
        return self.ema.model if self.ema else self.model

    def take_step(self, batch: Any, *, used: float, stop: bool = False) -> StepResult:
        """One optimizer step on one batch.

        `used` is the time used when the step began (process 0's counts), `stop` whether this process was asked to end.
        Raises AlanetError after `patience` steps in a row that are not finite.
        """
        lr = learning_rate(self.config, self.fraction)
        self.model.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            loss, terms = self.objective(self.model, batch, self.fraction)
        value = float(loss.detach())
        if math.isfinite(value):  # going back through places that are not numbers, grid_sample ends the process
            loss.backward()  # type: ignore[no-untyped-call]
        weights = [p for p in self.model.parameters() if p.requires_grad]
        numbers = [value, float(stop), used if distributed.rank() == 0 else 0.0, float(len(batch.clip))]
        total, stops, self.used, samples = distributed.share_gradients(weights, numbers)
        norm = float(nn.utils.clip_grad_norm_(weights, self.config.clip or math.inf))
        mean = total / distributed.world()
        taken = math.isfinite(mean) and math.isfinite(norm)
        self.step += 1
        self.samples += round(samples)
        if taken:
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = lr * group.get("share", 1.0)
                optimizer.step()
            if self.ema:
                self.ema.update(self.model)
            self.bad_in_a_row = 0
        else:
            self._skip(mean, norm)
        return StepResult(mean, terms, norm, lr, taken, stops > 0)

    def _skip(self, loss: float, norm: float) -> None:
        self.skipped += 1
        self.bad_in_a_row += 1
        log.warning("step %d skipped: loss %s, gradient norm %s", self.step, loss, norm)
        if self.bad_in_a_row >= self.config.patience:
            raise AlanetError(
                f"{self.bad_in_a_row} steps in a row up to step {self.step} were not finite (loss {loss}, gradient "
                f"norm {norm}); nothing of them was saved: resume from the last checkpoint with a lower learning rate"
            )

    def state(self) -> Checkpoint:
        """Everything that the next step depends on."""
        noise, noise_about = random_state()
        tensors = {f"model/{key}": value for key, value in self.model.state_dict().items()}
        if self.ema:
            tensors |= {f"ema/{key}": value for key, value in self.ema.model.state_dict().items()}
        for name, weight in self.model.named_parameters():
            for optimizer in self.optimizers:
                for key, value in optimizer.state.get(weight, {}).items():
                    tensors[f"optimizer/{key}/{name}"] = value
        tensors |= {f"random/{key}": value for key, value in noise.items()}
        about = {
            **{key: getattr(self, key) for key in ("step", "used", "samples", "skipped", "bad_in_a_row")},
            "best": self.best if math.isfinite(self.best) else None,
            "ema_updates": self.ema.updates if self.ema else 0,
            "random": noise_about,
            "config": asdict(self.config),
            "model": describe_model(self.model),
        }
        return Checkpoint(tensors, about)

    def load(self, checkpoint: Checkpoint) -> None:
        """Resume from `state()`. Raises WeightsError for a checkpoint of another model."""
        about, ours = checkpoint.about, describe_model(self.model)
        theirs = about["model"]
        if json.dumps(theirs, sort_keys=True) != json.dumps(ours, sort_keys=True):  # where 1 is not true
            raise WeightsError(
                f"the checkpoint is of {_short(theirs)}, the model is {_short(ours)}; use another folder"
            )
        parts = [(self.model, "model")] + ([(self.ema.model, "ema")] if self.ema else [])
        try:
            for module, name in parts:
                found, own = checkpoint.part(name) or checkpoint.part("model"), module.state_dict()
                if wrong := [key for key, value in found.items() if key in own and value.dtype != own[key].dtype]:
                    raise ValueError(f"{wrong[0]} is {found[wrong[0]].dtype}")
                module.load_state_dict(found)
            self._load_optimizers(checkpoint.part("optimizer"))
            restore_random_state(checkpoint.part("random"), about["random"])
            for key in ("step", "used", "samples", "skipped", "bad_in_a_row"):
                setattr(self, key, about[key])
            self.best = -math.inf if about["best"] is None else about["best"]
            if self.ema:
                self.ema.updates = about["ema_updates"]
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise WeightsError(
                f"the checkpoint does not fit this model or version ({reason}); use another folder"
            ) from error

    def _load_optimizers(self, tensors: dict[str, Tensor]) -> None:
        owner = {weight: optimizer for optimizer in self.optimizers
                 for group in optimizer.param_groups for weight in group["params"]}  # fmt: skip
        for name, weight in self.model.named_parameters():
            found = {key: tensors.pop(f"{key}/{name}") for key in STATE if f"{key}/{name}" in tensors}
            if not found:
                continue
            if weight not in owner or found.keys() != state_keys(owner[weight]):
                raise ValueError(f"the optimizer's state of {name} is another's")
            state: dict[str, Tensor] = {}
            for key, value in found.items():
                count = torch.zeros((), device=weight.device)
                like = count if key == "step" else torch.empty_like(weight, requires_grad=False)
                if value.shape != like.shape or value.dtype != like.dtype:
                    raise ValueError(f"{key} of {name} is {list(value.shape)} {value.dtype}")
                state[key] = like.copy_(value)
            owner[weight].state[weight] = state
        if tensors:
            raise ValueError(f"{next(iter(tensors))} belongs to no weight")


STATE = ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")


def state_keys(optimizer: torch.optim.Optimizer) -> set[str]:
    """The tensors that an optimizer keeps of a weight."""
    return {"momentum_buffer"} if isinstance(optimizer, Muon) else {"step", "exp_avg", "exp_avg_sq"}


def describe_model(model: nn.Module) -> dict[str, Any]:
    """The class and config that rebuild it, as JSON has them (tuples are lists)."""
    config = asdict(cast(Any, model).config) if hasattr(model, "config") else {}
    config = {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()}
    return {"model": type(model).__name__, "config": copy.deepcopy(config)}


def _short(about: Any) -> str:
    if not isinstance(about, dict):
        return "an unknown model"
    return f"{about.get('model')}({', '.join(f'{k}={v}' for k, v in (about.get('config') or {}).items())})"
