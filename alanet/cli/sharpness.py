"""`alanet evaluate sharpness`: which frames a network classifies as sharp, and the threshold for passing them on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from alanet.cli.measure import Material, Videos, print_text
from alanet.cli.methods import weights_in
from alanet.cli.options import Verbosity, flag
from alanet.cli.pages import Into, put_into
from alanet.cli.progress import progress
from alanet.cli.screen import Screen
from alanet.errors import OutputError

if TYPE_CHECKING:
    from alanet.engine.runner import Runner
    from alanet.evaluation.sharpness import SharpnessEstimate
    from alanet.notes import Notes

__all__ = ["sharpness"]

THRESHOLD = Group("Threshold", sort_key=1)


def sharpness(
    *videos: Videos,
    model: Annotated[
        str,
        Parameter(
            metavar="NAME|PATH", group=THRESHOLD, help="A name of `alanet models`, a weights file or a training folder."
        ),
    ],
    material: Material = Material(),
    most: Annotated[
        float, Parameter(metavar="SHARE", group=THRESHOLD, help="Largest share of blurry frames that may pass.")
    ] = 0.005,
    by: Annotated[
        Literal["auto", "extent", "exposure"],
        Parameter(group=THRESHOLD, help="Definition of blurry. auto: the blur extent if the scenes have it."),
    ] = "auto",
    write: Annotated[
        Path | None,
        Parameter(metavar="FILE", group=THRESHOLD, help="Write the weights with the chosen threshold."),
    ] = None,
    overwrite: Annotated[bool, flag(["--overwrite"], "Replace existing weights.")] = False,
    into: Into = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps", "xpu"], Parameter(group=THRESHOLD, help="Device that runs the network.")
    ] = "auto",
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Count sharp and blurry frames that pass, by threshold, and choose the threshold."""
    from alanet.engine.runner import pick_device
    from alanet.evaluation.page import parse_section
    from alanet.evaluation.sharpness import as_markdown, as_plain, estimating_runner, lowest_threshold
    from alanet.model.weights import available_models, load_model, save_weights
    from alanet.notes import Notes

    material.check(videos)
    if write is not None and write.exists() and not overwrite:
        raise OutputError(f"{write}: exists already; --overwrite replaces it")
    if into is not None:
        parse_section(into)
    network = load_model(model if model in available_models() else weights_in(Path(model)))
    runner = estimating_runner(network, pick_device(device))
    screen, notes = Screen(quiet=verbosity.quiet), Notes()
    estimates: list[SharpnessEstimate] = []
    with progress(screen, "estimating") as show:
        for one in _estimates(runner, videos, material, notes):
            estimates.append(one)
            show(len(estimates), None, "")
    truth = by if by != "auto" else "extent" if all(one.extent is not None for one in estimates) else "exposure"
    current, chosen = network.sharp_above, lowest_threshold(estimates, truth, most)
    rows = [("warning", line) for line in notes.warnings]
    if write is not None:
        network.sharp_above = chosen
        save_weights(network, write)
        rows.append(("result", str(write.absolute())))
    screen.rows([*rows, ("chosen", f"{chosen:.5g}: at most {most:.1%} of the blurry frames pass, by {truth}")])
    put_into(into, as_markdown(estimates, current, chosen))
    if verbosity.json:
        sys.stdout.write(json.dumps(as_plain(estimates, current, chosen)) + "\n")
    else:
        print_text(as_markdown(estimates, current, chosen))
    return 0


def _estimates(
    runner: Runner, videos: tuple[Path, ...], material: Material, notes: Notes
) -> Iterator[SharpnessEstimate]:
    """Estimates for scenes, then for videos."""
    from alanet.data.synthetic.bank import Bank
    from alanet.evaluation.sharpness import estimate_footage, estimate_scenes

    if material.scenes is not None:
        yield from estimate_scenes(runner, Bank(material.scenes), material.scene_count)
    for footage in replace(material, scenes=None).footage(videos, notes):
        yield from estimate_footage(runner, footage)
