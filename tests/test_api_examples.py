"""Every public name has a docstring with an example, and the examples run."""

import doctest
import inspect
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import alanet
from tests.support.media import make_video, picture

NAMES = [name for name in alanet.__all__ if name not in ("__version__", "Schedule")]  # `Schedule` joins two types


def documented(name: str) -> list[tuple[str, object]]:
    """The object and, of a class, the public methods that are its own."""
    found = getattr(alanet, name)
    methods = [
        (f"{name}.{key}", value)
        for key, value in vars(found).items()
        if inspect.isclass(found) and name == "Restorer" and inspect.isfunction(value) and not key.startswith("_")
    ]
    return [(name, found), *methods]


def examples_of(thing: object) -> str:
    return inspect.getdoc(thing) or ""


@pytest.mark.parametrize(("name", "thing"), [pair for name in NAMES for pair in documented(name)])
def test_the_examples_of_a_public_name_run(name: str, thing: object, tmp_path: Path, monkeypatch) -> None:
    text = examples_of(thing)
    assert text.split("\n")[0].rstrip().endswith((".", "it.")), f"{name}: begin its docstring with a sentence"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("alanet.engine.runner.time_a_frame", lambda *_: 1.0)  # the speed here is not of interest
    make_video(tmp_path / "holiday.mp4", frames=4, size=(64, 48), rate=30)
    names = {"alanet": alanet, "np": np, "torch": torch, "Fraction": Fraction, "frames": [picture(0), picture(1)]}
    test = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    assert test.examples, f"{name}: its docstring has no example"
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def test_a_wrong_example_would_be_seen() -> None:
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    runner = doctest.DocTestRunner()
    runner.run(test, out=lambda text: None)
    assert runner.failures == 1
