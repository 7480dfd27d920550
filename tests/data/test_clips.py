"""Training clips: batch k is always batch k; what augments a clip augments its truth and its motion alike."""

import dataclasses
import io
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from alanet.data.augment import (
    Degradation,
    ExposureMix,
    Turn,
    average_highlights,
    defocus,
    degrade,
    draw_lengths,
    draw_turn,
    jpeg,
    sensor_noise,
    turn_motion,
    turn_pictures,
)
from alanet.data.clips import BankClips, SceneClips, validation_batches
from alanet.data.cutting import Batch, ClipOptions, draw_times, motion_range
from alanet.data.sheet import contact_sheet
from alanet.data.synthetic.bank import Bank, render_bank
from alanet.data.synthetic.render import Stills, find_stills, is_held_out
from alanet.data.synthetic.scenes import SceneOptions
from alanet.errors import DataError, OptionError
from alanet.frames.color import srgb_to_linear
from alanet.frames.exposure import Exposure

CLEAN = ClipOptions(degradation=Degradation(noise=0, jpeg=0), motion=True)
SHARP = dataclasses.replace(CLEAN, mix=ExposureMix(sharp=1, blurry=0))
SCENES = SceneOptions(height=48, width=48, frames=Exposure(7, 4).needed(5), period=4, max_displacement=6, still=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stills")
    names = [f"{k}.png" for k in range(40) if not is_held_out(f"{k}.png")][:3]
    rng = np.random.default_rng(0)
    for name in names:
        small = rng.integers(0, 256, (18, 18, 3), dtype=np.uint8)
        Image.fromarray(small).resize((128, 128), Image.Resampling.BICUBIC).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def bank(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return render_bank(folder, tmp_path_factory.mktemp("bank"), 6, SCENES, longest=7)


def tensors(batch: Batch) -> Iterator[torch.Tensor]:
    for field in dataclasses.fields(batch):
        value = getattr(batch, field.name)
        assert (value is None) == (field.name == "halfway_flow"), "scenes know their motion, and nothing half-way"
        if value is not None:
            yield value


def test_batches_have_the_promised_shapes(bank: Bank) -> None:
    options = ClipOptions(deblurred=2, between=3, factor=4, motion=True)
    batch = BankClips(bank, options).batch(0, size=3, crop=32)
    assert [tuple(part.shape) for part in tensors(batch)] == [
        (3, 5, 3, 32, 32), (3, 5), (3, 5, 3, 32, 32), (3, 5), (3, 4, 2, 2, 8, 8), (3, 5, 2, 8, 8),
    ]  # fmt: skip
    assert all(part.dtype == torch.float32 for part in tensors(batch))
    assert 0 <= batch.clip.min() <= batch.clip.max() <= 1
    assert (batch.times == batch.times[0]).all()
    assert BankClips(bank, ClipOptions()).batch(0, size=1, crop=0).clip.shape == (1, 5, 3, 48, 48)
    assert BankClips(bank, ClipOptions()).batch(0, size=1, crop=0).flow is None


def test_batch_k_is_always_batch_k(bank: Bank, folder: Path) -> None:
    scenes = SceneClips(Stills(find_stills(folder)), SCENES, ClipOptions(motion=True), longest=7, seed=3)
    for sampler in (BankClips(bank, ClipOptions(motion=True), seed=3), scenes):
        early = sampler.batch(7, size=2, crop=32)
        sampler.batch(0, size=2, crop=32)
        for one, other in zip(tensors(early), tensors(sampler.batch(7, size=2, crop=32)), strict=True):
            assert torch.equal(one, other)
        assert not torch.equal(early.truth, sampler.batch(8, size=2, crop=32).truth)
        sampler.batch(3 * (1 << 40), size=2, crop=32)  # far indices take no longer
    assert not torch.equal(early.truth, dataclasses.replace(BankClips(bank, seed=4).batch(7, size=2, crop=32)).truth)


def test_every_scene_is_used_before_any_is_used_again(bank: Bank) -> None:
    clips = BankClips(bank, seed=1)
    for epoch in range(3):
        assert sorted(clips._scene(0, epoch * 6 + k) for k in range(6)) == list(range(6))
    assert [clips._scene(0, k) for k in range(6)] != [clips._scene(0, k) for k in range(6, 12)]


def test_motion_grows_with_training_where_asked(bank: Bank, folder: Path) -> None:
    motions = bank.motions()
    low, high = motions.quantile(0.3).item(), motions.quantile(0.7).item()
    calm = dataclasses.replace(CLEAN, ramp_steps=100, slow_start=(low, high))
    clips = BankClips(bank, calm)
    assert {clips._scene(0, k) for k in range(30)} == {k for k in range(6) if low <= motions[k] <= high}
    slow, fast = motion_range(99, calm, float(motions.max()))
    assert slow < low < high < fast
    assert {clips._scene(99, k) for k in range(60)} == {k for k in range(6) if slow <= motions[k] <= fast}
    calm = dataclasses.replace(calm, slow_start=(0.0, SCENES.max_displacement / 8))
    scenes = SceneClips(Stills(find_stills(folder)), SCENES, calm, longest=7)
    flows = [scenes.batch(k, size=6, crop=32).flow for k in (0, 100)]
    assert 3 * float(flows[0].square().mean()) < float(flows[1].square().mean())


def test_sharp_inputs_are_the_truth_at_their_times(bank: Bank) -> None:
    clips = BankClips(bank, dataclasses.replace(SHARP, deblurred=5, between=0, clip_ends=1.0))
    for k in range(6):  # among them reversed, mirrored and recoloured ones
        batch = clips.batch(k, size=2, crop=32)
        assert batch.times[0].tolist() == [0, 1, 2, 3, 4]
        assert (batch.exposure == 1).all()
        assert torch.equal(batch.clip, batch.truth)


def test_flow_follows_every_turn(bank: Bank) -> None:
    """Forward and backward: warping the other frame by the flow gives this one, whatever was mirrored or reversed."""
    clips = BankClips(bank, dataclasses.replace(SHARP, t=5))
    errors = []
    for k in range(12):
        batch = clips.batch(k, size=2, crop=48)
        assert batch.flow is not None
        for p in range(4):
            for way, (here, there) in enumerate([(p, p + 1), (p + 1, p)]):
                flow = batch.flow[:, p, way]
                error = warped(batch.clip[:, there], flow) - warped(batch.clip[:, here], torch.zeros_like(flow))
                unmoved = warped(batch.clip[:, there], flow * 0) - warped(batch.clip[:, here], flow * 0)
                errors.append([part.abs().flatten(1).median(dim=1).values for part in (error, unmoved)])
    stated, unmoved = torch.tensor(np.array([[part.numpy() for part in pair] for pair in errors])).unbind(1)
    assert stated.quantile(0.9) < 0.015
    assert unmoved.median() > 3 * stated.median()


def warped(frame: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """frame(x + flow(x)) in the middle of each cell of 4x4: b c h/4 w/4."""
    h, w = frame.shape[-2:]
    y, x = torch.meshgrid(torch.arange(h // 4) + 0.5, torch.arange(w // 4) + 0.5, indexing="ij")
    places = torch.stack([(x * 4 + flow[:, 0]) / w, (y * 4 + flow[:, 1]) / h], dim=-1) * 2 - 1
    return F.grid_sample(frame, places, padding_mode="border", align_corners=False)


def test_sweep_says_where_the_scene_goes(bank: Bank) -> None:
    """Where motion is even, the sweep of a frame is the mean of its ways to the frame before and after."""
    batch = BankClips(bank, SHARP).batch(0, size=6, crop=48)
    assert batch.flow is not None
    assert batch.sweep is not None
    way = (batch.flow[:, 1:, 0] - batch.flow[:, :-1, 1]) / 2  # of frames 1, 2, 3
    assert float((way - batch.sweep[:, 1:-1]).abs().median()) < 0.2 * float(way.abs().median()) + 0.05
    assert float((way * batch.sweep[:, 1:-1]).sum()) > 0


def test_turns_keep_pictures_and_motion_together() -> None:
    rng = np.random.default_rng(0)
    assert len({draw_turn(rng) for _ in range(300)}) > 60
    # A dot at row 1, column 2 moves three to the right and one down.
    frames, flow = torch.zeros(2, 3, 8, 8), torch.tensor([3.0, 1.0]).reshape(1, 1, 2, 1, 1).expand(1, 2, 2, 8, 8)
    frames[0, 0, 1, 2] = frames[1, 0, 2, 5] = 1
    sweep = torch.zeros(2, 2, 8, 8)
    for turn in (Turn(), Turn(mirror_x=True), Turn(mirror_y=True), Turn(transpose=True), Turn(True, True, True)):
        turned = turn_pictures(frames, turn)
        (y0, x0), (y1, x1) = (torch.nonzero(frame[0])[0].tolist() for frame in turned)
        moved, _ = turn_motion(flow, sweep, turn)
        assert moved[0, 0, :, 0, 0].tolist() == [x1 - x0, y1 - y0]
    assert torch.equal(turn_pictures(frames, Turn(colors=(2, 1, 0)))[:, 2], frames[:, 0])


def test_times_lie_inside_and_sometimes_at_the_ends() -> None:
    rng = np.random.default_rng(0)
    inside = {time for _ in range(200) for time in draw_times(rng, ClipOptions(clip_ends=0.0))}
    assert inside == {Fraction(k, 2) for k in range(2, 7)}
    anywhere = {time for _ in range(400) for time in draw_times(rng, ClipOptions(clip_ends=0.5, factor=4))}
    assert anywhere == {Fraction(k, 4) for k in range(17)}
    with pytest.raises(OptionError, match="at most 3 and 2"):
        draw_times(rng, ClipOptions(between=3, clip_ends=0.0))


def test_the_mix_of_exposures_is_as_asked() -> None:
    rng = np.random.default_rng(0)
    draws = [draw_lengths(rng, 5, 15, ExposureMix()) for _ in range(2000)]
    assert {n for lengths in draws for n in lengths} == set(range(1, 16, 2))
    sharp, blurry = np.mean([max(d) == 1 for d in draws]), np.mean([min(d) > 1 for d in draws])
    assert 0.19 < sharp < 0.26  # a fifth, and one of 32 of the mixed ones
    assert 0.19 < blurry < 0.26
    alike = np.mean([len(set(d) - {1}) == 1 for d in draws if sum(n > 1 for n in d) >= 3])
    assert 0.45 < alike < 0.6


def test_faults_touch_the_inputs_as_often_as_asked() -> None:
    clip = torch.rand(64, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    clip = (clip * 255).round() / 255
    clean = degrade(clip, np.random.default_rng(0), Degradation(noise=0, jpeg=0))
    assert torch.equal(clean, clip)
    faulty = degrade(clip, np.random.default_rng(0), Degradation(noise=0.5, jpeg=0))
    assert 20 < int((faulty != clip).flatten(1).any(dim=1).sum()) < 44
    assert float((faulty - clip).abs().max()) < 0.15
    assert torch.equal((faulty * 255).round(), (faulty * 255).round().clamp(0, 255))
    assert torch.equal(faulty, degrade(clip, np.random.default_rng(0), Degradation(noise=0.5, jpeg=0)))


def test_out_of_focus_are_input_and_truth_alike(bank: Bank) -> None:
    """As often as asked, by no more than asked, in all frames of a clip; a point becomes a Gaussian of that width."""
    point = torch.zeros(64, 2, 3, 33, 33)
    point[..., 16, 16] = 1
    faults = Degradation(soft=0.5, soft_most=2.0)
    clip, truth = defocus(point, point[:, :1], np.random.default_rng(0), faults)
    soft = (clip != point).flatten(1).any(1)
    assert 20 < int(soft.sum()) < 44
    assert torch.equal(clip[:, :1], truth)
    assert torch.equal(clip[:, 0], clip[:, 1])
    away = (torch.arange(33) - 16.0).square()
    width = (clip[:, 0, 0].sum(1) * away).sum(1).sqrt()  # of the clip's columns together
    assert width[~soft].max() == 0
    assert 1.8 < width.max() <= 2.0
    torch.testing.assert_close(clip.sum((-2, -1)), torch.ones(64, 2, 3))
    plain, turned = (
        BankClips(
            bank, dataclasses.replace(SHARP, degradation=Degradation(noise=0, jpeg=0, soft=share, soft_most=9))
        ).batch(0, size=4, crop=32)
        for share in (0.0, 1.0)
    )
    variation = [torch.stack([x.diff(dim=-1).abs().mean() for x in (b.clip, b.truth)]) for b in (plain, turned)]
    assert (variation[1] < 0.95 * variation[0]).all()


@pytest.mark.parametrize("quality", [30, 60, 90])
def test_jpeg_is_what_pillow_makes_of_it(quality: int) -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (8, 10, 3), dtype=np.uint8)
    picture = Image.fromarray(small).resize((72, 56), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality, subsampling=2)
    given, expected = (
        torch.from_numpy(np.array(p)).permute(2, 0, 1)[None] / 255 for p in (picture, Image.open(stream))
    )
    made = jpeg(given, quality)
    assert (made - expected).square().mean().sqrt() < 0.012
    loss = (expected - given).square().mean().sqrt()
    assert (made - given).square().mean().sqrt() == pytest.approx(float(loss), rel=0.15)


def test_validation_is_every_scene_once_under_the_protocol(bank: Bank) -> None:
    made = list(validation_batches(bank, Exposure(5, 4)))
    assert len(made) == 6
    assert made[0].clip.shape == (1, 5, 3, 48, 48)
    assert made[0].times[0].tolist() == [k / 2 for k in range(9)]
    assert all((batch.exposure == 5).all() for batch in made)
    sharp = list(validation_batches(bank, Exposure(5, 4), probability=0.0))
    assert all(torch.equal(batch.clip, batch.truth[:, ::2]) for batch in sharp)
    mixed = torch.cat([batch.exposure for batch in validation_batches(bank, Exposure(7, 4), probability=0.5)])
    assert 0.2 < (mixed == 7).float().mean() < 0.8
    with pytest.raises(DataError, match="allowed: its period and at most its exposure"):
        next(validation_batches(bank, Exposure(9, 4)))


def test_what_a_bank_cannot_give_is_refused(bank: Bank, folder: Path) -> None:
    with pytest.raises(DataError, match="clips of 6 frames from scenes of 5"):
        BankClips(bank, ClipOptions(t=6))
    with pytest.raises(OptionError, match="factor 8 with a period of 4"):
        BankClips(bank, ClipOptions(factor=8))
    with pytest.raises(DataError, match="crops of 64 pixels from scenes of 48"):
        BankClips(bank).batch(0, size=1, crop=64)
    with pytest.raises(OptionError, match="clips of 1 frames"):
        ClipOptions(t=1)
    with pytest.raises(DataError, match="sub-frames for clips of 5 frames; allowed: 47 or more"):
        SceneClips(Stills(find_stills(folder)), dataclasses.replace(SCENES, period=8))


def test_a_contact_sheet_shows_every_frame(bank: Bank, tmp_path: Path) -> None:
    batch = BankClips(bank, SHARP).batch(0, size=2, crop=32)
    contact_sheet(batch, tmp_path / "sheet.png")
    sheet = np.array(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (68, 7 * 36, 3)
    np.testing.assert_array_equal(sheet[36:, :32], (batch.clip[1, 0] * 255).round().byte().permute(1, 2, 0).numpy())
    np.testing.assert_array_equal(sheet[:32, -32:], (batch.truth[0, 1] * 255).round().byte().permute(1, 2, 0).numpy())


def test_a_bare_machine_needs_neither_pyav_nor_the_command_line() -> None:
    check = "import sys, alanet.data.clips, alanet.data.sheet; print({'av', 'cyclopts'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_moving_lamp_leaves_a_white_streak():
    """A lamp of 5 times white crosses 5 pixels in 5 sub-frames: each gets a fifth of its light, which is white."""
    frames = torch.zeros(5, 3, 1, 7)
    for k in range(5):
        frames[k, :, 0, k + 1] = 1.0
    streak = average_highlights(frames, 5.0)[0, 0]
    torch.testing.assert_close(streak, torch.tensor([0.0, 1, 1, 1, 1, 1, 0]), atol=1e-5, rtol=0)
    grey = average_highlights(frames, 1.0)[0, 0, 1]
    assert float(grey) == pytest.approx(1.055 * 0.2 ** (1 / 2.4) - 0.055, abs=1e-4)  # a fifth of white's light
    dark = frames * 0.5
    assert torch.equal(average_highlights(dark, 5.0), average_highlights(dark, 1.0)), "what is not saturated stays"


def test_highlights_leave_ground_truth_and_exposures(bank):
    plain, bright = (
        BankClips(bank, dataclasses.replace(CLEAN, mix=ExposureMix(sharp=0.0, blurry=1.0, highlights=share)))
        for share in (0.0, 1.0)
    )
    a, b = plain.batch(0, size=2, crop=32), bright.batch(0, size=2, crop=32)
    assert torch.equal(a.truth, b.truth)
    assert torch.equal(a.exposure, b.exposure)


@pytest.mark.parametrize("value", [0.2, 0.5, 0.8])
def test_the_variance_of_photons_is_their_mean_and_read_noise_is_added(value):
    """In electrons, of pixels that are far from black and white."""
    frames, well, read = torch.full((1, 3, 200, 200), value), 1000.0, 4.0
    electrons = srgb_to_linear(sensor_noise(frames, well, read, seed=0).double()) * well
    expected = float(srgb_to_linear(torch.tensor(value).double())) * well
    assert float(electrons.mean()) == pytest.approx(expected, rel=0.01)
    assert float(electrons.var()) == pytest.approx(expected + read**2, rel=0.03)
