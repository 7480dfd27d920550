"""Cuts, flashes and pans as rows of changes; duplicates to the bit; the blur track by what it must show."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from alanet.frames.cuts import LOOKAHEAD, MEMORY, Scores, blur_track, change, find_cuts, same_pixels

Row = np.ndarray


def scores_of(pictures: list[Row]) -> list[Scores]:
    return [
        Scores(tuple(change(picture, earlier) for earlier in reversed(pictures[max(0, i - MEMORY) : i])))
        for i, picture in enumerate(pictures)
    ]


def cuts_in(pictures: list[Row]) -> list[int]:
    return [i for i, _, cut in find_cuts(enumerate(scores_of(pictures))) if cut]


def texture(seed: int, width: int = 96, height: int = 54) -> Row:
    """A smooth random picture, wider than what is shown of it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 6, width // 6)).astype(np.uint8)
    return np.kron(coarse, np.ones((6, 6), np.uint8))


def pan(seed: int, count: int, speed: int) -> list[Row]:
    wide = texture(seed, width=96 + speed * count + 6)
    return [wide[:, i * speed : i * speed + 96] for i in range(count)]


def test_a_cut_is_found_at_its_frame() -> None:
    assert cuts_in(pan(1, 9, 1) + pan(2, 7, 1)) == [9]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_cuts_near_the_ends_are_found(at: int) -> None:
    assert cuts_in(pan(1, at, 1) + pan(2, 8, 1)) == [at]
    assert cuts_in(pan(1, 8, 1) + pan(2, at, 1)) == [8]


def test_short_shots_are_shots() -> None:
    assert cuts_in(pan(1, 6, 0) + pan(2, 1, 0) + pan(3, 6, 0)) == [6, 7]
    assert cuts_in(pan(1, 6, 0) + pan(2, 3, 0) + pan(3, 6, 0)) == [6, 9]


def test_a_pan_that_changes_as_much_as_a_cut_is_none() -> None:
    moving = pan(4, 12, 20)
    assert min(change(a, b) for a, b in pairwise(moving)) > 10
    still = [moving[0]] * 6
    assert cuts_in(moving) == []
    assert cuts_in(still + moving + [moving[-1]] * 6) == []


@pytest.mark.parametrize("length", range(1, LOOKAHEAD + 1))
@pytest.mark.parametrize("speed", [0, 1])
def test_a_flash_is_no_cut(length: int, speed: int) -> None:
    pictures = pan(5, 14, speed)
    for i in range(6, 6 + length):
        pictures[i] = np.minimum(pictures[i].astype(int) + 150, 255).astype(np.uint8)
    assert change(pictures[5], pictures[6]) > 10
    assert cuts_in(pictures) == []


def test_a_fade_is_no_cut() -> None:
    picture = texture(6).astype(float)
    assert cuts_in([(picture * max(0, 10 - i) / 10).astype(np.uint8) for i in range(14)]) == []


def test_every_item_comes_through_in_order_and_only_a_few_wait() -> None:
    read = 0

    def endless() -> Iterator[tuple[int, Scores]]:
        nonlocal read
        while True:
            read += 1
            yield read, Scores((1.0,))

    for item, _, cut in find_cuts(endless()):
        assert read - item == LOOKAHEAD
        assert not cut
        if item == 50:
            break
    assert [item for item, _, _ in find_cuts((i, Scores()) for i in range(2))] == [0, 1]
    assert list(find_cuts([])) == []


def test_duplicates_are_equal_to_the_last_bit() -> None:
    a = np.random.default_rng(0).integers(0, 65536, (37, 53, 3)).astype(np.uint16)
    b = a.copy()
    assert same_pixels(a, b)
    b[36, 51, 2] ^= 1  # off the sparse grid
    assert not same_pixels(a, b)
    assert not same_pixels(a, a[:, :-1])
    assert not same_pixels(a, a.astype(np.int32))


def test_change_is_in_percent_of_full_scale() -> None:
    black, white = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)
    assert change(black, white) == change(white, black) == pytest.approx(255 / 256 * 100)


def test_the_blur_track_rises_where_edges_widen_and_compares_within_a_shot() -> None:
    blurs: list[float | None] = [*[4.0] * 10, *[5.0] * 10, *[8.0] * 10]
    cuts = [False] * 20 + [True] + [False] * 9
    assert blur_track(blurs, cuts, 3) == pytest.approx([0, 0.5, 0])  # the second shot is 8 px wide throughout
    assert blur_track([4.0] * 19 + [40.0], [False] * 20, 20)[-1] == 1  # clamped


def test_the_blur_track_knows_gaps_and_few_frames() -> None:
    assert blur_track([None, None], [False, False], 4) == [0, 0, 0, 0]
    assert blur_track([], [], 3) == [0, 0, 0]
    assert blur_track([4.0, None, 5.0], [False] * 3, 3)[1] == 0
    assert len(blur_track([4.0, 5.0], [False] * 2, 9)) == 9
