"""Fine-tuning on the video that is to be restored: does a network gain on frames that it has not seen?

A sharp video becomes inputs by the protocol `mixed`. Only the first inputs are used, and nothing but them:

    inputs ── the network's own estimates ──> sharp frames, motion to both neighbours
    sharp frame k, averaged along its motion ──> training sample "blur": k - 1, blurry k, k + 1 -> sharp k
    sharp frame k                            ──> training sample "between": k - 1, k + 1 -> sharp k, at half the time

The adapted network restores the whole video. The ground truth of blurry frames and of frames between inputs is never
used in training: "adapted part" are such frames among the inputs used, "rest" are those of the inputs that are not.
The variant "truth" takes its training samples from the sharp video itself: it bounds what any synthesis can gain.

Axes: b batch, t frames, c h w; frames are float32 RGB in [0, 1]. Motion is 2 h/4 w/4, in pixels.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alanet.engine.runner import Runner
from alanet.errors import DataError
from alanet.evaluation.evaluate import of_model
from alanet.evaluation.footage import load_footage
from alanet.evaluation.metrics import Picture, psnr
from alanet.evaluation.protocols import Protocol, Trial, parse_protocols, trials
from alanet.frames.exposure import Exposure
from alanet.frames.tiles import pad_to_multiple
from alanet.model.layers import CELL
from alanet.model.network import Network, Window
from alanet.model.warping import warp
from alanet.model.weights import default_model, load_model
from alanet.training.loss import psnr_loss
from benchmarks.common import table

STEPS_ALONG = 15  # samples of the path that a synthetic blurry frame is the mean of
EXPOSURES = (0.4, 0.75, 1.1, 1.4)  # of the synthetic blurry frames of each sharp frame, in periods
USED = 0.6  # share of the inputs that the network is adapted to


@dataclass(frozen=True)
class Sample:
    """A training sample: input frames, a time, and the sharp frame at that time."""

    frames: tuple[Tensor, ...]  # t of 3 h w
    time: float
    truth: Tensor  # 3 h w


@dataclass(frozen=True)
class Variant:
    """What is tried. `back`: share of the way back to the initial weights, after training."""

    name: str
    data: tuple[str, ...]  # of "blur", "between", "truth"
    lr: float = 1e-4
    back: float = 0.0


VARIANTS = (
    Variant("blur", ("blur",)),
    Variant("blur, half the way back", ("blur",), back=0.5),
    Variant("between", ("between",)),
    Variant("both", ("blur", "between")),
    Variant("both, half the way back", ("blur", "between"), back=0.5),
    Variant("both, a fifth of the rate", ("blur", "between"), lr=2e-5),
    Variant("truth", ("truth",)),
)


@dataclass(frozen=True)
class Score:
    """PSNR in dB of one restored frame; the input itself, where it is sharp, is not scored."""

    time: Fraction
    between: bool
    value: float


def adapt(options: argparse.Namespace, folder: Path) -> None:
    """PSNR of a network before and after it is fine-tuned on the sharp frames of the video that it restores."""
    torch.set_num_threads(options.threads or 1)
    variants = [one for one in VARIANTS if not options.variants or one.name in options.variants]
    name = options.model or default_model()
    rows: list[tuple[object, ...]] = []
    for path in options.videos:
        trial = trial_of(path, options.period, options.limit)
        used = math.ceil(USED * len(trial.inputs))
        model = load_model(name)
        before = scores(model, trial, options.precision)
        absolute = [f"{mean(one.value for one in before if one.between == between):.2f}" for between in (False, True)]
        made: dict[str, list[Sample]] = {}
        trained: dict[Variant, Network] = {}
        for variant in variants:
            try:
                pool = [sample for kind in variant.data for sample in _samples(kind, made, model, trial, used, options)]
            except DataError as error:
                raise SystemExit(f"{path}: {error}") from error
            key = replace(variant, name="", back=0.0)
            if key not in trained:
                trained[key] = fine_tuned(model, pool, variant.lr, options)
            after = scores(going_back(trained[key], model, variant.back), trial, options.precision)
            rows.append((path.stem, variant.name, len(pool), *absolute, *gains(before, after, used)))
            print(" | ".join(map(str, rows[-1])), flush=True)
    budget = f"{options.steps} steps" if options.steps else f"{options.minutes:g} CPU minutes"
    print(f"\n{name}, {budget} each, batches of {options.batch}, crops of {options.crop}, seed {options.seed}.")
    print("Gain in dB over the network as it is; number of frames in brackets.\n")
    parts = [f"{kind}, {place}" for place in ("adapted part", "rest") for kind in ("deblurred", "in between")]
    table(("video", "variant", "samples", "deblurred before", "in between before", *parts, "all"), *rows)


def trial_of(path: Path, period: int = 8, limit: int | None = None) -> Trial:
    """The inputs and the ground truth of the first `limit` frames of a sharp video, by the protocol `mixed`."""
    footage = load_footage(path, limit=limit, assume_rate=Fraction(240))
    protocol: Protocol = replace(parse_protocols("mixed")[0], part=1 << 20)
    if period != protocol.exposure.period:
        length = period + 1  # as much of a period as a camera can be open for, and one frame more, as there
        protocol = replace(protocol, exposure=Exposure(length, period), length=length)
    return next(trials(footage.subject.name, footage.frames, protocol))


def scores(model: Network, trial: Trial, precision: str) -> list[Score]:
    """PSNR of the restored frames, but for inputs that are sharp."""
    method = of_model(copy.deepcopy(model), device="cpu", precision=precision)
    restored = method.restore(trial.inputs, trial.times)
    return [
        Score(time, bool(time % 1), psnr(ours, truth))
        for ours, truth, time in zip(restored, trial.truth, trial.times, strict=True)
        if time % 1 or trial.blurred[int(time)]
    ]


def gains(before: Sequence[Score], after: Sequence[Score], used: int) -> list[str]:
    """Mean gain of deblurred and in-between frames, of the adapted part and of the rest, and of all: "+0.12 (9)"."""

    def cell(found: list[float]) -> str:
        return f"{mean(found):+.2f} ({len(found)})" if found else "–"

    both = [(old, new.value - old.value) for old, new in zip(before, after, strict=True)]
    columns = [
        cell([gain for old, gain in both if old.between == between and (old.time > used - 1) == rest])
        for rest in (False, True)
        for between in (False, True)
    ]
    return [*columns, cell([gain for _, gain in both])]


def _samples(
    kind: str, made: dict[str, list[Sample]], model: Network, trial: Trial, used: int, options: argparse.Namespace
) -> list[Sample]:
    if kind == "truth":
        return true_samples(trial, used)
    if not made:
        made.update(synthesised(model, trial.inputs[:used], options.precision))
    return made[kind]


def synthesised(model: Network, inputs: Sequence[Picture], precision: str = "fp32") -> dict[str, list[Sample]]:
    """Training samples from the frames that the network takes for sharp and that have a neighbour on both sides.

    Raises DataError where there is none.
    """
    runner = Runner(copy.deepcopy(model), torch.device("cpu"), precision)
    features = [runner.encode(picture) for picture in inputs]
    pairs = {i: runner.relate(features[i], features[i + 1]) for i in range(len(features) - 1)}
    window = Window(dict(enumerate(features)), pairs)
    made: dict[str, list[Sample]] = {"blur": [], "between": []}
    for k in range(1, len(inputs) - 1):
        found = runner.estimate(window, k)
        if found is None or not found.sharp:
            continue
        before, sharp, after = (as_tensor(inputs[i], model.stride) for i in (k - 1, k, k + 1))
        ahead = runner.model.motion_of(pairs[k])
        back = runner.model.motion_of(runner.relate(features[k], features[k - 1]))
        if ahead is None or back is None:
            raise DataError("the network estimates no motion; name another one")
        made["between"].append(Sample((before, after), 0.5, sharp))
        for exposure in EXPOSURES:
            blurry = blurred_along(sharp, back[0].float(), ahead[0].float(), exposure)
            made["blur"].append(Sample((before, blurry, after), 1.0, sharp))
    if not made["between"]:
        raise DataError("no frame is recognised as sharp: there is nothing to learn from")
    return made


def true_samples(trial: Trial, used: int) -> list[Sample]:
    """What no user has: the blurry frames of the inputs that are used, and the frames between them, with the ground
    truth of the sharp video."""
    pictures = [as_tensor(picture, 32) for picture in trial.inputs[:used]]
    found = []
    for time, truth in zip(trial.times, trial.truth, strict=True):
        i = int(time)
        if time % 1 and i + 1 < used:
            found.append(Sample((pictures[i], pictures[i + 1]), 0.5, as_tensor(truth, 32)))
        elif not time % 1 and 0 < i < used - 1 and trial.blurred[i]:
            found.append(Sample(tuple(pictures[i - 1 : i + 2]), 1.0, as_tensor(truth, 32)))
    return found


def as_tensor(picture: Picture, stride: int) -> Tensor:
    """h w 3 uint8 -> 3 h' w' float32 in [0, 1], padded to multiples of the stride."""
    frame = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
    return pad_to_multiple(frame, stride)[0].contiguous()


def blurred_along(sharp: Tensor, back: Tensor, ahead: Tensor, exposure: float) -> Tensor:
    """A sharp frame (3 h w) as a shutter would record it that is open for `exposure` periods around it, in 8 bits.

    back, ahead: motion to the frame before and to the next one, 2 h/4 w/4, pixels. What the content uncovers is not
    known: each place takes what moves there by the motion at the place itself.
    """
    ways = torch.stack((back, ahead))
    ways = F.interpolate(ways, scale_factor=float(CELL), mode="bilinear", align_corners=False)
    times = torch.linspace(-exposure / 2, exposure / 2, STEPS_ALONG)
    shown = [warp(sharp[None], -abs(float(time)) * ways[int(time > 0)][None], 1) for time in times]
    return (torch.cat(shown).mean(0) * 255).round() / 255


def fine_tuned(model: Network, pool: Sequence[Sample], lr: float, options: argparse.Namespace) -> Network:
    """A copy whose decoder is trained on the samples, for a number of steps or for CPU time; the rest stays."""
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    network: Any = copy.deepcopy(model).train()
    network.requires_grad_(False)
    network.decoder.requires_grad_(True)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    steps, began = 0, process_time()

    def share_done() -> float:
        done = steps / options.steps if options.steps else (process_time() - began) / (60 * options.minutes)
        return float(done)

    while (done := share_done()) < 1:
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, done / 0.05 + 0.02) * 0.5 * (1 + math.cos(math.pi * done))
        clip, at, truth = batch_of(pool, rng, options.batch, options.crop)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            restored = network(clip, [at])
        loss = psnr_loss(restored.float(), truth)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        steps += 1
    print(f"{steps} steps", flush=True)
    trained: Network = network.eval()
    return trained


def batch_of(pool: Sequence[Sample], rng: np.random.Generator, size: int, crop: int) -> tuple[Tensor, float, Tensor]:
    """Crops of samples that share a time, mirrored and turned back in time at random: b t 3 h w, time, b 1 3 h w."""
    first = pool[int(rng.integers(len(pool)))]
    alike = [sample for sample in pool if sample.time == first.time]
    drawn = [first, *(alike[int(k)] for k in rng.integers(len(alike), size=size - 1))]
    cut = list(_crops(drawn, rng, crop))
    clip = torch.stack([frames for frames, _ in cut])
    return clip, first.time, torch.stack([truth for _, truth in cut])[:, None]


def _crops(drawn: Sequence[Sample], rng: np.random.Generator, crop: int) -> Iterator[tuple[Tensor, Tensor]]:
    for sample in drawn:
        height, width = sample.truth.shape[-2:]
        tall, wide = min(crop, height), min(crop, width)
        top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
        frames = sample.frames[:: -1 if rng.random() < 0.5 else 1]  # the time is the middle
        both = torch.stack((*frames, sample.truth))[..., top : top + tall, left : left + wide]
        axes = [axis for axis in (-2, -1) if rng.random() < 0.5]
        both = both.flip(axes) if axes else both
        yield both[:-1], both[-1]


@torch.no_grad()
def going_back(trained: Network, initial: Network, share: float) -> Network:
    """A copy whose weights lie this share of the way back to the initial ones."""
    mixed = copy.deepcopy(trained)
    for weight, first in zip(mixed.parameters(), initial.parameters(), strict=True):
        weight.lerp_(first, share)
    return mixed
