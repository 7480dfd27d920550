"""The measurement of fine-tuning on one's own video (`benchmarks/adapt.py`), with tiny random networks."""

from __future__ import annotations

import argparse
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from alanet.engine.runner import Runner
from alanet.engine.stream import Estimate
from alanet.errors import DataError
from alanet.model.alanet_plus import ALANetPlus, ALANetPlusConfig
from alanet.model.weights import save_weights
from benchmarks.adapt import EXPOSURES, Sample, Score, adapt, blurred_along, fine_tuned, gains, going_back, synthesised
from tests.support.textures import moving, textures


def tiny(sharp_above: float = 0.5) -> ALANetPlus:
    torch.manual_seed(0)
    return ALANetPlus(ALANetPlusConfig((8, 8, 8, 8), (8, 8, 8), (0, 0, 0, 0), (0, 0, 0, 0), sharp_above)).eval()


def options(**changed: object) -> argparse.Namespace:
    standard: dict[str, Any] = {"steps": 25, "minutes": 0, "batch": 1, "crop": 64, "precision": "fp32", "seed": 0}
    return argparse.Namespace(**{**standard, **changed})


def test_a_line_is_spread_along_its_motion_and_nothing_is_lost():
    line = torch.zeros(3, 96, 96)
    line[:, :, 48] = 1
    blurry = blurred_along(line, -moving(1, 16)[0], moving(1, 16)[0], 0.5)
    lit = (blurry[0, 40] > 0).nonzero()[:, 0]
    assert (int(lit.min()), int(lit.max())) == (44, 52)  # 16 pixels a period, half a period: 4 to each side
    assert float(blurry[0, 40].sum()) == pytest.approx(1, abs=0.05)
    assert blurry.std(-2).max() < 1e-3  # every row alike: nothing moves down


def test_what_only_moves_afterwards_is_spread_to_that_side():
    line = torch.zeros(3, 96, 96)
    line[:, :, 48] = 1
    blurry = blurred_along(line, moving(1, 0)[0], moving(1, 16)[0], 1.0)
    lit = (blurry[0, 40] > 0).nonzero()[:, 0]
    assert (int(lit.min()), int(lit.max())) == (48, 56)
    still = blurred_along(line, moving(1, 0)[0], moving(1, 0)[0], 1.4)
    assert torch.equal(still, line)


def test_only_sharp_frames_with_two_neighbours_become_targets(monkeypatch: pytest.MonkeyPatch):
    pictures = [(255 * frame.permute(1, 2, 0)).byte().numpy() for frame in textures(6, 0, 64)]
    monkeypatch.setattr(ALANetPlus, "motion_of", lambda self, relation: moving(1, 8, size=64))
    monkeypatch.setattr(Runner, "estimate", lambda self, window, i: Estimate(0.1, i in (0, 2, 3), 0.0))
    made = synthesised(tiny(), pictures)
    targets = [(255 * sample.truth.permute(1, 2, 0)).round().byte().numpy() for sample in made["between"]]
    assert [np.array_equal(*pair) for pair in zip(targets, pictures[2:4], strict=True)] == [True, True]
    assert len(made["blur"]) == 2 * len(EXPOSURES)
    detail = [float(sample.frames[1].diff(dim=-1).abs().mean()) for sample in made["blur"][: len(EXPOSURES)]]
    assert detail == sorted(detail, reverse=True)  # longer exposures have less
    monkeypatch.setattr(Runner, "estimate", lambda self, window, i: Estimate(0.9, False, 0.0))
    with pytest.raises(DataError, match="no frame is recognised as sharp"):
        synthesised(tiny(), pictures)


def test_fine_tuning_learns_the_samples_and_keeps_all_but_the_decoder():
    frames, model = textures(3, 1, 64), tiny()
    pool = [Sample(tuple(frames), 1.0, frames[1] * 0.5)]
    trained: Any = fine_tuned(model, pool, 1e-2, options())
    kept, changed = 0, 0
    for (name, before), after in zip(model.named_parameters(), trained.parameters(), strict=True):
        if not name.startswith("decoder."):
            assert torch.equal(before, after), name
            kept += 1
        else:
            changed += not torch.equal(before, after)
    assert kept
    assert changed

    def error(network: Any) -> float:
        with torch.inference_mode():
            return float((network(frames[None], [1.0])[0, 0] - pool[0].truth).square().mean())

    assert error(trained) < 0.7 * error(model)
    assert error(going_back(trained, model, 1.0)) == error(model)
    assert error(going_back(trained, model, 0.0)) == error(trained)


def test_gains_are_by_part_and_kind():
    places = [(Fraction(1), 2.0), (Fraction(3, 2), 4.0), (Fraction(7, 2), -1.0)]
    before = [Score(time, bool(time % 1), 30.0) for time, _ in places]
    after = [Score(time, bool(time % 1), 30.0 + gain) for time, gain in places]
    assert gains(before, after, used=4) == ["+2.00 (1)", "+4.00 (1)", "–", "-1.00 (1)", "+1.67 (3)"]


def test_the_whole_measurement_prints_a_row(tmp_path, capsys):
    wide = (255 * textures(1, 2, 192)[0].permute(1, 2, 0)).byte().numpy()
    np.save(tmp_path / "pan.npy", np.stack([wide[:64, k : k + 64] for k in range(60)]))
    save_weights(tiny(1e-6), tmp_path / "tiny.safetensors")
    given = options(
        videos=[tmp_path / "pan.npy"],
        model=str(tmp_path / "tiny.safetensors"),
        threads=1,
        period=8,
        limit=None,
        variants=["blur", "truth"],
    )
    adapt(given, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[2].strip() for line in lines[-2:]] == ["blur", "truth"]
