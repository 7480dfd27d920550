"""Scenes: the motion they state is the motion they show; the same numbers give the same scene; pictures stay sharp."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from alanet.data.synthetic.bank import Bank, render_bank
from alanet.data.synthetic.render import CELL, Stills, coverage, find_stills, is_held_out, render, scene_motion
from alanet.data.synthetic.scenes import Layer, Mask, Scene, SceneOptions, draw_path, draw_scene
from alanet.errors import DataError, OptionError
from alanet.frames.exposure import Exposure

EXPOSURE = Exposure(5, 4)
OPTIONS = SceneOptions(height=64, width=96, frames=EXPOSURE.needed(3), period=4, max_displacement=8, still=0, steady=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve smooth but detailed pictures, at least one of them held out."""
    folder = tmp_path_factory.mktemp("stills")
    rng = np.random.default_rng(0)
    for k in range(12):
        small = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(small).resize((192, 160), Image.Resampling.BICUBIC).save(folder / f"still-{k}.png")
    return folder


@pytest.fixture(scope="module")
def stills(folder: Path) -> Stills:
    return Stills(find_stills(folder))


def shifts(pixels_a_frame: float, frames: int) -> np.ndarray:
    """Homographies of a plain move to the right, 0 in the middle of the scene."""
    h = np.tile(np.eye(3), (frames, 1, 1))
    h[:, 0, 2] = (np.arange(frames) - frames // 2) * pixels_a_frame
    return h


def disc(radius: float) -> Mask:
    return Mask(radius, 1.0, 0.0, np.zeros((6, 2)), 1.0, 0.0, 5.0, 0)


class OnePicture(Stills):
    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = torch.from_numpy(pixels)

    def picture(self, fraction: float) -> torch.Tensor:
        return self.pixels


def warped(frame: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """frame(x + flow(x)) at the cells' middles: c h/4 w/4."""
    h, w = frame.shape[-2:]
    y, x = torch.meshgrid(torch.arange(flow.shape[1]) + 0.5, torch.arange(flow.shape[2]) + 0.5, indexing="ij")
    places = torch.stack([(x * CELL + flow[0]) / w, (y * CELL + flow[1]) / h], dim=-1) * 2 - 1
    return F.grid_sample(frame[None], places[None].float(), align_corners=False)[0]


def test_the_stated_flow_brings_one_frame_onto_the_next(stills: Stills) -> None:
    better = []
    for index in range(6):
        scene = draw_scene(OPTIONS, 7, index)
        sharp = render(scene, stills)
        flow = torch.from_numpy(scene_motion(scene, EXPOSURE).flow)
        for i, j, stated in [(0, 1, flow[0, 0]), (1, 0, flow[0, 1]), (1, 2, flow[1, 0]), (2, 1, flow[1, 1])]:
            here, there = sharp[EXPOSURE.centre(i)], sharp[EXPOSURE.centre(j)]
            still = torch.zeros_like(stated)
            # The median leaves out what is hidden in one of the two frames or has left it.
            error = (warped(there, stated) - warped(here, still)).abs().median()
            assert error < 0.012
            better.append(float((warped(there, still) - warped(here, still)).abs().median() / (error + 1e-6)))
    assert np.median(better) > 4


def test_sweep_is_the_motion_over_one_period(stills: Stills) -> None:
    layer = Layer(((0.0, 0.5, 0.5),), 1.0, 1.0, shifts(0.75, OPTIONS.frames), None)
    motion = scene_motion(Scene(OPTIONS, 0, (layer,)), EXPOSURE)
    np.testing.assert_allclose(motion.sweep[:, 0], 3.0, atol=1e-5)  # 0.75 pixels in each of 4 frames
    np.testing.assert_allclose(motion.flow[:, 0, 0], 3.0, atol=1e-5)
    np.testing.assert_allclose(motion.flow[:, 1, 0], -3.0, atol=1e-5)
    np.testing.assert_allclose(motion.flow[:, :, 1], 0.0, atol=1e-5)


def test_a_layer_hides_what_is_behind_it_and_has_its_own_motion() -> None:
    dark, light = np.full((3, 128, 128), 40, np.uint8), np.full((3, 128, 128), 200, np.uint8)
    pictures = OnePicture(dark)
    pictures.picture = lambda fraction: torch.from_numpy(dark if fraction < 0.5 else light)  # type: ignore[method-assign]
    still = np.tile(np.eye(3), (OPTIONS.frames, 1, 1))
    layers = (
        Layer(((0.0, 0.5, 0.5),), 1, 1, still, None),
        Layer(((0.9, 0.5, 0.5),), 1, 1, shifts(2, OPTIONS.frames), disc(12)),
    )
    scene = Scene(OPTIONS, 0, layers)
    frames = render(scene, pictures)
    middle = OPTIONS.frames // 2
    assert frames[middle, 0, 32, 48] == pytest.approx(200 / 255, abs=1e-3)
    assert frames[middle, 0, 32, 70] == pytest.approx(40 / 255, abs=1e-3)
    columns = frames[:, 0, 32] > 0.5
    widths, lefts = columns.sum(dim=1), columns.float().argmax(dim=1)
    assert set(widths.tolist()) <= {23, 24, 25}
    np.testing.assert_allclose(np.diff(lefts.numpy()), 2, atol=1)
    flow = scene_motion(scene, EXPOSURE).flow[1, 1, 0]  # from the last input frame back: 4 frames of 2 pixels
    assert set(np.unique(flow.round(3))) == {-8.0, 0.0}


def test_pictures_keep_their_contrast_at_any_fraction_of_a_pixel() -> None:
    wave = 127.5 + 100 * np.sin(2 * math.pi * np.arange(256) / 6)
    picture = np.broadcast_to(wave.round().astype(np.uint8), (3, 256, 256)).copy()
    layer = Layer(((0.0, 0.5, 0.5),), 1.0, 1.0, shifts(1 / 8, 9), None)
    frames = render(Scene(SceneOptions(64, 64, 9, 8), 0, (layer,)), OnePicture(picture))[:, 0, 32, :60]
    contrast = [np.abs(np.exp(-2j * math.pi * np.arange(60) / 6) @ row.numpy()) / 30 * 2.55 for row in frames]
    np.testing.assert_allclose(contrast, 1.0, atol=0.05)


def test_a_fine_pattern_seen_from_afar_is_grey_not_a_moire() -> None:
    wave = 127.5 + 100 * np.sin(2 * math.pi * np.arange(512) / 2.7)
    picture = np.broadcast_to(wave.round().astype(np.uint8), (3, 512, 512)).copy()
    layer = Layer(((0.0, 0.5, 0.5),), 0.45, 1.0, shifts(0.1, 9), None)
    frames = render(Scene(SceneOptions(64, 64, 9, 8), 0, (layer,)), OnePicture(picture))
    assert frames.std() < 0.02
    assert frames.mean() == pytest.approx(0.5, abs=0.01)


def test_a_scene_is_a_function_of_seed_and_index(stills: Stills) -> None:
    first, again, other = draw_scene(OPTIONS, 1, 5), draw_scene(OPTIONS, 1, 5), draw_scene(OPTIONS, 1, 6)
    assert torch.equal(render(first, stills), render(again, stills))
    assert not torch.equal(render(first, stills), render(other, stills))
    assert first.layers[0].candidates != draw_scene(OPTIONS, 2, 5).layers[0].candidates


def test_frames_have_no_borders_and_no_impossible_values(stills: Stills) -> None:
    wide = dataclasses.replace(OPTIONS, max_displacement=48)  # the stills are far too small for this
    for index in range(4):
        frames = render(draw_scene(wide, 3, index), stills)
        assert frames.shape == (wide.frames, 3, 64, 96)
        assert frames.isfinite().all()
        assert 0 <= frames.min() <= frames.max() <= 1
        assert (frames.amax(dim=(0, 1)) > 0.05).all()  # a border that was never drawn would be black


def test_paths_are_as_far_as_asked_and_smooth() -> None:
    rng = np.random.default_rng(0)
    options = SceneOptions(max_displacement=24)
    steps = []
    for _ in range(100):
        path = draw_path(rng, options, True)
        steps.append(np.hypot(*(path[8:] - path[:-8])[:, :2].T).max())
        change = np.diff(path, axis=0)
        assert np.abs(np.diff(change, axis=0)).max() <= 0.35 * np.abs(change).max() + 1e-9
    assert max(steps) <= 24
    assert 2 < np.median(steps) < 12
    assert not draw_path(rng, options, False).any()


def test_shares_of_still_scenes_are_as_asked() -> None:
    options = dataclasses.replace(OPTIONS, still=0.3)
    still = [all((layer.homographies == layer.homographies[:1]).all() for layer in draw_scene(options, 0, i).layers)
             for i in range(200)]  # fmt: skip
    assert 0.2 < np.mean(still) < 0.4


def test_holes_are_eaten_into_a_mask() -> None:
    whole = disc(20)
    u, v = np.meshgrid(np.arange(-10.0, 10), np.arange(-10.0, 10))
    assert (coverage(whole, u, v) == 1).all()
    assert coverage(whole, np.array([25.0]), np.array([0.0])) == 0
    eaten = coverage(dataclasses.replace(whole, holes=0.5, seed=3), u, v)
    assert 0.1 < (eaten < 0.5).mean() < 0.9


def test_stills_are_held_out_by_name(folder: Path, tmp_path: Path) -> None:
    held, used = find_stills(folder, held_out=True), find_stills(folder)
    assert not set(held) & set(used)
    assert len(held) + len(used) == 12
    assert all(is_held_out(path.name) for path in held)
    assert 0.05 < np.mean([is_held_out(f"{k}.png") for k in range(2000)]) < 0.15
    with pytest.raises(DataError, match="no training stills among the 0 pictures"):
        find_stills(tmp_path)
    with pytest.raises(DataError, match="no folder of stills"):
        find_stills(tmp_path / "none")


def test_a_damaged_still_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"bad\.png cannot be read as a picture"):
        Stills([tmp_path / "bad.png"]).picture(0.0)


@pytest.mark.parametrize("values", [{"height": 62}, {"frames": 0}, {"max_displacement": -1}, {"layers": ()}])
def test_impossible_scenes_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="allowed"):
        SceneOptions(**values)


def test_a_bank_holds_the_scenes_and_can_grow(folder: Path, stills: Stills, tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, height=32, width=32)
    small = render_bank(folder, tmp_path / "bank", 2, options, longest=5)
    assert len(small) == 2
    assert small.t == 3
    scene = draw_scene(options, 0, 1)
    expected = (render(scene, stills) * 255).round().byte().permute(0, 2, 3, 1)
    assert torch.equal(small.sharp(1), expected)
    assert torch.allclose(
        small.flow(1).float(), torch.from_numpy(scene_motion(scene, EXPOSURE).flow), atol=0.01, rtol=1e-3
    )
    done: list[int] = []
    grown = render_bank(folder, tmp_path / "bank", 4, options, longest=5, workers=2, on_progress=done.append)
    assert len(grown) == 4
    assert done[-1] == 4
    assert torch.equal(grown.sharp(1), expected)
    with pytest.raises(DataError, match="other options, seed or photographs"):
        render_bank(folder, tmp_path / "bank", 4, options, longest=5, seed=1)


def test_a_bank_that_is_missing_unfinished_or_foreign_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no complete scenes"):
        Bank(tmp_path)
    options = dataclasses.replace(OPTIONS, height=32, width=32)
    render_bank(folder, tmp_path, 1, options, longest=5)
    about = json.loads((tmp_path / "bank.json").read_text())
    (tmp_path / "bank.json").write_text(json.dumps({**about, "format": 99}))
    with pytest.raises(DataError, match="format 99"):
        Bank(tmp_path)
    (tmp_path / "bank.json").write_text(json.dumps({key: about[key] for key in about if key != "scenes"}))
    with pytest.raises(DataError, match="rendering has not finished"):
        Bank(tmp_path)
    (tmp_path / "bank.json").write_text(json.dumps(about))
    (tmp_path / "flow-0000.npy").unlink()
    with pytest.raises(DataError, match="no complete scenes"):
        Bank(tmp_path)
    with pytest.raises(OptionError, match="0 scenes"):
        render_bank(folder, tmp_path, 0, options)
    with pytest.raises(OptionError, match="make no clip"):
        render_bank(folder, tmp_path, 1, options, longest=15)
