"""A job: everything that the result of a restoration depends on. Finished segments are reused for the same job only.

What was given must be the same when a run resumes. What "auto" came to in the first run (precision, tiles) is reused,
whatever a later run would choose by the free memory or a measured speed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import torch

from alanet.errors import OptionError
from alanet.frames.frame import VideoInfo
from alanet.frames.tiles import Box, Tile
from alanet.frames.timing import Factor, Schedule
from alanet.model.network import Network
from alanet.restoration.options import EncodeOptions, RestoreOptions, as_plain
from alanet.version import __version__
from alanet.video.output.destination import STDOUT
from alanet.video.output.format import OutputPlan

__all__ = [
    "Job",
    "asked_for",
    "changes",
    "check_same",
    "describe_input",
    "job_for",
    "rate_text",
    "segment_of",
    "tiles_of",
]
__all__ += ["software", "weights_digest"]

PART = 1 << 20  # bytes of the input hashed at its beginning, middle and end


@dataclass(frozen=True)
class Job:
    """What the finished segments depend on, in plain values, each by the name that messages show."""

    source: str  # absolute path of the input, for `finish`
    input: dict[str, Any]  # "size", "modified", "content": see `describe_input`
    options: dict[str, Any]  # as asked for, by their names on the command line
    software: dict[str, str]  # versions
    chosen: dict[str, Any] = field(default_factory=dict)  # what "auto" came to; a later run takes it over


def job_for(
    target: OutputPlan,
    options: RestoreOptions,
    network: dict[str, Any],
    precision: str,
    tiles: tuple[Tile, ...],
    segment: Fraction,
) -> Job | None:
    """The job of a run; None where nothing is kept: standard input is read once, pictures and y4m are no segments.

    network: what was asked for of it, by the names of its options. segment: its length in seconds.
    """
    info = target.info
    if target.kind != "video" or info.path == STDOUT:
        return None
    asked = asked_for(options, target.options, network)
    chosen = {"precision": precision, "tiles": [_plain(tile) for tile in tiles], "segment": str(segment)}
    return Job(os.path.abspath(info.path), describe_input(info), asked, software(), chosen)


def asked_for(options: RestoreOptions, encode: EncodeOptions, network: dict[str, Any]) -> dict[str, Any]:
    """All options that a result depends on, by their flags."""
    asked = {**as_plain(options), **as_plain(encode), **network}
    asked |= {"--fps": rate_text(options.schedule), "--slow": options.schedule.slow}
    for flag in ("--overwrite", "--restart"):  # the result does not depend on these
        del asked[flag]
    return asked


def software() -> dict[str, str]:
    """Versions that a result depends on."""
    return {"alanet": __version__, "torch": str(torch.__version__), "av": av.__version__, "cpu": platform.machine()}


def changes(before: Job, now: Job) -> list[str]:
    """What makes a job another one now, a few words each; nothing where it is the same."""
    changed = []
    for name in ("size", "modified", "content"):
        if before.input.get(name) != now.input.get(name):
            changed = [f"the input is another (its {name} differs)"]
            break
    for was, given in ((before.options, now.options), (before.software, now.software)):
        for name in sorted(was.keys() | given.keys()):
            if was.get(name) != given.get(name):
                changed.append(f"{name} was {_said(was.get(name))} and is {_said(given.get(name))}")
    return changed


def check_same(before: Job, now: Job, target: Path) -> None:
    """Refuse, with OptionError, to resume a job that has changed: one line names what changed."""
    if changed := changes(before, now):
        raise OptionError(
            f"{target}: an earlier run was interrupted, and since then {'; '.join(changed)}. Repeat the earlier "
            "command to resume, or use --restart to start over"
        )


def _said(value: Any) -> str:
    return "not given" if value is None else str(value)


def describe_input(info: VideoInfo) -> dict[str, Any]:
    """Size, time of change, and a digest of the beginning, middle and end; of all pictures' for a folder of them."""
    files = list(info.files) or [info.path]
    states = [file.stat() for file in files]
    digest = hashlib.sha256()
    for file in [files[0], files[len(files) // 2], files[-1]] if len(files) > 1 else files:
        for part in _parts(file):
            digest.update(part)
    if len(files) > 1:
        names = [[file.name, state.st_size, state.st_mtime_ns] for file, state in zip(files, states, strict=True)]
        digest.update(json.dumps(names).encode())
    return {
        "size": sum(state.st_size for state in states),
        "modified": max(state.st_mtime_ns for state in states),
        "content": digest.hexdigest(),
    }


def _parts(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        for start in sorted({0, max(0, size // 2 - PART // 2), max(0, size - PART)}):
            file.seek(start)
            yield file.read(PART)


def tiles_of(job: Job) -> tuple[Tile, ...]:
    """The tiles of the first run."""
    return tuple(Tile(Box(*core), Box(*outer), halo) for core, outer, halo in job.chosen["tiles"])


def segment_of(job: Job) -> Fraction:
    """The length of the first run's segments, in seconds."""
    return Fraction(job.chosen["segment"])


def weights_digest(model: Network) -> str:
    """Of the network's kind, config and every value, wherever it was loaded from."""
    digest = hashlib.sha256(f"{type(model).__name__} {model.config}".encode())
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def rate_text(rate: Schedule) -> str:
    """As `parse_rate` reads it."""
    return str(rate) if isinstance(rate, Factor) else str(rate.rate)


def _plain(tile: Tile) -> list[Any]:
    boxes = [[box.top, box.left, box.bottom, box.right] for box in (tile.core, tile.outer)]
    return [*boxes, tile.halo]
