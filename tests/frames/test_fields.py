"""The scan of a frame is found by motion: interlaced pans are, progressive ones of any kind are not."""

from __future__ import annotations

import numpy as np
import pytest

from alanet.frames.fields import scan_of

RNG = np.random.default_rng(0)
SMOOTH = RNG.integers(0, 255, (40, 60)).astype(np.uint8).repeat(6, axis=0).repeat(6, axis=1)
TEXT = np.where(RNG.random((240, 360)) < 0.4, 20, 235).astype(np.uint8)
TEXT[::7] = TEXT[1::7] = 235  # lines of text, detail in every row


def view(picture: np.ndarray, y: int, x: int) -> np.ndarray:
    return picture[y : y + 160, x : x + 200]


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("speed", [1, 2, 5, 9])
def test_interlaced_pans_are_found_with_their_order(order: str, speed: int) -> None:
    def frame(i: int) -> np.ndarray:
        fields = [view(SMOOTH, 0, speed * (2 * i + k)) for k in ((0, 1) if order == "tff" else (1, 0))]
        woven = fields[0].copy()
        woven[1::2] = fields[1][1::2]
        return woven

    assert scan_of(frame(0), frame(1)) == order


@pytest.mark.parametrize("picture", [SMOOTH, TEXT], ids=["smooth", "text"])
@pytest.mark.parametrize("step", [(1, 0), (2, 0), (3, 0), (4, 0), (6, 0), (8, 0), (0, 2), (0, 6), (4, 4)])
def test_progressive_motion_is_never_taken_for_interlaced(picture: np.ndarray, step: tuple[int, int]) -> None:
    assert scan_of(view(picture, 0, 0), view(picture, *step)) in ("progressive", "undetermined")


def test_without_motion_nothing_is_known() -> None:
    assert scan_of(view(TEXT, 0, 0), view(TEXT, 0, 0)) == "undetermined"
    assert scan_of(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)) == "undetermined"
