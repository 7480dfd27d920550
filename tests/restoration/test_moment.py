"""One moment, restored alone, is the same frame as in the whole result, beside an input of exactly its time."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from alanet.errors import OptionError
from alanet.frames.frame import Frame
from alanet.frames.timing import Factor, Schedule, TargetRate
from alanet.restoration.moment import blend, compare_at
from alanet.restoration.options import RestoreOptions
from alanet.restoration.restorer import Restorer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from tests.support.media import make_video, picture


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer("alanet-plus", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("moment") / "a.mp4", frames=12, rate=24, size=(64, 48))


@pytest.mark.parametrize("rate", [Factor(2), TargetRate(Fraction(60)), TargetRate(Fraction(16))])
def test_it_is_the_frame_that_the_whole_result_shows(restorer: Restorer, video: Path, rate: Schedule) -> None:
    info, options = probe(video), RestoreOptions(rate=rate)
    whole = list(restorer.frames(video, options))
    for at in ("0", "11/48", "1/4", "31/120", "23/48"):
        time = Fraction(at)
        expected = [frame for frame in whole if frame.time <= time][-1]
        found = compare_at(restorer, info, time, options)
        assert np.array_equal(found.after, expected.pixels), at
        assert not found.interpolated or found.time == expected.time


def test_before_is_the_input_frame_or_the_blend_at_that_time(restorer: Restorer, video: Path) -> None:
    info, options = probe(video), RestoreOptions(rate=Factor(4))
    frames = list(decode(info))
    deblurred, between = (compare_at(restorer, info, Fraction(n, 96), options) for n in (20, 21))
    assert (deblurred.interpolated, between.interpolated) == (False, True)
    assert np.array_equal(deblurred.before, frames[5].pixels)
    quarter = 0.75 * frames[5].pixels.astype(float) + 0.25 * frames[6].pixels
    assert np.abs(between.before - quarter).max() <= 0.5


def test_with_skipped_repeats_it_lies_between_the_drawings(restorer: Restorer, tmp_path: Path) -> None:
    drawings = [picture(4 * (i // 2), 64, 48) for i in range(24)]  # each shown twice
    info = probe(make_video(tmp_path / "a.mp4", frames=drawings, rate=24))
    options = RestoreOptions(duplicates="skip")
    whole = {frame.time: frame.pixels for frame in restorer.frames(info.path, options)}
    for n, interpolated in ((20, False), (21, True), (22, True), (23, True)):  # of 48 a second: two input frames
        found = compare_at(restorer, info, Fraction(n, 48), options)
        assert found.interpolated == interpolated, n
        assert np.array_equal(found.after, whole[Fraction(n, 48)]), n


def test_times_count_from_the_first_frame(restorer: Restorer, tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mkv", frames=12, rate=24, start=5))
    assert info.start == 5
    assert compare_at(restorer, info, Fraction(1, 4), RestoreOptions()).time == Fraction(1, 4)


def test_the_last_frame_is_held_not_interpolated(restorer: Restorer, video: Path) -> None:
    found = compare_at(restorer, probe(video), Fraction(23, 48), RestoreOptions())
    assert not found.interpolated
    assert found.time == Fraction(11, 24)


def test_without_strength_a_frame_is_unchanged(restorer: Restorer, video: Path) -> None:
    assert compare_at(restorer, probe(video), Fraction(1, 4), RestoreOptions(strength=0)).unchanged


def test_no_frame_is_shown_after_the_end(restorer: Restorer, video: Path) -> None:
    with pytest.raises(OptionError, match=r"no frame is shown at 2.000 s"):
        compare_at(restorer, probe(video), Fraction(2), RestoreOptions())


def test_a_blend_keeps_deep_pixels_deep() -> None:
    first, second = (Frame(np.full((2, 2, 3), v, np.uint16), Fraction(0), Fraction(1)) for v in (1000, 60000))
    assert blend(first, second, Fraction(1, 4)).tolist() == np.full((2, 2, 3), 15750).tolist()
