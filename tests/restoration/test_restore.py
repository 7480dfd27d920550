"""The whole path, file to file: outside witnesses say what came out, and what cannot work is refused in one line.

The network is tiny and untrained but residual, so it starts as the identity: a restored frame at an input's time is
that input, and one half-way is the mean of its neighbours. What comes out is therefore known to the last bit.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from alanet.engine.memory import resident_memory
from alanet.errors import AlanetError, InputError, MediaError, OptionError, OutputError, ResourceError, TimeError
from alanet.frames.tiles import plan_tiles
from alanet.frames.timing import Factor, TargetRate
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.restoration.options import EncodeOptions, RestoreOptions
from alanet.restoration.progress import RestoreProgress
from alanet.restoration.restorer import Restorer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from alanet.video.output import codecs
from tests.support.media import Subtitle, Track, cut_short, ffmpeg, make_video, number_of, picture, tone
from tests.support.witness import ffprobe, packets, times

NTSC = Fraction(30000, 1001)
LOSSLESS = RestoreOptions(encode=EncodeOptions(codec="ffv1"))


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    torch.manual_seed(0)
    model = ALANet(ALANetConfig(width=0.125, residual=True))
    return Restorer(model, device="cpu", precision="fp32", memory=8 << 30)


def pictures(path: Path) -> list[np.ndarray]:
    return [frame.pixels for frame in decode(probe(path))]


def said(path: Path, stream: int = 0) -> dict[str, Any]:
    """What ffprobe says about a stream."""
    streams: list[dict[str, Any]] = ffprobe(path)["streams"]
    return streams[stream]


def duration(path: Path) -> Fraction:
    """Exact seconds of the picture's track."""
    stream = said(path)
    return int(stream["duration_ts"]) * Fraction(stream["time_base"])


def doubled(moments: list[Fraction], end: Fraction) -> list[Fraction]:
    """What must come out of these input times: each, and the middle between it and the next."""
    return [t for a, b in zip(moments, [*moments[1:], end], strict=True) for t in (a, (a + b) / 2)]


# ---------------------------------------------------------------------------------------------- what comes out


def test_twice_the_frames_at_exact_times_with_the_same_sound(tmp_path, restorer):
    source = make_video(tmp_path / "a.mp4", frames=12, rate=NTSC, bframes=2, audio=Track())
    report = restorer.restore(source)
    assert report.output == tmp_path / "a_x2.mp4"
    assert times(report.output) == [Fraction(1001 * i, 60000) for i in range(24)]
    assert duration(report.output) == Fraction(12 * 1001, 30000)
    assert packets(report.output) == packets(source)
    assert [number_of(p) for p in pictures(report.output)][::2] == list(range(12))
    assert (report.frames_in, report.frames_out, report.cuts, report.duplicates) == (12, 24, 0, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a_x2.mp4"]


def test_the_picture_is_known_to_the_last_bit(tmp_path, restorer):
    """Lossless in and out: inputs unchanged, and exact means between them, the last one held."""
    source = make_video(tmp_path / "a.mkv", frames=5, codec="ffv1", pix_fmt="bgr0")
    given, made = pictures(source), pictures(restorer.restore(source, options=LOSSLESS).output)
    means = [a / 2 + b / 2 for a, b in zip(given, [*given[1:], given[-1]], strict=True)]
    np.testing.assert_array_equal(made[::2], given)
    np.testing.assert_allclose(made[1::2], means, rtol=0, atol=0.5)  # a half goes either way


def test_a_variable_rate_keeps_every_time_and_gets_every_middle(tmp_path, restorer):
    moments = [Fraction(n, 1000) for n in (0, 33, 67, 100, 250, 266, 301, 900)]
    source = make_video(
        tmp_path / "v.mp4", frames=8, times=moments, time_base=Fraction(1, 1000), audio=Track(seconds=1)
    )
    assert times(source) == moments
    out = restorer.restore(source).output
    assert times(out) == doubled(moments, duration(source))
    assert duration(out) == duration(source)
    assert packets(out) == packets(source)


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_rotation_is_kept(tmp_path, restorer, angle):
    source = make_video(tmp_path / "r.mp4", frames=3, rotation=angle)
    out = restorer.restore(source).output
    turned = [said(path)["side_data_list"][0]["rotation"] for path in (source, out)]
    assert turned[0] == turned[1] != 0
    assert (said(out)["width"], said(out)["height"]) == (64, 48)


@pytest.mark.parametrize("size", [(65, 47), (16, 16), (2, 2), (33, 2)])
def test_every_size_is_kept(tmp_path, restorer, size):
    source = make_video(tmp_path / "s.mkv", frames=3, size=size, codec="ffv1", pix_fmt="yuv444p")
    out = restorer.restore(source, options=LOSSLESS).output
    assert (said(out)["width"], said(out)["height"]) == size
    assert len(times(out)) == 6
    np.testing.assert_array_equal(pictures(out)[::2], pictures(source))


@pytest.mark.parametrize("size", [(65, 47), (16, 16), (2, 2)])
def test_every_size_is_kept_by_the_default_codec(tmp_path, restorer, size):
    source = make_video(tmp_path / "s.mp4", frames=3, size=size, pix_fmt="yuv444p")
    out = restorer.restore(source).output
    assert (said(out)["width"], said(out)["height"], len(times(out))) == (*size, 6)


def test_ten_bits_stay_ten_bits(tmp_path, restorer):
    tags = ("bt2020nc", "bt2020", "smpte2084", "tv")
    source = make_video(tmp_path / "d.mp4", frames=4, codec="libx265", pix_fmt="yuv420p10le", size=(96, 64), color=tags)
    out = restorer.restore(source, options=RestoreOptions(encode=EncodeOptions(codec="x265", crf=4))).output
    for name in ("pix_fmt", "color_space", "color_primaries", "color_transfer", "color_range"):
        assert said(out)[name] == said(source)[name], name
    given, made = pictures(source), pictures(out)[::2]
    assert given[0].dtype == np.uint16
    assert np.abs(np.subtract(given, made, dtype=np.float64)).mean() < 65535 / 100


def test_every_track_comes_along(tmp_path, restorer):
    tracks = [
        Track(seconds=0.4, language="eng", title="original"),
        Track(codec="ac3", seconds=0.4, tone=880, language="deu", default=False),
    ]
    source = make_video(
        tmp_path / "m.mkv",
        audio=tracks,
        subtitles=[Subtitle(language="fra")],
        chapters=[(0, 0.2, "one"), (0.2, 0.4, "two")],
        metadata={"title": "holiday"},
        attachments=[("font.ttf", "font/ttf", b"0123456789")],
    )
    report = restorer.restore(source)
    before, after = ffprobe(source), ffprobe(report.output)
    kinds = [[(s["codec_type"], s["tags"].get("language")) for s in said["streams"]] for said in (before, after)]
    assert kinds[0] == kinds[1]
    for stream in ("a:0", "a:1", "s:0"):
        assert packets(report.output, stream) == packets(source, stream)
    assert [c["tags"]["title"] for c in after["chapters"]] == ["one", "two"]
    assert after["format"]["tags"]["title"] == "holiday"
    assert report.notes.left_out == []


@pytest.mark.parametrize("late", ["picture", "sound"])
def test_offsets_between_picture_and_sound_are_kept(tmp_path, restorer, late):
    picture_at, sound_at = (Fraction(1, 2), 0) if late == "picture" else (0, Fraction(1, 4))
    source = make_video(tmp_path / "o.mp4", start=picture_at, audio=Track(seconds=0.6, start=Fraction(sound_at)))
    out = restorer.restore(source).output
    assert times(out) == doubled(times(source), picture_at + duration(source))
    assert times(source)[0] == picture_at
    assert packets(out) == packets(source)


@pytest.mark.parametrize("ending", [".ts", ".mkv", ".mp4"])
def test_an_output_does_not_carry_the_clock_of_a_recording(tmp_path, restorer, ending):
    source = make_video(tmp_path / "t.ts", start=Fraction(5000), audio=Track(codec="mp2", start=Fraction(5000)))
    out = restorer.restore(source, tmp_path / f"out{ending}").output
    assert times(source)[0] >= 5000
    offset = times(source)[0] - times(out)[0]
    assert 0 <= times(out)[0] < 0.05
    assert [data for _, data in packets(out)] == [data for _, data in packets(source)]
    assert all(abs(a + offset - b) < 0.001 for (a, _), (b, _) in zip(packets(out), packets(source), strict=True))


def test_times_count_from_the_first_shown_frame(tmp_path, restorer):
    source = make_video(tmp_path / "t.ts", frames=12, start=Fraction(5000), audio=Track("mp2", 0.4, Fraction(5000)))
    start = RestoreOptions(start=Fraction(0), end=Fraction(1, 5))
    whole = restorer.restore(source, tmp_path / "whole.mkv")
    cut = restorer.restore(source, tmp_path / "cut.mkv", start)
    assert times(cut.output) == times(whole.output)[:12]
    part = RestoreOptions(start=Fraction(1, 5), end=Fraction(3, 10))
    assert [frame.time for frame in restorer.frames(source, part)][::2] == [Fraction(i, 30) for i in (6, 7, 8)]
    with pytest.raises(OptionError, match=r"no frame is shown from 0.5 s .* lasts 0.40 s"):
        restorer.restore(source, tmp_path / "none.mkv", RestoreOptions(start=Fraction(1, 2)))


@pytest.mark.parametrize("count", [1, 2])
def test_the_shortest_videos(tmp_path, restorer, count):
    source = make_video(tmp_path / "one.mp4", frames=count, rate=25, audio=Track(seconds=0.3))
    out = restorer.restore(source).output
    assert times(out) == [Fraction(i, 50) for i in range(2 * count)]
    assert duration(out) == Fraction(count, 25)
    assert packets(out) == packets(source)


@pytest.mark.parametrize("seconds", [0, 3])
def test_no_sound_and_sound_longer_than_the_picture(tmp_path, restorer, seconds):
    source = make_video(tmp_path / "l.mp4", frames=6, audio=Track(seconds=seconds) if seconds else None)
    out = restorer.restore(source).output
    assert len(times(out)) == 12
    assert len(ffprobe(out)["streams"]) == (2 if seconds else 1)
    if seconds:
        assert packets(out) == packets(source)


def test_an_edit_list_is_obeyed(tmp_path, restorer):
    """The input's first frames are hidden by its edit list, as a phone's trim leaves them."""
    whole = make_video(tmp_path / "w.mp4", frames=24, gop=24, audio=Track(seconds=0.8))
    source = tmp_path / "edited.mp4"
    ffmpeg("-ss", "0.2", "-i", str(whole), "-c", "copy", "-avoid_negative_ts", "disabled", str(source))
    shown = times(source)
    out = restorer.restore(source).output
    assert times(out)[::2] == [t for t in shown if t >= 0]


def test_a_folder_of_images_and_pictures_out(tmp_path, restorer):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(4):
        Image.fromarray(picture(i)).save(folder / f"{i:03d}.png")
    options = RestoreOptions(input_rate=Fraction(24), encode=EncodeOptions(codec="png"))
    out = restorer.restore(folder, tmp_path / "out", options).output
    made = [np.asarray(Image.open(path)) for path in sorted(out.iterdir())]
    assert len(made) == 8
    np.testing.assert_array_equal(made[::2], [picture(i) for i in range(4)])


def test_a_part_of_a_video(tmp_path, restorer):
    source = make_video(tmp_path / "p.mp4", frames=30, audio=Track(seconds=1))
    options = RestoreOptions(start=Fraction(1, 3), end=Fraction(2, 3))
    out = restorer.restore(source, options=options).output
    assert times(out) == [Fraction(i, 60) for i in range(20)]
    assert [number_of(p) for p in pictures(out)][::2] == list(range(10, 20))


def test_the_tail_can_be_dropped(tmp_path, restorer):
    source = make_video(tmp_path / "t.mp4", frames=4)
    out = restorer.restore(source, options=RestoreOptions(tail="drop")).output
    assert times(out) == [Fraction(i, 60) for i in range(7)]
    assert duration(out) == duration(source)


def test_nothing_is_mixed_across_a_cut_and_duplicates_are_encoded_once(tmp_path, restorer):
    dark, light = [np.full((48, 64, 3), level, np.uint8) for level in (20, 230)]
    noise = np.random.default_rng(0).integers(0, 8, (12, 48, 64, 3), dtype=np.uint8)
    shots = [dark + noise[i] for i in range(6)] + [light + noise[i] for i in range(6, 12)]
    shots.insert(3, shots[2])
    source = make_video(tmp_path / "c.mkv", frames=shots, codec="ffv1", pix_fmt="bgr0")
    before = restorer.runner.encodes
    report = restorer.restore(source, options=LOSSLESS)
    assert (report.cuts, report.duplicates) == (1, 1)
    assert restorer.runner.encodes - before == 12
    made = pictures(report.output)
    np.testing.assert_array_equal(made[13], made[12])
    assert max(frame.mean() for frame in made[:14]) < 40 < 200 < min(frame.mean() for frame in made[14:])


# ---------------------------------------------------------------------------------- the other ways to use a Restorer


def test_frames_have_exact_times(tmp_path, restorer):
    source = make_video(tmp_path / "f.mkv", frames=4, rate=NTSC, codec="ffv1", pix_fmt="bgr0")
    made = list(restorer.frames(source, RestoreOptions(tail="drop")))
    assert [f.time for f in made] == doubled(times(source), Fraction(0))[:7]
    assert made[-1].time + made[-1].duration == pytest.approx(4 / NTSC, abs=1e-3)
    np.testing.assert_array_equal([f.pixels for f in made[::2]], pictures(source))


def test_frames_can_be_left_at_any_time(tmp_path, restorer):
    """Nothing keeps running that reads ahead of nobody."""
    frames = restorer.frames(make_video(tmp_path / "f.mp4", frames=40))
    next(frames)
    assert any(thread.name == "alanet-read-ahead" for thread in threading.enumerate())
    frames.close()
    assert not any(thread.name == "alanet-read-ahead" for thread in threading.enumerate())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_in_arrays_out(restorer, dtype):
    clip = [picture(i, deep=dtype is np.uint16) for i in range(3)]
    made = restorer.arrays(clip)
    assert [frame.dtype for frame in made] == [dtype] * 5
    np.testing.assert_array_equal(made[::2], clip)
    assert len(restorer.arrays(clip, tail="hold")) == 6
    assert len(restorer.arrays(clip, rate=Factor(1))) == 3


def test_progress_is_told_after_each_frame(tmp_path, restorer):
    source = make_video(tmp_path / "p.mp4", frames=6)
    told: list[RestoreProgress] = []
    plan = restorer.plan(source)
    restorer.run(plan, on_progress=told.append)
    assert plan.frames_in == 6
    assert plan.seconds is not None
    assert plan.seconds > 0
    assert told[-1].frames_in == told[-1].frames_in_total == 6
    assert [p.frames_out for p in told] == sorted({p.frames_out for p in told})


def test_a_plan_writes_nothing(tmp_path, restorer):
    source = make_video(tmp_path / "p.mp4", frames=6)
    restorer.plan(source)
    assert list(tmp_path.iterdir()) == [source]


def test_tiled_runs_give_the_untiled_file(tmp_path, restorer, monkeypatch):
    """A wide strip, file to file. (That tiles are exact with a network that does something: test_tiled.py.)"""
    source = make_video(tmp_path / "w.mkv", frames=2, size=(1248, 32), codec="ffv1", pix_fmt="bgr0")
    whole = restorer.restore(source, options=LOSSLESS)
    tiles = plan_tiles(32, 1248, halo=288, stride=32, max_tile_pixels=32 * (416 + 2 * 288))
    monkeypatch.setattr("alanet.restoration.plan.plan_tiles_for", lambda *_: tiles)
    tiled = restorer.restore(source, tmp_path / "tiled.mkv", LOSSLESS)
    assert len(tiles) > 1
    np.testing.assert_array_equal(pictures(tiled.output), pictures(whole.output))


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.fixture
def untouched(tmp_path) -> Path:
    """A folder in which a refusal must leave everything as it was."""
    folder = tmp_path / "untouched"
    folder.mkdir()
    return folder


def state(folder: Path) -> dict[str, str]:
    """Every file's digest, every link's target and every folder."""
    return {
        str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def refused(restorer: Restorer, kind: type[AlanetError], words: str, folder: Path, *arguments: Any) -> AlanetError:
    """The one line with which restoring is refused; the folder is as it was before."""
    before = state(folder)
    with pytest.raises(kind, match=words) as caught:
        restorer.restore(*arguments)
    assert state(folder) == before
    message = str(caught.value)
    assert "\n" not in message
    assert (
        caught.value.exit_code
        == {InputError: 2, OutputError: 4, ResourceError: 5}[
            next(k for k in (InputError, OutputError, ResourceError) if issubclass(kind, k))
        ]
    )
    return caught.value


def test_inputs_that_are_no_video(untouched, restorer):
    (untouched / "text.mp4").write_text("only words\n" * 20)
    (untouched / "empty.mp4").touch()
    neighbour = make_video(untouched / "neighbour.mp4", frames=2)
    (untouched / "list.mp4").write_text(f"ffconcat version 1.0\nfile {neighbour.name}\n")
    (untouched / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\n{neighbour.name}\n")
    make_sound(untouched / "sound.m4a")
    cut_short(neighbour, untouched / "half.mp4", 0.3)
    for name, words in [
        ("missing.mp4", "no such file"),
        ("text.mp4", "not a video"),
        ("empty.mp4", "is empty"),
        ("sound.m4a", "no moving picture, only audio"),
        ("list.mp4", "playlist or script"),
        ("list.m3u8", "playlist or script"),
        ("half.mp4", "cut off"),
    ]:
        error = refused(restorer, MediaError, words, untouched, untouched / name)
        assert name in str(error)


def make_sound(path: Path) -> None:
    with av.open(str(path), "w", format="ipod") as out:
        stream = out.add_stream("aac", rate=48000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(tone(Track()), "fltp", "stereo")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def test_outputs_that_cannot_be(untouched, restorer):
    source = make_video(untouched / "a.mp4", frames=2)
    (untouched / "there.mp4").write_bytes(b"precious")
    (untouched / "link.mp4").symlink_to(source)
    os.link(source, untouched / "hard.mp4")
    over = RestoreOptions(encode=EncodeOptions(overwrite=True))
    ffv1 = RestoreOptions(encode=EncodeOptions(codec="ffv1"))
    for output, options, words in [
        ("a.mp4", over, "the output is the input"),
        ("link.mp4", over, "the output is the input"),
        ("hard.mp4", over, "the output is the input"),
        ("there.mp4", None, "exists already; overwrite=True"),
        ("nowhere/b.mp4", None, "no such folder"),
        ("b.xyz", None, "cannot write '.xyz'"),
        ("b.mp4", ffv1, "MP4 cannot hold ffv1"),
    ]:
        refused(restorer, OutputError, words, untouched, source, untouched / output, options)


def test_an_unwritable_folder(untouched, restorer, tmp_path):
    source = make_video(untouched / "a.mp4", frames=2)
    closed = Path("/proc/self") if os.geteuid() == 0 and Path("/proc/self").exists() else tmp_path / "closed"
    closed.mkdir(mode=0o500, exist_ok=True)
    refused(restorer, OutputError, "cannot write there", untouched, source, closed / "b.mp4")


def test_a_full_disk(untouched, restorer):
    """A limit on the size of files stands for it: the system's answer is of the same kind, in the middle of work."""
    noise = np.random.default_rng(0).integers(0, 255, (20, 128, 128, 3), dtype=np.uint8)
    source = make_video(untouched / "a.mkv", frames=noise, codec="ffv1", pix_fmt="bgr0")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        refused(restorer, OutputError, "disk is full", untouched, source, None, LOSSLESS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (ValueError("our own mistake"), ValueError, "our own mistake"),
        (RuntimeError("our own mistake"), RuntimeError, "our own mistake"),
        (MemoryError(), ResourceError, "this machine ran out of memory; allow less with memory"),
        (torch.OutOfMemoryError("CUDA"), ResourceError, "ran out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), ResourceError, "ran out of memory"),
    ],
)
def test_a_failure_in_the_middle_leaves_nothing(untouched, restorer, monkeypatch, failure, kind, words):
    """Whatever goes wrong: no half file, no thread that still writes; running out of memory is told."""
    source = make_video(untouched / "a.mp4", frames=4)
    before = state(untouched)

    def fail(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(restorer.runner, "to_pixels", fail)
    with pytest.raises(kind, match=words):
        restorer.restore(source)
    assert state(untouched) == before
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("alanet-")]
    assert all(name.startswith("alanet-restore") for name in threads)  # the runner's own, which write nothing


def test_options_that_contradict(untouched, restorer):
    source = make_video(untouched / "a.mp4", frames=2)
    for options, kind, words in [
        (RestoreOptions(rate=Factor(4)), TimeError, "makes only inputs and midpoints"),
        (RestoreOptions(rate=TargetRate(Fraction(50))), TimeError, "time-continuous"),
        (RestoreOptions(input_rate=Fraction(24)), OptionError, "folders of images"),
        (RestoreOptions(start=Fraction(100)), OptionError, "no frame is shown from 100 s to the end"),
        (RestoreOptions(end=Fraction(0)), OptionError, "no frame is shown from the beginning to 0 s"),
    ]:
        refused(restorer, kind, words, untouched, source, None, options)
    for wrong, words in [
        ({"deinterlace": "maybe"}, "auto, on, off"),
        ({"tail": "cut"}, "hold, drop"),
        ({"encode": EncodeOptions(codec="wmv")}, "'wmv' is not one of x264"),
        ({"start": Fraction(2), "end": Fraction(1)}, "start 2 s is not before end 1 s"),
    ]:
        with pytest.raises(OptionError, match=words):
            RestoreOptions(**wrong)


def test_an_encoder_that_this_build_lacks(untouched, restorer, monkeypatch):
    source = make_video(untouched / "a.mp4", frames=2)
    monkeypatch.setitem(codecs.CODECS, "x264", replace(codecs.CODECS["x264"], encoder="libnothing"))
    refused(restorer, ResourceError, "no libnothing encoder", untouched, source)


def test_devices_and_settings_that_are_not_there():
    model = ALANet(ALANetConfig(width=0.125))
    if not torch.cuda.is_available():
        with pytest.raises(ResourceError, match=r"device cuda is not available here.*use device auto or cpu"):
            Restorer(model, device="cuda")
    for wrong, words in [
        ({"device": "tpu"}, "not one of auto, cpu, cuda, mps"),
        ({"precision": "fp8"}, "not one of auto, fp32, bf16"),
        ({"threads": 0}, "from 1 to"),
        ({"tile_mode": "loose"}, "not one of exact, feather"),
    ]:
        with pytest.raises(OptionError, match=words):
            Restorer(model, **wrong)


def test_arrays_of_many_kinds_are_refused(restorer):
    small, large = picture(0, 32, 32), picture(0, 64, 32)
    for clip in ([small, large], [small, small.astype(np.uint16)], [small.astype(np.int16)], [small[..., 0]]):
        with pytest.raises(OptionError, match="h w 3"):
            restorer.arrays(clip)
    with pytest.raises(TimeError):
        restorer.arrays([small, small], rate=Factor(3))


def test_too_little_memory_says_how_much_would_do(untouched, restorer):
    source = make_video(untouched / "w.mkv", frames=2, size=(2048, 32), codec="ffv1", pix_fmt="bgr0")
    small = Restorer(restorer.model, device="cpu", precision="fp32", memory=1 << 20)
    error = refused(small, ResourceError, "needs at least", untouched, source)
    told = re.search(r"needs at least (\d+) MiB even in tiles; use memory (\d+)M or more", str(error))
    assert told is not None
    assert told[1] == told[2]
    assert int(told[1]) << 20 > resident_memory()  # of this process, beside what the tiles need
