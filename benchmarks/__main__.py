"""Measurements on this machine: one Markdown table a subcommand (`scripts/bench`).

    speed      the whole pipeline from file to file against the network alone, 640x352, CPU
    networks   networks of every size against the paper's, and RIFE if it is given: time, and the share in convolutions
    precision  bf16 against fp32: time, and PSNR between their results
    memory     growth over a long run at 320x192; peaks of whole processes against the plan
    tiles      tiled against untiled: difference and cost, by halo
    segments   a run in segments against the same run in one piece
    disk       size of the encoded sample as a share of its raw size
    workers    40 segments on a local Ray instance against --workers
    batch      batches of up to 10,000 files with a stub network on Ray: tasks a second, memory of the driver
    sizing     core-hours, storage and traffic for hours of 1080p video
    training   clips a second, and the share of time that steps wait for data
    adapt      the gain in PSNR when a network is fine-tuned on the sharp frames of the video that it restores

The compared calls take turns, and medians are printed: load from other processes affects all of them alike. CPU seconds
are those of the whole process, all threads. Videos are made from the bundled sample, mirrored to size.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from fractions import Fraction
from pathlib import Path

from benchmarks.adapt import VARIANTS, adapt
from benchmarks.cluster import batch, sizing, workers
from benchmarks.memory import memory
from benchmarks.output import disk, segments
from benchmarks.speed import networks, precision, speed
from benchmarks.tiles import tiles
from benchmarks.training import training


def size(text: str) -> tuple[int, int]:
    width, height = map(int, text.lower().split("x"))
    return width, height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    for verb in (speed, networks, precision, memory, tiles, segments, disk, workers, batch, sizing, training, adapt):
        sub = verbs.add_parser(verb.__name__, description=verb.__doc__)
        sub.set_defaults(run=verb, residual=verb is not tiles)  # an untrained residual network changes nothing
        sub.add_argument(
            "--model",
            help="a name, a weights file, untrained or untrained-next; by default what alanet takes",
        )
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
        if verb in (speed, networks):
            sub.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
        if verb is disk:
            sub.add_argument("--frames", type=int, default=50)
        if verb is speed:
            sub.add_argument("--frames", type=int, default=96, help="input frames of a run")
        if verb is networks:
            sub.add_argument("--frames", type=int, default=5, help="input frames of a run")
            sub.add_argument("--video", type=Path, help="whose frames; by default the bundled sample's")
            sub.add_argument("--rife-module", type=Path, help="the Python file of RIFE's IFNet")
            sub.add_argument("--rife-weights", type=Path, help="flownet.pkl")
        if verb is workers:
            sub.add_argument("--size", type=size, default=(160, 96))
            sub.add_argument("--rounds", type=int, default=3)
        if verb is batch:
            sub.add_argument("--files", type=int, nargs="*", default=[100, 1000, 10_000])
        if verb is sizing:
            sub.add_argument("--frames-of", type=int, nargs=2, default=[3, 6], help="of two runs that are compared")
            sub.add_argument("--gpu", type=float, help="seconds a 1080p input frame takes on your GPU")
            sub.add_argument("--nodes", type=float, default=1, help="nodes that an input is staged to, on average")
        if verb is training:
            sub.add_argument("--steps", type=int, default=40)
            sub.add_argument("--batch", type=int, default=8)
            sub.add_argument("--crop", type=int, default=96)
            sub.add_argument("--scenes", type=int, default=50, help="of the bank, on a CPU")
        if verb is adapt:
            sub.add_argument("videos", type=Path, nargs="+", help="sharp; each frame counts as 1/240 s")
            sub.add_argument("--minutes", type=float, default=10, help="CPU time of each fine-tuning")
            sub.add_argument("--steps", type=int, help="of each fine-tuning, in place of --minutes")
            sub.add_argument("--variants", nargs="*", choices=[one.name for one in VARIANTS], help="by default all")
            sub.add_argument("--period", type=int, default=8, help="frames of the video an input")
            sub.add_argument("--limit", type=int, help="frames of the video that are used")
            sub.add_argument("--batch", type=int, default=4)
            sub.add_argument("--crop", type=int, default=160)
            sub.add_argument("--precision", default="bf16", choices=["fp32", "bf16"])
            sub.add_argument("--seed", type=int, default=0)
        if verb is memory:
            sub.add_argument("--long", type=int, default=3000, help="frames of the long run; 0 leaves it out")
            sub.add_argument("--sizes", type=size, nargs="*", default=[(640, 352), (1920, 1080), (3840, 2160)])
            sub.add_argument(
                "--uhd", type=int, nargs="?", const=3, help="4K, restoring this number of frames, and nothing else"
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
