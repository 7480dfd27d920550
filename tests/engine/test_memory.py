"""What a run is planned to take is what it takes, and what a refusal says would do does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from alanet.cli import run
from alanet.engine.memory import _container_limit, free_memory, memory_cost, resident_memory, whole_work
from alanet.engine.runner import Runner
from alanet.engine.tiled import MOST_WORK, exact_halo, plan_tiles_for
from alanet.errors import ResourceError
from alanet.frames.frame import Color, VideoInfo
from alanet.frames.tiles import overhead
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.alanet_plus import ALANetPlus
from alanet.video.output.codecs import CODECS
from tests.support.media import make_video

MIB = 1 << 20
UHD = VideoInfo(
    Path("/a.mp4"),
    "mp4",
    "h264",
    3840,
    2160,
    Fraction(30),
    Fraction(1, 30),
    Fraction(0),
    None,
    None,
    "yuv420p",
    8,
    Color(),
)
X264 = SimpleNamespace(codec=CODECS["x264"], pixel_format="yuv420p")


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(ALANet(ALANetConfig(width=0.25)), torch.device("cpu"), "fp32")


def least(runner: Runner, info: VideoInfo, mode: str) -> int:
    """The MiB that a refusal says would do."""
    with pytest.raises(ResourceError) as caught:
        plan_tiles_for(runner, info, MIB, mode, X264)
    said = re.search(r"needs at least (\d+) MiB even in tiles; use --memory (\d+)M or more", str(caught.value))
    assert said
    assert said[1] == said[2]
    return int(said[1])


@pytest.fixture(scope="module")
def aligning() -> Runner:
    return Runner(ALANetPlus(), torch.device("cpu"), "fp32")


@pytest.mark.parametrize("kind", ["runner", "aligning"])
@pytest.mark.parametrize("mode", ["exact", "feather"])
@pytest.mark.parametrize("size", [(3840, 2160), (7680, 4320)])
def test_the_least_that_a_refusal_names_is_enough_and_worth_it(kind, mode, size, request):
    runner = request.getfixturevalue(kind)
    info = replace(UHD, width=size[0], height=size[1])
    mebibytes = least(runner, info, mode)
    tiles = plan_tiles_for(runner, info, mebibytes * MIB, mode, X264)
    assert len(tiles) > 1
    assert overhead(tiles) <= MOST_WORK
    with pytest.raises(ResourceError):
        plan_tiles_for(runner, info, (mebibytes - 8) * MIB, mode, X264)


def test_feathered_tiles_do_less_work_in_the_same_memory(runner):
    memory = max(least(runner, UHD, mode) for mode in ("exact", "feather")) * MIB
    exact, feather = (plan_tiles_for(runner, UHD, memory, mode, X264) for mode in ("exact", "feather"))
    assert overhead(feather) < 0.7 * overhead(exact)


def test_of_a_network_that_aligns_features_wait_whole_and_a_pair_is_compared_whole(aligning):
    """Tiles save what G takes, down to what the work on a whole frame and pair takes."""
    cost = memory_cost(aligning, UHD)
    paper = memory_cost(Runner(ALANet(ALANetConfig(width=0.25)), torch.device("cpu"), "fp32"), UHD)
    kept = aligning.model.memory(4).features
    assert cost.per_frame_pixel - paper.per_frame_pixel == pytest.approx(kept)
    room = whole_work(aligning, UHD)
    assert 0.1 < room / (3840 * 2160) < 0.9
    budget = least(aligning, UHD, "exact") * MIB
    tiles = plan_tiles_for(aligning, UHD, budget, "exact", X264)
    assert max(tile.outer.pixels for tile in tiles) <= room
    there = SimpleNamespace(model=aligning.model, precision="fp32", device=torch.device("cuda"))
    assert memory_cost(there, UHD).per_frame_pixel == pytest.approx(1.5 * kept)


def test_more_bits_a_larger_network_and_an_encoder_take_more(runner):
    def bytes_of(info: VideoInfo = UHD, runner: Runner = runner, plan: object = X264) -> float:
        cost = memory_cost(runner, info, plan)
        return cost.per_frame_pixel + cost.per_tile_pixel

    assert bytes_of(replace(UHD, depth=10, pixel_format="yuv420p10le")) > bytes_of() * 1.05
    assert bytes_of(runner=Runner(ALANet(ALANetConfig(width=0.5)), torch.device("cpu"), "fp32")) > bytes_of() * 1.4
    assert bytes_of(runner=Runner(runner.model, torch.device("cpu"), "bf16")) < bytes_of()
    assert bytes_of(plan=None) < bytes_of() - 100


def test_a_gpu_holds_the_network_only(runner):
    """Its plan is about its own memory: pictures wait in the machine's."""
    there = SimpleNamespace(model=runner.model, precision="fp32", device=torch.device("cuda"))
    cost = memory_cost(there, UHD, X264)
    assert cost.per_frame_pixel == 0
    assert cost.per_tile_pixel > memory_cost(runner, UHD, X264).per_tile_pixel


def test_the_halo_is_what_the_network_sees_in_whole_strides(runner):
    assert exact_halo(runner.model) == 256
    assert runner.model.receptive_radius == 259


def test_what_is_free_is_more_than_what_is_held():
    assert resident_memory() > 50 * MIB
    free = free_memory(torch.device("cpu"))
    assert free is None or free > resident_memory()


def test_the_limit_of_a_container_counts(tmp_path):
    assert _container_limit(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert _container_limit(tmp_path) is None
    (tmp_path / "memory.max").write_text("5000\n")
    assert _container_limit(tmp_path) == 4000


RUN = """
import json, sys, torch
from alanet.engine.memory import memory_cost, peak_memory
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.restoration.restorer import Restorer
model = ALANet(ALANetConfig(width=0.0625, residual=True))
restorer = Restorer(model, device="cpu", precision="fp32", threads=1)
plan = restorer.plan(sys.argv[1])
cost = memory_cost(restorer.runner, plan.info, plan.output)
restorer.run(plan)
pixels = plan.info.width * plan.info.height
planned = cost.fixed + (cost.per_frame_pixel + cost.per_tile_pixel) * pixels
print(json.dumps({"planned": planned, "peak": peak_memory()}))
"""


@pytest.mark.slow
def test_a_process_takes_what_was_planned_and_no_more(tmp_path):
    """A whole process, with frames enough to fill the encoder's lookahead."""
    source = make_video(tmp_path / "a.mp4", frames=26, size=(1280, 704))
    done = subprocess.run([sys.executable, "-c", RUN, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    peak = said["peak"]
    assert 0.5 * said["planned"] < peak < said["planned"], f"{peak / MIB:.0f} of {said['planned'] / MIB:.0f} MiB"


def test_info_refuses_what_the_memory_cannot_hold_before_it_holds_a_frame(tmp_path, monkeypatch, capsys):
    def looked(*_: object) -> None:
        raise AssertionError("frames were looked at")

    monkeypatch.setattr(sys.modules["alanet.cli.info"], "analyse", looked)
    video = make_video(tmp_path / "large.mp4", frames=2)
    assert run(["info", str(video), "--memory", "1M"]) == 5
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "needs at least" in told
