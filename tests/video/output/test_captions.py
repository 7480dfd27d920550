"""Closed captions: the encoder's picture has those of the decoded frame it belongs to, and its own pixels."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np

from alanet.frames.frame import Frame
from alanet.video.output.captions import Captions
from tests.stress.faults_inputs import captions


def kinds(picture: Any) -> list[str]:
    return [data.type.name for data in picture.side_data]


def test_captions_go_to_the_restored_picture_and_not_to_a_repetition(tmp_path) -> None:
    with av.open(str(captions(tmp_path))) as container:
        given = next(container.decode(video=0))
    rng, put, none = np.random.default_rng(0), Captions(), np.zeros((1, 1, 3), np.uint8)
    for form in ("yuv420p", "yuv420p10le", "yuv444p"):
        planes = rng.integers(0, 255, given.to_ndarray().shape, dtype=np.uint8)
        picture = av.VideoFrame.from_ndarray(planes, "yuv420p").reformat(format=form)
        made = put.on(picture, Frame(none, Fraction(0), Fraction(1), captions=given))
        assert "A53_CC" in kinds(made)
        assert made.format.name == form
        assert np.array_equal(made.to_ndarray(), picture.to_ndarray())
    assert put.on(given, Frame(none, Fraction(0), Fraction(1), given, given)) is given
    again = put.on(given, Frame(none, Fraction(1), Fraction(1), given))
    assert "A53_CC" not in kinds(again)
    assert np.array_equal(again.to_ndarray(), given.to_ndarray())
    assert "A53_CC" in kinds(given)
