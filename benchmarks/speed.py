"""Time: the whole pipeline against the network alone, the networks against each other, bf16 against fp32."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

import alanet
from alanet.engine.precision import choose_precision
from alanet.engine.runner import Runner
from alanet.evaluation.baselines import load_rife
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.cost import count_parameters
from alanet.model.network import Network
from alanet.model.weights import continuous_models, load_model
from alanet.restoration.options import RestoreOptions
from benchmarks.common import (
    alone,
    busy_neighbour,
    make_video,
    medians,
    ratio,
    restorer,
    sample,
    share_in_convolutions,
    table,
    take_turns,
)


def speed(options: argparse.Namespace, folder: Path) -> None:
    """File to file, against the same network calls on a tensor that is ready."""
    width, height = options.size
    source = make_video(folder / "in.mp4", width, height, options.frames)
    whole = restorer(options, options.precision, memory=64 << 30)
    target = RestoreOptions(encode=alanet.EncodeOptions(overwrite=True))
    tensors = [whole.runner.to_tensor(frame) for frame in islice(sample(width, height), options.frames)]

    def restore() -> object:
        return whole.restore(source, folder / "out.mp4", target)

    def beside() -> None:
        with busy_neighbour():
            restore()

    names = ("network alone", "end to end", "end to end, beside a process that spins")
    times = take_turns([lambda: alone(whole.runner, tensors), restore, beside], options.rounds, names=names,
                       seconds=options.seconds)  # fmt: skip
    rows = [
        (name, *(f"{value / options.frames * 1000:.1f}" for value in medians(part)), f"{ratio(part, times[0]):.3f}",
         f"{ratio(part, times[0], 1):.3f}")
        for name, part in zip(names, times, strict=True)
    ]  # fmt: skip
    print(
        f"{width}x{height}, {options.frames} frames in, {whole.model_name}, {whole.precision}, "
        f"{torch.get_num_threads()} threads\n"
    )
    table(("", "ms an input frame", "CPU ms", "ratio", "ratio of CPU"), *rows)
    print(f"\nCPU time beside a process that spins, of the time without it: {ratio(times[2], times[1], 1):.2f}")


def networks(options: argparse.Namespace, _: Path) -> None:
    """Networks of every size against the paper's; RIFE's, in fp32 and bf16, where it is given.

    With the results of `alanet evaluate` (--results), also a plot of PSNR over the measured time (--plot).

    All frames are restored, sharp ones too. Networks that work where something moves have their shipped weights, as
    without these nothing does.
    """
    width, height = options.size
    if options.threads:
        torch.set_num_threads(options.threads)
    models: dict[str, Network] = {
        "paper": ALANet(),
        "paper, half width": ALANet(ALANetConfig(width=0.5)),
        "paper, quarter width": ALANet(ALANetConfig(width=0.25)),
        **{name: load_model(name) for name in continuous_models()},
    }
    if options.model:
        models[Path(options.model).stem] = load_model(options.model)
    device = torch.device("cpu")
    chosen = choose_precision(options.precision, device).precision
    runners = [Runner(model, device, chosen) for model in models.values()]
    frames = list(islice(sample(width, height, options.video), options.frames))
    tensors = [runners[0].to_tensor(frame) for frame in frames]
    calls: list[Callable[[], object]] = [partial(alone, runner, tensors, all_frames=True) for runner in runners]
    names = list(models)
    costs = [(f"{count_parameters(m) / 1e6:.1f} M", f"{m.cost(height, width).output:.1f}") for m in models.values()]
    if options.rife_module:
        rife = load_rife(options.rife_module, options.rife_weights)
        halfway = partial(rife.restore, frames[:2], [Fraction(1, 2)])
        calls += [halfway, partial(_in_bf16, halfway)]
        names += ["RIFE 4.25, fp32, an interpolated frame", "RIFE 4.25, bf16, an interpolated frame"]
        costs += [("", "")] * 2
    times = take_turns(calls, options.rounds, names=names, seconds=options.seconds)
    outputs = [2 * options.frames - 1] * len(models) + [1] * (len(calls) - len(models))
    rows = [
        (name, *about, f"{medians(part)[0] / count * 1000:.0f}", f"{ratio(times[0], part) * count / outputs[0]:.2f}",
         f"{share_in_convolutions(call):.0%}")
        for name, about, part, count, call in zip(names, costs, times, outputs, calls, strict=True)
    ]  # fmt: skip
    if options.plot:
        spent = {name: medians(part)[0] / count * 1000 for name, part, count in zip(names, times, outputs, strict=True)}
        _plot(options, spent, chosen)
    what = options.video.name if options.video else "the bundled sample"
    print(f"{what}, {width}x{height}, {options.frames} frames in, x2, {chosen}, {torch.get_num_threads()} threads\n")
    table(("network", "parameters", "GMACs an output frame", "ms an output frame", "times as fast", "in convolutions"),
          *rows)  # fmt: skip


def _plot(options: argparse.Namespace, spent: dict[str, float], chosen: str) -> None:
    """PSNR of saved results over the time of a restored frame. RIFE counts with its faster precision."""
    from alanet.evaluation.plots import quality_against_cost, save
    from alanet.evaluation.result import load_results

    if not options.results:
        raise SystemExit("--plot needs --results FILE.json, which `alanet evaluate ... -o` writes")
    rife = [value for name, value in spent.items() if name.startswith("RIFE")]
    if rife:
        spent["RIFE 4.25"] = min(rife)
    width, height = options.size
    unit = f"ms a restored frame ({width}x{height}, {chosen}, {torch.get_num_threads()} threads)"
    save(quality_against_cost(load_results(options.results)[0], spent, unit), options.plot)


def _in_bf16(call: Callable[[], object]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        call()


def precision(options: argparse.Namespace, _: Path) -> None:
    """bf16 and fp32 of one network on one clip."""
    width, height = options.size
    clip = list(islice(sample(width, height), 4))
    both = [restorer(options, precision=name) for name in ("fp32", "bf16")]
    times = take_turns([lambda one=one: one.arrays(clip) for one in both], options.rounds)  # type: ignore[misc]
    exact, rough = (np.stack(one.arrays(clip)).astype(np.float64) for one in both)
    errors = ((exact - rough) ** 2).mean(axis=(1, 2, 3))
    psnr = [10 * np.log10(255**2 / max(error, 1e-9)) for error in errors]
    wall = [medians(part)[0] / (2 * len(clip) - 1) * 1000 for part in times]
    faster = ratio(times[0], times[1])
    table(
        ("precision", "ms a restored frame", "times as fast", "dB to fp32, least", "mean"),
        ("fp32", f"{wall[0]:.0f}", "1.00", "", ""),
        ("bf16", f"{wall[1]:.0f}", f"{faster:.2f}", f"{min(psnr):.1f}", f"{np.mean(psnr):.1f}"),
    )
    auto = restorer(options, precision="auto").precision
    print(
        f"\n{width}x{height}; --precision auto takes {auto}; CPU capability: {torch.backends.cpu.get_cpu_capability()}"
    )
