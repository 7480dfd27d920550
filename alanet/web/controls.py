"""The controls of the page and the options they set: derived from the dataclasses that the command line uses.

A control has the option's name as its label and the option's help as its text. Values travel as plain JSON; every value
is checked here, whatever a visitor sends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from alanet.errors import OptionError
from alanet.restoration.options import EncodeOptions, NetworkOptions, RestoreOptions, flag_of, sorted_options

__all__ = ["ADVANCED", "MAIN", "Control", "controls", "options_of", "readable"]

MAIN = ("rate", "slow", "strength", "model", "codec")
ADVANCED = (
    *("crf", "preset", "compatible", "start", "end", "tail"),
    *("cuts", "duplicates", "deinterlace", "telecine", "stream", "slow_audio"),
)
LABELS = {
    "rate": "Frame rate",
    "slow": "Slow motion",
    "model": "Network",
    "codec": "File format (codec)",
    "crf": "Quality (CRF)",
    "preset": "Encoding speed (preset)",
    "tail": "Last frame (tail)",
    "cuts": "Scene cuts",
    "duplicates": "Repeated frames (duplicates)",
    "deinterlace": "Interlaced video (deinterlace)",
    "telecine": "Film on TV (telecine)",
    "slow_audio": "Sound",
    "stream": "Video stream",
}
PLAIN = {  # the same for people who do not know the terms, in place of the option's help
    "model": "The neural network that restores the frames: its name, and what it is for.",
    "slow": "How many times as long the result is. Its rate is “Frame rate”.",  # which the page always gives
    "codec": "How the result is compressed.",
}
RATES = ("x2", "x4", "x8", "24", "30", "60", "120")
SLOWEST = 16
WHOLE = ("slow", "stream")  # options that are whole numbers
FILES = {  # codecs whose result is one file
    "x264": "x264 (H.264): plays almost everywhere",
    "x265": "x265 (H.265): smaller, for newer players",
    "av1": "av1: smallest, slow to make",
    "prores": "prores: large, for editing programs",
    "ffv1": "ffv1: lossless, largest",
}
LONGEST = 40  # characters of a value that is typed
PRESET = re.compile(r"[a-z0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Control:
    """What the page needs to draw one option."""

    name: str
    label: str
    help: str
    kind: Literal["choice", "combo", "slider", "number", "text", "check"]
    default: Any
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()  # how the choices are shown, where that is not their name
    least: float = 0
    most: float = 1
    step: float = 1


def controls(models: Mapping[str, str], default_model: str) -> dict[str, Control]:
    """The controls by option name. models: name and purpose of each network."""
    made = {}
    for kind in (RestoreOptions, NetworkOptions, EncodeOptions):
        hints = get_type_hints(kind)
        for option in fields(kind):
            if option.name in (*MAIN, *ADVANCED):
                made[option.name] = _control(option, hints[option.name], models, default_model)
    return {name: made[name] for name in (*MAIN, *ADVANCED)}


def _control(option: Field[Any], hint: Any, models: Mapping[str, str], default_model: str) -> Control:
    label = LABELS.get(option.name, option.name.capitalize())
    again = rf"^{re.escape(label.partition(' (')[0])}(?: of the result)?[:;] "  # what the label says
    text = PLAIN.get(option.name) or re.sub(again, "", readable(str(option.metadata["help"])))
    text = text[:1].upper() + text[1:]
    if option.name == "model":
        names = sorted(models, key=lambda name: name != default_model)  # the default first
        words = tuple(f"{name}: {re.split(r';| [(]', models[name])[0]}" for name in names)
        return Control("model", label, text, "choice", default_model, tuple(names), words)
    if option.name == "rate":
        return Control("rate", label, text, "combo", "x2", RATES)
    if option.name == "slow":
        return Control("slow", label, text, "slider", 1, least=1, most=SLOWEST)
    if option.name == "strength":
        return Control("strength", label, text, "slider", option.default, step=0.05)
    if option.name == "codec":
        return Control("codec", label, text, "choice", option.default, tuple(FILES), tuple(FILES.values()))
    if get_origin(hint) is Literal:
        return Control(option.name, label, text, "choice", option.default, get_args(hint))
    if hint is bool:
        return Control(option.name, label, text, "check", option.default)
    if "parse" not in option.metadata and {int, float} & {*get_args(hint)}:
        return Control(option.name, label, text, "number", None)
    return Control(option.name, label, text, "text", "")


def readable(help: str) -> str:
    """A help text that names controls instead of flags."""
    flags = {
        flag_of(option): LABELS.get(option.name, option.name.capitalize())
        for kind in (RestoreOptions, NetworkOptions, EncodeOptions)
        for option in fields(kind)
    }
    help = help.replace("as `alanet info` shows it", "as listed above")
    return re.sub(r"--[a-z][a-z-]*", lambda found: f"“{flags.get(found[0], found[0])}”", help)


def options_of(
    values: Mapping[str, Any], network: NetworkOptions, models: Mapping[str, str]
) -> tuple[NetworkOptions, RestoreOptions]:
    """The options that a visitor's values mean. network: the server's own settings.

    Raises OptionError for anything that the page does not offer.
    """
    given: dict[str, Any] = {}
    parse = {o.name: o.metadata["parse"] for o in fields(RestoreOptions) if "parse" in o.metadata}
    for name, control in controls(models, "").items():
        value = values.get(name)
        if value is None or value == "":
            continue
        value = _checked(control, value)
        given[name] = _parsed(control, parse[name], value) if name in parse else value
    if unknown := values.keys() - {*MAIN, *ADVANCED}:
        raise OptionError(f"option {min(unknown)[:LONGEST]!r} is not one of the page")
    own = {option.name: getattr(network, option.name) for option in fields(NetworkOptions)}
    return sorted_options({**own, **given, "overwrite": True})


def _parsed(control: Control, parse: Callable[[str], Any], value: str) -> Any:
    """What a text means. Raises OptionError that names the control."""
    try:
        return parse(value)
    except OptionError as error:
        raise OptionError(f"“{control.label}”: {error}") from None


def _checked(control: Control, value: Any) -> Any:
    """A value of the control's type and range."""
    if control.kind == "check":
        if not isinstance(value, bool):
            raise OptionError(f"{control.label} is on or off")
        return value
    if control.kind in ("slider", "number"):
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e6:
            raise OptionError(f"{control.label} is a number")
        if control.kind == "slider" and not control.least <= value <= control.most:
            raise OptionError(f"{control.label} is from {control.least:g} to {control.most:g}")
        if control.name not in WHOLE:
            return float(value)
        if not float(value).is_integer():
            raise OptionError(f"{control.label} is a whole number")
        return int(value)
    if not isinstance(value, str) or len(value) > LONGEST:
        raise OptionError(f"{control.label} is a text of up to {LONGEST} characters")
    if control.kind == "choice" and value not in control.choices:
        raise OptionError(f"{control.label} is one of {', '.join(control.choices)}")
    if control.name == "preset" and not PRESET.fullmatch(value):
        raise OptionError(f"{control.label} is a word, such as fast, medium or slow")
    return value
