"""One class of options serves the command line, the job file and Python."""

from dataclasses import fields
from fractions import Fraction
from importlib import import_module
from pathlib import Path

import pytest

import alanet
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
    sorted_options,
)
from tests.support.media import make_video


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
        RestoreOptions(**wrong)


def test_options_by_name_find_their_class() -> None:
    network, how = sorted_options({"slow": 4, "crf": 16, "device": "cpu", "threads": 2})
    assert network == NetworkOptions(device="cpu", threads=2)
    assert how == RestoreOptions(slow=4, encode=EncodeOptions(crf=16, threads=2))
    with pytest.raises(OptionError, match="option 'quality' is unknown; allowed: codec, compatible, crf"):
        sorted_options({"quality": 3})


def test_the_function_restores_and_keeps_its_name(tmp_path: Path) -> None:
    video = make_video(tmp_path / "in.mp4", frames=2)
    weights = tmp_path / "tiny.safetensors"
    alanet.save_weights(alanet.ALANet(alanet.ALANetConfig(width=0.125, residual=True)), weights)
    report = alanet.restore(video, model=str(weights), device="cpu", precision="fp32", codec="ffv1", rate=Factor(1))
    assert (report.output, report.frames_out) == (tmp_path / "in_x1.mkv", 2)
    import_module("alanet.restoration.worker")
    assert callable(alanet.restore), "the folder of the same name does not take its place"
