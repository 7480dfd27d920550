"""Drawn animation and a screen: sharp frames, small motion, still parts, and frame k whatever their number."""

import numpy as np
import pytest

from alanet.data.synthetic.drawings import KINDS, draw
from alanet.errors import OptionError


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_sharp_and_move_a_little(kind):
    frames = draw(kind, 9)
    assert frames.shape == (9, 352, 640, 3)
    assert frames.dtype == np.uint8
    luma = frames.mean(-1)
    moved = np.abs(luma[8] - luma[0]) > 16
    assert 0.005 < moved.mean() < 0.4
    assert (np.abs(luma[1] - luma[0]) > 16).mean() < 0.7 * moved.mean()  # one frame moves less than a period
    assert np.abs(np.diff(luma[0], axis=1)).max() > 150  # hard edges
    resting = {"animation": np.s_[:, 325:340, 24:180], "screen": np.s_[:, :22]}[kind]
    assert np.abs(luma[resting][1:] - luma[resting][:1]).max() == 0


def test_a_frame_is_the_same_whatever_their_number():
    assert np.array_equal(draw("screen", 3)[:2], draw("screen", 2))


@pytest.mark.parametrize(("kind", "count"), [("cartoon", 5), ("screen", 0)])
def test_others_are_refused(kind, count):
    with pytest.raises(OptionError, match=r"give|choose"):
        draw(kind, count)
