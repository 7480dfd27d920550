"""Animated GIF, PNG and WebP: true durations, transparency, damage."""

from __future__ import annotations

import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alanet.errors import MediaError
from alanet.notes import Notes
from alanet.video.input.decode import decode
from alanet.video.input.probe import Limits, probe
from tests.support.media import cut_short, number_of, picture

F = Fraction
MILLISECONDS = [50, 100, 20, 200, 30]


def animation(path: Path, durations: list[float], *, alpha: bool = False) -> Path:
    images = [Image.fromarray(picture(i, alpha=alpha)) for i in range(len(durations))]
    options = {"lossless": True} if path.suffix == ".webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, **options)
    return path


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_every_frame_is_shown_for_its_own_time(tmp_path: Path, name: str) -> None:
    info = probe(animation(tmp_path / name, MILLISECONDS))
    assert (info.frame_count, info.duration, info.alpha) == (5, F(2, 5), False)
    frames = list(decode(info))
    assert [frame.duration for frame in frames] == [F(ms, 1000) for ms in MILLISECONDS]
    assert [frame.time for frame in frames] == [F(0), F(50, 1000), F(150, 1000), F(170, 1000), F(370, 1000)]
    assert [number_of(frame.pixels) for frame in frames] == [0, 1, 2, 3, 4]
    if name != "a.gif":
        assert all(np.array_equal(frame.pixels, picture(i)) for i, frame in enumerate(frames))


def test_thirtieths_of_a_second_in_apng_are_exact(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.png", [100, 100, 100])
    data = path.read_bytes()
    at = data.find(b"fcTL")
    while at >= 0:  # delays are 22 bytes into the chunk's data, which its checksum follows
        chunk = bytearray(data[at : at + 4 + 26])
        chunk[24:28] = (1).to_bytes(2, "big") + (30).to_bytes(2, "big")
        data = data[:at] + bytes(chunk) + zlib.crc32(chunk).to_bytes(4, "big") + data[at + 4 + 26 + 4 :]
        at = data.find(b"fcTL", at + 4)
    path.write_bytes(data)
    assert [frame.time for frame in decode(probe(path))] == [F(0), F(1, 30), F(2, 30)]


def test_the_still_picture_of_an_apng_is_not_a_frame(tmp_path: Path) -> None:
    images = [Image.fromarray(picture(i)) for i in range(3)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:], duration=[40, 80], default_image=True)
    frames = list(decode(probe(tmp_path / "a.png")))
    assert [(number_of(f.pixels), f.duration) for f in frames] == [(1, F(40, 1000)), (2, F(80, 1000))]


def test_a_gif_without_durations_is_shown_as_players_do(tmp_path: Path) -> None:
    assert {frame.duration for frame in decode(probe(animation(tmp_path / "a.gif", [0, 0, 10])))} == {F(1, 10)}


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_transparency_is_kept(tmp_path: Path, name: str) -> None:
    info = probe(animation(tmp_path / name, [40, 40], alpha=True))
    assert info.alpha
    for i, frame in enumerate(decode(info)):
        assert frame.pixels.shape == (48, 64, 4)
        assert np.array_equal(frame.pixels[..., 3], picture(i, alpha=True)[..., 3])


def test_a_part_of_an_animation(tmp_path: Path) -> None:
    info = probe(animation(tmp_path / "a.gif", MILLISECONDS))
    assert [f.time for f in decode(info, start=F(1, 10), end=F(170, 1000))] == [F(50, 1000), F(150, 1000)]


def test_a_cut_off_animation_gives_the_frames_before_and_a_note(tmp_path: Path) -> None:
    path = cut_short(animation(tmp_path / "a.gif", MILLISECONDS), tmp_path / "cut.gif", 0.7)
    notes = Notes()
    frames = list(decode(probe(path), notes=notes))
    assert 1 <= len(frames) < 5
    assert [number_of(frame.pixels) for frame in frames] == list(range(len(frames)))


def test_damaged_and_immense_are_refused_in_one_line(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.gif", MILLISECONDS)
    with pytest.raises(MediaError, match="64x48 is beyond the limit of 1000 pixels"):
        probe(path, limits=Limits(pixels=1000))
    (tmp_path / "b.gif").write_bytes(b"GIF89a" + bytes(4))
    with pytest.raises(MediaError, match="not an animation that can be read"):
        probe(tmp_path / "b.gif")


def test_a_gif_whose_frames_cannot_be_counted_gives_those_before(tmp_path: Path) -> None:
    """A frame that states a place far outside; and one that ends where its palette should be."""
    path = animation(tmp_path / "a.gif", MILLISECONDS)
    data = path.read_bytes()
    at = data.index(b"\x2c", data.index(b"\x21\xf9", data.index(b"\x2c") + 400))
    for hurt in (data[: at + 1] + b"\xff\xff\xff\xff" + data[at + 5 :], data[: at + 9]):
        (tmp_path / "b.gif").write_bytes(hurt)
        notes = Notes()
        frames = list(decode(probe(tmp_path / "b.gif"), notes=notes))
        assert 1 <= len(frames) < 5
        assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)}
        assert any("damaged from frame" in line for line in notes.warnings)
