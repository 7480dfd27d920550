"""`alanet evaluate motion`: how well networks estimate motion, by warping sharp frames."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from alanet.cli.measure import Material, Measuring, Videos, print_text
from alanet.cli.methods import Methods
from alanet.cli.options import Verbosity
from alanet.cli.pages import Into, put_into
from alanet.cli.progress import progress
from alanet.cli.screen import Screen
from alanet.errors import OptionError

__all__ = ["motion"]


def motion(
    *videos: Videos,
    material: Material = Material(),
    methods: Methods = Methods(),
    measuring: Measuring = Measuring(),
    into: Into = None,
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Score the optical flow of networks: sharp frames are warped by it and compared."""
    from alanet.evaluation.motion_error import MotionError, as_markdown, motion_errors
    from alanet.notes import Notes

    material.check(videos)
    protocol = measuring.one_protocol("motion")
    networks = methods.networks()
    if not networks:
        raise OptionError("motion is estimated by networks; leave --no-model out")
    screen, notes = Screen(quiet=verbosity.quiet), Notes()
    found: dict[str, list[MotionError]] = {name: [] for name, _, _ in networks}
    with progress(screen, "warping frames") as show:
        for footage in material.footage(videos, notes):
            for name, restorer, _ in networks:
                for error in motion_errors(restorer.runner, footage, protocol):
                    found[name].append(error)
                    show(sum(map(len, found.values())), None, f"{footage.subject.name}, {name}")
    screen.rows([("warning", line) for line in notes.warnings])
    text = as_markdown(list(found.items()))
    put_into(into, text)
    if verbosity.json:
        plain = {name: [asdict(error) for error in errors] for name, errors in found.items()}
        sys.stdout.write(json.dumps({"protocol": protocol.name, "motion": plain}) + "\n")
    else:
        print_text(text)
    return 0
