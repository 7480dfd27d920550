"""The timeline shows blur where the video is blurry, cuts where they are, and how much of it was looked at."""

import re
from pathlib import Path

from alanet.video.input.probe import probe
from alanet.web.timeline import Timeline, drawing, look
from tests.support.media import make_video, picture
from tests.support.paths import ROOT


def test_bars_are_higher_where_the_sample_is_blurry() -> None:
    found = look(probe(ROOT / "alanet" / "sample" / "bikes.mp4"))
    assert found.whole
    assert (len(found.blur), found.cuts) == (found.frames, [])
    pan, stand = found.blur[10:25], found.blur[40:55]  # the camera pans, then stands
    assert min(pan) > 3 * max(stand)


def test_a_cut_is_where_it_is(tmp_path: Path) -> None:
    first, second = (picture(0, 160, 120), 255 - picture(9, 160, 120)[::-1])
    found = look(probe(make_video(tmp_path / "a.mp4", frames=[*[first] * 16, *[second] * 8], rate=8)))
    assert (found.frames, found.seconds) == (24, 3.0)
    assert [round(cut, 3) for cut in found.cuts] == [2.0]


def test_a_long_video_is_looked_at_from_its_beginning(tmp_path: Path) -> None:
    found = look(probe(make_video(tmp_path / "a.mp4", frames=24, rate=8)), patience=0)
    assert not found.whole
    assert 0 < found.frames < 24


def test_the_drawing_has_a_bar_a_moment_and_says_what_it_is() -> None:
    svg = drawing(Timeline([0.0, 0.5, 1.0], [1.0], 2.0, 48, 0, False))
    assert [float(h) for h in re.findall(r'height="([\d.]+)"/>', svg)] == [1.68, 28.0, 56.0]
    assert 'class="cut" d="M480.00 0' in svg
    assert "Blur over time, of the first 0:02 (higher: more blur; red: cuts). Click to preview a moment." in svg
    assert 'aria-label="Blur over time, of the first 0:02: 1 cut"' in svg
