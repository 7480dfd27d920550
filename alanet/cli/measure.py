"""What the verbs of `alanet evaluate` share: which videos, what is measured; and the measuring."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from alanet.cli.options import flag
from alanet.cli.progress import progress
from alanet.cli.screen import Screen
from alanet.errors import DataError, MediaError, OptionError
from alanet.restoration.values import parse_ratio
from alanet.text import count, safe

if TYPE_CHECKING:
    from alanet.evaluation.baselines import Method
    from alanet.evaluation.footage import Footage
    from alanet.evaluation.perceptual import Lpips
    from alanet.evaluation.protocols import Protocol
    from alanet.evaluation.result import Result
    from alanet.notes import Notes

__all__ = ["Material", "Measuring", "Videos", "measured", "parse_time", "print_text"]

DATA = Group("Videos", sort_key=0)
MEASURED = Group("What is measured", sort_key=2)

Videos = Annotated[
    Path,
    Parameter(name="VIDEO", help="Sharp high-rate videos, folders of their frames, .npy arrays (t h w 3, uint8)."),
]


@Parameter(name="*", group=DATA)
@dataclass(frozen=True)
class Material:
    """Which videos, beside those that are named."""

    data: Annotated[Path | None, Parameter(metavar="SET", help="Test videos of a dataset of `alanet data build`.")] = (
        None
    )
    scenes: Annotated[Path | None, Parameter(metavar="FOLDER", help="Scenes of `alanet data scenes`.")] = None
    scene_count: Annotated[int | None, Parameter(metavar="N", help="Only the first N scenes.")] = None
    generated: Annotated[
        list[Literal["animation", "screen"]] | None,
        Parameter(negative="", help="Generated video, 104 frames: drawn animation or a screen. Repeatable."),
    ] = None
    limit: Annotated[int | None, Parameter(metavar="N", help="Only the first N sharp frames of each video.")] = None
    size: Annotated[
        Literal["paper", "native"],
        Parameter(help="paper: 640x352 (portrait 352x640). native: longer side 640, aspect ratio kept."),
    ] = "paper"
    assume_rate: Annotated[
        str | None,
        Parameter(metavar="RATE", help="Accept videos below 120 fps as if they had this rate, such as 240."),
    ] = None

    def check(self, videos: tuple[Path, ...]) -> None:
        """What can be refused before anything is measured."""
        for name, number in (("--limit", self.limit), ("--scene-count", self.scene_count)):
            if number is not None and number < 1:
                raise OptionError(f"{name} {number} is not a number from 1 up")
        if not videos and self.data is None and self.scenes is None and not self.generated:
            raise DataError(
                "no video to evaluate on; give files, folders, .npy arrays, --data SET, --scenes FOLDER or "
                "--generated KIND"
            )
        for video in videos:
            if not video.is_file() and not video.is_dir():
                raise MediaError(f"{video}: no such file; give videos, folders of their frames, or .npy arrays")
        names = [*(video.stem for video in videos), *(self.generated or [])]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise DataError(f"two videos are named {twice}; rename one, tables go by name")

    def number(self, videos: tuple[Path, ...]) -> int | None:
        """How many videos there are; None where a data set is among them."""
        if self.data is not None:
            return None
        named = len(videos) + len(self.generated or [])
        if self.scenes is None:
            return named
        from alanet.data.synthetic.bank import Bank

        scenes = len(Bank(self.scenes))
        return named + (scenes if self.scene_count is None else min(scenes, self.scene_count))

    def footage(self, videos: tuple[Path, ...], notes: Notes) -> Iterator[Footage]:
        """One video after the other."""
        from alanet.evaluation.footage import footage_of_scenes, footage_of_set, generated_footage, load_footage

        rate = None if self.assume_rate is None else parse_ratio(self.assume_rate)
        for video in videos:
            yield load_footage(video, size=self.size, limit=self.limit, assume_rate=rate, notes=notes)
        for kind in self.generated or []:
            yield generated_footage(kind, limit=self.limit)
        if self.data is not None:
            yield from footage_of_set(self.data, limit=self.limit)
        if self.scenes is not None:
            yield from footage_of_scenes(self.scenes, count=self.scene_count, limit=self.limit)


@Parameter(name="*", group=MEASURED)
@dataclass(frozen=True)
class Measuring:
    """What is measured."""

    protocol: Annotated[
        list[str] | None,
        Parameter(
            metavar="NAME",
            negative="",
            help="all-blurry (default), mixed, all-sharp or sweep, with x4 or x8 after it. Repeatable.",
        ),
    ] = None
    seed: Annotated[int, Parameter(metavar="N", help="Seed of the blurred frames of mixed.")] = 0
    linear: Annotated[bool, flag(["--linear"], "Average light, as a camera does, instead of pixel values.")] = False
    lpips: Annotated[Path | None, Parameter(metavar="PATH", help="Weights of LPIPS v0.1; adds this metric.")] = None
    save: Annotated[
        Path | None,
        Parameter(
            name="--save-frames", metavar="DIR", help="Write inputs and restored frames as PNG: DIR/METHOD/VIDEO."
        ),
    ] = None

    def protocols(self) -> list[Protocol]:
        from alanet.evaluation.protocols import parse_protocols

        named = self.protocol or ["all-blurry"]
        return [one for text in named for one in parse_protocols(text, seed=self.seed, linear=self.linear)]

    def one_protocol(self, what: str) -> Protocol:
        """The protocol, for what shows one only."""
        protocols = self.protocols()
        if len(protocols) > 1:
            raise OptionError(f"{what} is of one protocol; give one --protocol, and not sweep")
        return protocols[0]

    def distance(self) -> Lpips | None:
        from alanet.evaluation.perceptual import load_lpips

        return None if self.lpips is None else load_lpips(self.lpips)


def measured(
    footage: Callable[[Notes], Iterable[Footage]],
    methods: list[Method],
    measuring: Measuring,
    machine: Sequence[tuple[str, str]],
    screen: Screen,
    count_of_videos: int | None = None,
) -> list[Result]:
    """A result a protocol; `footage` gives the videos, as often as it is asked; `machine` is noted with the scores."""
    from alanet.evaluation.evaluate import evaluate
    from alanet.evaluation.saved import saving_to
    from alanet.notes import Notes

    protocols, distance, notes = measuring.protocols(), measuring.distance(), Notes()
    results: list[Result] = []
    with progress(screen, "evaluating") as show:
        for protocol in protocols:
            before = sum(len(result.scores) for result in results)

            def on_progress(
                video: str,
                method: str,
                done: int,
                total: int | None,
                protocol: Protocol = protocol,
                before: int = before,
            ) -> None:
                rest = len(protocols) - protocols.index(protocol)
                everything = None if total is None else before + rest * total
                show(before + done, everything, f"{protocol.name}: {video}, {method}")

            folder = measuring.save
            if folder is not None and len(protocols) > 1:
                folder = folder / protocol.name.replace(" ", "-").replace(",", "")
            saving = None if folder is None else saving_to(folder)
            result = evaluate(
                methods,
                footage(notes),
                protocol,
                lpips=distance,
                count=count_of_videos,
                on_progress=on_progress,
                on_restored=saving,
            )
            results.append(replace(result, versions=(*result.versions, *machine)))
    rows = [("warning", line) for line in notes.warnings]
    rows += [("left out", f"{name}: {why}") for result in results for name, why in result.refused]
    rows.append(("done", f"{count(sum(len(result.scores) for result in results), 'frame')} scored"))
    screen.rows(list(dict.fromkeys(rows)))
    return results


def parse_time(text: str) -> Fraction:
    """ "5/2" or "2.5", in periods."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise OptionError(f"time {text!r} is not a number of periods; write it as 2, 5/2 or 2.5") from None


def print_text(text: str) -> None:
    """To standard output; names of files in it cannot steer the terminal."""
    sys.stdout.write("".join(f"{safe(line)}\n" for line in text.splitlines()))
