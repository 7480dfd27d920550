"""The page offers the command line's options with its help texts, and takes nothing else."""

from dataclasses import fields
from fractions import Fraction
from typing import Any

import pytest

from alanet.errors import AlanetError, OptionError
from alanet.frames.timing import Factor, TargetRate
from alanet.restoration.options import EncodeOptions, NetworkOptions, RestoreOptions
from alanet.web.controls import ADVANCED, MAIN, controls, options_of, readable

MODELS = {"alanet-plus": "sharper frames (--fps x4); more", "alanet-half": "slower"}


def meant(**values: Any) -> tuple[NetworkOptions, RestoreOptions]:
    return options_of(values, NetworkOptions(device="cpu", threads=1), MODELS)


def test_every_option_for_people_has_a_control_or_is_the_servers() -> None:
    servers = {"sha256", "device", "precision", "threads", "memory", "tile_mode", "overwrite", "restart", "input_rate"}
    for_people = {
        o.name for kind in (RestoreOptions, NetworkOptions, EncodeOptions) for o in fields(kind) if o.metadata
    }
    assert {*MAIN, *ADVANCED} == for_people - servers


def test_help_is_the_command_lines_in_the_pages_words() -> None:
    made = controls(MODELS, "alanet-plus")
    assert made["strength"].help == RestoreOptions.__dataclass_fields__["strength"].metadata["help"]
    assert all("--" not in control.help + "".join(control.words) for control in made.values())
    assert "Encoder" not in made["codec"].help + made["codec"].label  # for people who do not know the term
    assert readable("give --fps or --crf") == "give “Frame rate” or “Quality (CRF)”"


def test_defaults_mean_the_defaults_of_the_command_line() -> None:
    defaults = {name: control.default for name, control in controls(MODELS, "alanet-plus").items()}
    network, options = meant(**defaults)
    assert options == RestoreOptions(rate=Factor(2), encode=EncodeOptions(overwrite=True, threads=1))
    assert network == NetworkOptions(model="alanet-plus", device="cpu", threads=1)


def test_values_are_parsed_as_on_the_command_line() -> None:
    network, options = meant(rate="59.94", slow=4, start="0:01.5", crf=20, model="alanet-half", compatible=True)
    assert options.rate == TargetRate(Fraction(60000, 1001))
    assert (options.slow, options.start, options.encode.crf, options.encode.compatible) == (4, Fraction(3, 2), 20, True)
    assert network.model == "alanet-half"
    _, read = meant(duplicates="skip", telecine="remove", stream=2.0)
    assert (read.duplicates, read.telecine, read.stream) == ("skip", "remove", 2)


@pytest.mark.parametrize(
    "values",
    [
        {"model": "/etc/passwd"},
        {"model": "../weights"},
        {"codec": "png"},
        {"codec": ["x264"]},
        {"rate": "x" * 50},
        {"rate": "fast"},
        {"rate": {"path": "/etc/passwd"}},
        {"slow": 1e9},
        {"slow": "4"},
        {"strength": 2},
        {"strength": float("nan")},
        {"crf": True},
        {"stream": 0.5},
        {"stream": float("nan")},
        {"duplicates": "drop"},
        {"preset": "slow:pass=1"},
        {"preset": "../x"},
        {"start": "2", "end": "1"},
        {"compatible": "yes"},
        {"tail": "drop; rm"},
        {"output": "/tmp/x"},
        {"sha256": "0"},
    ],
)
def test_what_the_page_does_not_offer_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        meant(**values)


@pytest.mark.parametrize(("name", "label"), [("end", "End"), ("start", "Start"), ("rate", "Frame rate")])
def test_a_text_that_means_nothing_is_refused_with_the_name_of_its_field(name: str, label: str) -> None:
    with pytest.raises(OptionError, match=f"^“{label}”: "):
        meant(**{name: "soon"})


def test_an_impossible_quality_is_refused_before_the_queue() -> None:
    with pytest.raises(AlanetError):
        meant(crf=float("inf"))
