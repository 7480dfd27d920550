"""What scripts/bench runs: one Markdown table a subcommand, every ratio from one run.

    speed      the whole way from file to file against the network alone, 640x352, CPU, fp32
    networks   networks of every size against the paper's, and RIFE's where it is given
    precision  bf16 against fp32: time, and PSNR between their results
    memory     growth with length at 320x192, and peaks of whole processes against what was planned
    tiles      tiled against untiled: difference and cost, by halo
    segments   a run in segments, so that it can go on, against the same run in one
    disk       what encoders make of the sample, of its raw bits
    training   clips a second, and the share of time that steps wait for data

What is compared takes turns, and medians are printed, so that a busy machine blurs figures but tilts none. CPU seconds
are those of the whole process, all threads. Videos are made from the bundled sample, mirrored to size.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_memory import memory
from bench_training import training
from benching import alone, make_video, medians, ratio, restorer, sample, table, take_turns

import alanet
from alanet.evaluation.baselines import load_rife
from alanet.frames.tiles import overhead, plan_tiles, round_up
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.network import Network, Window
from alanet.model.cost import count_parameters
from alanet.model.weights import continuous_models, load_model
from alanet.notes import Notes
from alanet.restoration.options import RestoreOptions
from alanet.engine.runner import Runner
from alanet.engine.tiled import TiledRunner, exact_halo
from alanet.video.output.codecs import CODECS
from alanet.video.input.decode import decode
from alanet.video.output.disk import picture_bytes
from alanet.restoration.writer import open_writer
from alanet.video.output.format import plan_output
from alanet.video.input.probe import probe


def speed(options: argparse.Namespace, folder: Path) -> None:
    """File to file, against the same network calls on a tensor that is ready."""
    width, height = options.size
    source = make_video(folder / "in.mp4", width, height, options.frames)
    whole = restorer(options, memory=64 << 30)
    target = RestoreOptions(encode=alanet.EncodeOptions(overwrite=True))
    tensors = [whole.runner.to_tensor(frame) for frame in islice(sample(width, height), options.frames)]

    times = take_turns([lambda: alone(whole.runner, tensors),
                        lambda: whole.restore(source, folder / "out.mp4", target)], options.rounds)  # fmt: skip
    rows = [
        (name, *(f"{value / options.frames * 1000:.1f}" for value in medians(part)), f"{ratio(part, times[0]):.3f}",
         f"{ratio(part, times[0], 1):.3f}")
        for name, part in zip(("network alone", "end to end"), times, strict=True)
    ]  # fmt: skip
    print(f"{width}x{height}, {options.frames} frames in, {whole.model_name}, {torch.get_num_threads()} threads\n")
    table(("", "ms an input frame", "CPU ms", "ratio", "ratio of CPU"), *rows)


def networks(options: argparse.Namespace, _: Path) -> None:
    """Networks of every size against the paper's, fp32, nothing compiled; RIFE's where it is given.

    Those that work where something moves have their shipped weights, as without these nothing does.
    """
    width, height = options.size
    if options.threads:
        torch.set_num_threads(options.threads)
    models: dict[str, Network] = {
        "paper": ALANet(),
        "paper, half width": ALANet(ALANetConfig(width=0.5)),
        "paper, quarter width": ALANet(ALANetConfig(width=0.25)),
        **{name.removeprefix("alanet-"): load_model(name) for name in continuous_models()},
    }
    runners = [Runner(model, torch.device("cpu"), "fp32") for model in models.values()]
    frames = list(islice(sample(width, height, options.video), options.frames))
    tensors = [runners[0].to_tensor(frame) for frame in frames]
    calls: list[Callable[[], object]] = [partial(alone, runner, tensors, all_frames=True) for runner in runners]
    if options.rife_module:
        rife = load_rife(options.rife_module, options.rife_weights)
        calls.append(lambda: rife.restore(frames[:2], [Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)]))
    times = take_turns(calls, options.rounds)
    outputs = [2 * options.frames - 1] * len(models) + [3] * (len(calls) - len(models))
    costs = [model.cost(height, width).output for model in models.values()]
    rows = [
        (name, *about, f"{medians(part)[0] / count * 1000:.0f}",
         f"{ratio(times[0], part) * count / outputs[0]:.2f}")
        for name, about, part, count in zip(
            [*models, "RIFE 4.25, an interpolated frame"],
            [*((f"{count_parameters(m) / 1e6:.1f} M", f"{c:.1f}") for m, c in zip(models.values(), costs, strict=True)),
             ("", "")],
            times, outputs, strict=False)
    ]  # fmt: skip
    what = options.video.name if options.video else "the bundled sample"
    print(f"{what}, {width}x{height}, {options.frames} frames in, x2, fp32, {torch.get_num_threads()} threads\n")
    table(("network", "parameters", "GMACs an output frame", "ms an output frame", "times as fast"), *rows)


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


def tiles(options: argparse.Namespace, _: Path) -> None:
    """A strip, whose middle tiles have a whole halo on both sides, at 16 bits: the largest difference, by halo."""
    one = restorer(options)
    stride, used = one.model.stride, exact_halo(one.model)
    widest = round_up(one.model.tiling.halo, 32)
    width, height = 96 + 4 * widest, 96
    clip = [frame.astype(np.uint16) * 257 for frame in islice(sample(width, height), 3)]

    def made(runner: Runner | TiledRunner) -> np.ndarray:
        window: dict[int, Any] = {i: runner.encode(frame) for i, frame in enumerate(clip)}
        pairs = {i: runner.relate(window[i], window[i + 1]) for i in (0, 1)}
        return np.stack(list(runner.generate(Window(window, pairs), [1.0, 1.5], clip[0]))).astype(np.float64)  # type: ignore[arg-type]

    def work(halo: int, core: int) -> str:
        grid = plan_tiles(2176, 3840, halo=halo, stride=stride, max_tile_pixels=(core + 2 * halo) ** 2)
        return f"{overhead(grid):.1f}"

    whole, cores = made(one.runner), (256, 512, 1024)
    rows = []
    for halo in sorted({*range(32, widest + 32, 32), used}):
        grid = plan_tiles(height, width, halo=halo, stride=stride, max_tile_pixels=height * (96 + 2 * halo))
        error = np.abs(made(TiledRunner(one.runner, grid, "exact", Notes())) - whole) / 65535
        name = f"{halo} (used)" if halo == used else str(halo)
        rows.append((name, f"{error.max():.1e}", f"{error.mean():.1e}", *(work(halo, core) for core in cores)))
    table(("halo, px", "largest difference", "mean", *(f"work at 4K, cores of {core}" for core in cores)), *rows)


def segments(options: argparse.Namespace, folder: Path) -> None:
    """File to file, in the segments that a plan takes and in one; where the work is long segments are short."""
    rows: list[tuple[object, ...]] = []
    for width, height in options.sizes:
        source = make_video(folder / f"{width}.mp4", width, height, options.frames)
        one = restorer(options, memory=64 << 30)
        sizes: list[int] = []

        def run(seconds: Fraction, one: alanet.Restorer = one, source: Path = source, sizes: list[int] = sizes) -> None:
            plan = one.plan(source, folder / "out.mp4", RestoreOptions(encode=alanet.EncodeOptions(overwrite=True)))
            sizes.append(one.run(replace(plan, segment=seconds)).output.stat().st_size)

        for seconds in options.seconds:
            sizes.clear()
            apart, whole = take_turns([partial(run, seconds), partial(run, Fraction(1 << 20))], options.rounds)
            wall, cpu = ratio(apart, whole), ratio(apart, whole, 1)
            grown = max(sizes) / min(sizes) - 1
            each = medians(whole)[0] / options.frames * 1000
            rows.append((f"{width}x{height}", f"{float(seconds):g} s", f"{each:.0f}", f"{wall - 1:+.1%}",
                         f"{cpu - 1:+.1%}", f"{grown:+.1%}"))  # fmt: skip
            print(rows[-1], file=sys.stderr, flush=True)
    table(("size", "segments of", "ms an input frame in one", "time", "CPU time", "size of the result"), *rows)


def disk(options: argparse.Namespace, folder: Path) -> None:
    """Bits of the encoded sample, of the bits of its raw pictures; nothing is restored."""
    rows: list[tuple[object, ...]] = []
    source = make_video(folder / "in.mkv", *options.size, options.frames)
    info, frames = probe(source), list(decode(probe(source)))
    raw = options.size[0] * options.size[1] * len(frames)
    for codec in (name for name in CODECS if name != "png"):
        plan = plan_output(info, folder / f"{codec}.mkv", alanet.EncodeOptions(codec=codec), Notes())
        with open_writer(plan) as writer:
            for frame in frames:
                writer.write(replace(frame, source=None))
            written = writer.finish().stat().st_size
        reckoned = picture_bytes(plan) * len(frames)
        rows.append((codec, plan.pixel_format, f"{written * 8 / raw:.2f}", f"{written / reckoned:.2f}"))
    table(("codec", "pixels", "bits a pixel", "of what is reckoned before a run"), *rows)


def size(text: str) -> tuple[int, int]:
    width, height = map(int, text.lower().split("x"))
    return width, height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    for verb in (speed, networks, precision, memory, tiles, segments, disk, training):
        sub = verbs.add_parser(verb.__name__, description=verb.__doc__)
        sub.set_defaults(run=verb, residual=verb is not tiles)  # an untrained residual network changes nothing
        sub.add_argument("--model", help="a name, a weights file, or untrained; by default what alanet takes")
        sub.add_argument("--width", type=float, default=0.25, help="of an untrained network")
        sub.add_argument("--threads", type=int, help="CPU threads of the network")
        if verb in (speed, networks, precision, disk):
            sub.add_argument("--size", type=size, default=(640, 352))
        if verb in (speed, networks, precision, segments):
            sub.add_argument("--rounds", type=int, default=5)
        if verb is segments:
            sub.add_argument("--sizes", type=size, nargs="*", default=[(320, 192), (640, 352)])
            sub.add_argument("--seconds", type=Fraction, nargs="*", default=[Fraction(4)])
            sub.add_argument("--frames", type=int, default=220, help="input frames of a run, 25 a second")
        if verb is disk:
            sub.add_argument("--frames", type=int, default=50)
        if verb is speed:
            sub.add_argument("--frames", type=int, default=96, help="input frames of a run")
        if verb is networks:
            sub.add_argument("--frames", type=int, default=5, help="input frames of a run")
            sub.add_argument("--video", type=Path, help="whose frames; by default the bundled sample's")
            sub.add_argument("--rife-module", type=Path, help="the Python file of RIFE's IFNet")
            sub.add_argument("--rife-weights", type=Path, help="flownet.pkl")
        if verb is training:
            sub.add_argument("--steps", type=int, default=40)
            sub.add_argument("--batch", type=int, default=8)
            sub.add_argument("--crop", type=int, default=96)
            sub.add_argument("--scenes", type=int, default=50, help="of the bank, on a CPU")
        if verb is memory:
            sub.add_argument("--long", type=int, default=3000, help="frames of the long run; 0 leaves it out")
            sub.add_argument("--sizes", type=size, nargs="*", default=[(640, 352), (1920, 1080), (3840, 2160)])
            sub.add_argument(
                "--uhd", type=int, nargs="?", const=3, help="4K, restoring so many frames, and nothing else"
            )
            sub.add_argument("--modes", nargs="*", default=["exact", "feather"], choices=["exact", "feather"])
            sub.add_argument("--frames", type=int, default=32, help="of each size: two an x264 frame ahead fill it")
            sub.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options.run(options, Path(folder))


if __name__ == "__main__":
    os.environ.setdefault("SVT_LOG", "1")
    main()
