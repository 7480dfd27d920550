"""Protocols, scoring and footage on small videos whose blur, truth and scores are known."""

import itertools
import math
import subprocess
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from alanet.errors import DataError, InputError, MediaError, OptionError, TimeError
from alanet.evaluation.baselines import BASELINES, Method, blend, copy
from alanet.evaluation.evaluate import evaluate, of_model, of_restorer
from alanet.evaluation.footage import Footage, load_footage, scored_size
from alanet.evaluation.metrics import psnr
from alanet.evaluation.perceptual import Lpips, Stack
from alanet.evaluation.protocols import parse_protocols, trials
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.notes import Notes
from tests.support.media import make_video, number_of, picture
from tests.support.witness import program

HALF = Fraction(1, 2)


def ramp(count=43, height=16, width=20):
    """Frame i is `i` everywhere: its mean over a window is the centre's value, so truth can be read off."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, height, width, 3))


def textured(count=27, height=32, width=32):
    texture = np.random.default_rng(0).integers(0, 256, (height, width + count, 3), dtype=np.uint8)
    return np.stack([texture[:, i : i + width] for i in range(count)])


def only(text, **options):
    (protocol,) = parse_protocols(text, **options)
    return protocol


def test_all_blurry_has_the_papers_frames_in_the_right_places():
    (trial,) = trials("v", ramp(), only("all-blurry"))
    assert [int(p[0, 0, 0]) for p in trial.inputs] == [5, 13, 21, 29, 37]
    assert [int(p[0, 0, 0]) for p in trial.truth] == [5, 9, 13, 17, 21, 25, 29, 33, 37]
    assert trial.times == tuple(Fraction(k, 2) for k in range(9))
    assert all(trial.blurred)


def test_a_blurry_input_is_the_rounded_mean_of_eleven_and_a_sharp_one_the_centre_itself():
    sharp = textured()
    (blurry,) = trials("v", sharp, only("all-blurry"))
    (untouched,) = trials("v", sharp, only("all-sharp"))
    assert np.array_equal(blurry.inputs[1], np.rint(sharp[8:19].mean(0)).astype(np.uint8))
    assert np.array_equal(untouched.inputs[1], sharp[13])
    assert not any(untouched.blurred)
    (bright,) = trials("v", sharp, only("all-blurry", linear=True))
    assert bright.inputs[1].mean() > blurry.inputs[1].mean() + 5  # light adds up, its square root does not


def test_every_time_of_x8_is_its_own_sharp_frame():
    (trial,) = trials("v", ramp(), only("all-blurry x8"))
    assert [int(p[0, 0, 0]) for p in trial.truth] == list(range(5, 38))


def test_the_sweep_has_one_truth_for_all_exposures():
    protocols = parse_protocols("sweep")
    parts = [next(trials("v", textured(40), protocol)) for protocol in protocols]
    assert [protocol.length for protocol in protocols] == [1, 3, 5, 7, 9, 11, 13, 15]
    for part in parts:
        assert all(np.array_equal(a, b) for a, b in zip(part.truth, parts[0].truth, strict=True))
    assert np.array_equal(parts[0].inputs[0], parts[0].truth[0])
    errors = [psnr(part.inputs[0], part.truth[0]) for part in parts]
    assert all(a > b for a, b in itertools.pairwise(errors))  # more exposure, more blur


def test_mixed_draws_follow_the_seed_and_the_name_alone():
    draws = lambda name, seed: [b for t in trials(name, ramp(250), only("mixed", seed=seed)) for b in t.blurred]  # noqa: E731
    assert draws("a", 0) == draws("a", 0)
    assert draws("a", 0) != draws("b", 0)
    assert draws("a", 0) != draws("a", 1)
    assert 0 < sum(draws("a", 0)) < len(draws("a", 0))


def test_long_videos_are_cut_into_parts_that_score_every_time_once():
    import dataclasses

    whole = only("all-blurry")
    parts = list(trials("v", ramp(100), dataclasses.replace(whole, part=4)))
    assert len(parts) > 2
    (one,) = trials("v", ramp(100), whole)
    times = [part.first + t for part in parts for t, yes in zip(part.times, part.scored, strict=True) if yes]
    assert times == list(one.times)
    assert max(len(part.inputs) for part in parts) == 4


def test_a_perfect_restorer_is_exact_and_a_wrong_one_gets_its_score():
    footage = Footage.of("ramp", ramp())
    truth = Method("truth", lambda inputs, times: [ramp()[int(5 + 8 * t)] for t in times])
    off = Method("off", lambda inputs, times: [ramp()[int(5 + 8 * t)] + np.uint8(3) for t in times])
    result = evaluate([truth, off], [footage], only("all-blurry"))
    assert result.over_images("truth", "deblurred").exact == 5
    assert result.over_images("truth", "deblurred").psnr is None
    for kind, count in (("deblurred", 5), ("interpolated", 4)):
        mean = result.over_images("off", kind)
        assert (mean.images, mean.exact) == (count, 0)
        assert mean.psnr == pytest.approx(20 * math.log10(255 / 3))
    assert result.joint("off").psnr == pytest.approx(20 * math.log10(255 / 3))


def test_copy_is_exact_on_sharp_inputs_only_and_both_kinds_are_told_apart():
    result = evaluate([Method("copy", copy)], [Footage.of("v", textured(150))], only("mixed", seed=3))
    apart = result.by_inputs("copy", "deblurred")
    assert set(apart) == {0, 1}
    assert (apart[0].images, apart[1].exact) == (0, 0)
    assert apart[0].exact + apart[1].images == 18
    assert set(result.by_inputs("copy", "interpolated")) == {0, 1, 2}


def test_our_network_is_evaluated_as_users_run_it_on_the_sizes_they_have():
    from alanet.restoration.restorer import Restorer

    model = ALANet(ALANetConfig(width=0.125, residual=True))
    footage = Footage.of("v", textured(27, 30, 37))  # no multiple of the stride
    restorer = Restorer(model, device="cpu", precision="fp32")
    methods = [of_restorer(restorer, "restorer", weights="abc"), of_model(model, "model", device="cpu")]
    result = evaluate(methods, [footage], only("all-blurry"))
    scores = {name: [(s.time, s.psnr) for s in result.of(name)] for name in ("restorer", "model")}
    assert scores["restorer"] == scores["model"]
    (trial,) = trials("v", footage.frames, only("all-blurry"))
    restored = restorer.arrays(trial.inputs)
    assert [p for _, p in scores["model"]] == [psnr(a, b) for a, b in zip(restored, trial.truth, strict=True)]
    assert result.methods == (("restorer", "abc"), ("model", None))


def test_a_method_that_cannot_restore_the_times_is_left_out_with_its_reason():
    model = ALANet(ALANetConfig(width=0.125))
    methods = [of_model(model, device="cpu"), Method("blend", blend)]
    result = evaluate(methods, [Footage.of("v", textured())], only("all-blurry x4"))
    assert [name for name, _ in result.methods] == ["blend"]
    assert result.refused[0][0] == "ours"
    assert "this model restores x2" in result.refused[0][1]
    with pytest.raises(TimeError):
        methods[0].restore([textured()[0]] * 2, [Fraction(0), Fraction(1, 4)])


def test_lpips_is_measured_where_its_weights_are_given():
    lpips = Lpips(Stack("alexnet"), [torch.ones(n) for n in (64, 192, 384, 256, 256)]).eval()
    footage, protocol = Footage.of("v", textured(height=64, width=64)), only("mixed", seed=2)
    result = evaluate([Method("copy", copy)], [footage], protocol, lpips=lpips)
    assert all((score.lpips == 0) == score.exact for score in result.scores)
    assert result.over_images("copy", "interpolated").lpips > 0
    assert evaluate([Method("copy", copy)], [footage], protocol).scores[0].lpips is None


def test_progress_names_what_is_done():
    told = []
    videos = (Footage.of(name, textured()) for name in "ab")  # a generator: one video in memory at a time
    evaluate(BASELINES[:2], videos, only("all-blurry"), count=2, on_progress=lambda *facts: told.append(facts))
    done = [("a", "copy", 5), ("a", "blend", 10), ("b", "copy", 15), ("b", "blend", 20)]
    assert told == [(*one, 20) for one in done]
    evaluate(BASELINES[:1], [Footage.of("a", textured())], only("all-blurry"), on_progress=lambda *f: told.append(f))
    assert told[-1] == ("a", "copy", 5, None)


def test_results_name_the_data_they_were_made_on():
    one, two = Footage.of("v", textured()), Footage.of("v", textured()[::-1])
    assert one.subject.pixels != two.subject.pixels
    assert one.subject.pixels == Footage.of("v", textured().copy(order="F")).subject.pixels


@pytest.mark.parametrize(
    ("size", "given", "scored"),
    [
        ("paper", (1280, 720), (640, 352)),
        ("paper", (1088, 1920), (352, 640)),
        ("native", (960, 540), (640, 360)),
        ("native", (1088, 1920), (362, 640)),
        ("native", (640, 272), (640, 272)),
    ],
)
def test_sizes_as_scored(size, given, scored):
    assert scored_size(*given, size) == scored  # type: ignore[call-arg]


def test_arrays_decoded_before_are_taken_as_they_are(tmp_path):
    np.save(tmp_path / "clip.npy", textured())
    footage = load_footage(tmp_path / "clip.npy", limit=20)
    assert np.array_equal(footage.frames, textured()[:20])
    assert len(footage.subject.file) == 64
    np.save(tmp_path / "float.npy", textured() / 255.0)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    for name, says in {"float": "t h w 3 of uint8", "objects": "not a plain", "text": "not a plain"}.items():
        with pytest.raises(DataError, match=says):
            load_footage(tmp_path / f"{name}.npy")


def test_videos_are_decoded_resized_and_their_rate_is_judged(tmp_path):
    make_video(tmp_path / "fast.mp4", frames=4, rate=240)
    make_video(tmp_path / "slow.mp4", frames=4, rate=30)
    make_video(tmp_path / "deep.mp4", frames=4, rate=240, pix_fmt="yuv420p10le")
    notes = Notes()
    for name in ("fast", "deep"):
        video = load_footage(tmp_path / f"{name}.mp4", limit=3, notes=notes)
        assert video.frames.shape == (3, 352, 640, 3)
        assert video.frames.dtype == np.uint8
        assert [number_of(frame) for frame in video.frames] == [0, 1, 2]
        assert video.subject.rate == "240"
    assert not any("fps" in line for line in notes.warnings)
    with pytest.raises(DataError, match=r"slow.mp4: 30 fps; allowed: 120 fps or more, or an assumed rate"):
        load_footage(tmp_path / "slow.mp4")
    slow = load_footage(tmp_path / "slow.mp4", size="native", assume_rate=Fraction(240), notes=notes)
    assert slow.frames.shape == (4, 480, 640, 3)
    assert slow.subject.rate == "30, taken as 240"
    assert any("slow.mp4: 30 fps taken as if 240 fps" in line for line in notes.warnings)
    ntsc = make_video(tmp_path / "ntsc.mp4", frames=1, rate=Fraction(120000, 1001))
    assert load_footage(ntsc).subject.rate == "120000/1001"
    with pytest.raises(MediaError):
        load_footage(tmp_path / "none.mp4")


def test_a_folder_of_images_is_a_video_too(tmp_path):
    for i in range(3):
        Image.fromarray(picture(i, 640, 352)).save(tmp_path / f"{i:04d}.png")
    assert np.array_equal(load_footage(tmp_path).frames, [picture(i, 640, 352) for i in range(3)])


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_turned_video_is_scored_as_a_player_shows_it(tmp_path, rotation):
    lossless = {"qp": "0"}
    path = make_video(tmp_path / "a.mp4", frames=1, rate=240, size=(640, 352), rotation=rotation, options=lossless)
    shown = ["-v", "error", "-i", str(path), "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    raw = subprocess.run([program("ffmpeg"), *shown], capture_output=True, check=True).stdout  # it turns by itself
    frame = load_footage(path).frames[0]
    assert frame.shape == ((352, 640, 3) if rotation == 180 else (640, 352, 3))
    assert np.abs(frame.astype(int) - np.frombuffer(raw, np.uint8).reshape(frame.shape)).mean() < 3


def test_what_cannot_be_evaluated_is_refused_in_one_line():
    methods = list(BASELINES[:2])
    with pytest.raises(DataError, match=r"short: 18 frames are too few for all-blurry; give 19 or more"):
        evaluate(methods, [Footage.of("short", textured(18))], only("all-blurry"))
    with pytest.raises(DataError, match="no video to evaluate on"):
        evaluate(methods, [], only("all-blurry"))
    twins = [Footage.of("v", textured()), Footage.of("v", textured())]
    with pytest.raises(DataError, match="two videos are named v"):
        evaluate(methods, twins, only("all-blurry"))
    with pytest.raises(OptionError, match="choose from all-blurry, mixed, all-sharp, sweep"):
        parse_protocols("all-blury")
    few = Method("few", lambda inputs, times: list(inputs))
    with pytest.raises(DataError, match=r"few gave 3 frames for 5 times"):
        evaluate([few], [Footage.of("v", textured())], only("all-blurry"))
    assert issubclass(TimeError, InputError)  # what `evaluate` takes for a refusal
