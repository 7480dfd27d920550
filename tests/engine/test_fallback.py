"""A GPU that is full and results that are no numbers: the run goes on and says so. It takes no GPU to fail so."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

from alanet.engine.counts import Counts
from alanet.engine.fallback import FallbackRunner
from alanet.engine.memory import exhaustion_told
from alanet.engine.runner import Runner
from alanet.engine.stream import stream
from alanet.engine.tiled import smaller_tiles
from alanet.errors import ResourceError
from alanet.evaluation.evaluate import of_model
from alanet.frames.frame import Frame
from alanet.frames.tiles import plan_tiles
from alanet.frames.timing import Factor, TargetRate
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.notes import Notes
from alanet.restoration.options import EncodeOptions, RestoreOptions
from alanet.restoration.restorer import Restorer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from tests.support.media import make_video
from tests.support.networks import random_network

HIGH, WIDE = 30, 2030  # padded to 32 x 2048: a half of it and less is a tile, with a halo of 256 pixels
FULL = "CUDA out of memory. Tried to allocate 2.00 GiB"


class Full(ALANet):
    """A network on a GPU that holds frames, or tiles, of up to `holds` pixels."""

    holds = 0
    calls = 0

    def _check(self, frame, error=torch.OutOfMemoryError(FULL)):
        type(self).calls += 1
        if frame.shape[-1] * frame.shape[-2] > self.holds:
            raise error


class FullEncoding(Full):
    def encode(self, frame):
        self._check(frame)
        return super().encode(frame)


class FullGenerating(Full):
    """As MPS says it, and only once everything is encoded."""

    def generate(self, window, time, within=None):
        self._check(
            next(iter(window.features.values())).frame, RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")
        )
        return super().generate(window, time, within)


def network(kind=ALANet, **more):
    torch.manual_seed(0)
    return kind(ALANetConfig(width=0.0625, **more))


def frames(n, high=HIGH, wide=WIDE, dtype=np.uint16):
    rng = np.random.default_rng(0)
    top = np.iinfo(dtype).max
    ramp = np.linspace(0, 0.7 * top, wide)[None, :, None]
    return [(ramp + rng.integers(0, int(0.3 * top), (high, wide, 3))).astype(dtype) for _ in range(n)]


def streamed(runner, pixels, counts=None, schedule=Factor(2)):
    shown = ((Frame(p, Fraction(i), Fraction(1)), False) for i, p in enumerate(pixels))
    if not isinstance(runner, FallbackRunner):
        runner = FallbackRunner(runner, (), "exact", Notes())
    return list(stream(shown, runner, schedule, window=2, tail="drop", counts=counts, period=Fraction(1)))


def values(made):
    return np.stack([frame.pixels for frame in made]).astype(np.float64) / np.iinfo(made[0].pixels.dtype).max


@pytest.mark.parametrize("kind", [FullEncoding, FullGenerating])
@pytest.mark.parametrize("holds", [0.7, 0.4])  # of the frame: once halved is enough; twice
def test_a_full_gpu_gets_smaller_tiles_and_the_same_pictures(monkeypatch, kind, holds):
    given = frames(2)
    expected = values(streamed(Runner(network(), torch.device("cpu"), "fp32"), given))
    monkeypatch.setattr(kind, "holds", holds * 32 * 2048)
    notes = Notes()
    steady = FallbackRunner(Runner(network(kind), torch.device("cpu"), "fp32"), (), "exact", notes)
    made = values(streamed(steady, given))
    assert np.abs(made - expected).max() < 1e-4
    assert max(tile.outer.pixels for tile in steady.tiles) <= holds * 32 * 2048
    assert len(notes.warnings) == 1
    assert "the GPU ran out of memory: from there on" in notes.warnings[0]


def test_it_fills_up_in_the_middle_and_what_waits_is_made_again(monkeypatch):
    """Frames already in the ring were encoded whole; the stream goes on with the frame in hand."""
    given = frames(4)
    whole = values(streamed(Runner(network(), torch.device("cpu"), "fp32"), given))
    monkeypatch.setattr(FullGenerating, "holds", 32 * 2048)
    runner = Runner(network(FullGenerating), torch.device("cpu"), "fp32")
    steady = FallbackRunner(runner, (), "exact", Notes())
    made = []
    for frame in stream(
        ((Frame(p, Fraction(i), Fraction(1)), False) for i, p in enumerate(given)),
        steady,
        Factor(2),
        window=2,
        tail="drop",
        period=Fraction(1),
    ):
        made.append(frame)
        if len(made) == 3:
            monkeypatch.setattr(FullGenerating, "holds", 0.7 * 32 * 2048)
    assert runner.generates in (4, 5)  # whole, the one that failed (or two side by side) among them; others in tiles
    assert np.array_equal(values(made[:3]), whole[:3])
    assert np.abs(values(made[3:]) - whole[3:]).max() < 1e-4


def test_tiles_have_a_least_size_and_then_the_run_ends_in_one_line(monkeypatch):
    monkeypatch.setattr(FullEncoding, "holds", 1)
    steady = FallbackRunner(Runner(network(FullEncoding), torch.device("cpu"), "fp32"), (), "exact", Notes())
    with pytest.raises(
        ResourceError, match="GPU ran out of memory restoring 2030x30, and there are no smaller tiles"
    ) as e:
        streamed(steady, frames(2))
    assert "\n" not in str(e.value)


def test_sizes_halve_down_to_the_least_one():
    model, tiles, sizes = network(), None, [3840 * 2176]
    while (tiles := smaller_tiles(model, tiles or (), 2160, 3840, "exact")) is not None:
        sizes.append(max(tile.outer.pixels for tile in tiles))
    assert len(sizes) >= 3
    assert all(b <= a // 2 for a, b in pairwise(sizes[:-1]))
    assert sizes[-1] < sizes[-2]
    assert smaller_tiles(model, (), 96, 96, "exact") is None
    smaller = smaller_tiles(model, (), 2160, 3840, "feather")
    assert smaller is not None
    assert smaller[0].halo == 64


def test_a_network_that_aligns_gets_smaller_tiles_and_the_same_pictures(monkeypatch):
    """What it takes for G alone becomes less; where a whole frame cannot be encoded the run ends in one line."""
    model, given = random_network(2, sharp_above=0.9999), frames(2)
    expected = values(streamed(Runner(model, torch.device("cpu"), "fp32"), given))
    generate = model.generate

    def holding(window, time, within=None):
        if within is None or within.pixels > 0.4 * 32 * 2048:
            raise torch.OutOfMemoryError(FULL)
        return generate(window, time, within)

    monkeypatch.setattr(model, "generate", holding)
    notes = Notes()
    steady = FallbackRunner(Runner(model, torch.device("cpu"), "fp32"), (), "exact", notes)
    assert np.abs(values(streamed(steady, given)) - expected).max() < 1e-4
    assert len(steady.tiles) >= 3
    assert len(notes.warnings) == 1

    def encode(frame):
        raise torch.OutOfMemoryError(FULL)

    monkeypatch.setattr(model, "encode", encode)
    steady = FallbackRunner(Runner(model, torch.device("cpu"), "fp32"), (), "exact", Notes())
    with pytest.raises(ResourceError, match="there are no smaller tiles"):
        streamed(steady, frames(2, 64, 64))


def test_other_errors_and_a_cpu_without_memory_are_not_tried_again(monkeypatch):
    for said in ("our own mistake", "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"):
        model = network()
        monkeypatch.setattr(model, "encode", lambda frame, said=said: (_ for _ in ()).throw(RuntimeError(said)))
        steady = FallbackRunner(Runner(model, torch.device("cpu"), "fp32"), (), "exact", Notes())
        with pytest.raises(RuntimeError, match=said):
            streamed(steady, frames(2))
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), RuntimeError(FULL)):
        with pytest.raises(ResourceError, match="this machine ran out of memory"), exhaustion_told(torch.device("cpu")):
            raise error


class Overflow(ALANet):
    """Gives NaN where it runs in bf16, from `begins` on: of what is generated, or of what is encoded."""

    where, always, bad = "generate", False, (1.0,)

    def _spoilt(self):
        return self.always or torch.is_autocast_enabled("cpu")

    def encode(self, frame):
        features = super().encode(frame)
        if self.where == "encode" and self._spoilt():
            features.latent[..., 0, 0] = torch.inf
        return features

    def generate(self, window, time, within=None):
        restored = super().generate(window, time, within).clone()
        if self.where == "generate" and self._spoilt() and time in self.bad:
            restored[0, 0, 5, 5] = torch.nan
        return restored


def spoiling(where, always, bad=(1.0,)):
    model = network(Overflow, residual=True)  # untrained: the identity, and means in between
    model.where, model.always, model.bad = where, always, bad
    return model


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("where", ["generate", "encode"])
def test_what_is_no_number_in_bf16_is_made_again_in_fp32(where, tiled):
    given = frames(3, 60, 120, np.uint8)
    tiles = plan_tiles(64, 128, halo=32, stride=32, max_tile_pixels=64 * 96) if tiled else ()
    notes, counts = Notes(), Counts()
    steady = FallbackRunner(Runner(spoiling(where, False), torch.device("cpu"), "bf16"), tiles, "exact", notes)
    made = streamed(steady, given, counts)
    assert counts.passed == 0
    exact = range(5) if where == "encode" else [2]  # restored frames that fp32 gave: the identity, bit for bit
    for k in exact:
        a, b = given[k // 2].astype(float), given[(k + 1) // 2].astype(float)
        assert np.abs(made[k].pixels - (a + b) / 2).max() <= 0.5
    assert notes.warnings == ["where bf16 gave NaN or infinity, frames were computed again in fp32"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_never_a_number_is_the_nearer_input(precision):
    given, counts = frames(4, 60, 70, np.uint8), Counts()
    model = spoiling("generate", True, bad=(1.0, 1.5, 3.0))
    steady = FallbackRunner(Runner(model, torch.device("cpu"), precision), (), "exact", Notes())
    made = streamed(steady, given, counts)
    assert (counts.passed, counts.first_passed, counts.frames_out) == (3, Fraction(1), 7)
    assert np.array_equal(made[2].pixels, given[1])
    assert np.array_equal(made[3].pixels, given[1])  # as near to the one after: the earlier
    assert np.array_equal(made[6].pixels, given[3])
    assert [frame.time for frame in made] == [Fraction(k, 2) for k in range(7)]


def test_the_nearer_input_at_any_time():
    class Nothing:
        precision = "fp32"

        def encode(self, pixels):
            return None

        def estimate(self, window, i):
            return None

        def relate(self, a, b):
            return None

        def generate(self, window, times, like):
            return (None for _ in times)

    given = frames(2, 8, 8, np.uint8)
    made = streamed(Nothing(), given, schedule=TargetRate(Fraction(4)))
    assert [int(np.array_equal(frame.pixels, given[1])) for frame in made[:5]] == [0, 0, 0, 1, 1]


def test_feathered_tiles_of_no_number():
    tiles = plan_tiles(64, 128, halo=32, stride=32, max_tile_pixels=64 * 96)
    model, counts = spoiling("generate", True, bad=(0.0, 1.0)), Counts()
    steady = FallbackRunner(Runner(model, torch.device("cpu"), "fp32"), tiles, "feather", notes := Notes())
    given = frames(2, 60, 120, np.uint8)
    made = streamed(steady, given, counts)
    assert counts.passed == 2
    assert np.array_equal(made[0].pixels, given[0])
    assert not notes.warnings  # nothing to compare with in the first frames


def test_the_report_counts_them_and_a_note_names_the_first_time(tmp_path):
    source = make_video(tmp_path / "a.mkv", frames=4, rate=10, codec="ffv1", pix_fmt="bgr0")
    restorer = Restorer(spoiling("generate", True, bad=(1.0, 2.0, 2.5)), device="cpu", precision="fp32")
    options = RestoreOptions(encode=EncodeOptions(codec="ffv1"))
    report = restorer.restore(source, tmp_path / "b.mkv", options)
    assert (report.passed, report.to_dict()["passed"], report.frames_out) == (3, 3, 8)
    said = "3 restored frames (the first at 0.100 s) came out as NaN or infinity; the input is passed through there"
    assert report.notes.warnings.count(said) == 1
    inputs, shown = ([frame.pixels for frame in decode(probe(path))] for path in (source, report.output))
    assert all(np.array_equal(shown[k], inputs[k // 2]) for k in (2, 4, 5))
    notes = Notes()
    assert len(list(restorer.frames(source, notes=notes))) == 8
    assert said in notes.warnings


def test_arrays_and_evaluation_say_it_in_the_log(caplog):
    given = frames(2, 40, 40, np.uint8)
    model = spoiling("generate", True, bad=(1.0,))
    made = Restorer(model, device="cpu", precision="fp32").arrays(given)
    assert np.array_equal(made[2], given[1])
    assert "1 restored frames" in caplog.text
    of_model(model, device="cpu").restore(given, [Fraction(0), Fraction(1, 2), Fraction(1)])
    assert "inputs are scored in their place" in caplog.text
