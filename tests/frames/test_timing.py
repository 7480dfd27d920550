"""Times of restored frames: worked out by hand, and by what must hold for any video."""

import random
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise

import pytest

from alanet.errors import OptionError
from alanet.frames.timing import (
    Factor,
    Moment,
    Schedule,
    Tail,
    TargetRate,
    merge_holds,
    moments,
    output_rate,
    parse_rate,
    phases,
    slow_motion,
)

F = Fraction
ZERO = F(0)
NTSC = F(30000, 1001)


def timeline(
    frames: Iterable[tuple[Fraction, Fraction]], schedule: Schedule, tail: Tail = "hold"
) -> Iterator[tuple[int, Moment]]:
    """(i, moment) for every restored frame of a whole video without cuts: the intervals put side by side.

    frames: (time, duration) of each input frame; only the last one's duration counts, the others last until the next.
    tail: "hold" gives n N restored frames, the last picture repeated to the end; "drop" gives (n - 1) fewer, the last
    picture shown once and longer. The total duration is the same.
    """
    origin: Fraction | None = None
    before: tuple[int, Fraction, Fraction] | None = None
    for i, (time, duration) in enumerate(frames):
        origin = time if origin is None else origin
        if before is not None:
            yield from ((i - 1, moment) for moment in moments(schedule, before[1], time, origin=origin))
        before = (i, time, duration)
    if before is None or origin is None:
        return
    last, time, duration = before
    interval = moments(schedule, time, time + duration, origin=origin, hold=True)
    yield from ((last, moment) for moment in (merge_holds(interval) if tail == "drop" else interval))


def constant(count: int, rate: F = NTSC, start: F = ZERO) -> list[tuple[F, F]]:
    return [(start + i / rate, 1 / rate) for i in range(count)]


def variable(count: int, seed: int) -> list[tuple[F, F]]:
    """Random times on a 90 kHz clock; the stated durations of all but the last are wrong on purpose."""
    draw = random.Random(seed)
    time, frames = F(draw.randint(-9000, 9000), 90000), []
    for _ in range(count):
        frames.append((time, F(draw.randint(1, 20000), 90000)))
        time += F(draw.randint(1, 20000), 90000)
    return frames


def shown(frames: list[tuple[F, F]], schedule: Factor | TargetRate, tail: str = "hold") -> list[Moment]:
    return [moment for _, moment in timeline(frames, schedule, tail)]


def total(frames: list[tuple[F, F]]) -> F:
    return frames[-1][0] + frames[-1][1] - frames[0][0]


def test_factor_2_at_constant_rate_by_hand() -> None:
    made = list(timeline(constant(2, F(25)), Factor(2)))
    assert made == [
        (0, Moment(F(0), F(0), F(1, 50))),
        (0, Moment(F(1, 50), F(1, 2), F(1, 50))),
        (1, Moment(F(2, 50), F(0), F(1, 50))),
        (1, Moment(F(3, 50), F(1, 2), F(1, 50), hold=True)),
    ]


def test_variable_rate_puts_one_midpoint_in_every_interval_however_long() -> None:
    frames = [(F(1), F(9)), (F(11, 10), F(9)), (F(31, 10), F(9)), (F(32, 10), F(1, 5))]  # a gap of two seconds
    made = shown(frames, Factor(2))
    expected = ["1", "1.05", "1.1", "2.1", "3.1", "3.15", "3.2", "3.3"]
    assert [moment.time for moment in made] == [F(time) for time in expected]
    assert made[3].duration == 1


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_counts_and_phases_of_a_factor(count: int, n: int) -> None:
    frames = variable(count, seed=count)
    kept, dropped = shown(frames, Factor(n)), shown(frames, Factor(n), "drop")
    assert len(kept) == n * count
    assert len(dropped) == n * count - (n - 1)
    assert [moment.phase for moment in kept] == [F(k, n) for k in range(n)] * count
    assert [moment.hold for moment in kept] == [False] * (n * count - n + 1) + [True] * (n - 1)
    assert not any(moment.hold for moment in dropped)
    assert dropped[-1].duration == frames[-1][1]  # the last one is shown for its full period


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "schedule", [Factor(2), Factor(5), TargetRate(F(60)), TargetRate(F(7)), TargetRate(NTSC)], ids=str
)
@pytest.mark.parametrize("tail", ["hold", "drop"])
def test_any_video_is_shown_without_gap_or_overlap(seed: int, schedule: Factor | TargetRate, tail: str) -> None:
    frames = variable(1 + seed, seed)
    made = shown(frames, schedule, tail)
    assert made[0].time == frames[0][0]
    assert all(a.time + a.duration == b.time for a, b in pairwise(made))
    assert all(moment.duration > 0 and 0 <= moment.phase < 1 for moment in made)
    excess = sum(moment.duration for moment in made) - total(frames)
    if isinstance(schedule, Factor):
        assert excess == 0
    else:
        assert 0 <= excess < 1 / schedule.rate
        assert sum(m.duration for m in made) == sum(m.duration for m in shown(frames, schedule))


@pytest.mark.parametrize("schedule", [Factor(3), TargetRate(F(50)), TargetRate(F(11))], ids=str)
def test_time_is_the_interval_start_plus_its_phase(schedule: Factor | TargetRate) -> None:
    frames = variable(12, seed=3)
    ends = [time for time, _ in frames[1:]] + [frames[-1][0] + frames[-1][1]]
    for i, moment in timeline(frames, schedule):
        start = frames[i][0]
        assert start <= moment.time < ends[i]
        assert moment.time == start + moment.phase * (ends[i] - start)


def test_target_rate_counts_from_the_first_frame_at_a_constant_rate() -> None:
    made = shown(variable(30, seed=1), TargetRate(NTSC))
    assert [moment.time - made[0].time for moment in made] == [k / NTSC for k in range(len(made))]


def test_twice_the_rate_is_the_same_as_factor_2() -> None:
    frames = constant(9, NTSC, start=F(7, 5))
    assert shown(frames, TargetRate(2 * NTSC)) == shown(frames, Factor(2))


def test_a_lower_target_rate_leaves_intervals_empty() -> None:
    made = list(timeline(constant(6, F(30)), TargetRate(F(10))))
    assert [(i, moment.phase) for i, moment in made] == [(0, F(0)), (3, F(0))]


def test_a_frame_exactly_on_a_boundary_belongs_to_the_interval_that_starts_there() -> None:
    assert [m.time for m in moments(TargetRate(F(10)), F(1), F(2), origin=F(0))] == [F(k, 10) for k in range(10, 20)]


def test_before_a_cut_the_picture_is_held() -> None:
    cut = moments(Factor(2), F(0), F(1), origin=F(0), hold=True)
    assert [moment.hold for moment in cut] == [False, True]
    assert merge_holds(cut) == [Moment(F(0), F(0), F(1))]
    assert merge_holds([]) == []


def test_an_empty_video_has_no_restored_frames_and_one_frame_fills_its_duration() -> None:
    assert list(timeline([], Factor(2))) == []
    assert shown([(F(5), F(1, 25))], Factor(2), "drop") == [Moment(F(5), F(0), F(1, 25))]


def test_ten_minutes_of_ntsc_end_to_the_exact_tick() -> None:
    count = 600 * 30
    *_, (_, last) = timeline(((i / NTSC, 1 / NTSC) for i in range(count)), Factor(2))
    assert last.time + last.duration == count * F(1001, 30000)


def test_times_that_do_not_increase_are_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="must increase"):
        list(timeline([(F(0), F(1)), (F(0), F(1))], Factor(2)))


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("x2", Factor(2)),
        (" X8 ", Factor(8)),
        ("60", TargetRate(F(60))),
        ("60000/1001", TargetRate(F(60000, 1001))),
        ("59.94", TargetRate(F(60000, 1001))),
        ("29.97", TargetRate(NTSC)),
        ("23.976", TargetRate(F(24000, 1001))),
        ("23.98", TargetRate(F(24000, 1001))),
        ("119.88", TargetRate(F(120000, 1001))),
        ("12.5", TargetRate(F(25, 2))),
        ("24.00", TargetRate(F(24))),
        ("29.95", TargetRate(F(599, 20))),
    ],
)
def test_rates_as_people_write_them(text: str, schedule: Factor | TargetRate) -> None:
    assert parse_rate(text) == schedule


@pytest.mark.parametrize("text", ["", "fast", "2x", "x", "x2.5", "-30", "60/0", "1e3", "nan", "60/1001/2", "6 0"])
def test_no_rate_at_all_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(OptionError, match=r"is no frame rate; give a factor \(x2, x4\) or frames a second") as error:
        parse_rate(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"), [("x0", "x1 to x64"), ("x65", "x1 to x64"), ("0", "above 0"), ("1001", "up to 1000")]
)
def test_rates_out_of_range_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_rate(text)


def test_the_phases_a_model_is_asked_for() -> None:
    assert phases(Factor(2), NTSC) == {F(0), F(1, 2)}
    assert phases(TargetRate(F(60)), F(24)) == {F(0), F(1, 5), F(2, 5), F(3, 5), F(4, 5)}
    frames = constant(40, F(24))
    assert {moment.phase for moment in shown(frames, TargetRate(F(60)))} == phases(TargetRate(F(60)), F(24))


def test_nominal_rate_of_the_output() -> None:
    assert output_rate(Factor(2), NTSC) == F(60000, 1001)
    assert output_rate(TargetRate(F(50)), NTSC) == 50


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [Factor(1), Factor(2), TargetRate(F(60000, 1001))])
def test_slow_motion_is_the_same_time_line_stretched(seed, rate):
    """Sampled as often as it is slow, each time is that many times as far from the first frame; the end too."""
    frames, slow = variable(20, seed), 4
    quick = Factor(rate.n * slow) if isinstance(rate, Factor) else TargetRate(rate.rate * slow)
    origin = frames[0][0]
    plain, stretched = (list(timeline(frames, schedule)) for schedule in (quick, slow_motion(slow, rate)))
    assert [(i, m.phase, m.hold) for i, m in plain] == [(i, m.phase, m.hold) for i, m in stretched]
    assert [origin + (m.time - origin) * slow for _, m in plain] == [m.time for _, m in stretched]
    assert [m.duration * slow for _, m in plain] == [m.duration for _, m in stretched]


def test_slow_motion_by_hand():
    assert slow_motion(4) == Factor(4, slow=4)
    assert slow_motion(2, Factor(3)) == Factor(6, slow=2)
    assert slow_motion(4, TargetRate(F(50))) == TargetRate(F(50), slow=4)
    assert output_rate(slow_motion(4), F(30)) == 30
    assert output_rate(slow_motion(2, Factor(3)), F(30)) == 90
    assert output_rate(slow_motion(4, TargetRate(F(50))), F(25)) == 50
    assert phases(slow_motion(4), F(30)) == {F(k, 4) for k in range(4)}
    assert phases(slow_motion(4, TargetRate(F(50))), F(25)) == {F(k, 8) for k in range(8)}
    for wrong in (lambda: slow_motion(0), lambda: slow_motion(65), lambda: Factor(2, slow=0)):
        with pytest.raises(OptionError, match="1 to 64 are possible"):
            wrong()
    with pytest.raises(OptionError, match="x128"):
        slow_motion(64, Factor(2))
