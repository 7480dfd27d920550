"""Real videos into a training set: found, split, looked into, stored in runs, verified, and drawn from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alanet.data.real.build import BuildOptions, build_set
from alanet.data.real.dataset import VideoClips, cells_of, held_out_batches, paper_clips
from alanet.data.real.find import ADOBE240_TEST, SplitOptions, find_sources, read_list, split_sources
from alanet.data.real.manifest import read_manifest
from alanet.data.real.read import picture_places
from alanet.data.real.runs import resize_area
from alanet.data.real.video_set import VideoSet
from alanet.errors import DataError, OptionError, OutputError
from alanet.frames.exposure import Exposure
from alanet.training.config import Stage
from alanet.training.loader import make_batch
from tests.support.media import cut_short, damage, make_video

SMALL = BuildOptions(size=(64, 32), shortest=12)


def texture(seed: int, width: int = 64, height: int = 32, count: int = 40, light: float = 0.5) -> list[np.ndarray]:
    """A pan over smooth noise, one pixel a frame; `light` is its mean."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-0.2, 0.2, (height // 8 + 2, (width + count) // 8 + 2, 3)) + light
    full = np.asarray(coarse).repeat(8, axis=0).repeat(8, axis=1)
    return [np.rint(full[:height, k : k + width] * 255).astype(np.uint8) for k in range(count)]


def video(path: Path, frames: list[np.ndarray], rate: int = 240, **more: object) -> Path:
    """Lossless, so that what is stored can be worked out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return make_video(path, frames=frames, rate=rate, codec="ffv1", pix_fmt="bgr0", **more)


def pictures(folder: Path, frames: list[np.ndarray], first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k, pixels in enumerate(frames, first):
        Image.fromarray(pixels).save(folder / f"{k:06d}.png")
    return folder


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def stored(out: Path, name: str) -> list[np.ndarray]:
    """The runs of a video."""
    (one,) = [v for v in read_manifest(out).videos if v.name == name]
    return [np.load(out / run.file) for run in one.runs]


def tree(folder: Path) -> dict[str, str]:
    """Every file with a digest."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# --- what a folder holds, and who is held out -----------------------------------------------------------------------


def test_adobe240_has_its_official_test_list(tmp_path):
    train = ("IMG_0001.MOV", "GOPR9637b.mp4", "IMG_0004.m4v")
    ends = ("m4v", "MOV", "mp4")
    test = [f"{stem}.{ends[k % 3]}" for k, stem in enumerate(ADOBE240_TEST)]
    touched(tmp_path, *(f"original_high_fps_videos/{name}" for name in (*train, *test)))
    touched(
        tmp_path, "quantitative_datasets/IMG_0030/input/00001.jpg", "quantitative_datasets/IMG_0030/input/00002.jpg"
    )
    layout, sources = find_sources(tmp_path)
    split = split_sources(sources)
    assert layout == "adobe240"
    assert {name.rpartition("/")[2] for name in split} == {*train, *test}, "the averaged frames are no sources"
    assert {name.rpartition("/")[2] for name, kind in split.items() if kind == "test"} == set(test)
    assert len(test) == 8
    # The list is known by its names too, however the folder is called.
    (tmp_path / "original_high_fps_videos").rename(tmp_path / "adobe")
    shutil.rmtree(tmp_path / "quantitative_datasets")
    assert find_sources(tmp_path)[0] == "adobe240"


def test_gopro_keeps_its_own_split_and_leaves_blurry_copies_out(tmp_path):
    for name in ("train/GOPR0372_07_00", "train/GOPR0374_11_01", "test/GOPR0384_11_00"):
        touched(tmp_path / "all", f"{name}/000047.png", f"{name}/000048.png")
        for kind in ("blur", "blur_gamma", "sharp"):
            touched(tmp_path / "pairs", f"{name}/{kind}/000047.png", f"{name}/{kind}/000048.png")
    layout, sources = find_sources(tmp_path / "all")
    assert layout == "gopro"
    assert {source.rate for source in sources} == {240}
    assert split_sources(sources, SplitOptions(test=0.9, seed=3)) == {
        "train/GOPR0372_07_00": "train", "train/GOPR0374_11_01": "train", "test/GOPR0384_11_00": "test",
    }  # fmt: skip
    layout, sources = find_sources(tmp_path / "pairs")
    assert layout == "gopro"
    assert {source.path.name for source in sources} == {"sharp"}
    assert {source.rate for source in sources} == {None}, "its sharp frames lie 7 to 13 apart"


def test_a_split_is_by_video_and_by_seed(tmp_path):
    touched(tmp_path, *(f"{k}.mp4" for k in range(20)))
    sources = find_sources(tmp_path)[1]
    options = SplitOptions(seed=1, test=0.2, val=0.1)
    split = split_sources(sources, options)
    kinds = list(split.values())
    assert (kinds.count("train"), kinds.count("val"), kinds.count("test")) == (14, 2, 4)
    assert split == split_sources(sources[::-1], options)
    assert split != split_sources(sources, SplitOptions(seed=2, test=0.2, val=0.1))
    assert set(split_sources(sources[:1]).values()) == {"train"}
    assert sorted(split_sources(sources[:2]).values()) == ["test", "train"]
    assert set(split_sources(sources, SplitOptions(test=0)).values()) == {"train"}


def test_lists_decide_before_everything_else(tmp_path):
    touched(tmp_path, "train/a.mp4", "train/b.mov", "test/c.mp4")
    (tmp_path / "list.txt").write_text("# held out\n\nb  # by stem\ntrain/a.mp4\n")
    sources = find_sources(tmp_path)[1]
    names = read_list(tmp_path / "list.txt")
    assert names == ("b", "train/a.mp4")
    split = split_sources(sources, SplitOptions(lists={"test": names}))
    assert split == {"train/a.mp4": "test", "train/b.mov": "test", "test/c.mp4": "train"}
    with pytest.raises(DataError, match=r"test list names aa, which is no video here \(did you mean a\?\)"):
        split_sources(sources, SplitOptions(lists={"test": ("aa",)}))
    with pytest.raises(DataError, match="a video belongs to one split"):
        split_sources(sources, SplitOptions(lists={"test": ("b",), "val": ("b.mov",)}))
    with pytest.raises(DataError, match="names no video"):
        read_list(touched(tmp_path, "empty.txt") / "empty.txt")
    with pytest.raises(DataError, match="cannot be read as a list"):
        read_list(tmp_path / "none.txt")


@pytest.mark.parametrize("options", [{"test": -0.1}, {"test": 0.6, "val": 0.4}, {"lists": {"train": ("a",)}}])
def test_a_split_that_cannot_be_is_refused(options):
    with pytest.raises(OptionError, match="allowed: "):
        SplitOptions(**options)


def test_a_folder_is_searched_without_its_own_output(tmp_path):
    touched(tmp_path, "deep/er/a.MP4", ".hidden/b.mp4", "__MACOSX/c.mp4", "notes.txt", "one/only.png", "p/2.png",
            "p/10.png", "p/1.png", "out/runs/x.png", "out/runs/y.png")  # fmt: skip
    (tmp_path / "deep" / "circle").symlink_to(tmp_path)
    sources = find_sources(tmp_path, leave_out=tmp_path / "out")[1]
    assert [source.name for source in sources] == ["deep/er/a.MP4", "p"]
    assert [path.name for path in sources[1].pictures] == ["1.png", "2.png", "10.png"]


def test_pictures_lie_where_their_numbers_say():
    assert picture_places(["000047.png", "000048.png", "000050.png"]) == (0, 1, 3)
    assert picture_places(["f8.png", "f16.png", "f24.png", "f40.png"]) == (0, 1, 2, 4)
    assert picture_places(["a.png", "b.png"]) == (0, 1)
    assert picture_places(["t0_3.png", "t1_1.png"]) == (0, 1)


# --- storing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), [((24, 50), (16, 31)), ((45, 48), (15, 16)), ((17, 33), (16, 32))])
def test_a_smaller_pixel_is_the_mean_of_the_area_it_covers(old, new):
    pixels = np.random.default_rng(0).integers(0, 256, (*old, 3), dtype=np.uint8)
    # Each pixel blown up to a block of new x new, so that the area of a new one is a whole number of them.
    fine = pixels.repeat(new[0], axis=0).repeat(new[1], axis=1).astype(np.float64)
    mean = fine.reshape(new[0], old[0], new[1], old[1], 3).mean(axis=(1, 3))
    assert np.abs(resize_area(pixels, new[1], new[0]) - mean).max() <= 0.501
    assert np.array_equal(resize_area(pixels, old[1], old[0]), pixels)
    deep = pixels.astype(np.uint16) * 257
    assert np.array_equal(resize_area(deep, old[1], old[0]), pixels)


def test_plain_videos_of_120_and_240_fps_and_mixed_sizes(tmp_path):
    wide, tall, fine = texture(1), texture(2, 32, 64), texture(3, 128, 64)
    video(tmp_path / "in/wide.mkv", wide, 120)
    video(tmp_path / "in/sub/tall.mkv", tall, 240)
    video(tmp_path / "in/fine.mkv", fine, 240)
    pictures(tmp_path / "in/train/GOPR0001_01_01", wide)
    report = build_set(tmp_path / "in", tmp_path / "out", SMALL)
    assert not report.manifest.skipped
    about = {one.name: one for one in report.manifest.videos}
    assert {name: (one.rate, one.size) for name, one in about.items()} == {
        "wide.mkv": ("120", (64, 32)), "sub/tall.mkv": ("240", (32, 64)), "fine.mkv": ("240", (64, 32)),
        "train/GOPR0001_01_01": ("240", (64, 32)),
    }  # fmt: skip
    for name, frames in (("wide.mkv", wide), ("sub/tall.mkv", tall), ("train/GOPR0001_01_01", wide)):
        assert np.array_equal(stored(tmp_path / "out", name), [frames]), name
    means = np.stack(fine).reshape(40, 32, 2, 64, 2, 3).mean(axis=(2, 4))
    assert np.abs(stored(tmp_path / "out", "fine.mkv")[0] - means).max() <= 0.5
    one = about["fine.mkv"]
    assert one.sha256 == hashlib.sha256((tmp_path / "in/fine.mkv").read_bytes()).hexdigest()
    assert (one.frames, one.source_size, one.cuts, one.gaps, one.duplicates) == (40, (128, 64), (), (), 0)
    assert set(one.made_by) == {"alanet", "av", "ffmpeg"}
    sheet = Image.open(report.sheet)
    rows = np.asarray(sheet.convert("L")).reshape(4, -1)
    assert all(row.std() > 10 for row in rows), "each video is in the picture"


def test_a_turned_video_is_stored_upright(tmp_path):
    frames = texture(4)
    (tmp_path / "in").mkdir()
    make_video(tmp_path / "in/phone.mp4", frames=frames, rate=240, rotation=90, options={"crf": "0"})
    build_set(tmp_path / "in", tmp_path / "out", SMALL)
    (run,) = stored(tmp_path / "out", "phone.mp4")
    assert run.shape == (40, 64, 32, 3)
    upright = np.rot90(np.stack(frames), 1, axes=(1, 2)).astype(int)
    assert np.abs(run - upright).mean() < 8 < 20 < np.abs(run - upright[:, ::-1, ::-1]).mean()


def test_the_aspect_is_kept_where_asked_and_stretching_told(tmp_path):
    video(tmp_path / "in/square.mkv", texture(5, 128, 128, 14))
    report = build_set(tmp_path / "in", tmp_path / "a", SMALL)
    assert any("stretched by 2.00 to 64x32; --keep-aspect" in line for line in report.notes.warnings)
    report = build_set(tmp_path / "in", tmp_path / "b", BuildOptions((64, 32), keep_aspect=True, shortest=12))
    assert report.manifest.videos[0].size == (64, 64)
    assert not report.notes.warnings


def test_slow_video_is_refused_unless_told_what_it_stands_for(tmp_path):
    video(tmp_path / "in/slow.mkv", texture(6), 30)
    with pytest.raises(DataError, match=r"nothing usable.*slow.mkv: has 30 fps; allowed: 120 fps or more, or --assume"):
        build_set(tmp_path / "in", tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()
    video(tmp_path / "in/fast.mkv", texture(7), 240)
    pictures(tmp_path / "in/frames", texture(8))
    report = build_set(tmp_path / "in", tmp_path / "out", SMALL)
    assert [one.name for one in report.manifest.videos] == ["fast.mkv"]
    assert [one.name for one in report.manifest.skipped] == ["frames", "slow.mkv"]
    assert "pictures of unknown rate" in report.manifest.skipped[0].reason
    report = build_set(
        tmp_path / "in", tmp_path / "all", BuildOptions((64, 32), assume_rate=Fraction(960), shortest=12)
    )
    rates = {one.name: (one.stated_rate, one.rate) for one in report.manifest.videos}
    assert rates == {"fast.mkv": ("240", "240"), "frames": (None, "960"), "slow.mkv": ("30", "960")}


def test_nominal_120_fps_is_enough(tmp_path):
    (tmp_path / "in").mkdir()
    make_video(tmp_path / "in/ntsc.mp4", frames=texture(9), rate=Fraction(120000, 1001))
    assert build_set(tmp_path / "in", tmp_path / "out", SMALL).manifest.videos[0].rate == "120000/1001"


def test_no_clip_spans_a_cut(tmp_path):
    dark, bright = texture(10, light=0.25), texture(11, light=0.75)
    video(tmp_path / "in/cut.mkv", [*dark, *bright, *dark[:5]])
    report = build_set(tmp_path / "in", tmp_path / "out", SMALL)
    (one,) = report.manifest.videos
    assert one.cuts == (40, 80)
    assert [(run.first, run.frames) for run in one.runs] == [(0, 40), (40, 40)], "five frames are too few to keep"
    clips = VideoClips(VideoSet(tmp_path / "out"), paper_clips(2, exposure=5), exposure=Exposure(5, 4), stretch=2)
    lights = set()
    for k in range(20):
        batch = clips.batch(k, size=2, crop=0)
        for row in range(2):
            means = [float(frame.mean()) for frame in chain(batch.clip[row], batch.truth[row])]
            assert max(means) - min(means) < 0.2
            lights.add(round(means[0], 1) > 0.5)
    assert lights == {True, False}
    off = build_set(tmp_path / "in", tmp_path / "off", BuildOptions((64, 32), cuts=False, shortest=12))
    assert [(run.first, run.frames) for run in off.manifest.videos[0].runs] == [(0, 85)]


def test_missing_frames_end_a_run(tmp_path):
    frames = texture(12)
    times = [Fraction(k + 3 * (k >= 15), 240) for k in range(40)]
    video(tmp_path / "in/gap.mkv", frames, times=times)
    folder = pictures(tmp_path / "in/GOPR0001_01_01", frames, first=100)
    (folder / "000120.png").write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
    Image.new("RGB", (70, 40)).save(folder / "000121.png")
    (folder / "000107.png").unlink()
    report = build_set(tmp_path / "in", tmp_path / "out", SMALL)
    about = {one.name: one for one in report.manifest.videos}
    assert about["gap.mkv"].gaps == (15,)
    assert [(run.first, run.frames) for run in about["gap.mkv"].runs] == [(0, 15), (15, 25)]
    one = about["GOPR0001_01_01"]
    assert one.unreadable == ("000120.png", "000121.png")
    assert one.gaps == (7, 19)
    first, second = stored(tmp_path / "out", one.name)
    assert np.array_equal(first, frames[8:20])
    assert np.array_equal(second, frames[22:])
    assert any("2 pictures cannot be read, the first is 000120.png" in line for line in report.notes.warnings)


def test_bad_files_are_skipped_and_named(tmp_path):
    good = video(tmp_path / "in/good.mkv", texture(13))
    (tmp_path / "in/text.mp4").write_text("not a video")
    (tmp_path / "in/empty.mp4").touch()
    video(tmp_path / "in/short.mkv", texture(14, count=8))
    video(tmp_path / "in/tiny.mkv", texture(15, 32, 16))
    shutil.copy(good, tmp_path / "in/twin.mkv")
    folder = touched(tmp_path / "in", "GOPR0001_01_01/1.png", "GOPR0001_01_01/2.png")
    report = build_set(folder, tmp_path / "out", SMALL)
    reasons = {one.name: one.reason for one in report.manifest.skipped}
    assert [one.name for one in report.manifest.videos] == ["good.mkv"]
    for name, reason in {
        "text.mp4": "not a video that can be read",
        "empty.mp4": "the file is empty",
        "short.mkv": "no 12 sharp frames in a row (8 frames, 0 cuts, 0 gaps)",
        "tiny.mkv": "32x16 is smaller than 64x32",
        "twin.mkv": "the same video as good.mkv",
        "GOPR0001_01_01": "none of its 2 pictures can be read",
    }.items():
        assert reason in reasons.pop(name)
    assert not reasons
    assert str(tmp_path) not in (tmp_path / "out/data.json").read_text()


def test_names_of_every_kind_are_taken(tmp_path):
    names = ("Größe 日本.mkv", "-x.mkv", "a b;rm.mkv", os.fsdecode(b"bad\xff.mkv"))
    for k, name in enumerate(names):
        made = video(tmp_path / "made.mkv", texture(60 + k))
        (tmp_path / "in").mkdir(exist_ok=True)
        made.rename(tmp_path / "in" / name)
    report = build_set(tmp_path / "in", tmp_path / "out", SMALL)
    assert {one.name for one in report.manifest.videos} == set(names)
    assert build_set(tmp_path / "in", tmp_path / "out", SMALL).reused == 4


def test_a_damaged_file_gives_what_can_be_decoded(tmp_path):
    whole = make_video(tmp_path / "whole.mp4", frames=texture(16, count=80), rate=240, gop=10)
    (tmp_path / "in").mkdir()
    damage(whole, tmp_path / "in/damaged.mp4", at=0.4)
    ts = make_video(tmp_path / "whole.ts", frames=texture(17, count=80), rate=240, gop=10)
    cut_short(ts, tmp_path / "in/short.ts")
    report = build_set(tmp_path / "in", tmp_path / "out", SMALL)
    assert {one.name for one in report.manifest.videos} == {"damaged.mp4", "short.ts"}
    assert all(sum(run.frames for run in one.runs) >= 24 for one in report.manifest.videos)
    assert any(line.startswith("damaged.mp4: ") for line in report.notes.warnings)


def test_video_made_of_repeated_frames_is_told(tmp_path):
    frames = texture(18, count=20)
    video(tmp_path / "in/doubled.mkv", list(chain.from_iterable(zip(frames, frames, strict=True))))
    report = build_set(tmp_path / "in", tmp_path / "out", SMALL)
    assert report.manifest.videos[0].duplicates == 20
    assert any("20 of 40 frames repeat" in line for line in report.notes.warnings)


# --- going on, and refusing to ----------------------------------------------------------------------------------------


def three(folder: Path) -> Path:
    for k, name in enumerate("abc"):
        video(folder / f"{name}.mkv", [*texture(20 + k, light=0.25), *texture(30 + k, light=0.75)])
    return folder


def test_an_interrupted_build_goes_on_and_ends_with_the_same_bytes(tmp_path):
    folder = three(tmp_path / "in")
    build_set(folder, tmp_path / "whole", SMALL)

    def interrupt(progress):
        if progress.name == "b.mkv" and progress.frames > 140:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_set(folder, tmp_path / "parts", SMALL, on_progress=interrupt)
    assert [one.name for one in read_manifest(tmp_path / "parts").videos] == ["a.mkv"]
    assert len(list((tmp_path / "parts/runs").iterdir())) == 2, "nothing of b.mkv is left behind"
    # What a kill would leave: an unfinished run, and runs of a video that the manifest does not know yet.
    touched(tmp_path / "parts/runs", "b.mkv-0-000.npy.part", "b.mkv-0-001.npy")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts/runs").glob("a.mkv*")}
    worked_on = set()
    report = build_set(folder, tmp_path / "parts", SMALL, on_progress=lambda p: worked_on.add(p.name))
    assert report.reused == 1
    assert worked_on == {"b.mkv", "c.mkv"}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert tree(tmp_path / "parts") == tree(tmp_path / "whole")


def test_what_is_damaged_or_changed_is_made_again_and_nothing_else(tmp_path):
    folder = three(tmp_path / "in")
    build_set(folder, tmp_path / "out", SMALL)
    whole = tree(tmp_path / "out")
    broken = next((tmp_path / "out/runs").glob("b.mkv*-001.npy"))
    data = bytearray(broken.read_bytes())
    data[5000] ^= 1
    broken.write_bytes(bytes(data))
    next((tmp_path / "out/runs").glob("c.mkv*-000.npy")).unlink()
    assert build_set(folder, tmp_path / "out", SMALL).reused == 1
    assert tree(tmp_path / "out") == whole
    os.utime(folder / "a.mkv", (0, 0))  # another date alone is no other video
    video(folder / "b.mkv", texture(99))
    report = build_set(folder, tmp_path / "out", SMALL)
    assert report.reused == 2
    assert np.array_equal(stored(tmp_path / "out", "b.mkv"), [texture(99)])


def test_another_split_costs_no_decoding(tmp_path):
    folder = three(tmp_path / "in")
    build_set(folder, tmp_path / "out", SMALL)
    split = SplitOptions(lists={"test": ("c",), "val": ("b",)})
    report = build_set(folder, tmp_path / "out", BuildOptions((64, 32), shortest=12, split=split))
    assert report.reused == 3
    assert {one.name: one.split for one in report.manifest.videos} == {
        "a.mkv": "train",
        "b.mkv": "val",
        "c.mkv": "test",
    }
    assert json.loads((tmp_path / "out/data.json").read_text())["split"]["lists"] == {"test": ["c"], "val": ["b"]}


def test_another_set_is_not_mixed_in(tmp_path):
    folder = three(tmp_path / "in")
    build_set(folder, tmp_path / "out", SMALL)
    before = tree(tmp_path / "out")
    with pytest.raises(DataError, match=r"holds a set built with size \[64, 32\]; give the same options, or another"):
        build_set(folder, tmp_path / "out", BuildOptions((32, 32), shortest=12))
    (folder / "a.mkv").rename(folder / "z.mkv")
    with pytest.raises(DataError, match=r"holds a.mkv, which is no usable video of this folder"):
        build_set(folder, tmp_path / "out", SMALL)
    touched(tmp_path, "mine/thesis.txt")
    with pytest.raises(OutputError, match="exists and holds no set of videos"):
        build_set(folder, tmp_path / "mine", SMALL)
    (tmp_path / "out2").mkdir()
    (tmp_path / "out2/data.json").write_text('{"format": 7}')
    with pytest.raises(DataError, match="format 7, this version reads 1"):
        build_set(folder, tmp_path / "out2", SMALL)
    assert tree(tmp_path / "out") == before


def test_too_little_room_is_told_before_anything_is_written(tmp_path, monkeypatch):
    folder = three(tmp_path / "in")
    needed = 3 * 80 * 64 * 32 * 3
    usage = shutil.disk_usage(tmp_path)._replace(free=needed)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match=r"about 0.0015 GB are needed and 0.00147 GB are free; free some space"):
        build_set(folder, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_nothing_usable_is_one_line(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        build_set(tmp_path / "none", tmp_path / "out")
    with pytest.raises(DataError, match="nothing usable, as it holds neither videos"):
        build_set(touched(tmp_path / "in", "readme.txt"), tmp_path / "out")
    video(tmp_path / "in/short.mkv", texture(1, count=8))
    with pytest.raises(DataError, match=r"its only video is not; short.mkv: no 12 sharp frames in a row") as told:
        build_set(tmp_path / "in", tmp_path / "out", SMALL)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "options", [{"size": (640, 360)}, {"size": (0, 32)}, {"assume_rate": Fraction(60)}, {"shortest": 1}]
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(OptionError, match="allowed: "):
        BuildOptions(**options)


# --- drawing clips ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """Two wide videos, of 100 and 60 frames, and a tall one of 60, all to train on."""
    folder = tmp_path_factory.mktemp("mixed")
    video(folder / "in/a.mkv", texture(40, count=100))
    video(folder / "in/b.mkv", texture(41, count=60))
    video(folder / "in/t.mkv", texture(42, 32, 64, count=60))
    build_set(folder / "in", folder / "out", BuildOptions((64, 32), split=SplitOptions(test=0)))
    return folder / "out"


def test_an_epoch_is_a_clip_from_every_29_frames(mixed):
    clips = VideoClips(VideoSet(mixed), paper_clips(3))  # 27 frames a clip
    assert len(clips) == 100 // 29 + 60 // 29 + 60 // 29 == 7
    for run, frames in enumerate((100, 60, 60)):
        starts = [k for cell in clips.cells if cell.run == run for k in cell.starts]
        assert starts == list(range(frames - 27 + 1)), "every start is in one cell"
    assert [cell.starts for cell in cells_of(VideoSet(mixed).runs[:1], needed=100)] == [range(1)]


def test_every_cell_is_used_once_an_epoch_and_batches_are_of_one_size(mixed):
    clips = VideoClips(VideoSet(mixed), paper_clips(3))
    for epoch in range(3):
        used = [cell for index in range(4) for cell in clips._epoch(epoch, 2, True)[index]]
        assert set(used) == set(range(7))
        assert len(used) == 8, "one fills the odd batch of the wide ones"
    shapes = {tuple(clips.batch(k, size=2, crop=0).clip.shape) for k in range(4)}
    assert shapes == {(2, 3, 3, 32, 64), (2, 3, 3, 64, 32)}
    crops = {tuple(clips.batch(k, size=3, crop=32).clip.shape) for k in range(3)}
    assert crops == {(3, 3, 3, 32, 32)}


def test_batch_k_is_always_batch_k(mixed):
    first, second = (VideoClips(VideoSet(mixed), seed=5) for _ in range(2))
    second.batch(9, size=1, crop=16)
    for index in (0, 3, 1 << 41):
        a, b = (clips.batch(index, size=2, crop=32) for clips in (first, second))
        assert torch.equal(a.clip, b.clip)
        assert torch.equal(a.truth, b.truth)
    other = VideoClips(VideoSet(mixed), seed=6).batch(0, size=2, crop=32)
    assert not torch.equal(other.clip, first.batch(0, size=2, crop=32).clip)


def test_the_papers_clips_are_means_of_11_frames_or_sharp(mixed):
    clips = VideoClips(VideoSet(mixed), paper_clips(3))
    lengths = []
    for index in range(12):
        batch = clips.batch(index, size=1, crop=0)
        assert batch.times.tolist() == [[0, 0.5, 1, 1.5, 2]]
        lengths += batch.exposure[0].tolist()
        sharp = np.concatenate([VideoSet(mixed).sharp(run) for run in range(3) if
                                VideoSet(mixed).sharp(run).shape[1:3] == batch.clip.shape[-2:]])  # fmt: skip
        for frame, length, truth in zip(batch.clip[0], batch.exposure[0], batch.truth[0, ::2], strict=True):
            centre = (truth.permute(1, 2, 0) * 255).round().byte().numpy()
            (at,) = np.flatnonzero((sharp == centre).all(axis=(1, 2, 3)))
            half = int(length) // 2
            mean = sharp[at - half : at + half + 1].mean(axis=0)
            assert np.abs(frame.permute(1, 2, 0).numpy() * 255 - mean).max() <= 0.51
    assert set(lengths) == {1.0, 11.0}
    assert 0.2 < lengths.count(11.0) / len(lengths) < 0.8


def test_crops_are_taken_where_something_moves_and_may_be_halved(tmp_path):
    still = np.full((64, 128, 3), 90, np.uint8)
    frames = []
    for k in range(60):
        frame = still.copy()
        frame[40:, 104:] = 90 + 40 * (k // 8 % 2)  # a corner that changes each period
        frames.append(frame)
    video(tmp_path / "in/corner.mkv", frames)
    build_set(tmp_path / "in", tmp_path / "out", BuildOptions((128, 64), shortest=12, split=SplitOptions(test=0)))
    videos = VideoSet(tmp_path / "out")

    def seen(**options: float) -> tuple[float, set[tuple[int, ...]]]:
        chosen = replace(paper_clips(3), **options)
        batches = [VideoClips(videos, chosen).batch(k, size=2, crop=32) for k in range(24)]
        clips = [clip for batch in batches for clip in batch.clip]
        return float(np.mean([float(clip.std(0).max()) > 0.02 for clip in clips])), {tuple(c.shape) for c in clips}

    anywhere, shape = seen()
    moving, _ = seen(moving=1.0)
    half, half_shape = seen(half_size=1.0)
    assert moving > anywhere + 0.1
    assert half > anywhere + 0.1, "a crop of twice the size sees more"
    assert shape == half_shape == {(3, 3, 32, 32)}


def test_the_trainer_and_the_validation_can_use_a_set(mixed):
    videos = VideoSet(mixed)
    batch = make_batch(VideoClips(videos), 0, Stage(0.0, 32, 2))
    assert batch.clip.shape == (2, 5, 3, 32, 32)
    held_out = list(held_out_batches(videos, clips=4, t=3))
    again = list(held_out_batches(videos, clips=4, t=3))
    assert len(held_out) == 4
    assert all(torch.equal(a.clip, b.clip) for a, b in zip(held_out, again, strict=True))
    assert {float(x) for batch in held_out for x in batch.exposure[0]} == {11.0}
    assert {tuple(batch.truth.shape[:2]) for batch in held_out} == {(1, 5)}
    assert {tuple(batch.clip.shape[-2:]) for batch in held_out} == {(32, 64), (64, 32)}


def test_what_a_set_cannot_give_is_refused(mixed, tmp_path):
    with pytest.raises(DataError, match=r"no video in split 'test'; it has train"):
        VideoSet(mixed, "test")
    with pytest.raises(DataError, match="build it with alanet data build"):
        VideoSet(tmp_path)
    videos = VideoSet(mixed)
    with pytest.raises(DataError, match=r"its longest run has 100 frames, a clip of 13 takes 107; give longer video"):
        VideoClips(videos, paper_clips(13))
    with pytest.raises(DataError, match="room for a clip of 13"):
        next(held_out_batches(videos, t=13))
    with pytest.raises(OptionError, match="motion of real video is not known"):
        VideoClips(videos, paper_clips().__class__(motion=True))
    with pytest.raises(OptionError, match="allowed: at most the exposure"):
        VideoClips(videos, paper_clips(), exposure=Exposure(9, 8))
    with pytest.raises(OptionError, match="one clip from every 0 frames; allowed: 1 or more"):
        VideoClips(videos, stretch=0)
    with pytest.raises(OptionError, match="allowed: its divisors"):
        VideoClips(videos, paper_clips().__class__(factor=3))
    shutil.copytree(mixed, tmp_path / "set")
    files = sorted((tmp_path / "set/runs").iterdir())
    cut_short(files[0], files[0], keep=0.5)
    np.save(files[1], np.zeros((60, 32, 64), np.uint8))
    broken = VideoSet(tmp_path / "set")
    with pytest.raises(DataError, match="run alanet data build again to repair it"):
        broken.sharp(0)
    with pytest.raises(DataError, match="not what its manifest says"):
        broken.sharp(1)
    assert broken.sharp(2).shape == (60, 64, 32, 3)
