"""Options of a restoration: the command line, the page, the job file and the Python API share these classes.

The metadata of a field describes it to an interface:

    help     the description; a field without one is set from Python only
    metavar  a name for the value in the help text ("RATE")
    parse    a function that reads the value from text
    flag     the name on the command line, where it is not the field's own

Importing this module is cheap: no torch, PyAV or NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from fractions import Fraction
from math import isfinite
from typing import Any, Literal

from alanet.engine.threads import check_count
from alanet.errors import OptionError
from alanet.frames.timing import Factor, Schedule, Tail, TargetRate, parse_rate, slow_motion
from alanet.restoration.values import checked, parse_memory, parse_moment, parse_ratio
from alanet.video.output.options import EncodeOptions

__all__ = [
    "EncodeOptions",
    "Factor",
    "NetworkOptions",
    "ReadOptions",
    "RestoreOptions",
    "Schedule",
    "TargetRate",
    "as_plain",
    "checked_options",
    "flag_of",
    "sorted_options",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How a video is read: what `RestoreOptions` shares with other commands."""

    cuts: Literal["auto", "off"] = field(
        default="auto", metadata={"help": "Detect scene cuts. No frame is interpolated across a cut."}
    )
    duplicates: Literal["keep", "skip"] = field(
        default="keep",
        metadata={"help": "Repeated drawings of animation. skip: interpolate between the drawings."},
    )
    deinterlace: Literal["auto", "on", "off"] = field(
        default="auto",
        metadata={
            "help": "Deinterlacing, for video of cameras and TV with alternating lines. auto: if the file has them."
        },
    )
    telecine: Literal["keep", "remove"] = field(
        default="keep",
        metadata={"help": "Film shown as TV video by repeating fields (2:3 pulldown). remove: restore the film."},
    )
    stream: int | None = field(
        default=None,
        metadata={
            "help": "Number of the video stream, as `alanet info` shows it. The default is the longest video.",
            "metavar": "N",
        },
    )
    input_rate: Fraction | None = field(
        default=None,
        metadata={
            "help": "Frames per second of a folder of images (24, 24000/1001).",
            "metavar": "RATE",
            "parse": parse_ratio,
        },
    )


@dataclass(frozen=True, slots=True)
class RestoreOptions(ReadOptions):
    """How one video is restored.

    Times and rates are exact fractions. A number or a text, as on the command line, is converted.

    >>> options = alanet.RestoreOptions(alanet.Factor(4), start="0:01.5", encode=alanet.EncodeOptions(crf=16))
    >>> options.start
    Fraction(3, 2)
    """

    rate: Schedule | None = field(
        default=None,
        metadata={
            "help": "Frame rate of the result: a factor (x2, the default) or frames per second (60, 60000/1001).",
            "metavar": "RATE",
            "parse": parse_rate,
            "flag": "--fps",
        },
    )
    slow: int = field(
        default=1,
        metadata={
            "help": "Slow motion: N times as long, at the rate of the input or of --fps.",
            "metavar": "N",
        },
    )
    strength: float = field(
        default=1.0,
        metadata={
            "help": "How much input frames are sharpened. 0 keeps them as they are and only interpolates between them.",
            "metavar": "0..1",
        },
    )
    start: Fraction | None = field(
        default=None,
        metadata={
            "help": "Start time from the first frame: seconds or h:m:s.",
            "metavar": "TIME",
            "parse": parse_moment,
        },
    )
    end: Fraction | None = field(
        default=None,
        metadata={"help": "End time from the first frame: seconds or h:m:s.", "metavar": "TIME", "parse": parse_moment},
    )
    tail: Tail = field(
        default="hold",
        metadata={
            "help": "After the last input frame. hold: repeat it, 2N frames in all. drop: end there, 2N - 1 frames."
        },
    )
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    restart: bool = field(default=False, metadata={"help": "Start over instead of resuming an interrupted run."})

    def __post_init__(self) -> None:
        if isinstance(self.rate, int | float | Fraction) and isfinite(self.rate):
            raise OptionError(
                f"rate {self.rate} is not a schedule; give alanet.Factor({int(self.rate)}) for {int(self.rate)} times "
                f"as many frames, or alanet.TargetRate(Fraction({str(self.rate)!r})) for frames a second"
            )
        checked(self)
        checked(self.encode)
        if not 0 <= self.strength <= 1:
            raise OptionError(
                f"strength {self.strength} is not a number from 0 (input frames untouched) to 1 (as restored)"
            )
        for name, value in (("start", self.start or 0), ("end", self.end or 0), ("input_rate", self.input_rate or 0)):
            if value < 0:
                raise OptionError(f"{name} {float(value):g} is below 0")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise OptionError(f"start {float(self.start):g} s is not before end {float(self.end):g} s")
        _ = self.schedule  # raises OptionError

    @property
    def schedule(self) -> Schedule:
        """When restored frames are shown: `rate`, slowed down. Without a rate: x2, or x1 in slow motion."""
        if self.slow == 1:
            return Factor(2) if self.rate is None else self.rate
        return slow_motion(self.slow, Factor(1) if self.rate is None else self.rate)


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """Which network restores, and on which hardware: the arguments of `Restorer`.

    >>> alanet.NetworkOptions(device="cpu", memory="4G").memory
    4294967296
    """

    model: str | None = field(
        default=None, metadata={"help": "A name of `alanet models`, or a weights file.", "metavar": "NAME|PATH"}
    )
    sha256: str | None = field(
        default=None, metadata={"help": "Required SHA-256 digest of the weights file.", "metavar": "DIGEST"}
    )
    device: Literal["auto", "cpu", "cuda", "mps", "xpu"] = field(
        default="auto", metadata={"help": "Device that runs the network."}
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = field(
        default="auto",
        metadata={"help": "Number format. auto: bf16 on a CPU that has it in hardware, fp16 with CUDA, else fp32."},
    )
    threads: int | None = field(
        default=None, metadata={"help": "CPU threads. The default is all physical cores.", "metavar": "N"}
    )
    memory: int | None = field(
        default=None,
        metadata={
            "help": "Memory limit, such as 4G. The default is most of what is free.",
            "metavar": "SIZE",
            "parse": parse_memory,
        },
    )
    tile_mode: Literal["exact", "feather"] = field(
        default="exact",
        metadata={
            "help": "For frames too large for the memory. exact: the same result as without tiles. feather: faster, "
            "with small differences."
        },
    )

    def __post_init__(self) -> None:
        checked(self)
        check_count(self.threads)
        if self.memory is not None and self.memory < 1:
            raise OptionError(f"memory {self.memory} is not a number of bytes; 4 GiB are 4 << 30")


def flag_of(option: Field[Any]) -> str:
    """The name of a field on the command line and in the job file: "--tile-mode"."""
    return str(option.metadata.get("flag", f"--{option.name.replace('_', '-')}"))


def sorted_options(options: Mapping[str, Any]) -> tuple[NetworkOptions, RestoreOptions]:
    """Options by their names, in any order, as the classes that they belong to. `threads` is for network and encoder.

    Raises OptionError for an unknown name or a wrong value.
    """
    kinds: tuple[type[Any], ...] = (NetworkOptions, EncodeOptions, RestoreOptions)
    names = {kind: {option.name for option in fields(kind)} for kind in kinds}
    if unknown := sorted(options.keys() - set().union(*names.values())):
        allowed = ", ".join(sorted(set().union(*names.values())))
        raise OptionError(f"option {unknown[0]!r} is unknown; allowed: {allowed}")
    network, encode, restore = ({name: options[name] for name in options if name in names[kind]} for kind in kinds)
    if "threads" in encode:
        encode["threads"] = encode["threads"] or 0
    restore["encode"] = replace(restore.get("encode", EncodeOptions()), **encode)
    return NetworkOptions(**network), RestoreOptions(**restore)


def as_plain(options: ReadOptions | EncodeOptions) -> dict[str, Any]:
    """The options by their flags, in values that JSON holds. Options inside options are left out."""
    values = {flag_of(option): getattr(options, option.name) for option in fields(options)}
    return {
        flag: str(value) if isinstance(value, Fraction) else value
        for flag, value in values.items()
        if not isinstance(value, EncodeOptions)
    }


def checked_options(options: RestoreOptions | None) -> RestoreOptions:
    """These options, or the defaults for None. Raises OptionError for another type."""
    if options is not None and not isinstance(options, RestoreOptions):
        raise OptionError(f"options are of type {type(options).__name__}; give alanet.RestoreOptions(...)")
    return options or RestoreOptions()
