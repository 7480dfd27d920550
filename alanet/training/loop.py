"""The training loop: feed -> step -> run log, with validation and checkpoints in between.

    FOLDER/step-N.ckpt        the whole state, the last few; a run started again in FOLDER resumes from the newest
    FOLDER/last.safetensors   the running mean of the weights: what `load_model` reads
    FOLDER/best.safetensors   the same, at the best validation
    FOLDER/metrics.jsonl      and FOLDER/tensorboard

Ctrl-C and SIGTERM end the run after the step in progress, with everything saved. Nothing is written before the
checkpoint to resume from is accepted.
"""

from __future__ import annotations

import json
import logging
import math
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from alanet.errors import OptionError
from alanet.files import is_unfinished, make_folder
from alanet.model.weights import save_weights
from alanet.signals import noted_signals
from alanet.text import clock
from alanet.training import distributed
from alanet.training.checkpoint import checkpoints, latest, write_checkpoint
from alanet.training.config import TrainConfig, softening
from alanet.training.loader import Feed, Sampler, make_batch, moved
from alanet.training.loss import Loss, LossTerms, RestorationLoss
from alanet.training.runlog import Journal, Sums
from alanet.training.trainer import Objective, StepResult, Trainer
from alanet.training.validate import Validation

__all__ = ["Hooks", "TrainProgress", "TrainReport", "network_objective", "train"]

log = logging.getLogger("alanet")


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """The state of a run, passed to `on_progress` after every step; as text one line for a person."""

    step: int
    fraction: float  # of the budget, 0 to 1
    used: float  # seconds, in sum over resumed runs
    left: float  # seconds, estimated
    loss: float  # mean since the last line of metrics.jsonl
    lr: float
    samples_per_second: float
    waiting: float  # share of time spent waiting for data
    scores: dict[str, float]  # of the last validation

    def __str__(self) -> str:
        """ "12.3 %   step 1,234   loss 0.01234   27.1 clips a second   41:10 left   gain +0.31 dB"."""
        left = f"{clock(self.left)} left" if math.isfinite(self.left) else ""
        waiting = f"waits for data {self.waiting:.0%}" if self.waiting > 0.05 else ""
        gain = f"gain {self.scores['gain']:+.2f} dB" if "gain" in self.scores else ""
        rate = f"{self.samples_per_second:.1f} clips a second"
        share, loss = f"{100 * self.fraction:.1f} %", f"loss {self.loss:.5f}"
        return "   ".join(filter(None, [share, f"step {self.step:,}", loss, rate, waiting, left, gain]))


@dataclass(frozen=True, slots=True)
class TrainReport:
    """How a run ended; `interrupted` is the signal that ended it early."""

    step: int
    samples: int
    minutes: float
    skipped: int
    scores: dict[str, float]
    weights: Path
    interrupted: int | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a caller may put into the loop."""

    objective: Objective | None = None  # default: the loss of the config on all restored frames of a batch
    validate: Callable[[nn.Module], Validation] | None = None
    on_progress: Callable[[TrainProgress], object] | None = None
    on_accepted: Callable[[], None] | None = None  # before the first step, when a resume is accepted; process 0 only
    save: Callable[[nn.Module, Path], object] = field(default=cast(Callable[[nn.Module, Path], object], save_weights))


def network_objective(loss: Loss) -> Objective:
    """The network's own objective, or else `loss` of the frames it restores at the batch's times."""

    def objective(model: nn.Module, batch: Any, fraction: float) -> tuple[Tensor, LossTerms]:
        own: Tensor | None = cast(Any, model).objective(batch, fraction)
        if own is not None:
            return own, {"objective": own.detach()}
        return loss(model(batch.clip, batch.times[0].tolist()), batch.truth, fraction)

    return objective


def train(
    model: nn.Module,
    config: TrainConfig,
    sampler: Sampler,
    folder: str | Path,
    *,
    hooks: Hooks = Hooks(),
    device: str | torch.device = "cpu",
    steps: int | None = None,
    resume: bool = True,
) -> TrainReport:
    """Train `model` in place until the budget is used or a signal comes; resumes from FOLDER's last checkpoint.

    Args:
        model: float32 (or float64), initialised; its `config` is stored beside the weights.
        sampler: `batch(index, size=..., crop=...)` -> a batch with clip, times and truth.
        steps: the number of steps where the config counts epochs.
        resume: False refuses a folder that holds checkpoints.

    Raises:
        OptionError, WeightsError (a checkpoint of another model), OutputError (disk), DataError (no usable batch),
        AlanetError (too many steps in a row that are not finite).
    """
    folder = Path(folder)
    if not resume and checkpoints(folder):
        raise OptionError(f"{folder} holds checkpoints; let the run resume from them or choose an empty folder")
    device = distributed.join(torch.device(device))
    objective = hooks.objective or network_objective(
        RestorationLoss(
            config.pixel, config.fourier, config.perceptual, soften=softening(config), floor=config.loss_floor
        )
    )
    trainer = Trainer(model, config, objective, steps=steps or config.steps, device=device)
    found = latest(folder)
    if found is not None:
        trainer.load(found)
        log.info("resuming from step %d in %s", trainer.step, folder)
        if changed := _changes(found.about.get("config"), config):
            log.warning("resuming with other settings than before: %s", ", ".join(changed))
    return _Loop(trainer, sampler, folder, hooks).run()


HARMLESS = ("workers", "ahead", "validate_minutes", "save_minutes", "validate_steps", "save_steps", "log_steps", "keep")


def _changes(before: Any, now: TrainConfig) -> list[str]:
    """The fields that change what comes out and are not what the checkpoint was made with, as "lr 0.001 -> 0.0005"."""
    old, new = (json.loads(json.dumps(values)) for values in (before or {}, asdict(now)))
    names = [name for name in new if name not in HARMLESS and name in old and old[name] != new[name]]
    return [f"{name} {old[name]} -> {new[name]}" for name in names]


class _Loop:
    """The bookkeeping around the steps of one run."""

    def __init__(self, trainer: Trainer, sampler: Sampler, folder: Path, hooks: Hooks) -> None:
        self.trainer, self.sampler, self.folder, self.hooks = trainer, sampler, folder, hooks
        self.config = trainer.config
        self.chief = distributed.rank() == 0
        self.journal: Journal | None = None
        if self.chief:
            make_folder(folder)
            for left in filter(is_unfinished, folder.iterdir()):  # by a process that was killed during a write
                left.unlink(missing_ok=True)
            if hooks.on_accepted:
                hooks.on_accepted()
            self.journal = Journal(folder, step=trainer.step)
        self.began = time.monotonic() - trainer.used
        self.saved_at = self.validated_at = self.used
        self.scores: dict[str, float] = {}
        self.validated = -1  # step of the last validation
        self.window = Sums(self.used)

    @property
    def used(self) -> float:
        """Seconds used so far, in sum over resumed runs."""
        return time.monotonic() - self.began

    def run(self) -> TrainReport:
        trainer, config = self.trainer, self.config
        feed = Feed(self._make, start=trainer.step, workers=config.workers, ahead=config.ahead)
        interrupted = None
        try:
            with noted_signals() as asked:
                while trainer.fraction < 1 and interrupted is None:
                    waited = feed.waited
                    batch = moved(feed.next(), trainer.device, trainer.dtype)
                    result = trainer.take_step(batch, used=self.used, stop=bool(asked))
                    loss = result.loss if result.taken else None
                    self.window.add(loss, len(batch.clip) * distributed.world(), feed.waited - waited)
                    if result.stop:
                        interrupted = asked[0] if asked else signal.SIGTERM
                    self._after(result)
                self._finish(validate=interrupted is None)
        finally:
            feed.close()
            if self.journal:
                self.journal.close()
        minutes = self.used / 60
        if self.journal and interrupted is None:
            self.journal.draw()
        last = self.folder / "last.safetensors"
        return TrainReport(trainer.step, trainer.samples, minutes, trainer.skipped, self.scores, last, interrupted)

    def _make(self, step: int) -> Any:
        index = step * distributed.world() + distributed.rank()
        return make_batch(self.sampler, index, self.trainer.stage_of(step))

    def _after(self, result: StepResult) -> None:
        if not self.chief:
            return
        step = self.trainer.step
        if self.hooks.on_progress:
            self.hooks.on_progress(self._progress(result))
        if step % self.config.log_steps == 0:
            self._log(result)
        if self._due(self.config.validate_steps, self.config.validate_minutes, self.validated_at):
            self._validate()
        if self._due(self.config.save_steps, self.config.save_minutes, self.saved_at):
            self._save()

    def _due(self, steps: int | None, minutes: float, last: float) -> bool:
        by_steps = steps is not None and self.trainer.step % steps == 0
        return by_steps or self.used - last >= 60 * minutes

    def _progress(self, result: StepResult) -> TrainProgress:
        fraction, used = self.trainer.fraction, self.used
        left = used * (1 - fraction) / fraction if fraction else math.inf
        rate, waiting = self.window.rate(used)
        scores = self.scores
        return TrainProgress(
            self.trainer.step, fraction, used, left, self.window.loss, result.lr, rate, waiting, scores
        )

    def _log(self, result: StepResult) -> None:
        used = self.used
        rate, waiting = self.window.rate(used)
        terms = {name: round(float(term), 6) for name, term in result.terms.items()}
        values = {
            "loss": round(self.window.loss, 6),
            **terms,
            "lr": result.lr,
            "gradient": round(result.gradient, 4),
            "samples": self.trainer.samples,
            "minutes": round(used / 60, 3),
            "samples_per_second": round(rate, 2),
            "waiting": round(waiting, 4),
            "skipped": self.trainer.skipped,
        }
        assert self.journal
        self.journal.write(self.trainer.step, values)
        self.window = Sums(self.used)

    def _validate(self) -> None:
        self.validated_at, self.validated = self.used, self.trainer.step
        if self.hooks.validate is None or self.journal is None:
            return
        self._save()  # a signal during a long validation may be followed by a kill
        trainer = self.trainer
        trainer.model.eval()
        done = self.hooks.validate(trainer.averaged)
        trainer.model.train()
        self.scores = {name: round(score, 4) for name, score in done.scores.items()}
        self.journal.write(trainer.step, {f"validation/{name}": score for name, score in self.scores.items()})
        self.journal.draw()
        for name, picture in done.panels.items():
            self.journal.picture(trainer.step, name, picture)
        if done.scores.get("gain", -math.inf) > trainer.best:
            trainer.best = done.scores["gain"]
            self.hooks.save(trainer.averaged, self.folder / "best.safetensors")
        self.validated_at = self.used

    def _save(self) -> None:
        self.trainer.used = self.used
        write_checkpoint(self.folder, self.trainer.state(), keep=self.config.keep)
        self.hooks.save(self.trainer.averaged, self.folder / "last.safetensors")
        self.saved_at = self.used

    def _finish(self, *, validate: bool) -> None:
        if self.chief:
            if validate and self.validated != self.trainer.step:
                self._validate()
            self._save()
