"""Folders of images: natural order, a rate of the user's, depth kept, mixed sizes refused."""

from __future__ import annotations

import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from alanet.errors import MediaError, OptionError
from alanet.notes import Notes
from alanet.video.convert import from_rgb
from alanet.video.input.decode import decode
from alanet.video.input.images import missing_numbers, natural_order
from alanet.video.input.probe import Limits, probe
from tests.support.media import number_of, picture

F = Fraction


def folder_of(path: Path, names: list[str], **options: object) -> Path:
    path.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        Image.fromarray(picture(i)).save(path / name, **options)
    return path


def png16(path: Path, pixels: np.ndarray) -> None:
    """A PNG of 16 bits a component (Pillow has none), by FFmpeg's encoder."""
    context = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt, context.time_base = *pixels.shape[1::-1], "rgb48be", F(1, 25)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le").reformat(format="rgb48be")
    path.write_bytes(b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)]))


def test_images_are_frames_in_natural_order_at_the_given_rate(tmp_path: Path) -> None:
    names = ["f1.png", "f2.png", "f9.png", "f10.png", "f11.PNG", "f100.png"]
    folder = folder_of(tmp_path / "in", names)
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_text("no image")
    info = probe(folder, input_rate=F(30000, 1001))
    assert [file.name for file in info.files] == names
    assert (info.width, info.height, info.frame_count, info.depth) == (64, 48, 6, 8)
    assert info.duration == 6 * F(1001, 30000)
    frames = list(decode(info))
    assert [frame.time for frame in frames] == [F(1001 * i, 30000) for i in range(6)]
    assert {frame.duration for frame in frames} == {F(1001, 30000)}
    for i, frame in enumerate(frames):
        assert np.array_equal(frame.pixels, picture(i))
        assert frame.source is not None


def test_natural_order_takes_numbers_by_value() -> None:
    names = ["b1", "a10", "a2", "a02b", "a2b10", "a2b9", "1", "02"]
    assert sorted(names, key=natural_order) == ["1", "02", "a2", "a02b", "a2b9", "a2b10", "a10", "b1"]


def test_a_part_opens_only_its_images(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", [f"{i}.png" for i in range(8)])
    info = probe(folder, input_rate=F(10))
    (folder / "0.png").unlink()
    (folder / "7.png").unlink()
    frames = list(decode(info, start=F(1, 5), end=F(1, 2)))
    assert [frame.time for frame in frames] == [F(2, 10), F(3, 10), F(4, 10)]
    assert [number_of(frame.pixels) for frame in frames] == [2, 3, 4]


def test_sixteen_bit_images_keep_their_depth(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 65536, (32, 32, 3)).astype(np.uint16)
    png16(folder / "a.png", pixels)
    info = probe(folder, input_rate=F(25))
    assert info.depth == 16
    (frame,) = decode(info)
    assert frame.pixels.dtype == np.uint16
    assert np.array_equal(frame.pixels, pixels)


def test_transparency_of_any_image_is_kept(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", ["0.png"])
    Image.fromarray(picture(1, alpha=True)).save(folder / "1.png")
    info = probe(folder, input_rate=F(25))
    assert info.alpha
    opaque, clear = decode(info)
    assert opaque.pixels.shape == (48, 64, 4)
    assert opaque.pixels[..., 3].min() == 255
    assert np.array_equal(clear.pixels, picture(1, alpha=True))


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".tif", ".webp", ".ppm"])
def test_other_kinds_of_images(tmp_path: Path, suffix: str) -> None:
    folder = folder_of(tmp_path / "in", [f"{i}{suffix}" for i in range(3)])
    frames = list(decode(probe(folder, input_rate=F(25))))
    assert [number_of(frame.pixels) for frame in frames] == [0, 1, 2]
    assert np.abs(frames[2].pixels.astype(int) - picture(2)).mean() < 8


def test_a_name_is_never_a_pattern(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", ["a%03d.png", "concat:a|b.png", "-x.png"])
    assert len(list(decode(probe(folder, input_rate=F(25))))) == 3


def test_a_folder_needs_a_rate_and_a_file_has_its_own(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", ["0.png"])
    with pytest.raises(OptionError, match="no rate of its own; give --input-rate"):
        probe(folder)
    with pytest.raises(OptionError, match="must be above 0"):
        probe(folder, input_rate=F(0))
    with pytest.raises(OptionError, match="leave it out"):
        probe(folder / "0.png", input_rate=F(25))


def test_mixed_sizes_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", ["0.png", "1.png"])
    Image.fromarray(picture(2, 32, 32)).save(folder / "2.png")
    with pytest.raises(MediaError, match=r"2\.png: 32x32, but 0\.png is 64x48; give images of one size"):
        probe(folder, input_rate=F(25))


def test_empty_broken_and_immense_are_refused_in_one_line(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(MediaError, match=r"no images in this folder; allowed are \.bmp"):
        probe(empty, input_rate=F(25))
    folder = folder_of(tmp_path / "in", ["0.png"])
    with pytest.raises(MediaError, match="64x48 is beyond the limit of 1000 pixels"):
        probe(folder, input_rate=F(25), limits=Limits(pixels=1000))
    (folder / "1.png").write_text("hello")
    with pytest.raises(MediaError, match=r"1\.png: not an image that can be read; remove or repair it"):
        probe(folder, input_rate=F(25))


def test_a_jpeg_keeps_its_full_range(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", ["0.jpg"], quality=95)
    info = probe(folder, input_rate=F(25))
    assert info.color.range == "pc"
    (frame,) = decode(info)
    again = from_rgb(frame.pixels, info.pixel_format, info.color)
    assert np.abs(again.to_ndarray().astype(int) - frame.source.to_ndarray()).mean() < 1


def test_a_damaged_image_is_one_line_and_pillow_adds_none(tmp_path: Path) -> None:
    """Pillow logs some of what it raises; with no handler, Python would print that."""
    path = tmp_path / "in" / "0.tif"
    path.parent.mkdir()
    Image.fromarray(picture(0)).save(path)
    data = path.read_bytes()
    samples = struct.pack("<HHIHH", 277, 3, 1, 3, 0)
    assert samples in data
    path.write_bytes(data.replace(samples, struct.pack("<HHIHH", 277, 3, 1, 8, 0)))
    words = f"from alanet.video.input.probe import probe\nprobe({str(path.parent)!r}, input_rate=25)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False)
    assert "not an image that can be read; remove or repair it" in done.stderr.splitlines()[-1]
    assert "samples per pixel" not in done.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("names", "missing"),
    [("1 2 3 4 8 9 10", "5 to 7"), ("1 2 4 5 6", "3"), ("1 2 3", ""), ("1 3 5 7 9 11", ""), ("1 x 3", "")],
)
def test_missing_numbers_are_named(names: str, missing: str) -> None:
    assert missing_numbers([Path(f"img{name}.png") for name in names.split()]) == missing


def test_a_gap_in_the_numbers_is_a_warning(tmp_path: Path) -> None:
    for number in (1, 2, 3, 7):
        Image.fromarray(picture(number)).save(tmp_path / f"img{number}.png")
    notes = Notes()
    assert len(list(decode(probe(tmp_path, input_rate=Fraction(25)), notes=notes))) == 4
    assert [line for line in notes.warnings if line.startswith("pictures: numbers 4 to 6 are missing")]
