"""One class of options serves the command line, the job file and Python."""

from dataclasses import fields
from fractions import Fraction

import pytest

from alanet.cli import app
from alanet.errors import OptionError
from alanet.restoration.options import (
    EncodeOptions,
    Factor,
    NetworkOptions,
    RestoreOptions,
    TargetRate,
    as_plain,
    flag_of,
)


def parsed(*words: str) -> dict[str, object]:
    """What the verb `restore` would be called with."""
    _, bound, _ = app.parse_args(["restore", *words], exit_on_error=False, print_error=False)
    return dict(bound.arguments)


def test_every_described_option_is_on_the_command_line() -> None:
    offered = {name for argument in app["restore"].assemble_argument_collection() for name in argument.names}
    for kind in (RestoreOptions, EncodeOptions, NetworkOptions):
        for option in fields(kind):
            assert (flag_of(option) in offered) == ("help" in option.metadata), option.name


def test_the_command_line_fills_the_dataclasses() -> None:
    got = parsed("--fps", "60000/1001", "--start", "1:05.5", "--cuts", "off", "--crf", "20", "--memory", "2G")
    encode = EncodeOptions(crf=20.0)
    rate = TargetRate(Fraction(60000, 1001))
    assert got["options"] == RestoreOptions(rate, start=Fraction(131, 2), cuts="off", encode=encode)
    assert got["network"] == NetworkOptions(memory=2 << 30)


def test_plain_values_are_by_flag() -> None:
    plain = as_plain(RestoreOptions(start=Fraction(1, 3), tail="drop"))
    assert plain["--start"] == "1/3"
    assert plain["--tail"] == "drop"
    assert "--encode" not in plain


def test_slow_motion_keeps_the_rate_of_the_input() -> None:
    assert RestoreOptions().schedule == Factor(2)
    assert RestoreOptions(slow=4).schedule == Factor(4, slow=4)
    assert RestoreOptions(Factor(2), slow=4).schedule == Factor(8, slow=4)


@pytest.mark.parametrize("wrong", [{"cuts": "on"}, {"slow": 0}, {"strength": 2.0}])
def test_wrong_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        RestoreOptions(**wrong)  # type: ignore[arg-type]
