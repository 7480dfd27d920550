"""Measurements on this machine: one Markdown table a subcommand (`scripts/bench`).

    speed      file to file against the network alone, 640x352, CPU; and beside a process that spins
    sizes      the network alone at 360p, 720p, 1080p and 2160p: time, share in convolutions, peak memory
    networks   networks of every size against the paper's, and RIFE if it is given: time, and the share in convolutions
    precision  bf16 against fp32: time, and PSNR between their results
    memory     growth over a long run at 320x192; peaks of whole processes against the plan
    tiles      tiled against untiled: difference and cost, by halo
    segments   a run in segments against the same run in one piece
    disk       size of the encoded sample as a share of its raw size
    workers    40 segments on a local Ray instance against --workers
    batch      batches of up to 10,000 files with a stub network on Ray: tasks a second, memory of the driver
    sizing     core-hours, storage and traffic for hours of 1080p video
    runtimes   torch.compile, onnxruntime and OpenVINO beside PyTorch: time a frame, and start-up
    training   clips a second, and the share of time that steps wait for data
    adapt      the gain in PSNR when a network is fine-tuned on the sharp frames of the video that it restores

The compared calls take turns, and medians are printed: load from other processes affects all of them alike. CPU seconds
are those of the whole process, all threads. Videos are made from the bundled sample, mirrored to size.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from contextlib import redirect_stdout
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import TextIO

from alanet.evaluation.page import parse_section, put_section
from benchmarks.adapt import VARIANTS, adapt
from benchmarks.cluster import batch, sizing, workers
from benchmarks.memory import memory
from benchmarks.output import disk, segments
from benchmarks.runtimes import WAYS, runtimes
from benchmarks.sizes import SIZES, sizes
from benchmarks.speed import networks, precision, speed
from benchmarks.tiles import tiles
from benchmarks.training import training

TITLES = {  # of a section that --into writes
    "speed": "From file to file",
    "sizes": "By size of the frames",
    "networks": "Networks beside the paper's",
    "memory": "Peak memory",
    "runtimes": "Other runtimes beside PyTorch",
}


def size(text: str) -> tuple[int, int]:
    width, height = map(int, text.lower().split("x"))
    return width, height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    for verb in (speed, sizes, networks, precision, memory, tiles, segments, disk, workers, batch, sizing, training,
                 runtimes, adapt):  # fmt: skip
        sub = verbs.add_parser(verb.__name__, description=verb.__doc__)
        sub.set_defaults(run=verb, residual=verb is not tiles)  # an untrained residual network changes nothing
        sub.add_argument("--into", metavar="PAGE.md#SECTION", help="also write the tables into this section of a page")
        sub.add_argument(
            "--model",
            help="a name, a weights file, or untrained; by default what alanet takes",
        )
        sub.add_argument("--width", type=float, default=0.25, help="of an untrained network")
        sub.add_argument("--threads", type=int, help="CPU threads of the network")
        if verb in (speed, networks, precision, disk, runtimes):
            sub.add_argument("--size", type=size, default=(640, 352))
        if verb in (speed, networks, precision, segments, runtimes):
            sub.add_argument("--rounds", type=int, default=3)
        if verb is segments:
            sub.add_argument("--sizes", type=size, nargs="*", default=[(320, 192), (640, 352)])
            sub.add_argument("--seconds", type=Fraction, nargs="*", default=[Fraction(4)])
            sub.add_argument("--frames", type=int, default=220, help="input frames of a run, 25 a second")
        if verb in (speed, networks):
            sub.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
        if verb is sizes:
            sub.add_argument("--sizes", type=size, nargs="*", default=list(SIZES))
            sub.add_argument("--precisions", nargs="*", default=["auto", "fp32"], choices=["auto", "fp32", "bf16"])
        if verb in (speed, networks, runtimes):
            budget = 40 if verb is runtimes else 120
            sub.add_argument("--seconds", type=float, default=budget, help="no round begins that would end later")
        if verb is runtimes:
            sub.add_argument(
                "--keep", type=Path, help="a folder for the graphs and compiled code, reused; start-up counts less then"
            )
            sub.add_argument("--ways", nargs="*", default=list(WAYS), choices=(*WAYS, "compile", "openvino-fp32"))
        if verb is disk:
            sub.add_argument("--frames", type=int, default=50)
        if verb is speed:
            sub.add_argument("--frames", type=int, default=64, help="input frames of a run")
        if verb is networks:
            sub.add_argument("--frames", type=int, default=4, help="input frames of a run")
            sub.add_argument("--video", type=Path, help="whose frames; by default the bundled sample's")
            sub.add_argument("--results", type=Path, help="of `alanet evaluate ... -o FILE.json`, for --plot")
            sub.add_argument("--plot", type=Path, help="a PNG of PSNR over time a frame")
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
            sub.add_argument("--long", type=int, default=0, help="frames of a long run for growth, such as 3000")
            sub.add_argument("--sizes", type=size, nargs="*", default=list(SIZES))
            sub.add_argument(
                "--uhd", type=int, nargs="?", const=3, help="4K, restoring this number of frames, and nothing else"
            )
            sub.add_argument("--modes", nargs="*", default=["exact"], choices=["exact", "feather"])
            sub.add_argument("--frames", type=int, help="of each size; by default 32 at 360p, fewer at larger sizes")
            sub.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not options.into:
            options.run(options, Path(folder))
            return
        with redirect_stdout(Both(sys.stdout)) as written:
            options.run(options, Path(folder))
    page, section = parse_section(options.into)
    command = shlex.join(["scripts/bench", *sys.argv[1:]])
    title = TITLES.get(options.run.__name__, options.run.__name__.capitalize())
    put_section(page, section, f"## {title}\n\n{written.getvalue()}\nWritten by `{command}`.")


class Both(StringIO):
    """Text that is kept and shown as it is written."""

    def __init__(self, shown: TextIO) -> None:
        super().__init__()
        self.shown = shown

    def write(self, text: str) -> int:
        self.shown.write(text)
        self.shown.flush()
        return super().write(text)


if __name__ == "__main__":
    os.environ.setdefault("SVT_LOG", "1")
    main()
