"""Command-line arguments that verbs share. Those of the library's options are derived from its dataclasses.

Imports neither torch nor PyAV nor NumPy, so that `--help` is instant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from cyclopts import Group, Parameter, Token

from alanet.errors import OptionError
from alanet.restoration.options import EncodeOptions, NetworkOptions, ReadOptions, RestoreOptions, flag_of
from alanet.web.options import ServerOptions

if TYPE_CHECKING:
    from alanet.restoration.restorer import Restorer

__all__ = ["EncodeOptions", "NetworkOptions", "Output", "ReadOptions", "Reporting", "RestoreOptions"]
__all__ += ["ServerOptions", "Source", "Verbosity", "flag", "restorer_of", "source_path"]

RESULT = Group("Result", sort_key=1)
READING = Group("Time", sort_key=2)
NETWORK = Group("Network", sort_key=3)
MESSAGES = Group("Messages", sort_key=4)
SERVER = Group("Server", sort_key=0)

Source = Annotated[
    Path | None,
    Parameter(
        name="VIDEO",
        help="A file, a folder of images (with --input-rate), a GIF or APNG. - reads y4m from standard input.",
    ),
]
Output = Annotated[
    Path | None,
    Parameter(
        name=["--output", "-o"],
        group=RESULT,
        help="Output path. The default is NAME_x2 beside the input. - writes y4m to standard output.",
        allow_leading_hyphen=True,
    ),
]


def flag(names: list[str], text: str) -> Parameter:
    return Parameter(name=names, negative="", show_default=False, help=text)


def as_arguments(kind: type[Any], group: Group, **groups: Group) -> None:
    """Make the fields of an options dataclass arguments of the command line. groups: of single fields."""
    hints = get_type_hints(kind)
    for option in fields(kind):
        hint, said = hints[option.name], option.metadata
        if "help" in said:
            given: dict[str, Any] = {"name": flag_of(option)}
            if hint is bool:
                given |= {"negative": "", "show_default": False}
            if "metavar" in said:
                given["metavar"] = said["metavar"]
            if "parse" in said:
                given |= {"converter": _converter(said["parse"]), "n_tokens": 1, "accepts_keys": False}
                given["show_default"] = False  # its help says it as people write it
            if option.name in groups:
                given["group"] = groups[option.name]
            kind.__annotations__[option.name] = Annotated[hint, Parameter(**given)]
        elif said:
            kind.__annotations__[option.name] = Annotated[hint, Parameter(parse=False)]
    Parameter(name="*", group=group)(kind)


def _converter(parse: Callable[[str], Any]) -> Callable[[Any, Sequence[Token]], Any]:
    return lambda hint, tokens: parse(tokens[0].value)


as_arguments(EncodeOptions, RESULT)
as_arguments(ReadOptions, READING)
as_arguments(RestoreOptions, READING, restart=RESULT)
as_arguments(NetworkOptions, NETWORK)
as_arguments(ServerOptions, SERVER)


def restorer_of(network: NetworkOptions) -> Restorer:
    """The network, loaded."""
    from alanet.restoration.restorer import Restorer

    return Restorer(**asdict(network))


@Parameter(name="*", group=MESSAGES)
@dataclass(frozen=True)
class Reporting:
    """In which form a verb reports."""

    json: Annotated[bool, flag(["--json"], "Print one JSON object on standard output.")] = False
    verbose: Annotated[bool, flag(["--verbose", "-v"], "Log every step, and the traceback of an error.")] = False


@Parameter(name="*", group=MESSAGES)
@dataclass(frozen=True)
class Verbosity(Reporting):
    """How much a verb prints while it works, and in which form it reports."""

    quiet: Annotated[bool, flag(["--quiet", "-q"], "Print errors only.")] = False


def source_path(source: Path | None) -> Path:
    """The input; without one, the bundled sample. Standard input is `Path("-")`."""
    if source is not None:
        return Path("-") if source.as_posix() == "/dev/stdin" else source
    from importlib import resources

    samples = sorted(Path(str(resources.files("alanet"))).glob("sample/*.mp4"))
    if not samples:
        raise OptionError("no video was given and this installation has no sample; name one: alanet restore VIDEO")
    return samples[0]
