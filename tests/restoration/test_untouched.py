"""Untouched frames (recognised as sharp, or --strength 0) reach the encoder as their own planes; and slow motion."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch

from alanet.cli import run
from alanet.engine.fallback import FallbackRunner
from alanet.engine.stream import Estimate, Kept
from alanet.errors import OptionError, TimeError
from alanet.frames.frame import Frame
from alanet.frames.timing import Factor, slow_motion
from alanet.model import weights
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.alanet_plus import ALANetPlus
from alanet.model.network import Window
from alanet.model.weights import continuous_models, save_weights
from alanet.notes import Notes
from alanet.restoration.analysis import FrameEstimates, analyse
from alanet.restoration.options import EncodeOptions, RestoreOptions
from alanet.restoration.restorer import Restorer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from tests.support.media import Subtitle, Track, make_video, number_of
from tests.support.networks import TINY, Blend, BlendConfig, estimating
from tests.support.witness import ffprobe, times

FORMATS = ["yuv420p", "yuv422p", "yuv420p10le", "yuv422p10le"]


def restorer(model: Any) -> Restorer:
    return Restorer(model, device="cpu", precision="fp32")


def planes_of(path: Path) -> list[list[np.ndarray]]:
    """The decoded bytes of each plane of each frame, without what pads their rows."""
    frames = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            wide = [c.bits > 8 for c in frame.format.components]
            rows = [np.frombuffer(memoryview(p), np.uint8).reshape(-1, p.line_size)[: p.height] for p in frame.planes]
            frames.append([row[:, : p.width * (1 + w)].copy()
                           for row, p, w in zip(rows, frame.planes, wide, strict=True)])  # fmt: skip
    return frames


def alike(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("how", ["sharp", "strength"])
def test_input_planes_come_out_bit_for_bit(tmp_path, pix_fmt, how):
    """At every input time the decoded planes are the input's; in between they are made. 7 frames, x2, odd rows."""
    source = make_video(tmp_path / "a.mkv", frames=7, size=(70, 54), codec="ffv1", pix_fmt=pix_fmt)
    model = estimating() if how == "sharp" else ALANet(ALANetConfig(width=0.125))  # random, far from the identity
    options = RestoreOptions(encode=EncodeOptions(codec="ffv1"), strength=float(how == "sharp"))
    report = restorer(model).restore(source, tmp_path / "b.mkv", options)
    given, made = planes_of(source), planes_of(tmp_path / "b.mkv")
    assert len(made) == 14
    assert all(alike(a, b) for a, b in zip(given, made[::2], strict=True))
    assert alike(given[-1], made[-1])  # held
    assert not any(alike(a, b) for a, b in zip(given, made[1:-1:2], strict=False))
    assert report.untouched == 8
    expected = (7, 7, pytest.approx(0.5)) if how == "sharp" else (0, 0, None)
    assert (report.estimates.classified, report.estimates.sharp, report.estimates.exposure) == expected


def test_only_sharp_frames_pass(tmp_path, monkeypatch):
    """Through RGB and a network of noise the others differ; and for those that pass the network is not run."""
    source = make_video(tmp_path / "a.mkv", frames=6, codec="ffv1")
    ours = restorer(estimating())
    opinions = iter([True, False, False, True, True, False])
    monkeypatch.setattr(ours.runner, "estimate", lambda window, i: Estimate(0.5, next(opinions)))
    report = ours.restore(source, tmp_path / "b.mkv", RestoreOptions(encode=EncodeOptions(codec="ffv1")))
    same = [alike(a, b) for a, b in zip(planes_of(source), planes_of(tmp_path / "b.mkv")[::2], strict=True)]
    assert same == [True, False, False, True, True, False]
    assert (report.estimates.classified, report.estimates.sharp, report.untouched) == (6, 3, 3)
    assert (ours.runner.encodes, ours.runner.relates, ours.runner.generates) == (6, 5, 11 - 3)


def test_an_opinion_that_is_no_number_is_none():
    """A network gone wrong passes nothing by that, and does not spoil the mean exposure."""
    ours = restorer(estimating())
    frame = ours.runner.encode(np.zeros((32, 32, 3), np.uint8))
    both = {0: frame, 1: frame}
    assert ours.runner.estimate(Window(both, {0: ours.runner.relate(frame, frame)}), 0).sharp
    assert ours.runner.estimate(Window(both), 0) is None  # alone, nothing shows how it moves
    with torch.no_grad():
        ours.model.exposure.whole[-1].bias.fill_(torch.nan)  # type: ignore[attr-defined]
    assert ours.runner.estimate(Window(both, {0: ours.runner.relate(frame, frame)}), 0) is None
    assert restorer(ALANet(ALANetConfig(width=0.125))).runner.estimate(Window({0: None}), 0) is None


def test_a_gpu_that_is_full_when_exposure_is_estimated_takes_smaller_tiles(monkeypatch):
    steady = FallbackRunner(restorer(estimating()).runner, (), "exact", Notes())
    fails = iter([True, False])
    real = steady.runner.estimate

    def estimate(*given):
        if next(fails):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*given)

    taken: list[Any] = []
    monkeypatch.setattr(steady.runner, "estimate", estimate)
    monkeypatch.setattr(steady, "_take_smaller", taken.append)
    pixels = np.zeros((32, 32, 3), np.uint8)
    assert steady.estimate(Window({0: Kept(pixels), 1: Kept(pixels)}, {0: Kept()}), 0).sharp
    assert len(taken) == 1
    assert taken[0] is pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_sharp_arrays_come_back_exactly_and_are_not_the_callers(dtype):
    given = [np.random.default_rng(i).integers(0, np.iinfo(dtype).max, (18, 34, 3), dtype) for i in range(3)]
    out = restorer(estimating()).arrays(given)
    assert all(np.array_equal(a, b) for a, b in zip(given, out[::2], strict=True))
    assert not any(a is b for a in given for b in out)
    blurry = restorer(estimating(sharp=-20.0)).arrays(given)
    assert not any(np.array_equal(a, b) for a, b in zip(given, blurry[::2], strict=True))


def test_strength_is_in_the_command_line_and_refused_beyond_1(tmp_path, capsys):
    file = tmp_path / "w.safetensors"
    save_weights(estimating(sharp=-20.0), file)
    source = make_video(tmp_path / "a.mkv", frames=3, codec="ffv1")
    words = ["--model", str(file), "--codec", "ffv1", "--device", "cpu", "--precision", "fp32", "-q", "--json"]
    assert run(["restore", str(source), "-o", str(tmp_path / "s.mkv"), "--slow", "2", *words[:-2]]) == 0
    told = capsys.readouterr()
    assert "30 fps, 2 times slower" in told.err + told.out
    assert "0 of 3 already sharp, left unchanged; mean exposure 0.50 ± 0.10 of the frame period" in told.err + told.out
    assert run(["restore", str(source), "-o", str(tmp_path / "b.mkv"), "--strength", "0", *words]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["untouched"], said["classified"], said["sharp"]) == (4, 2, 0)  # no opinion is needed of the last
    assert said["exposure"] == pytest.approx(0.5, abs=1e-3)
    assert run(["restore", str(source), "-o", str(tmp_path / "c.mkv"), "--strength", "1.5", *words]) != 0
    assert "strength 1.5 is not a number from 0" in capsys.readouterr().err
    with pytest.raises(OptionError, match="strength -1"):
        RestoreOptions(strength=-1)


def test_half_strength_is_half_way(tmp_path):
    given = [np.full((16, 16, 3), 100, np.uint8)]
    ours = restorer(estimating(sharp=-20.0))
    (full,), (half,) = ours.arrays(given, rate=Factor(1)), ours.arrays(given, rate=Factor(1), strength=0.5)
    assert np.abs(half - (100.0 + full) / 2).max() <= 0.5
    assert np.abs(full - 100.0).max() > 2


def test_slow_motion_at_the_inputs_rate(tmp_path):
    """--slow 4 of 30 fps: 30 fps, 4 times as long, phases k / 4, each frame encoded once; what has times is slowed."""
    source = make_video(
        tmp_path / "a.mkv", frames=5, codec="ffv1", pix_fmt="bgr0", audio=Track(), subtitles=[Subtitle()],
        chapters=[(0.0, 0.1, "one")],
    )  # fmt: skip
    ours = restorer(Blend(BlendConfig(1.0)))
    report = ours.restore(source, tmp_path / "b.mkv", RestoreOptions(slow_motion(4), encode=EncodeOptions("ffv1")))
    assert (report.frames_in, report.frames_out) == (5, 20)
    assert (ours.runner.encodes, ours.runner.generates) == (5, 17)
    late = [t - Fraction(k, 30) for k, t in enumerate(times(tmp_path / "b.mkv"))]
    assert max(map(abs, late)) <= Fraction(5, 2000)  # Matroska counts milliseconds: half of one, stretched, and another
    said = ffprobe(tmp_path / "b.mkv")
    assert [stream["codec_type"] for stream in said["streams"]] == ["video", "audio", "subtitle"]
    assert Fraction(said["streams"][0]["r_frame_rate"]) == 30
    assert [(c["start_time"], c["end_time"]) for c in said["chapters"]] == [("0.000000", "0.400000")]
    assert report.notes.left_out == []
    inputs = [frame.pixels.astype(float) for frame in decode(probe(source))]
    for k, frame in enumerate(decode(probe(tmp_path / "b.mkv"))):  # inputs and blends
        i, phase = divmod(k, 4)
        share = 0.0 if i == 4 else phase / 4
        assert np.abs(frame.pixels - inputs[i] * (1 - share) - inputs[min(i + 1, 4)] * share).max() <= 0.6


def test_slow_motion_has_a_name_and_another_rate(tmp_path):
    file = tmp_path / "w.safetensors"
    save_weights(ALANetPlus(TINY), file)
    source = make_video(tmp_path / "a.mp4", frames=4, rate=25)
    words = ["restore", str(source), "--model", str(file), "-q", "--device", "cpu", "--precision", "fp32"]
    assert run([*words, "--slow", "3"]) == 0
    assert run([*words, "--slow", "2", "--fps", "50"]) == 0
    assert run([*words, "--slow", "2", "--fps", "x2", "--end", "0.08"]) == 0
    assert times(tmp_path / "a_slow2_x2.mp4") == [Fraction(k, 50) for k in range(8)]  # as it was asked for
    assert times(tmp_path / "a_slow3.mp4") == [Fraction(k, 25) for k in range(12)]
    assert times(tmp_path / "a_slow2_50fps.mp4") == [Fraction(k, 50) for k in range(16)]
    assert [number_of(frame.pixels) for frame in decode(probe(tmp_path / "a_slow3.mp4"))][::3] == [0, 1, 2, 3]


def test_a_network_of_midpoints_names_those_that_can(tmp_path, monkeypatch):
    source = make_video(tmp_path / "a.mp4", frames=2)
    ours = restorer(ALANet(ALANetConfig(width=0.125)))
    for rate in (Factor(4), slow_motion(4)):
        monkeypatch.setattr("alanet.restoration.loaded.continuous_models", lambda: ["able", "abler"])
        with pytest.raises(TimeError, match=r"x4 .* only inputs and midpoints: use x2.*model able, abler"):
            ours.plan(source, options=RestoreOptions(rate))
        monkeypatch.setattr("alanet.restoration.loaded.continuous_models", list)
        with pytest.raises(TimeError, match="weights of such a network, by model PATH"):
            ours.plan(source, options=RestoreOptions(rate))
    plan = ours.plan(source, options=RestoreOptions(slow_motion(2)))  # midpoints only
    assert (plan.frames_out, plan.rate) == (4, Fraction(30))


def test_which_shipped_models_know_any_time(tmp_path, monkeypatch):
    card = next(iter(weights.available_models().values()))
    save_weights(ALANetPlus(TINY), tmp_path / "plus.safetensors")
    save_weights(ALANet(ALANetConfig(width=0.125)), tmp_path / "paper.safetensors")
    cards = {name: replace(card, file=str(tmp_path / f"{name}.safetensors")) for name in ("paper", "plus", "gone")}
    monkeypatch.setattr(weights, "available_models", lambda: cards)
    assert continuous_models() == ["plus"]


def test_info_shows_what_the_network_makes_of_it(tmp_path, capsys):
    """Exposures of 0.5: bars half high, beside the blur. The first frame has no motion to be estimated by."""
    file = tmp_path / "w.safetensors"
    save_weights(estimating(), file)
    source = make_video(tmp_path / "a.mp4", frames=10, audio=None)
    words = ["--model", str(file), "--device", "cpu", "--precision", "fp32"]
    assert run(["info", str(source), *words]) == 0
    told = capsys.readouterr().out
    assert "mean exposure 0.50 ± 0.10 of the frame period; 100% of 9 frames looked at are already sharp" in " ".join(
        told.split()
    )
    assert sum(line.split()[:1] == ["exposure"] for line in told.splitlines()) >= 1
    assert run(["info", str(source), "--json", *words]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["classified"], said["sharp"]) == (9, 9)
    assert said["exposures"] == pytest.approx([0.5] * 10, abs=1e-3)
    assert run(["info", str(source), "--json"]) == 0
    assert "classified" not in json.loads(capsys.readouterr().out)


def test_frames_between_those_looked_at_are_as_the_one_before():
    looked, before = [], []

    def estimate(pixels, earlier):
        looked.append(int(pixels[0, 0, 0]))
        before.append(None if earlier is None else int(earlier[0, 0, 0]))
        return None if len(looked) == 1 else Estimate(len(looked) / 4, len(looked) == 2)

    frames = [Frame(np.full((2, 2, 3), i, np.uint8), Fraction(i), Fraction(1)) for i in range(7)]
    scores: Any = SimpleNamespace(duplicate=False, blur=0.5)
    found = analyse(((frame, scores, frame.time == 4) for frame in frames), estimate, 2)
    assert looked == [0, 2, 4, 6]
    assert before == [None, 1, None, 5]  # across a cut there is no motion
    assert found.exposures == [0.5, 0.5, 0.5, 0.5, 0.75, 0.75, 1.0]  # the first was no opinion
    assert (found.estimates.classified, found.estimates.sharp) == (3, 1)


def test_frames_that_follow_each_other_are_encoded_once_each_for_an_opinion():
    """And each is estimated with its motion from the one before; what was not looked at before is encoded for that."""
    runner = restorer(estimating()).runner
    opinions = FrameEstimates(runner)
    frames = [np.random.default_rng(i).integers(0, 256, (32, 48, 3), np.uint8) for i in range(5)]
    opinions(frames[0], None)
    opinions(frames[1], frames[0])
    opinions(frames[2], frames[1])
    assert (runner.encodes, runner.relates) == (3, 2)
    said = opinions(frames[4], frames[3])
    assert (runner.encodes, runner.relates) == (5, 3)
    window = {i: runner.encode(frames[i]) for i in (3, 4)}
    assert said == runner.estimate(Window(window, {3: runner.relate(window[3], window[4])}), 4)
