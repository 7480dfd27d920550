"""Windows: eq. 5 and 6 by hand, and that a stream's reach covers what is looked at."""

from fractions import Fraction

import pytest

from alanet.frames.windows import Reach, held_time, reach, window_of

F = Fraction


def test_a_deblurred_frame_sees_w_half_neighbours_on_each_side() -> None:
    assert list(window_of(F(5), 2, 0, 9)) == [4, 5, 6]
    assert list(window_of(F(5), 4, 0, 9)) == [3, 4, 5, 6, 7]
    assert list(window_of(F(5), 0, 0, 9)) == [5]
    assert list(window_of(5.0, 2, 0, 9)) == [4, 5, 6]


def test_an_interpolated_frame_sees_the_two_it_lies_between() -> None:
    assert list(window_of(F(11, 2), 2, 0, 9)) == [5, 6]
    assert list(window_of(F(11, 2), 4, 0, 9)) == [5, 6]  # eq. 6 knows no W
    assert list(window_of(F(16, 3), 2, 0, 9, around=1)) == [4, 5, 6, 7]
    assert list(window_of(F(5), 2, 0, 9, around=3)) == [4, 5, 6]


def test_windows_are_clipped_at_the_ends_and_never_wrap() -> None:
    assert list(window_of(F(0), 2, 0, 9)) == [0, 1]
    assert list(window_of(F(9), 2, 0, 9)) == [8, 9]
    assert list(window_of(F(0), 2, 0, 0)) == [0]
    assert list(window_of(F(1, 2), 2, 0, 9, around=2)) == [0, 1, 2, 3]
    assert list(window_of(F(17, 2), 2, 0, 9, around=2)) == [6, 7, 8, 9]


def test_nothing_is_borrowed_across_a_cut_and_the_frame_before_it_is_held() -> None:
    # frames 0..4 are one shot, 5..9 the next
    assert list(window_of(F(4), 2, 0, 4)) == [3, 4]
    assert list(window_of(F(5), 2, 5, 9)) == [5, 6]
    assert held_time(F(9, 2), 4) == 4
    assert window_of(F(9, 2), 2, 0, 4) == window_of(F(4), 2, 0, 4)
    assert held_time(F(7, 2), 4) == F(7, 2)


@pytest.mark.parametrize("time", [F(-1), F(19, 4), F(10)])
def test_a_time_of_another_shot_is_our_own_mistake(time: F) -> None:
    with pytest.raises(AssertionError, match="outside its shot"):
        window_of(time, 2, 5, 9)


@pytest.mark.parametrize(("w", "around"), [(3, 0), (-2, 0), (2, -1)])
def test_a_window_is_even(w: int, around: int) -> None:
    with pytest.raises(ValueError, match="W must be even"):
        window_of(F(1), w, 0, 3, around=around)
    with pytest.raises(ValueError, match="W must be even"):
        reach(w, around=around)


def test_reach_of_the_papers_network() -> None:
    assert reach(2) == Reach(before=1, after=1)
    assert reach(0) == Reach(before=0, after=1)  # interpolation still needs the next frame
    assert reach(4) == Reach(before=2, after=2)
    assert reach(2, around=2) == Reach(before=2, after=3)


@pytest.mark.parametrize("w", [0, 2, 4, 6])
@pytest.mark.parametrize("around", [0, 1, 3])
def test_the_reach_covers_every_window_and_no_more(w: int, around: int) -> None:
    far = reach(w, around=around)
    i, last = 20, 40
    seen = {j for k in range(4) for j in window_of(i + F(k, 4), w, 0, last, around=around)}
    assert seen == set(range(i - far.before, i + far.after + 1))
