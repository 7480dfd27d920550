"""Frames come out with the times, counts and colours that were put in; ffprobe and sums by hand are the witnesses."""

from __future__ import annotations

import gc
import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alanet.errors import OptionError
from alanet.frames.frame import Frame, VideoInfo
from alanet.notes import Notes
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from tests.support.media import Track, cut_short, damage, ffmpeg, make_video, number_of, picture
from tests.support.witness import times

F = Fraction
VARIABLE = [F(0), F(1, 30), F(1, 10), F(1, 5), F(41, 100)]


def frames_of(path: Path, **options: Any) -> tuple[list[Frame], VideoInfo, list[str]]:
    notes = Notes()
    info = probe(path)
    return list(decode(info, notes=notes, **options)), info, [n for n in notes.warnings if "untagged" not in n]


@pytest.mark.parametrize("rate", [F(24000, 1001), F(240)])
@pytest.mark.parametrize("bframes", [0, 2])
def test_constant_rate_times_are_exact(tmp_path: Path, rate: Fraction, bframes: int) -> None:
    frames, _, warnings = frames_of(make_video(tmp_path / "a.mp4", frames=14, rate=rate, bframes=bframes))
    assert [frame.time for frame in frames] == [i / rate for i in range(14)]
    assert {frame.duration for frame in frames} == {1 / rate}
    assert [number_of(frame.pixels) for frame in frames] == list(range(14))
    assert warnings == []


def test_variable_rate_times_are_exact(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=5, times=VARIABLE)
    frames, _, warnings = frames_of(path)
    assert [frame.time for frame in frames] == VARIABLE
    assert [frame.duration for frame in frames][:-1] == [b - a for a, b in pairwise(VARIABLE)]
    assert frames[-1].duration > 0
    assert warnings == []


KINDS: dict[str, dict[str, Any]] = {
    "b-frames.mp4": {"bframes": 3, "frames": 20},
    "offset.mp4": {"start": F(1, 2), "audio": Track()},
    "edit-list.mp4": {"start": F(-1, 10), "bframes": 2, "container_options": {"avoid_negative_ts": "disabled"}},
    "variable.mkv": {"frames": 5, "times": VARIABLE},
    "milliseconds.mkv": {"rate": F(24000, 1001), "bframes": 2},
    "transport.ts": {"start": F(3, 2), "bframes": 2, "audio": Track("mp2")},
    "ten-bit.mp4": {"pix_fmt": "yuv420p10le"},
    "odd.mp4": {"pix_fmt": "yuv444p", "size": (63, 47)},
    "tracks.mkv": {"audio": [Track("flac", language="eng"), Track("libopus", language="deu", seconds=1)]},
    "vp9.webm": {"frames": 6},
    "mpeg4.avi": {},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "gop": 5},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "frames": 4},
}


@pytest.mark.parametrize("name", KINDS)
def test_ffprobe_counts_the_same_frames_at_the_same_times(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, **KINDS[name])
    frames, info, warnings = frames_of(path)
    assert [info.start + frame.time for frame in frames] == times(path)
    assert frames[0].time == 0
    numbers = [number_of(frame.pixels) for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(frames)))
    assert warnings == []
    assert all(a.time + a.duration == b.time for a, b in pairwise(frames))


def test_an_edit_list_that_cuts_the_beginning_is_obeyed(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=12, **KINDS["edit-list.mp4"])
    frames, info, _ = frames_of(path)
    assert info.frame_count == 12
    assert [number_of(frame.pixels) for frame in frames] == list(range(3, 12))
    assert [frame.time for frame in frames] == [F(i, 30) for i in range(9)]


def test_a_packet_copy_from_the_middle_starts_where_ffmpeg_says(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "a.mp4", frames=40, gop=40, bframes=2)
    ffmpeg("-ss", "0.5", "-i", str(whole), "-c", "copy", str(tmp_path / "b.mp4"))
    frames, _, warnings = frames_of(tmp_path / "b.mp4")
    assert [number_of(frame.pixels) for frame in frames] == list(range(15, 40))
    assert [frame.time for frame in frames] == times(tmp_path / "b.mp4") == [F(i, 30) for i in range(25)]
    assert warnings == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"bframes": 3, "options": {"x264-params": "open-gop=1"}}),
        ("a.mkv", {"bframes": 3, "options": {"x264-params": "open-gop=1"}}),
        ("a.ts", {"bframes": 3, "gop": 60}),  # a search in it lands on the key frame after
        ("a.mp4", {"start": F(3, 2), "bframes": 2, "audio": Track(seconds=2)}),
        ("a.webm", {}),
        ("a.h264", {"bframes": 2}),
    ],
)
def test_a_part_is_what_the_whole_shows_in_it(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    path = make_video(tmp_path / name, frames=80, **{"gop": 24, **options})
    whole, info, _ = frames_of(path)
    for begin, end in [
        (F(0), F(1, 10)),
        (F(1, 3), F(1, 2)),
        (F(6, 5), F(4, 3)),
        (F(201, 100), F(9, 4)),
        (F(12, 5), None),
        (None, F(1, 7)),
    ]:
        wanted = [
            frame
            for frame in whole
            if (end is None or frame.time < end) and (begin is None or frame.time + frame.duration > begin)
        ]
        part = list(decode(info, start=begin, end=end))
        assert wanted
        assert [(f.time, f.duration) for f in part] == [(f.time, f.duration) for f in wanted]
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(part, wanted, strict=True))


def test_a_part_outside_the_video_is_empty(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4"))
    assert list(decode(info, start=F(10))) == []
    assert list(decode(info, end=F(0))) == []


def test_one_frame(tmp_path: Path) -> None:
    frames, _, _ = frames_of(make_video(tmp_path / "a.mp4", frames=1))
    assert [(frame.time, frame.duration) for frame in frames] == [(F(0), F(1, 30))]


@pytest.mark.parametrize("size", [(16, 16), (2, 2), (63, 47)])
def test_small_and_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = make_video(tmp_path / "a.mkv", frames=3, size=size, codec="ffv1", pix_fmt="yuv444p")
    frames, _, _ = frames_of(path)
    assert [frame.pixels.shape for frame in frames] == [(size[1], size[0], 3)] * 3
    assert np.abs(frames[2].pixels.astype(int) - picture(2, *size)).max() <= 2


@pytest.mark.parametrize("levels", ["tv", "pc"])
@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc"])
def test_tagged_colours_come_back(tmp_path: Path, matrix: str, levels: str) -> None:
    color = (matrix, "bt709", "bt709", levels)
    path = make_video(tmp_path / "a.mkv", frames=2, codec="ffv1", pix_fmt="yuv444p", color=color)
    notes = Notes()
    frames = list(decode(probe(path), notes=notes))
    assert np.abs(frames[1].pixels.astype(int) - picture(1)).max() <= 2
    assert notes.warnings == []


@pytest.mark.parametrize(
    ("size", "matrix", "name"), [((64, 48), "smpte170m", "BT.601"), ((1280, 16), "bt709", "BT.709")]
)
def test_untagged_colours_are_read_by_size_and_it_is_said(
    tmp_path: Path, size: tuple[int, int], matrix: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "alanet")
    path = make_video(
        tmp_path / "a.mkv", frames=1, codec="ffv1", pix_fmt="yuv444p", size=size, encode_as=(matrix, "tv")
    )
    notes, info = Notes(), probe(path)
    (frame,) = decode(info, notes=notes)
    assert info.color.matrix is None
    assert np.abs(frame.pixels.astype(int) - picture(0, *size)).max() <= 2
    assert notes.warnings == []
    assert caplog.messages == [
        f"colour untagged: taken as {name}, as is usual for {size[0]}x{size[1]}, and left untagged"
    ]


def test_ten_bits_come_out_as_sixteen_and_finer_than_eight(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 1024).astype(np.uint16)[None, :, None].repeat(16, axis=0).repeat(3, axis=2)
    path = make_video(tmp_path / "a.mkv", frames=[ramp, ramp], codec="ffv1", pix_fmt="yuv420p10le")
    frames, info, _ = frames_of(path)
    assert info.depth == 10
    assert frames[0].pixels.dtype == np.uint16
    assert len(np.unique(frames[0].pixels[8, :, 1])) > 800
    assert np.abs(frames[0].pixels.astype(int) - ramp).max() <= 2 * 256


@pytest.mark.parametrize(
    ("name", "options", "within"),
    [
        ("a.webm", {"pix_fmt": "yuva420p"}, 8),
        ("a.mov", {"codec": "prores_ks", "pix_fmt": "yuva444p10le"}, 2 * 257),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "bgra"}, 0),
        ("a.mov", {"codec": "qtrle", "pix_fmt": "argb"}, 0),
    ],
)
def test_alpha_is_kept(tmp_path: Path, name: str, options: dict[str, Any], within: int) -> None:
    frames, info, _ = frames_of(make_video(tmp_path / name, frames=3, **options))
    assert info.alpha
    for i, frame in enumerate(frames):
        wanted = picture(i, deep=info.depth > 8, alpha=True)[..., 3].astype(int)
        assert np.abs(frame.pixels[..., 3] - wanted).max() <= within


def test_a_frame_carries_the_planes_it_was_made_of(tmp_path: Path) -> None:
    frames, info, _ = frames_of(make_video(tmp_path / "a.mp4", frames=3))
    for frame in frames:
        assert frame.source is not None
        assert (frame.source.format.name, frame.source.width) == (info.pixel_format, info.width)
    first, last = (np.asarray(frames[i].source.to_ndarray()) for i in (0, 2))
    assert not np.array_equal(first, last)


def test_a_size_that_changes_is_scaled_to_the_first_and_said(tmp_path: Path) -> None:
    one = make_video(tmp_path / "1.h264", frames=4, gop=4)
    two = make_video(tmp_path / "2.h264", frames=4, gop=4, size=(96, 80))
    both = tmp_path / "both.h264"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    frames, _, warnings = frames_of(both)
    assert [frame.pixels.shape for frame in frames] == [(48, 64, 3)] * 8
    assert [number_of(frame.pixels) for frame in frames] == [0, 1, 2, 3] * 2
    assert [frame.source is None for frame in frames] == [False] * 4 + [True] * 4
    assert any("changes to 96x80: scaled to 64x48" in line for line in warnings)


def test_a_stream_without_times_is_put_at_its_rate(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.h264", rate=30, time_base=F(1, 30), bframes=2, frames=20)
    frames, _, warnings = frames_of(path)
    assert [frame.time for frame in frames] == [F(i, 30) for i in range(20)]
    assert [number_of(frame.pixels) for frame in frames] == list(range(20))
    assert warnings == [
        "a.h264: states no times; its frames follow each other at 30.000 a second, longer where they repeat a field"
    ]


def test_two_recordings_joined_follow_each_other(tmp_path: Path) -> None:
    one = make_video(tmp_path / "a.ts", frames=40, gop=20, start=2)
    both = tmp_path / "both.ts"
    both.write_bytes(one.read_bytes() * 2)
    frames, _, warnings = frames_of(both)
    assert [number_of(frame.pixels) for frame in frames] == [*range(40), *range(40)]
    assert [frame.time for frame in frames] == [F(i, 30) for i in range(80)]
    assert any("clock jumps (1 time)" in line for line in warnings)


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    return make_video(folder / "a.mp4", frames=90, bframes=2, container_options={"movflags": "faststart"})


def test_a_cut_off_file_gives_what_is_there_and_says_so(tmp_path: Path, long_video: Path) -> None:
    frames, _, warnings = frames_of(cut_short(long_video, tmp_path / "cut.mp4"))
    assert 30 < len(frames) < 80
    assert [number_of(frame.pixels) for frame in frames[:30]] == list(range(30))
    assert any(f"states 90 frames, {len(frames)} could be decoded" in line for line in warnings)


def test_a_cut_off_matroska_says_how_much_is_missing(tmp_path: Path) -> None:
    frames, _, warnings = frames_of(cut_short(make_video(tmp_path / "a.mkv", frames=90), tmp_path / "cut.mkv"))
    assert 30 < len(frames) < 80
    assert any("states 3.00 s of picture" in line for line in warnings)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
@pytest.mark.parametrize("seed", range(2))
def test_damaged_files_decode_on_with_rising_times_and_a_note(tmp_path: Path, name: str, seed: int) -> None:
    bframes, same_bytes = (0 if name == "a.avi" else 2), {"fflags": "+bitexact"}  # Matroska has random numbers
    path = make_video(tmp_path / name, frames=60, bframes=bframes, container_options=same_bytes)
    hurt = damage(path, tmp_path / f"hurt-{name}", at=0.4, count=1500, seed=seed)
    frames, _, warnings = frames_of(hurt)
    assert len(frames) > 15
    assert all(a.time < b.time for a, b in pairwise(frames))
    assert any("damaged" in line or "missing" in line or "could be decoded" in line for line in warnings)


def test_an_abandoned_generator_closes_its_file(tmp_path: Path) -> None:
    path, files = make_video(tmp_path / "a.mp4"), Path("/proc/self/fd")
    if not files.exists():
        pytest.skip("needs /proc")

    def is_open() -> bool:
        return str(path) in {os.readlink(entry) for entry in files.iterdir() if entry.is_symlink()}

    frames = decode(probe(path))
    next(frames)
    assert is_open()
    frames.close()  # type: ignore[attr-defined]
    assert not is_open()
    frames = decode(probe(path))
    next(frames)
    del frames
    assert not is_open()


def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("needs /proc")
    pictures = [picture(i, 320, 240) for i in range(5)] * 30
    path = make_video(tmp_path / "a.mp4", frames=pictures, options={"preset": "ultrafast", "crf": "30"})
    resident = []
    gc.disable()  # frames must go without the collector's help
    try:
        for i, frame in enumerate(decode(probe(path), threads=1)):
            del frame
            if i in (30, 149):
                resident.append(int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    finally:
        gc.enable()
    kept = 120 * 320 * 240 * 4.5  # bytes, if planes and pixels stayed
    assert resident[1] - resident[0] < kept / 8


def test_threads_change_nothing(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4", frames=20, bframes=2))
    one, four = (list(decode(info, threads=threads)) for threads in (1, 4))
    assert all(a.time == b.time and np.array_equal(a.pixels, b.pixels) for a, b in zip(one, four, strict=True))


def test_an_unknown_way_of_deinterlacing_is_refused(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4", frames=2))
    with pytest.raises(OptionError, match="--deinterlace maybe: allowed are auto, on, off"):
        decode(info, deinterlace="maybe")
