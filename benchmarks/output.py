"""Output: the cost of writing a result in segments, and the bits that each encoder writes."""

from __future__ import annotations

import argparse
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import alanet
from alanet.notes import Notes
from alanet.restoration.options import RestoreOptions
from alanet.restoration.writer import open_writer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from alanet.video.output.codecs import CODECS
from alanet.video.output.disk import picture_bytes
from alanet.video.output.format import plan_output
from benchmarks.common import make_video, medians, progress, ratio, restorer, table, take_turns


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
            progress(rows[-1])
    table(("size", "segments of", "ms an input frame in one", "time", "CPU time", "size of the result"), *rows)


def disk(options: argparse.Namespace, folder: Path) -> None:
    """Bits of the encoded sample, of the bits of its raw pictures; nothing is restored."""
    rows: list[tuple[object, ...]] = []
    width, height = options.size
    source = make_video(folder / "in.mkv", width, height, options.frames)
    info, frames = probe(source), list(decode(probe(source)))
    raw = width * height * len(frames)
    for codec in (name for name, each in CODECS.items() if name != "png" and not each.hardware):
        plan = plan_output(info, folder / f"{codec}.mkv", alanet.EncodeOptions(codec=codec), Notes())  # type: ignore[arg-type]
        with open_writer(plan) as writer:
            for frame in frames:
                writer.write(replace(frame, source=None))
            written = writer.finish().stat().st_size
        reckoned = picture_bytes(plan) * len(frames)
        rows.append((codec, plan.pixel_format, f"{written * 8 / raw:.2f}", f"{written / reckoned:.2f}"))
    table(("codec", "pixels", "bits a pixel", "of what is reckoned before a run"), *rows)
