"""What people are shown of exposures: at most a whole period, with its error, and nothing where nothing moves."""

from __future__ import annotations

import math

import pytest

from alanet.frames.estimate_sums import EstimateSums, shown_exposure
from alanet.restoration.summary import estimate_rows
from alanet.text import bars


def test_exposures_are_shown_up_to_a_period_and_only_where_they_are_known():
    assert shown_exposure(0.4, 0.3) == 0.4
    assert shown_exposure(1.375, 0.3) == 1.0  # overlapping exposures exist in the paper's protocol only
    assert shown_exposure(0.7, 0.9) is None  # nothing moves
    assert shown_exposure(0.7, math.nan) == 0.7  # a network that states no uncertainty


def test_the_mean_is_over_the_frames_whose_exposure_is_known():
    sums = EstimateSums()
    for exposure, uncertainty, sharp in ((0.4, 0.25, False), (1.2, 0.1, False), (0.6, 0.9, True)):
        sums = sums.with_frame(exposure, uncertainty, sharp=sharp)
    assert (sums.classified, sums.sharp, sums.known) == (3, 1, 2)
    assert sums.exposure == pytest.approx(0.7)
    assert sums.uncertainty == pytest.approx(0.1)
    assert sums + sums == EstimateSums(6, 2, 4, 2 * sums.exposures, 2 * sums.uncertainties)
    ((_, text),) = estimate_rows(sums)
    assert text == (
        "1 of 3 already sharp, left unchanged; mean exposure 0.70 ± 0.10 of the frame period (unknown of 1 frame in "
        "which too little moves)"
    )
    assert sums.to_dict()["exposure"] == pytest.approx(0.7)


def test_a_still_video_has_no_exposure():
    still = EstimateSums().with_frame(0.6, 0.9, sharp=True)
    assert still.exposure is None
    assert estimate_rows(still) == [
        ("frames", "1 of 1 already sharp, left unchanged; exposure unknown, too little moves")
    ]
    assert estimate_rows(EstimateSums()) == []


def test_bars_leave_a_blank_where_there_is_no_value():
    assert bars([None, 1.0, None, None], 2) == bars([1.0], 1) + " "
