"""The options that verbs share, as dataclasses that cyclopts fills, one a group of the help; and what they stand for.

Imports neither torch nor av nor numpy, so that `--help` is instant: what an option means to the library is imported by
the method that says it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from alanet.cli.values import parse_memory, parse_moment, parse_ratio
from alanet.errors import OptionError

if TYPE_CHECKING:
    from alanet.frames.timing import Schedule
    from alanet.restoration.restorer import RestoreOptions, Restorer
    from alanet.restoration.writer import EncodeOptions

__all__ = ["Encoding", "Network", "Output", "Reading", "Report", "Source", "Telling", "Timing", "flag", "source_path"]

RESULT = Group("Result", sort_key=1)
READING = Group("Time", sort_key=2)
NETWORK = Group("Network", sort_key=3)
MESSAGES = Group("Messages", sort_key=4)

Source = Annotated[
    Path | None,
    Parameter(
        name="VIDEO",
        help="A file, a folder of images (with --input-rate), a GIF or APNG; - reads y4m from standard input.",
    ),
]
Output = Annotated[
    Path | None,
    Parameter(
        name=["--output", "-o"],
        group=RESULT,
        help="Where to write; by default NAME_x2 beside the input. - writes y4m to standard output.",
        allow_leading_hyphen=True,
    ),
]


def flag(names: list[str], text: str) -> Parameter:
    return Parameter(name=names, negative="", show_default=False, help=text)


@Parameter(name="*", group=RESULT)
@dataclass(frozen=True)
class Encoding:
    """How the result is written."""

    codec: Annotated[
        Literal["x264", "x265", "av1", "prores", "ffv1", "png"],
        Parameter(help="Encoder; png writes a folder of images, ffv1 is lossless."),
    ] = "x264"
    crf: Annotated[
        float | None,
        Parameter(metavar="N", help="Quality, lower is better; by default 18 for x264, 20 for x265, 24 for av1."),
    ] = None
    preset: Annotated[str | None, Parameter(metavar="NAME", help="Encoder preset, such as fast, medium or slow.")] = (
        None
    )
    compatible: Annotated[bool, flag(["--compatible"], "Write 8-bit 4:2:0, which every player shows.")] = False
    overwrite: Annotated[bool, flag(["--overwrite"], "Replace an existing result.")] = False

    def options(self, threads: int | None) -> EncodeOptions:
        from alanet.restoration.writer import EncodeOptions

        return EncodeOptions(
            codec=self.codec,
            crf=self.crf,
            preset=self.preset,
            compatible=self.compatible,
            threads=threads or 0,
            overwrite=self.overwrite,
        )


@Parameter(name="*", group=READING)
@dataclass(frozen=True)
class Reading:
    """How the video is read."""

    cuts: Annotated[
        Literal["auto", "off"], Parameter(help="Look for scene cuts, across which nothing is interpolated.")
    ] = "auto"
    deinterlace: Annotated[Literal["auto", "on", "off"], Parameter(help="auto: where the file is interlaced.")] = "auto"
    input_rate: Annotated[
        str | None, Parameter(metavar="RATE", help="Frames a second of a folder of images (24, 24000/1001).")
    ] = None

    @property
    def rate(self) -> Fraction | None:
        """The folder's frames a second."""
        return None if self.input_rate is None else parse_ratio(self.input_rate)


@Parameter(name="*", group=READING)
@dataclass(frozen=True)
class Timing:
    """Which part of the video is restored, at which times, and how much."""

    fps: Annotated[
        str | None,
        Parameter(
            metavar="RATE",
            help="Rate of the result: a factor (x2, the default) or frames a second (60, 60000/1001).",
        ),
    ] = None
    slow: Annotated[
        int | None,
        Parameter(metavar="N", help="Slow motion: N times as long, at the input's rate or --fps, without sound."),
    ] = None
    strength: Annotated[
        float,
        Parameter(
            metavar="0..1", help="How much input frames are sharpened; 0 keeps them and only adds others between."
        ),
    ] = 1.0
    start: Annotated[str | None, Parameter(metavar="TIME", help="Begin here; seconds or h:m:s.")] = None
    end: Annotated[str | None, Parameter(metavar="TIME", help="End here; seconds or h:m:s.")] = None
    tail: Annotated[
        Literal["hold", "drop"],
        Parameter(help="The moment after the last frame: hold that frame (2N frames) or drop it (2N - 1)."),
    ] = "hold"

    def schedule(self) -> Schedule:
        from alanet.frames.timing import parse_rate, slow_motion

        if self.slow is None:
            return parse_rate(self.fps or "x2")
        return slow_motion(self.slow, parse_rate(self.fps or "x1"))

    def options(self, reading: Reading, encode: EncodeOptions) -> RestoreOptions:
        from alanet.restoration.restorer import RestoreOptions

        start = None if self.start is None else parse_moment(self.start)
        end = None if self.end is None else parse_moment(self.end)
        return RestoreOptions(
            rate=self.schedule(),
            tail=self.tail,
            strength=self.strength,
            start=start,
            end=end,
            deinterlace=reading.deinterlace,
            cuts=reading.cuts == "auto",
            input_rate=reading.rate,
            encode=encode,
        )


@Parameter(name="*", group=NETWORK)
@dataclass(frozen=True)
class Network:
    """Which network restores, and on what."""

    model: Annotated[
        str | None, Parameter(metavar="NAME|PATH", help="A name of `alanet models`, or a weights file.")
    ] = None
    sha256: Annotated[str | None, Parameter(metavar="DIGEST", help="Demand this digest of the weights file.")] = None
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Parameter(help="Where the network runs.")] = "auto"
    precision: Annotated[Literal["auto", "fp32", "bf16"], Parameter(help="auto takes what is faster here.")] = "auto"
    threads: Annotated[int | None, Parameter(metavar="N", help="CPU threads; by default all cores.")] = None
    memory: Annotated[
        str | None, Parameter(metavar="SIZE", help="Most memory to take, such as 4G; by default most of what is free.")
    ] = None
    tile_mode: Annotated[
        Literal["exact", "feather"],
        Parameter(
            help="For frames too large for the memory: tiles that change nothing, or cheaper ones that nearly do not."
        ),
    ] = "exact"

    def settings(self) -> dict[str, Any]:
        """What a `Restorer` is made from."""
        return {
            "model": self.model,
            "sha256": self.sha256,
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
            "memory": None if self.memory is None else parse_memory(self.memory),
            "tile_mode": self.tile_mode,
        }

    def restorer(self) -> Restorer:
        from alanet.restoration.restorer import Restorer

        return Restorer(**self.settings())


@Parameter(name="*", group=MESSAGES)
@dataclass(frozen=True)
class Report:
    """In which form a verb that reports does so."""

    json: Annotated[bool, flag(["--json"], "Print one JSON object on standard output.")] = False
    verbose: Annotated[bool, flag(["--verbose", "-v"], "Tell every step, and the traceback of a failure.")] = False


@Parameter(name="*", group=MESSAGES)
@dataclass(frozen=True)
class Telling(Report):
    """How much a verb that works tells, and in which form."""

    quiet: Annotated[bool, flag(["--quiet", "-q"], "Tell nothing but failures.")] = False


def source_path(source: Path | None) -> Path:
    """The input; without one, the bundled sample. Standard input is `Path("-")`."""
    if source is not None:
        return Path("-") if str(source) == "/dev/stdin" else source
    from importlib import resources

    samples = sorted(Path(str(resources.files("alanet"))).glob("sample/*.mp4"))
    if not samples:
        raise OptionError("no video was given and this installation has no sample; name one: alanet restore VIDEO")
    return samples[0]
