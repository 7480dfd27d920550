"""Forty files of the catalogue, chosen for speed; `scripts/catalogue` runs all of them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.stress.catalogue import Entry, check, entries, identity

ALL = {entry.name: entry for entry in entries()}
QUICK = [entry for entry in ALL.values() if entry.quick]


@pytest.fixture(scope="module")
def restorer() -> Any:
    return identity()


def test_there_are_as_many_as_promised() -> None:
    assert len(ALL) == len(entries()) >= 100
    assert sum(entry.refused is not None for entry in ALL.values()) <= 25
    assert len(QUICK) == 40


@pytest.mark.parametrize("entry", QUICK, ids=[ascii(entry.name)[1:-1] for entry in QUICK])
def test_what_must_become_of_it(entry: Entry, tmp_path: Path, restorer: Any) -> None:
    check(entry, tmp_path, restorer)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"times": [Fraction(i, 30) + Fraction(i, 10**6) for i in range(6)]}, "times up to 0.00000"),
        ({"numbers": [0, 1, 2, 3, 4, 4]}, "4, 5"),
        ({"end": Fraction(1, 4)}, ""),
        ({"refused": 2}, "(0, '')"),
        ({"note": "something else"}, "no note says"),
    ],
)
def test_the_check_sees_what_is_wrong(change: dict[str, Any], fault: str, tmp_path: Path, restorer: Any) -> None:
    with pytest.raises(AssertionError) as caught:
        check(replace(ALL["plain.mp4"], **change), tmp_path, restorer)
    assert fault in str(caught.value)
