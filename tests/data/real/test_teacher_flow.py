"""The motion of real video, as a teacher tells it: asked, kept beside the set, and met by every turn of a clip."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alanet.data.augment import Degradation, ExposureMix
from alanet.data.clips import MixedClips
from alanet.data.cutting import ClipOptions
from alanet.data.real.build import BuildOptions, build_set
from alanet.data.real.dataset import VideoClips
from alanet.data.real.find import SplitOptions
from alanet.data.real.teacher_flow import HalfwayFlow, estimate_motion
from alanet.data.real.video_set import VideoSet
from alanet.errors import DataError, OptionError
from alanet.frames.exposure import Exposure
from alanet.model.alanet_plus import ALANetPlus
from alanet.model.layers import CELL, resized
from alanet.model.warping import warp
from alanet.model.weights import save_weights
from alanet.training.prepare import prepare
from alanet.training.recipe import make_recipe, read_values
from alanet.training.runlog import summarize
from tests.support.media import make_video
from tests.support.networks import TINY
from tests.support.noise import make_bank

RIGHT, DOWN = 1.0, 0.5  # pixels a sharp frame, in the left half; the right half stands still
WIDTH, HEIGHT, COUNT = 128, 64, 60
SHARP = ExposureMix(sharp=1.0, blurry=0.0)


def scene(count: int) -> list[np.ndarray]:
    """Smooth noise, of which the left half moves."""
    coarse = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    big = torch.nn.functional.interpolate(coarse, scale_factor=8.0, mode="bicubic").clamp(0, 1)
    frames = []
    for k in range(count):
        flow = torch.zeros(1, 2, HEIGHT, WIDTH)
        flow[:, 0, :, : WIDTH // 2], flow[:, 1, :, : WIDTH // 2] = -RIGHT * k, -DOWN * k
        seen = warp(big, flow + 60.0, 1)[0]  # + 60: away from its edges
        frames.append((seen * 255).round().byte().permute(1, 2, 0).numpy())
    return frames


def teacher(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Knows the truth."""
    assert a.shape == b.shape == (1, 3, HEIGHT, WIDTH)
    to_b = torch.zeros(1, 2, HEIGHT, WIDTH)
    to_b[:, 0, :, : WIDTH // 2], to_b[:, 1, :, : WIDTH // 2] = 4 * RIGHT, 4 * DOWN
    return -to_b, to_b


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("halfway_flow")
    (place / "in").mkdir()
    make_video(place / "in/a.mkv", frames=scene(COUNT), rate=240, codec="ffv1", pix_fmt="bgr0")
    build_set(place / "in", place / "set", BuildOptions((WIDTH, HEIGHT), split=SplitOptions(test=0)))
    asked: list[tuple[int, int]] = []
    pairs = estimate_motion(place / "set", teacher, "truth", on_progress=lambda *now: asked.append(now))
    assert pairs == len(range(0, COUNT - 8, 4)) == len(asked)
    assert asked[-1] == (pairs, pairs)
    return place / "set"


def clips(folder: Path, mix: ExposureMix = SHARP, **more) -> VideoClips:
    videos = VideoSet(folder)
    options = ClipOptions(
        t=4, deblurred=1, between=3, clip_ends=1.0, mix=mix, degradation=Degradation(0.0, jpeg=0.0), motion=True
    )
    return VideoClips(videos, options, exposure=Exposure(11, 8), halfway_flow=HalfwayFlow(videos), **more)


def test_flows_lead_from_half_way_to_both_frames_whatever_the_turn(folder):
    """What is half-way, looked up along them, is the truth there: through mirrors, transposition and reversal."""
    source, parted, brought = clips(folder), [], []
    for index in range(24):
        batch = source.batch(index, size=2, crop=48)
        assert batch.halfway_flow is not None
        for n, time in enumerate(batch.times[0].tolist()):
            i = int(time)
            for side, frame in enumerate((batch.clip[:, i], batch.clip[:, i + 1]) if time != i else ()):
                seen = warp(frame, resized(batch.halfway_flow[:, i, side], CELL, 1), 1)
                parted += (frame - batch.truth[:, n]).abs().mean((1, 2, 3)).tolist()
                brought += (seen - batch.truth[:, n]).abs().mean((1, 2, 3)).tolist()
    assert np.mean(parted) > 0.05
    assert np.mean(brought) < 0.4 * np.mean(parted)  # what is left: the seam, and what comes in at the edges
    better = np.array(brought) < 0.8 * np.array(parted)
    assert better.mean() > 0.95


def test_a_sweep_is_the_motion_of_a_period(folder):
    batch = clips(folder).batch(0, size=4, crop=0)
    length = batch.sweep.square().sum(2).sqrt()
    assert batch.sweep.shape == (4, 4, 2, HEIGHT // CELL, WIDTH // CELL)
    assert length.max() == pytest.approx(8 * math.hypot(RIGHT, DOWN), rel=1e-2)
    assert length.min() == 0


def test_crops_go_where_things_move(folder):
    """The left half moves; of three places the one is taken in which most does."""
    batches = [clips(folder).batch(index, size=4, crop=32) for index in range(8)]
    moving = torch.cat([(batch.sweep.square().sum(2).sqrt() > 1).float().mean((1, 2, 3)) for batch in batches])
    assert moving.mean() > 0.7  # anywhere: about a half


def test_clips_of_half_the_size_have_half_the_motion(folder):
    slow = clips(folder)
    slow.options = replace(slow.options, half_size=1.0, turns=False)
    batch = slow.batch(0, size=4, crop=16)
    length = batch.sweep.square().sum(2).sqrt()
    assert batch.clip.shape[-2:] == (16, 16)
    assert batch.sweep.shape[-2:] == (16 // CELL, 16 // CELL)
    assert length.max() == pytest.approx(4 * math.hypot(RIGHT, DOWN), rel=2e-2)


def test_batch_k_is_always_batch_k(folder):
    blurry = ExposureMix(sharp=0.0, blurry=1.0)
    first, second = clips(folder, blurry, seed=3), clips(folder, blurry, seed=3)
    second.batch(7, size=1, crop=32)
    a, b = (one.batch(2, size=2, crop=32) for one in (first, second))
    assert torch.equal(a.clip, b.clip)
    assert torch.equal(a.halfway_flow, b.halfway_flow)
    assert a.flow is None


def test_two_sources_in_one_run(folder):
    """About as many batches of the second as asked for, the same ones each time."""
    a, b = clips(folder), clips(folder, ExposureMix(sharp=0.0, blurry=1.0, shortest=11))
    mixed = MixedClips(a, b, 0.3, seed=1)
    blurry = [bool((mixed.batch(k, size=1, crop=32).exposure > 1).all()) for k in range(60)]
    assert 8 <= sum(blurry) <= 28
    assert blurry[:20] == [bool((MixedClips(a, b, 0.3, seed=1).batch(k, size=1, crop=32).exposure > 1).all())
                           for k in range(20)]  # fmt: skip
    with pytest.raises(OptionError, match=r"a share of 1\.0 of the batches; allowed: above 0 and below 1"):
        MixedClips(a, b, 1.0)


def test_what_is_missing_or_does_not_fit_is_one_line(folder, tmp_path):
    copy = tmp_path / "set"
    shutil.copytree(folder, copy)
    assert estimate_motion(copy, teacher, "truth") == 13  # nothing is asked again
    with pytest.raises(DataError, match="motion of another teacher or period"):
        estimate_motion(copy, teacher, "another")
    with pytest.raises(OptionError, match="a period of 12 sharp frames; allowed: multiples of 8"):
        estimate_motion(copy, teacher, "truth", period=12)
    videos = VideoSet(copy)
    with pytest.raises(OptionError, match="motion over 8 sharp frames for a period of 16"):
        VideoClips(videos, ClipOptions(t=2, motion=True), exposure=Exposure(11, 16), halfway_flow=HalfwayFlow(videos))
    (file,) = (copy / "motion").iterdir()
    np.save(file, np.load(file)[1:])
    with pytest.raises(DataError, match="motion of another set"):
        HalfwayFlow(videos)
    assert estimate_motion(copy, teacher, "truth") == 13  # as the line says: what does not fit is made again
    assert HalfwayFlow(videos).between(0, 0, 2).shape == (2, 2, 2, HEIGHT // CELL, WIDTH // CELL)
    file.unlink()
    with pytest.raises(DataError, match="run alanet data motion on it"):
        HalfwayFlow(videos)
    assert json.loads((copy / "motion.json").read_text())["teacher"] == "truth"


def test_scenes_and_real_video_train_one_network(folder, tmp_path):
    """Of real video it learns the flow of the teacher, of scenes their own; a set alone needs no scenes beside it."""
    make_bank(tmp_path, max_displacement=4.0)
    stages = [{"start": 0, "crop": 32, "batch": 1}]
    save_weights(ALANetPlus(TINY), tmp_path / "init.safetensors")
    training = {"steps": 6, "stages": stages, "precision": "fp32", "log_steps": 1}
    extra = {"extra_data": str(folder), "extra_share": 0.5}
    scenes = {"dataset": str(tmp_path / "bank"), "init": str(tmp_path / "init.safetensors"), "train_only": "flow"}
    values = {**scenes, **extra, "clips": {"t": 3, "deblurred": 1, "between": 1}, "train": training}
    prepare(make_recipe(values)).start(tmp_path / "run")
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert summarize(tmp_path / "run").data == "bank, set"
    assert len(lines) >= 6
    assert sum('"objective"' in line for line in lines) == 6
    run = prepare(make_recipe({**read_values(tmp_path / "run/config.json"), "extra_deblurred": 0}))
    batches = [run.data.sampler.batch(k, size=1, crop=32) for k in range(12)]
    whole = {batch.flow is None: float((batch.times % 1 == 0).sum()) for batch in batches}  # of real video or not
    assert whole == {True: 0.0, False: 1.0}, "of real video only in-between frames"
    with pytest.raises(OptionError, match="extra_data and second_dataset go with scenes, not with a dataset of videos"):
        prepare(make_recipe({"dataset": str(folder), "extra_data": str(folder)}))
