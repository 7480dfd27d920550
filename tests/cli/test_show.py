"""What a person sees: numbers, names, tracks and progress; and the values that a person writes."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from fractions import Fraction

import pytest
from rich.console import Console

from alanet.cli.progress import restoration_line, restoration_progress
from alanet.cli.screen import Screen, page
from alanet.errors import OptionError
from alanet.restoration.progress import RestoreProgress
from alanet.restoration.values import parse_memory, parse_moment, parse_ratio
from alanet.text import bars, clock, count, duration, marks, rate, ruler, safe, size

# --- numbers and names as shown -------------------------------------------------------------------------------------


def test_durations_and_sizes_round_to_the_unit_a_person_would_take():
    assert [duration(s) for s in (0, 0.84, 9.96, 59.6, 80, 3599.9, 7500)] == [
        "0.0 s", "0.8 s", "10 s", "1 min 00 s", "1 min 20 s", "1 h 00 min", "2 h 05 min",
    ]  # fmt: skip
    assert [clock(s) for s in (0, 35, 725, 3723)] == ["0:00", "0:35", "12:05", "1:02:03"]
    assert [clock(s, tenths=True) for s in (0, 59.96, 3723.44)] == ["0:00.0", "1:00.0", "1:02:03.4"]
    assert [size(b) for b in (812, 1000, 999_499, 999_500, 3.4e9)] == ["812 B", "1.0 kB", "999 kB", "1.0 MB", "3.4 GB"]
    assert [count(n, "frame") for n in (0, 1, 12000)] == ["0 frames", "1 frame", "12,000 frames"]


def test_a_rate_is_short_where_that_is_exact():
    assert rate(Fraction(30)) == "30 fps"
    assert rate(Fraction("23.976")) == "23.976 fps"
    assert rate(Fraction(30000, 1001)) == "29.97 fps (30000/1001)"


def test_a_name_cannot_steer_the_terminal():
    name = "a\nb\x1b[31m%d\u202e" + b"\xff".decode(errors="surrogateescape")
    shown = safe(name)
    assert shown.isprintable()
    assert "a\\nb\\x1b[31m%d" in shown
    shown.encode()  # no lone surrogate is left
    assert safe("Größe 日本.mp4") == "Größe 日本.mp4"


def test_a_track_has_a_bar_a_moment_and_keeps_every_peak():
    assert bars([0, 0.5, 1], 10) == "▁▅█"
    assert bars([0, 0.5, 1], 10, plain=True) == "_=#"
    values = [0.0] * 1000
    values[617] = 1.0
    track = bars(values, 50)
    assert len(track) == 50
    assert track.index("█") == 617 * 50 // 1000 == marks([617], 1000, 50).index("^")
    assert ruler(0, 12.34, 20) == "0:00.0        0:12.3"
    assert bars([], 10) == ""


# --- option values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"), [("4G", 4 << 30), ("800M", 800 << 20), ("2.5GiB", 5 << 29), ("512", 512), ("1gb", 1 << 30)]
)
def test_memory_is_read_as_written(text, value):
    assert parse_memory(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("12.5", Fraction(25, 2)), ("1:05", Fraction(65)), ("1:02:03.25", Fraction(14893, 4)), (".1", Fraction(1, 10))],
)
def test_moments_are_exact(text, value):
    assert parse_moment(text) == value


def test_a_rate_of_images_is_exact():
    assert parse_ratio("24000/1001") == Fraction(24000, 1001)
    assert parse_ratio("23.976") == Fraction(2997, 125)


@pytest.mark.parametrize(
    ("parse", "text"),
    [(parse_memory, t) for t in ("4X", "", "-1G", "0", "G", "4 G B")]
    + [(parse_moment, t) for t in ("", "1:75", "1:60:00", "-3", "1:2:3:4", "abc", "1e3", "nan")]
    + [(parse_ratio, t) for t in ("0", "24/0", "-24", "x2", "inf", "")],
)
def test_a_value_that_means_nothing_is_told_with_an_example(parse, text):
    with pytest.raises(OptionError, match=r"; write (it as|seconds)"):
        parse(text)


# --- the screen -----------------------------------------------------------------------------------------------------


def a_screen(*, terminal: bool, quiet: bool = False) -> tuple[Screen, io.StringIO]:
    shown = io.StringIO()
    return Screen(quiet=quiet, console=Console(file=shown, force_terminal=terminal, width=60, soft_wrap=True)), shown


def test_rows_keep_names_apart_from_texts_and_paths_whole():
    rows = [("kept", "aac"), ("kept", "[bold]srt[/bold]"), ("warning", "word " * 30), ("result", "/tmp/" + 80 * "x")]
    screen, shown = a_screen(terminal=True)
    lines = page(rows, screen.console).plain.splitlines()
    assert lines[:2] == ["  kept       aac", "             [bold]srt[/bold]"]
    assert max(map(len, lines[:-1])) <= 60
    assert lines[-1] == "  result     /tmp/" + 80 * "x"
    assert len(page(rows, a_screen(terminal=False)[0].console).plain.splitlines()) == 4  # a log's lines are not wrapped
    a_screen(terminal=True, quiet=True)[0].rows(rows)
    assert shown.getvalue() == ""


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch):
    steps = [RestoreProgress(i, 10, 2 * i, 0.5 * i, Fraction(i, 30)) for i in range(1, 11)]
    for terminal, quiet in ((True, False), (False, False), (False, True)):
        clock_now = itertools.count(0, 2.0)
        monkeypatch.setattr("alanet.cli.progress.time.monotonic", lambda now=clock_now: next(now))
        screen, shown = a_screen(terminal=terminal, quiet=quiet)
        with restoration_progress(screen) as on_progress:
            for step in steps:
                on_progress(step)
        text = shown.getvalue()
        if quiet:
            assert text == ""
        elif terminal:
            assert "restoring" in text
            assert "━" in text
        else:
            assert "━" not in text
            assert "\x1b" not in text
            assert 1 < len(text.splitlines()) < 10
            assert "2.0 frames a second" in text


def test_time_left_is_that_of_this_run_once_enough_is_measured():
    half = RestoreProgress(12, 24, 22, 6.0, Fraction(1, 2))
    assert half.time_left == 6.0
    assert restoration_line(half) == " 50 %   12 of 24 frames   2.0 frames a second   0:06 left"
    unknown = RestoreProgress(12, None, 22, 6.0, Fraction(1, 2))
    assert unknown.time_left is None
    assert restoration_line(unknown) == "12 frames   2.0 frames a second   at 0:00"
    assert RestoreProgress(30, 24, 60, 6.0, Fraction(1)).time_left is None  # the file lied about its length
    resumed = RestoreProgress(112, 124, 222, 6.0, Fraction(1, 2), earlier_in=100, earlier_out=200)
    assert (resumed.time_left, resumed.rate) == (6.0, 22 / 6)
    for few in (
        replace(resumed, frames_in=107, frames_out=212),
        replace(resumed, seconds=1.9),
    ):
        assert (few.time_left, few.rate) == (None, None)
    assert restoration_line(replace(resumed, seconds=1.0)) == " 90 %   112 of 124 frames"
