"""A network of any time behind the whole path: from file to file at any rate, whole and in tiles."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from alanet.cli import run
from alanet.cli.tables import _attention, _runs
from alanet.engine.tiled import exact_halo
from alanet.errors import OptionError, ResourceError
from alanet.evaluation.evaluate import of_model
from alanet.frames.tiles import plan_tiles
from alanet.frames.timing import Factor
from alanet.model import weights as shipped
from alanet.model.weights import save_weights
from alanet.restoration.options import EncodeOptions, RestoreOptions
from alanet.restoration.restorer import Restorer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from tests.support.media import make_video
from tests.support.networks import BLEND, Blend, BlendConfig, random_network
from tests.support.witness import times

WHOLE = BlendConfig(1.0)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "NETWORKS", {**shipped.NETWORKS, **BLEND})
    path = tmp_path / "blend.safetensors"
    save_weights(Blend(WHOLE), path)
    return path


@pytest.mark.parametrize(("fps", "wanted"), [("60", 12), ("x4", 20), ("60000/1001", 12), ("40", 8)])
def test_any_rate_from_the_command_line(tmp_path, weights, fps, wanted):
    """5 frames at 25 fps; the network gives inputs and blends, so what comes out is known."""
    source = make_video(tmp_path / "a.mkv", frames=5, rate=Fraction(25), codec="ffv1", pix_fmt="bgr0")
    output = tmp_path / "b.mkv"
    words = ["--model", str(weights), "--device", "cpu", "--precision", "fp32", "--codec", "ffv1", "--fps", fps]
    assert run(["restore", str(source), "-o", str(output), "-q", *words]) == 0
    shown = times(output)
    assert len(shown) == wanted
    rate = Fraction(100) if fps == "x4" else Fraction(fps)
    assert all(abs(t - k / rate) < Fraction(1, 900) for k, t in enumerate(shown))  # Matroska counts milliseconds
    inputs = [frame.pixels.astype(float) for frame in decode(probe(source))]
    for k, frame in enumerate(decode(probe(output))):
        i, phase = divmod(k / rate * 25, 1)
        share = 0.0 if i >= 4 else float(phase)
        blend = inputs[int(i)] * (1 - share) + inputs[min(int(i) + 1, 4)] * share
        assert np.abs(frame.pixels - blend).max() <= 0.6


def test_arrays_at_eight_times_the_rate():
    frames = [np.full((20, 30, 3), 40 * i, np.uint8) for i in range(3)]
    restorer = Restorer(Blend(WHOLE), device="cpu", precision="fp32")
    out = restorer.arrays(frames, rate=Factor(8))
    assert [int(frame[0, 0, 0]) for frame in out] == [5 * k for k in range(17)]
    assert restorer.model_name == "Blend"


def test_the_evaluator_asks_for_any_time():
    method = of_model(Blend(WHOLE), device="cpu")
    out = method.restore([np.full((16, 16, 3), 80 * i, np.uint8) for i in range(2)], [Fraction(k, 4) for k in range(5)])
    assert [int(frame[0, 0, 0]) for frame in out] == [0, 20, 40, 60, 80]


def test_too_large_a_frame_is_refused_in_one_line(tmp_path):
    source = make_video(tmp_path / "w.mkv", frames=2, size=(2048, 32), codec="ffv1", pix_fmt="bgr0")
    small = Restorer(random_network(), device="cpu", precision="fp32", memory=1 << 20)
    with pytest.raises(ResourceError, match=r"2048x32 needs at least \d+ MiB even in tiles") as error:
        small.restore(source)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [source]


def test_tiled_runs_give_the_untiled_file(tmp_path, monkeypatch):
    source = make_video(tmp_path / "w.mkv", frames=3, size=(1280, 32), codec="ffv1", pix_fmt="bgr0")
    model = random_network(sharp_above=0.9999)
    restorer = Restorer(model, device="cpu", precision="fp32")
    lossless = RestoreOptions(encode=EncodeOptions(codec="ffv1"))
    whole = restorer.restore(source, tmp_path / "whole.mkv", lossless)
    tiles = plan_tiles(32, 1280, halo=exact_halo(model), stride=32, max_tile_pixels=32 * 704)
    monkeypatch.setattr("alanet.restoration.plan.plan_tiles_for", lambda *_: tiles)
    tiled = restorer.restore(source, tmp_path / "tiled.mkv", lossless)
    assert len(tiles) > 2
    made, expected = (np.stack([frame.pixels for frame in decode(probe(report.output))]).astype(int)
                      for report in (tiled, whole))  # fmt: skip
    assert np.abs(made - expected).max() <= 1  # the last bit of a rounding
    assert (made != expected).mean() < 1e-3


def test_table_3_is_of_the_papers_network(weights):
    """Its rows are what ALANet's config says; another network has no row there."""
    methods = SimpleNamespace(
        networks=lambda: [("blend", Restorer(str(weights), device="cpu", precision="fp32"), None)]
    )
    with pytest.raises(OptionError, match="leave Blend out"):
        _runs(methods, _attention, "Table 3")
