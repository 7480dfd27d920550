"""The training loop: the same weights whatever interrupts it, nothing lost, nothing broken saved."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from alanet.errors import AlanetError, DataError, OptionError, WeightsError
from alanet.files import UNFINISHED
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.weights import load_model
from alanet.training import distributed
from alanet.training.checkpoint import Checkpoint, latest
from alanet.training.config import Stage, config_from, preset, stage_at, steps_of
from alanet.training.loader import FAR, Feed
from alanet.training.loop import Hooks, network_objective, train
from alanet.training.loss import RestorationLoss
from alanet.training.optim import learning_rate
from alanet.training.recipe import parse_stages
from alanet.training.runlog import Sums
from alanet.training.trainer import Trainer
from alanet.training.validate import baseline, psnr8, validator
from tests.support.paths import ROOT


@dataclass(frozen=True)
class Clips:
    clip: Tensor
    times: Tensor
    truth: Tensor


class Sharpen:
    """Smooth random pictures, blurred by a 5x5 mean: batch k from k alone. `broken` says what is wrong with a batch."""

    def __init__(self, broken=lambda index: None) -> None:
        self.broken = broken
        self.asked: list[tuple[int, int, int]] = []

    def batch(self, index: int, *, size: int, crop: int) -> Clips:
        self.asked.append((index, size, crop))
        wrong = self.broken(index)
        if isinstance(wrong, Exception):
            raise wrong
        noise = torch.rand(size * 2, 3, 8, 8, generator=torch.Generator().manual_seed(index))
        truth = nn.functional.interpolate(noise, (crop, crop), mode="bicubic").clamp(0, 1)
        clip = nn.functional.avg_pool2d(truth, 5, 1, 2, count_include_pad=False)
        clip, truth = clip.view(size, 2, 3, crop, crop), truth.view(size, 2, 3, crop, crop)
        clip = clip * (math.nan if wrong == "nan" else 1.0)
        truth = torch.stack((truth[:, 0], truth.mean(1)), 1)
        return Clips(clip, torch.tensor([[0.0, 0.5]] * size), truth)


def network(seed: int = 0, width: float = 0.02, **config: object) -> ALANet:
    torch.manual_seed(seed)
    return ALANet(ALANetConfig(width=width, residual=True, **config))


def settings(**changes: object):
    quiet = {"validate_minutes": 99.0, "save_minutes": 99.0, "log_steps": 2, "stages": (Stage(0, 32, 2),), "steps": 6}
    return preset("quick", **{"precision": "fp32", **quiet, **changes})


def signal_at(step: int, number: int = signal.SIGTERM) -> Hooks:
    return Hooks(on_progress=lambda progress: os.kill(os.getpid(), number) if progress.step == step else None)


def same(one: Path, other: Path) -> bool:
    """Whether the last checkpoints of two runs are alike to the last bit: weights, mean, optimizer, random numbers."""
    a, b = latest(one), latest(other)
    assert a is not None and b is not None  # noqa: PT018
    timeless = [{key: value for key, value in x.about.items() if key not in ("used", "config")} for x in (a, b)]
    alike = a.tensors.keys() == b.tensors.keys() and timeless[0] == timeless[1]
    return alike and all(torch.equal(value, b.tensors[key]) for key, value in a.tensors.items())


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize(("precision", "optimizer"), [("fp32", "adamw"), ("bf16", "adamw"), ("fp32", "muon")])
def test_a_run_that_sigterm_ended_goes_on_to_the_same_bit(tmp_path, workers, precision, optimizer) -> None:
    config = settings(precision=precision, optimizer=optimizer, ema=0.9)
    train(network(), config, Sharpen(), tmp_path / "whole")
    config = settings(precision=precision, optimizer=optimizer, ema=0.9, workers=workers)
    report = train(network(), config, Sharpen(), tmp_path / "parts", hooks=signal_at(3))
    assert (report.interrupted, report.step) == (signal.SIGTERM, 4)  # the step in progress is finished first
    torch.manual_seed(99)  # whatever happened in between
    report = train(network(seed=5), config, Sharpen(), tmp_path / "parts")
    assert (report.interrupted, report.step, report.samples) == (None, 6, 12)
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_ctrl_c_saves_and_ends_without_a_traceback(tmp_path) -> None:
    before = signal.getsignal(signal.SIGINT)
    report = train(network(), settings(steps=50), Sharpen(), tmp_path, hooks=signal_at(2, signal.SIGINT))
    assert report.interrupted == signal.SIGINT
    assert latest(tmp_path).step == report.step < 50
    assert load_model(tmp_path / "last.safetensors").config.width == 0.02
    assert signal.getsignal(signal.SIGINT) is before


def test_another_seed_is_another_run(tmp_path) -> None:
    train(network(0), settings(), Sharpen(), tmp_path / "a")
    train(network(1), settings(), Sharpen(), tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "b")


def test_training_sharpens(tmp_path) -> None:
    validate = validator([Sharpen().batch(10**6, size=4, crop=32)])
    config = settings(steps=40, lr=3e-3, stages=(Stage(0, 32, 4),), ema=0.9)
    model = network(width=0.05)
    before = validate(model).scores
    report = train(model, config, Sharpen(), tmp_path, hooks=Hooks(validate=validate))
    assert before["deblurred gain"] == pytest.approx(0, abs=1e-9)  # the residual form starts at its input
    assert report.scores["deblurred gain"] > 0.3
    assert report.scores["interpolated gain"] > 0.3
    best = load_model(tmp_path / "best.safetensors")
    assert validate(best).scores["gain"] == pytest.approx(report.scores["gain"], abs=0.02)  # fp16 on disk


def test_a_budget_in_minutes_is_kept_and_the_schedule_runs_over_it(tmp_path) -> None:
    rates = []
    config = settings(steps=None, minutes=0.03, warmup=0.2)
    hooks = Hooks(on_progress=lambda progress: rates.append((progress.fraction, progress.lr)))
    train(network(), config, Sharpen(), tmp_path / "warm", hooks=hooks)
    report = train(network(), config, Sharpen(), tmp_path / "run", hooks=hooks)
    assert 0.03 <= report.minutes < 0.3
    values = [lr for _, lr in rates][-report.step :]
    falling = values[values.index(max(values)) :]
    assert falling == sorted(falling, reverse=True)  # how far depends on how long the machine took for the last step
    assert falling[-1] < falling[0]
    again = train(network(), config, Sharpen(), tmp_path / "run")
    assert again.step == report.step  # the budget is the sum over resumed runs


def test_crops_grow_and_batches_keep_their_order(tmp_path) -> None:
    sampler = Sharpen()
    train(network(), settings(stages=(Stage(0, 32, 2), Stage(0.5, 64, 1)), workers=1), sampler, tmp_path)
    assert sampler.asked[:6] == [(0, 2, 32), (1, 2, 32), (2, 2, 32), (3, 1, 64), (4, 1, 64), (5, 1, 64)]


class Explode:
    """The mean squared error, not finite at some steps."""

    def __init__(self, steps: set[int], gradient_only: bool = False) -> None:
        self.steps, self.gradient_only, self.count = steps, gradient_only, 0
        self.went_back: list[int] = []  # steps of which gradients were asked

    def __call__(self, model: nn.Module, batch: Clips, fraction: float) -> tuple[Tensor, dict[str, Tensor]]:
        self.count += 1
        apart = (model(batch.clip, batch.times[0].tolist()) - batch.truth).square().mean()
        if self.count in self.steps:
            # sqrt has an infinite slope at 0: the loss is finite, its gradient is not
            apart = (apart - apart.detach()).sqrt() if self.gradient_only else apart * math.nan
        apart.register_hook(lambda gradient, step=self.count: self.went_back.append(step))
        return apart, {}


@pytest.mark.parametrize("gradient_only", [False, True])
def test_a_step_that_is_not_finite_changes_nothing(tmp_path, gradient_only: bool, caplog) -> None:
    seen = []
    model = network()
    first = next(model.parameters())
    objective = Explode({3}, gradient_only)
    hooks = Hooks(objective=objective, on_progress=lambda progress: seen.append(first.detach().clone()))
    report = train(model, settings(), Sharpen(), tmp_path, hooks=hooks)
    assert report.skipped == 1
    assert torch.equal(seen[1], seen[2])
    assert not torch.equal(seen[2], seen[3])
    assert (3 in objective.went_back) == gradient_only
    assert 4 in objective.went_back
    assert "step 3 skipped" in caplog.text
    assert all(torch.isfinite(value).all() for value in latest(tmp_path).tensors.values())


def test_several_steps_in_a_row_that_are_not_finite_end_the_run(tmp_path) -> None:
    hooks = Hooks(objective=Explode({1, 4, 5, 6, 7}))
    with pytest.raises(AlanetError, match=r"3 steps in a row up to step 6 were not finite .* lower learning rate"):
        train(network(), settings(steps=20, patience=3, save_steps=2), Sharpen(), tmp_path, hooks=hooks)
    kept = latest(tmp_path)
    assert kept.step == 4
    assert all(torch.isfinite(value).all() for value in kept.tensors.values())


@pytest.mark.parametrize("wrong", [OSError("clip_17.png is cut short"), "nan"])
def test_a_corrupt_sample_is_replaced_and_named(tmp_path, caplog, wrong: object) -> None:
    sampler = Sharpen(lambda index: wrong if index == 2 else None)
    report = train(network(), settings(workers=1), sampler, tmp_path)
    assert report.step == 6
    assert report.skipped == 0
    assert (2 + FAR, 2, 32) in sampler.asked
    named = "clip_17.png is cut short" if isinstance(wrong, OSError) else "its pixels are not finite"
    assert f"batch 2 cannot be used and is replaced: {named}" in caplog.text


def test_data_that_is_all_corrupt_ends_the_run(tmp_path) -> None:
    with pytest.raises(DataError, match=r"batch 0 and 3 replacements cannot be used \(no such file\); check"):
        train(network(), settings(), Sharpen(lambda index: OSError("no such file")), tmp_path)


def test_the_checkpoint_of_another_model_is_refused(tmp_path) -> None:
    train(network(), settings(), Sharpen(), tmp_path)
    with pytest.raises(
        WeightsError, match=r"is of ALANet\(width=0.02.*the model is ALANet\(.*attention=self"
    ) as caught:
        train(network(attention="self"), settings(), Sharpen(), tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(OptionError, match="holds checkpoints; let the run resume"):
        train(network(), settings(), Sharpen(), tmp_path, resume=False)


def test_settings_that_changed_are_named_when_a_run_goes_on(tmp_path, caplog) -> None:
    train(network(), settings(), Sharpen(), tmp_path)
    train(network(), settings(lr=1e-5, steps=8, workers=0), Sharpen(), tmp_path)
    assert "resuming with other settings than before: steps 6 -> 8, lr 0.0005 -> 1e-05" in caplog.text


def test_the_journal_has_every_step_once_and_pictures(tmp_path) -> None:
    pytest.importorskip("tensorboard")
    validate = validator([Sharpen().batch(10**6, size=1, crop=32)])
    config = settings(validate_steps=4, save_steps=4)
    hooks = Hooks(objective=Explode({5, 6, 7, 8}), validate=validate)
    with pytest.raises(AlanetError):  # a crash at step 6, after the checkpoint of step 4
        train(
            network(),
            settings(validate_steps=4, save_steps=4, patience=2, log_steps=1),
            Sharpen(),
            tmp_path,
            hooks=hooks,
        )
    train(network(), config, Sharpen(), tmp_path, hooks=Hooks(validate=validate))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "loss" in line]
    assert steps == [1, 2, 3, 4, 6]
    assert {"lr", "gradient", "samples", "waiting", "samples_per_second", "charbonnier"} <= lines[-2].keys()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert "held-out 0" in events.Tags()["images"]
    assert "validation/gain" in events.Tags()["scalars"]


def test_batches_are_prepared_while_the_step_runs() -> None:
    begun = [threading.Event() for _ in range(4)]
    feed = Feed(lambda index: begun[index].set(), start=0, workers=1, ahead=2)
    feed.next()
    assert all(event.wait(60) for event in begun[:3])  # the next two are begun before they are asked for
    assert not begun[3].is_set()
    feed.close()
    alone = Feed(lambda index: begun[index].clear(), start=0, workers=0, ahead=2)
    alone.next()
    assert [event.is_set() for event in begun] == [False, True, True, False]
    assert alone.waited > 0  # all of the preparing
    alone.close()


def test_the_share_of_time_waiting_is_reported(tmp_path) -> None:
    window = Sums(10.0)
    for loss in (1.0, 3.0):
        window.add(loss, 5, 0.3)
    assert window.rate(10.8) == pytest.approx((10 / 0.8, 0.6 / 0.8))
    shares = []
    hooks = Hooks(on_progress=lambda progress: shares.append(progress.waiting))
    train(network(), settings(steps=3, log_steps=99), Sharpen(lambda index: time.sleep(0.05)), tmp_path, hooks=hooks)
    assert all(0 < share <= 1 for share in shares)


SCRIPT = """
import sys, torch
sys.path.insert(0, {root!r})
from tests.training.test_loop import Sharpen, network, settings
from alanet.training import distributed
from alanet.training.loop import train
torch.set_num_threads(1)
train(network().double(), settings(steps=10, workers=1, lr=1e-3), Sharpen(), {folder!r})
distributed.leave()
"""


class Both(Sharpen):
    """Batch k is what two processes see at step k, side by side."""

    def batch(self, index: int, *, size: int, crop: int) -> Clips:
        halves = [Sharpen.batch(self, 2 * index + i, size=size, crop=crop) for i in range(2)]
        return Clips(*(torch.cat([getattr(half, name) for half in halves]) for name in ("clip", "times", "truth")))


@pytest.mark.slow
def test_two_processes_and_one_with_the_doubled_batch_reach_the_same_weights(tmp_path, monkeypatch) -> None:
    train(network().double(), settings(steps=10, lr=1e-3), Both(), tmp_path / "one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = SCRIPT.format(root=str(ROOT), folder=str(tmp_path / "two"))
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    other = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, **together, "RANK": "1"})
    for name, value in {**together, "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    try:
        train(network().double(), settings(steps=10, lr=1e-3, workers=1), Sharpen(), tmp_path / "two")
        assert other.wait(100) == 0
    finally:
        distributed.leave()
        other.kill()
    one, two = latest(tmp_path / "one"), latest(tmp_path / "two")
    assert one.about["samples"] == two.about["samples"] == 40
    start = network().double().state_dict()
    for name in ("model", "ema"):
        for key, weight in one.part(name).items():
            assert (weight - two.part(name)[key]).abs().max() < 1e-9
    assert max((weight - start[key]).abs().max() for key, weight in one.part("model").items()) > 1e-3  # they did move


def test_psnr_by_hand() -> None:
    truth = torch.full((1, 3, 4, 4), 100 / 255)
    assert psnr8(truth + 5 / 255, truth).item() == pytest.approx(20 * math.log10(255 / 5), abs=1e-4)
    assert psnr8(truth + 0.4 / 255, truth).item() == math.inf  # rounds to the same 8 bits
    assert psnr8(truth + 9.0, truth).item() == pytest.approx(20 * math.log10(255 / 155), abs=1e-4)  # clamped


def test_the_baseline_copies_and_blends() -> None:
    clip = torch.rand(2, 3, 3, 4, 4)
    plain = baseline(clip, torch.tensor([[0.0, 1.5], [2.0, 0.25]]))
    assert torch.equal(plain[0, 0], clip[0, 0])
    assert torch.equal(plain[1, 0], clip[1, 2])
    assert torch.allclose(plain[0, 1], (clip[0, 1] + clip[0, 2]) / 2)
    assert torch.allclose(plain[1, 1], (clip[1, 0] + clip[1, 1]) / 2)


def test_validation_counts_gains_a_time_and_leaves_exact_frames_out() -> None:
    class Truthful(nn.Module):
        """Knows the truth of the interpolated frame up to 1/255, copies the rest."""

        def __init__(self, truth: Tensor) -> None:
            super().__init__()
            self.truth = nn.Parameter(truth)

        def forward(self, clip: Tensor, times: Tensor) -> Tensor:
            return torch.stack((self.truth[:, 0], self.truth[:, 1] + 1 / 255), 1)

    batch = Sharpen().batch(0, size=2, crop=32)
    batch = Clips(batch.clip, batch.times, batch.truth * 0.9)
    scores = validator([batch])(Truthful(batch.truth)).scores
    assert scores["interpolated"] == pytest.approx(48.13, abs=0.1)
    plain = psnr8(baseline(batch.clip, batch.times), batch.truth)[:, 1].mean().item()
    assert scores["interpolated gain"] == pytest.approx(scores["interpolated"] - plain, abs=1e-3)
    assert scores["gain 1/2"] == pytest.approx(scores["interpolated gain"], abs=1e-3)
    assert "deblurred" not in scores  # exact: infinite
    with pytest.raises(DataError, match="the held-out data have no batch"):
        validator([])


def test_the_paper_preset_is_section_5_2() -> None:
    paper = preset("paper")
    assert (paper.epochs, paper.stages, paper.optimizer) == (200, (Stage(0.0, 0, 2),), "adam")
    assert (paper.weight_decay, paper.pixel, paper.perceptual, paper.fourier) == (5e-4, "l1", 0.2, 0)
    rates = [learning_rate(paper, epoch / 200) for epoch in (0, 99.9, 100, 149.9, 150, 199)]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5, 1e-6, 1e-6])
    assert steps_of(paper, clips=501) == 200 * 251


def test_warm_up_then_cosine() -> None:
    config = preset("scenes", lr=1.0, warmup=0.1, lr_end=0.01)
    assert learning_rate(config, 0.05) == pytest.approx(0.5)
    assert learning_rate(config, 0.1) == pytest.approx(1.0)
    assert learning_rate(config, 0.55) == pytest.approx(0.505)
    assert learning_rate(config, 1.0) == pytest.approx(0.01)


def test_stages_follow_the_fraction() -> None:
    config = preset("quick", stages=parse_stages("0:64:4,0.5:96:2"))
    assert [stage_at(config, f).crop for f in (0, 0.49, 0.5, 1)] == [64, 64, 96, 96]


def test_only_weights_of_several_axes_decay(tmp_path) -> None:
    model = network()
    start = {key: value.clone() for key, value in model.named_parameters()}

    def still(model: nn.Module, batch: Clips, fraction: float) -> tuple[Tensor, dict[str, Tensor]]:
        return sum(p.sum() * 0 for p in model.parameters()), {}  # type: ignore[return-value]

    config = settings(steps=5, weight_decay=0.5, lr=0.1)
    train(model, config, Sharpen(), tmp_path, hooks=Hooks(objective=still))
    for name, value in model.named_parameters():
        decayed = value.abs().sum() < start[name].abs().sum()
        assert decayed == (value.dim() > 1 and bool(start[name].any())), name


def test_a_config_survives_json() -> None:
    config = preset("cpu", lr=3e-4)
    assert config_from(json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: preset("qick"), r"preset 'qick'; allowed: .*did you mean 'quick'\?"),
        (lambda: preset("quick", learning_rat=1), "training option 'learning_rat' is unknown"),
        (lambda: preset("quick", foruier=1), r"did you mean 'fourier'\?"),
        (lambda: preset("quick", lr=-1.0), "lr is -1.0; allowed: above 0"),
        (lambda: preset("quick", ema=1.5), "ema is 1.5; allowed: from 0 to below 1"),
        (lambda: preset("quick", precision="fp8"), "precision is 'fp8'; allowed: fp32, bf16"),
        (lambda: preset("quick", stages=(Stage(0.5, 64, 1),)), "stages start at .*; allowed: rising"),
        (lambda: preset("quick", stages=(Stage(0, 64, 0),)), "a stage has a batch below 1"),
        (lambda: parse_stages("96x8"), "--stages 96x8: give START:CROP:BATCH"),
    ],
)
def test_what_no_run_can_be_is_refused(call, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        call()


def test_a_run_needs_a_budget(tmp_path) -> None:
    with pytest.raises(OptionError, match="no budget: give minutes, steps or epochs"):
        train(network(), preset("paper", epochs=3, perceptual=0.0), Sharpen(), tmp_path)


# --- resuming ---------------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_nothing_is_written_before_a_resume_is_accepted(tmp_path) -> None:
    train(network(), settings(), Sharpen(), tmp_path)
    before, accepted = contents(tmp_path), []
    hooks = Hooks(on_accepted=lambda: accepted.append(1))
    with pytest.raises(WeightsError, match="use another folder"):
        train(network(width=0.05), settings(), Sharpen(), tmp_path, hooks=hooks)
    assert contents(tmp_path) == before
    assert not accepted


def test_what_a_killed_write_left_is_cleared_at_the_start(tmp_path) -> None:
    train(network(), settings(), Sharpen(), tmp_path)
    for name in (f"step-00000004.ckpt{UNFINISHED}", f"last.safetensors{UNFINISHED}"):
        (tmp_path / name).write_bytes(b"half of it")
    train(network(), settings(steps=8), Sharpen(), tmp_path)
    assert not list(tmp_path.glob(f"*{UNFINISHED}"))


def test_a_log_with_damaged_bytes_does_not_stop_a_run(tmp_path) -> None:
    train(network(), settings(), Sharpen(), tmp_path)
    file = tmp_path / "metrics.jsonl"
    whole = [json.loads(line)["step"] for line in file.read_text().splitlines()]
    file.write_bytes(file.read_bytes() + b'{"step": 6, "los\xff\n' + b"[" * 100_000 + b"\n\xff")
    train(network(), settings(steps=8), Sharpen(), tmp_path)
    steps = [json.loads(line)["step"] for line in file.read_text().splitlines()]
    assert steps[: len(whole)] == whole
    assert steps[-1] == 8


def test_a_forged_network_or_optimizer_is_refused_in_one_line(tmp_path) -> None:
    """The fields that only the model at hand can judge: five wrong values for each of its config, and its tensors."""
    config, tried = settings(), 0
    wrong: tuple[Any, ...] = ("text", -5, 10**400, float("nan"), [[]])
    train(network(), config, Sharpen(), tmp_path)
    good = latest(tmp_path)

    def refused(about: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        trainer = Trainer(network(), config, network_objective(RestorationLoss()), steps=6, device=torch.device("cpu"))
        with pytest.raises(WeightsError):
            trainer.load(Checkpoint(tensors, about))

    model = good.about["model"]
    for name in model["config"]:
        for value in (*wrong, 1 if model["config"][name] is True else True):
            refused({**good.about, "model": {**model, "config": {**model["config"], name: value}}}, good.tensors)
            tried += 1
    for value in wrong:
        refused({**good.about, "model": {**model, "model": value}}, good.tensors)
        tried += 1
    assert tried >= 5 * (len(model["config"]) + 1)
    for name in [name for name in good.tensors if not name.startswith("random/")][::17]:
        weight = good.tensors[name]
        for other in (weight.half(), weight.flatten()[:0], torch.cat((weight.flatten(), weight.flatten()))):
            refused(good.about, {**good.tensors, name: other})
        if not name.startswith("ema/"):
            refused(good.about, {key: tensor for key, tensor in good.tensors.items() if key != name})
