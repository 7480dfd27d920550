"""The manifest of a set built from videos: which frames of which file became what, and by which choices.

    data.json          everything in this file, replaced in one step after each video
    runs/NAME-000.npy  t h w c uint8: a run, consecutive sharp frames of one shot
    sheet.png          a picture of all videos, to be looked at

It holds no dates and no absolute paths: the same videos and options give the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from alanet.errors import DataError
from alanet.files import write_json

__all__ = ["MANIFEST", "Manifest", "Run", "Skipped", "Video", "has_manifest", "read_manifest", "write_manifest"]

MANIFEST = "data.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Run:
    """A stored run: frames `first` to `first + frames - 1` of its video."""

    file: str  # inside the set's folder
    first: int
    frames: int
    sha256: str  # of its pixels


@dataclass(frozen=True, slots=True)
class Video:
    """A video that was used. Indices count the frames that could be read, from 0."""

    name: str
    split: str
    sha256: str  # of the file, or of all pictures of a folder
    bytes: int
    modified: int  # nanoseconds; tells a changed source without reading it
    stated_rate: str | None  # frames a second, None where nothing says it
    rate: str  # what it was taken for
    source_size: tuple[int, int]  # width, height as shown
    rotation: int  # degrees counter-clockwise that it was turned by, as its player would
    size: tuple[int, int]  # width, height as stored
    frames: int
    cuts: tuple[int, ...]  # frames that start a new shot
    gaps: tuple[int, ...]  # frames before which others are missing
    duplicates: int  # frames that repeat the one before
    unreadable: tuple[str, ...]  # pictures of a folder that were passed over
    runs: tuple[Run, ...]
    warnings: tuple[str, ...]
    made_by: dict[str, str]  # versions: alanet, and of what decodes


@dataclass(frozen=True, slots=True)
class Skipped:
    """A video that was not used, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of a set."""

    layout: str
    options: dict[str, Any]  # those that decide about pixels: a set has one of each
    split: dict[str, Any]  # how the split was made
    videos: tuple[Video, ...] = ()
    skipped: tuple[Skipped, ...] = field(default=())


def has_manifest(folder: Path) -> bool:
    """Whether a set was begun in this folder."""
    return (folder / MANIFEST).exists()


def read_manifest(folder: Path) -> Manifest:
    """Raises DataError for anything but a manifest of this format."""
    try:
        about = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise DataError(f"{folder}: a set of format {about['format']}, this version reads {FORMAT}; build it again")
        videos = tuple(_video(video) for video in about["videos"])
        skipped = tuple(Skipped(**one) for one in about["skipped"])
        return Manifest(about["layout"], about["options"], about["split"], videos, skipped)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder}: no set of videos ({type(error).__name__}: {error}); build it with alanet data build"
        ) from None


def _video(values: dict[str, Any]) -> Video:
    """Undo of `asdict` and JSON, where tuples are lists."""
    made: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    made["runs"] = tuple(Run(**run) for run in values["runs"])
    return Video(**made)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Whole or not at all."""
    write_json(folder / MANIFEST, {"format": FORMAT, **asdict(manifest)})
