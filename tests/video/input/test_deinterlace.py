"""Interlaced video is seen, by flags and by the picture, and made progressive at the same times."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from alanet.errors import OptionError
from alanet.notes import Notes
from alanet.video.input.decode import decode
from alanet.video.input.deinterlace import decide
from alanet.video.input.probe import probe
from tests.support.media import make_video, number_of, picture

F = Fraction
FRAMES = 14


def pan(i: int, width: int = 128, height: int = 96) -> np.ndarray:
    """A still that moves 2 pixels to the left each moment."""
    blocks = np.random.default_rng(0).integers(0, 255, (height // 8, width // 4, 3)).astype(np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)[:, 2 * i : 2 * i + width]


def woven(order: str) -> list[np.ndarray]:
    """Frames whose earlier field is pan(2i) and whose later one pan(2i + 1)."""
    frames = [pan(2 * i).copy() for i in range(FRAMES)]
    for i, frame in enumerate(frames):
        late = 1 if order == "tff" else 0
        frame[late::2] = pan(2 * i + 1)[late::2]
    return frames


def luma(pixels: np.ndarray) -> np.ndarray:
    return (pixels.astype(float) @ np.array([0.299, 0.587, 0.114]))[8:-8, 8:-8]


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("flagged", [True, False])
def test_interlaced_video_is_seen_and_one_progressive_frame_made_of_each(
    tmp_path: Path, order: str, flagged: bool
) -> None:
    path = make_video(
        tmp_path / "a.mp4",
        frames=woven(order),
        rate=25,
        pix_fmt="yuv422p",
        interlaced=order if flagged else None,
        options={"crf": "4"},
    )
    info, notes = probe(path), Notes()
    assert info.interlaced
    assert info.field_order == order
    frames = list(decode(info, notes=notes))
    assert [frame.time for frame in frames] == [F(i, 25) for i in range(FRAMES)]
    assert {frame.duration for frame in frames} == {F(1, 25)}
    assert any("interlaced" in line for line in notes.warnings)
    for i in (0, 6, FRAMES - 1):
        first, second = (np.abs(luma(frames[i].pixels) - luma(pan(2 * i + k))).mean() for k in (0, 1))
        assert first < 0.6 * second  # the earlier field is the moment shown
        assert frames[i].source is not None
        assert not frames[i].source.interlaced_frame


@pytest.mark.parametrize("container", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("flagged", [True, False])
def test_progressive_video_is_left_alone_even_where_it_is_flagged_interlaced(
    tmp_path: Path, container: str, flagged: bool
) -> None:
    frames = [pan(2 * i) for i in range(FRAMES)]
    path = make_video(tmp_path / container, frames=frames, rate=25, interlaced="tff" if flagged else None)
    assert not probe(path).interlaced


def test_off_leaves_the_combs_and_says_so(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mkv", frames=woven("tff"), rate=25, codec="ffv1", pix_fmt="yuv444p", interlaced="tff"
    )
    info, notes = probe(path), Notes()
    frames = list(decode(info, deinterlace="off", notes=notes))
    assert any("not deinterlaced" in line for line in notes.warnings)
    assert np.abs(frames[5].pixels.astype(int) - woven("tff")[5]).max() <= 3


def test_on_deinterlaces_what_was_not_seen_to_be_interlaced(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4", frames=woven("tff")[:4], rate=25))
    assert not info.interlaced  # four frames are too few to be sure
    frames = list(decode(info, deinterlace="on"))
    assert [frame.time for frame in frames] == [F(i, 25) for i in range(4)]
    i = 2
    first, second = (np.abs(luma(frames[i].pixels) - luma(pan(2 * i + k))).mean() for k in (0, 1))
    assert first < 0.6 * second


@pytest.mark.parametrize(
    ("stated", "places", "wanted"),
    [
        ("progressive", [{"progressive": 40}], (False, None)),
        ("progressive", [{"tff": 12}], (True, "tff")),  # a short file has one place
        ("progressive", [{"tff": 12}, {"progressive": 5}, {"progressive": 5}], (False, None)),  # one shot
        ("progressive", [{"tff": 12}, {"undetermined": 5}, {"undetermined": 5}], (False, None)),
        ("progressive", [{"tff": 12}, {"tff": 5}, {"undetermined": 5}], (True, "tff")),
        ("progressive", [{"tff": 20, "bff": 10, "progressive": 10}], (False, None)),
        ("tff", [{"tff": 4, "flagged": 4, "frames": 4}], (True, None)),
        ("bff", [{"undetermined": 40}], (True, "bff")),
        ("tff", [{"progressive": 12, "flagged": 12, "frames": 12}], (False, None)),
        (
            "tff",
            [{"progressive": 12, "flagged": 12, "frames": 12}, {"tff": 5, "flagged": 5, "frames": 5}],
            (True, None),
        ),
        ("tff", [{"bff": 12, "flagged": 13, "frames": 13}], (True, "bff")),
        ("tff", [{"tff": 12, "flagged": 12, "frames": 24}], (True, None)),
        (None, [{"undetermined": 40}], (False, None)),
    ],
)
def test_flags_count_unless_several_places_prove_the_opposite(
    stated: str | None, places: list[dict[str, int]], wanted: tuple[bool, str | None]
) -> None:
    assert decide(stated, [Counter(place) for place in places]) == wanted


def pulled_down(folder: Path, films: int) -> Path:
    """Film of 24 frames a second as video of 30: frames A B C D become A, B, B+C, C+D, D."""
    film = [moving(i) for i in range(films)]
    woven = []
    for i in range(0, films, 4):
        a, b, c, d = film[i : i + 4]
        for top, bottom in ((a, a), (b, b), (c, b), (d, c), (d, d)):
            frame = top.copy()
            frame[1::2] = bottom[1::2]
            woven.append(frame)
    return make_video(
        folder / "telecine.mkv", frames=woven, rate=Fraction(30000, 1001), codec="ffv1", pix_fmt="yuv444p"
    )


def moving(i: int) -> np.ndarray:
    """A textured picture that moves by 5 px a frame, with its number."""
    wide = np.random.default_rng(1).integers(60, 200, (12, 60, 1)).repeat(8, axis=0).repeat(8, axis=1).repeat(3, axis=2)
    frame = np.ascontiguousarray(wide[:, 5 * i : 5 * i + 128]).astype(np.uint8)
    frame[:16] = picture(i, 128, 96)[:16]
    return frame


def test_telecine_is_found_and_the_films_frames_come_back(tmp_path: Path) -> None:
    source = pulled_down(tmp_path, 40)
    assert probe(source).telecine
    info, notes = probe(source, telecine="remove"), Notes()
    assert (info.rate, info.interlaced) == (Fraction(24000, 1001), False)
    frames = list(decode(info, notes=notes))
    assert [number_of(frame.pixels) for frame in frames] == list(range(40))
    assert [frame.time for frame in frames] == [Fraction(1001 * i, 24000) for i in range(40)]
    wrong = [np.abs(frame.pixels.astype(int) - moving(i)).mean() for i, frame in enumerate(frames)]
    assert max(wrong) < 3, wrong
    assert [line for line in notes.kept if "telecine: removed" in line]


@pytest.mark.parametrize("interlaced", [None, "tff"])
def test_other_video_is_no_telecine(tmp_path: Path, interlaced: str | None) -> None:
    source = make_video(tmp_path / "a.mp4", frames=30, rate=25, size=(128, 96), interlaced=interlaced)
    assert not probe(source).telecine
    with pytest.raises(OptionError, match="--telecine remove found no repeated fields"):
        probe(source, telecine="remove")


@pytest.mark.parametrize("name", ["test picture, woven, bottom first", "camera, woven"])
def test_kinds_that_were_called_progressive(tmp_path: Path, name: str) -> None:
    from tests.stress.scans import KINDS, decision

    _, right, make = KINDS[name]
    assert decision(make(tmp_path)) in (right, "by the flags")
