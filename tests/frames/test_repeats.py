"""Repeated drawings are merged into one frame that keeps their times; a picture that stands still is left alone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from alanet.engine.counts import Counts
from alanet.engine.stream import stream
from alanet.frames.frame import Frame
from alanet.frames.repeats import Repeats, same_thumbnail, skip_repeats
from alanet.frames.timing import Factor, Schedule, TargetRate


def shown(drawings: str) -> list[tuple[Frame, bool, bool]]:
    """A frame a letter, 24 a second; equal letters are one drawing, a capital starts a shot."""
    frames = []
    for i, letter in enumerate(drawings):
        still = i > 0 and drawings[i - 1].lower() == letter
        pixels = np.full((2, 2, 3), ord(letter.lower()), np.uint8)
        frames.append((Frame(pixels, Fraction(i, 24), Fraction(1, 24)), still, letter.isupper()))
    return frames


def letters(frames: list[Frame]) -> str:
    return "".join(chr(frame.pixels[0, 0, 0]) for frame in frames)


@pytest.mark.parametrize(
    ("drawings", "merged", "lengths"),
    [("aabbcc", "abc", [2, 2, 2]), ("abbbccccd", "abcd", [1, 3, 4, 1]), ("aaaaaabb", "aaaaaab", [1] * 6 + [2])],
)
def test_runs_of_up_to_four_frames_become_one(drawings: str, merged: str, lengths: list[int]) -> None:
    frames = [frame for frame, _ in skip_repeats(shown(drawings))]
    assert letters(frames) == merged
    assert [frame.duration * 24 for frame in frames] == lengths
    assert [1 + len(frame.repeats) for frame in frames] == lengths


def test_a_new_shot_is_no_repeat() -> None:
    assert [starts for _, starts in skip_repeats(shown("aaA"))] == [False, True]


def test_animation_is_told_from_a_film_and_from_stills() -> None:
    for drawings, animation in (("aabbccddeeffgg", True), ("abcdefghijklmn", False), ("a" * 20 + "bcdefg", False)):
        repeats = Repeats()
        for _, still, _ in shown(drawings):
            repeats.see(still)
        assert repeats.animation is animation, drawings


def test_what_compression_changes_is_one_drawing_and_a_small_move_is_none() -> None:
    thumb = np.full((90, 160), 100, np.uint8)
    noise = np.random.default_rng(0).integers(-3, 4, thumb.shape)
    moved = thumb.copy()
    moved[40:43, 80:83] += 40
    assert same_thumbnail(thumb, (thumb + noise).astype(np.uint8))
    assert not same_thumbnail(thumb, moved)


class Line:
    """A network stand-in that answers with the time it is asked for, times 10."""

    def encode(self, pixels):
        return pixels

    def relate(self, first, second):
        return None

    def estimate(self, window, i):
        return None

    def generate(self, window, times, like):
        return (np.full_like(like, round(10 * time)) for time in times)


@pytest.mark.parametrize("schedule", [Factor(2), TargetRate(Fraction(48))])
def test_as_many_frames_as_before_and_even_steps_between_drawings(schedule: Schedule) -> None:
    counts = Counts()
    merged = skip_repeats(shown("aabbccdd"))
    made = list(stream(merged, Line(), schedule, window=2, counts=counts, period=Fraction(1, 24)))
    assert (counts.frames_in, counts.frames_out, counts.gaps, counts.duplicates) == (8, 16, 0, 4)
    assert [frame.time for frame in made] == [Fraction(k, 48) for k in range(16)]
    phases = [int(frame.pixels[0, 0, 0]) for frame in made]
    assert phases[:13] == [round(10 * k / 4) for k in range(13)]
    assert phases[13:] == [phases[12]] * 3  # after the last drawing it is held
