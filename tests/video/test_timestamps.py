"""Times of decoded frames, put right where they cannot be: every case worked out by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest

from alanet.video.timestamps import Repairs, durations, rising

F = Fraction
PERIOD = F(1, 25)


def repaired(times: list[Fraction | None], start: Fraction = F(0)) -> tuple[list[Fraction], Repairs]:
    repairs = Repairs()
    return [time for _, time in rising([(i, t) for i, t in enumerate(times)], PERIOD, start, repairs)], repairs


def test_good_times_are_kept_exactly_whatever_their_spacing() -> None:
    times: list[Fraction | None] = [F(-1, 3), F(0), F(1, 1000), F(7), F(7001, 1000)]
    got, repairs = repaired(times)
    assert got == times
    assert (repairs.spaced, repairs.jumps) == (0, 0)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([F(0), None, F(2)], [F(0), F(1), F(2)]),
        ([F(0), None, None, F(3)], [F(0), F(1), F(2), F(3)]),
        ([F(0), F(2), F(2), F(3)], [F(0), F(2), F(5, 2), F(3)]),
        ([F(0), F(2), F(3, 2), F(3)], [F(0), F(2), F(5, 2), F(3)]),
        ([F(0), F(1), None], [F(0), F(1), F(26, 25)]),
        ([None, F(1), F(2)], [F(24, 25), F(1), F(2)]),
    ],
    ids=["missing", "two missing", "twice the same", "one back", "missing at the end", "missing at the start"],
)
def test_a_wrong_time_goes_between_its_neighbours(given: list[Fraction | None], wanted: list[Fraction]) -> None:
    got, repairs = repaired(given)
    assert got == wanted
    assert repairs.spaced == sum(a != b for a, b in zip(given, wanted, strict=True))


def test_without_any_times_frames_are_a_period_apart() -> None:
    got, repairs = repaired([None] * 20, start=F(3))
    assert got == [3 + i * PERIOD for i in range(20)]
    assert repairs.spaced == 20


def test_a_clock_that_begins_anew_is_carried_on() -> None:
    got, repairs = repaired([F(10), F(11), F(0), F(1), F(2)])
    assert got == [F(10), F(11), F(11) + PERIOD, F(12) + PERIOD, F(13) + PERIOD]
    assert repairs.jumps == 1


def test_every_frame_comes_out_once_and_in_order() -> None:
    times: list[Fraction | None] = [F(1), None, F(1), F(0), *([None] * 11), F(5), F(5), None]
    out = list(rising([(i, t) for i, t in enumerate(times)], PERIOD, F(0), Repairs()))
    assert [item for item, _ in out] == list(range(len(times)))
    assert all(a[1] < b[1] for a, b in pairwise(out))


def test_few_frames_are_held_back() -> None:
    asked = 0

    def source():
        nonlocal asked
        for i in range(1000):
            asked += 1
            yield i, None

    next(rising(source(), PERIOD, F(0), Repairs()))
    assert asked <= 8


def test_a_frame_lasts_until_the_next_and_the_last_as_told() -> None:
    timed = [("a", F(0)), ("b", F(1, 30)), ("c", F(1, 2))]
    got = list(durations(timed, lambda item: F(len(item), 10), PERIOD, Repairs()))
    assert got == [("a", F(0), F(1, 30)), ("b", F(1, 30), F(7, 15)), ("c", F(1, 2), F(1, 10))]


@pytest.mark.parametrize(("lost", "missing"), [([], False), ([20, 21], True), (range(10, 40, 2), False)])
def test_gaps_in_a_steady_rate_are_lost_frames_but_a_variable_rate_is_not(lost: list[int], missing: bool) -> None:
    repairs = Repairs()
    timed = [(i, i * PERIOD) for i in range(100) if i not in lost]
    list(durations(timed, lambda item: PERIOD, PERIOD, repairs))
    assert repairs.missing is missing
    if missing:
        assert repairs.longest == (3 * PERIOD, 19 * PERIOD)


@pytest.mark.parametrize("stray", [F(900), F(10**7), F(3), F(-(10**7))])
def test_a_time_far_off_of_one_frame_alone_counts_for_none(stray: Fraction) -> None:
    got, repairs = repaired([F(20), F(21), stray, F(23), F(24)])
    assert got == [F(20), F(21), F(22), F(23), F(24)]
    assert (repairs.spaced, repairs.strays, repairs.jumps) == (1, 1, 0)


def test_a_long_gap_is_kept_and_a_leap_of_days_is_a_new_clock() -> None:
    gap: list[Fraction | None] = [F(0), F(1), F(86_000), F(86_001)]
    assert repaired(gap)[0] == gap
    got, repairs = repaired([F(0), F(1), F(200_000), F(200_001)])
    assert got == [F(0), F(1), F(1) + PERIOD, F(2) + PERIOD]
    assert (repairs.spaced, repairs.jumps) == (0, 1)


def test_a_clock_that_begins_beyond_all_counting_begins_at_the_start() -> None:
    got, repairs = repaired([F(2**40), F(2**40 + 1)], start=F(3))
    assert (got, repairs.jumps) == ([F(3), F(4)], 1)
    since_1970: list[Fraction | None] = [F(1_800_000_000), F(1_800_000_001)]
    assert repaired(since_1970)[0] == since_1970


def stated(own: F):
    return lambda _: own


def test_a_last_duration_that_cannot_be_is_a_period() -> None:
    for own in (F(0), F(-1), F(10**9)):
        timed = list(durations([(0, F(0)), (1, F(1))], stated(own), PERIOD, Repairs()))
        assert [duration for _, _, duration in timed] == [F(1), PERIOD]


def test_frames_without_times_are_spaced_by_their_lengths() -> None:
    lengths = [F(3, 2), F(1), F(3, 2), F(1)]
    times: list[Fraction | None] = [F(10), None, None, None, F(20), None]
    items = [(lengths[i % 4], time) for i, time in enumerate(times)]
    spaced = [time for _, time in rising(items, F(1), F(0), Repairs(), lambda item: item)]
    assert spaced == [10, 13, 15, 18, 20, F(43, 2)]
    unknown = [(each, None) for each in lengths * 4]
    spaced = [time for _, time in rising(unknown, F(1), F(5), Repairs(), lambda item: item)]
    assert spaced == [5 + F(5, 2) * (i // 2) + F(3, 2) * (i % 2) for i in range(16)]
