"""Gaps are found by the usual period, or by half a second where there is none; uneven rhythms have none."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

import pytest

from alanet.frames.gaps import Gaps, is_gap

F = Fraction


def found(intervals: Sequence[Fraction], period: Fraction | None = None) -> list[int]:
    gaps = Gaps(period)
    times = list(accumulate(intervals, initial=F(0)))
    return [i for i, pair in enumerate(pairwise(times)) if gaps.between(*pair)]


def test_the_limit_itself_is_no_gap() -> None:
    assert not is_gap(F(5, 60), F(1, 30))
    assert is_gap(F(5, 60) + F(1, 10**9), F(1, 30))
    assert not is_gap(F(1, 2), None)
    assert is_gap(F(51, 100), None)


@pytest.mark.parametrize(
    ("intervals", "period"),
    [
        ([F(n, 60) for n in (2, 3) * 20], None),  # telecine
        ([F(1, 24)] * 30 + [F(1, 30)] * 30 + [F(1, 24)] * 30, None),
        ([F(1, 30), F(2, 30)] * 20, None),  # single lost frames
        ([F(1)] * 10, F(1)),  # a time lapse, constant by its header
        ([F(2, 5)] * 10, None),
    ],
)
def test_uneven_and_slow_rhythms_have_no_gaps(intervals: list[Fraction], period: Fraction | None) -> None:
    assert found(intervals, period) == []


def test_pauses_of_a_recorder_are_gaps() -> None:
    frame = F(1, 30)
    assert found([frame] * 3 + [8 - 3 * frame, frame, frame, F(7), frame, frame]) == [3, 6]
    assert found([F(8), frame, frame]) == [0]


def test_a_lasting_change_of_rate_becomes_usual() -> None:
    assert found([F(1, 30)] * 40 + [F(1)] * 40) == list(range(40, 53))
