"""The rows of `faults.py` about training: damaged run folders, forged checkpoints, options that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from alanet.errors import AlanetError, OptionError, WeightsError
from alanet.files import UNFINISHED
from alanet.training.checkpoint import checkpoints, latest, read_checkpoint, write_checkpoint
from alanet.training.config import preset
from alanet.training.loop import Hooks, train
from tests.support.noise import make_bank
from tests.training.test_checkpoint import WRONG, checkpoint, forged, header, places, put
from tests.training.test_loop import Sharpen, contents, network, settings
from tests.training.test_prepare import SMALL, STEPS, run

__all__ = ["TRAINING"]


def refused(call: Callable[[], Any], kind: type[AlanetError]) -> str:
    """The one line of an error of this kind."""
    with pytest.raises(kind) as raised:
        call()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def foreign(keep: int, folder: Path) -> str:
    for step in range(90, 90 + keep):
        (folder / f"step-{step:08d}.ckpt").write_bytes(b"of another program")
    for step in (1, 3, 4, 5):
        assert write_checkpoint(folder, checkpoint(step), keep=keep).exists()
    good = [path.name for path in checkpoints(folder) if path.stat().st_size > 100]
    assert good == [f"step-{step:08d}.ckpt" for step in (1, 3, 4, 5)][-keep:]
    return f"the last {len(good)} good ones remain"


def another_width(folder: Path) -> str:
    train(network(), settings(), Sharpen(), folder)
    before = contents(folder)
    said = refused(lambda: train(network(width=0.05), settings(), Sharpen(), folder), WeightsError)
    assert contents(folder) == before
    return said.replace(str(folder), "RUN")


def half_saved(folder: Path) -> str:
    train(network(), settings(), Sharpen(), folder)
    (folder / f"step-00000004.ckpt{UNFINISHED}").write_bytes(b"half of it")
    train(network(), settings(steps=8, save_minutes=1.0), Sharpen(), folder)
    assert not list(folder.glob(f"*{UNFINISHED}"))
    return "cleared at the start"


def damaged_log(folder: Path) -> str:
    train(network(), settings(), Sharpen(), folder)
    log = folder / "metrics.jsonl"
    log.write_bytes(log.read_bytes() + b'{"step": 6, "los\xff')
    train(network(), settings(steps=8), Sharpen(), folder)
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 8
    return f"resumed; the log ends at step {steps[-1]}"


def forged_headers(folder: Path) -> str:
    """Every field of the header and of its nested tables, five wrong values each, and texts that are no header.

    The fields of the network's own config are compared with the model at hand (`tests/training/test_loop.py`).
    """
    write_checkpoint(folder, checkpoint(3))
    path, tried = folder / "step-00000007.ckpt", 0
    texts: list[str | None] = ["[" * 100_000, "null", '{"step": ' + "9" * 5000 + "}", ""]
    cases = [(None, text) for text in texts]
    for place in places(header(7)):
        if (place[:2] == ("model", "config") and len(place) > 2) or place == ("model", "model"):
            continue
        cases += [(put(header(7), place, wrong), None) for wrong in WRONG]
    for about, text in cases:
        forged(path, about, text=text)
        refused(lambda: read_checkpoint(path), WeightsError)
        tried += 1
    forged(path, header(7), {"model/weight": torch.tensor([1.0, float("nan")])})
    refused(lambda: read_checkpoint(path), WeightsError)
    found = latest(folder)
    assert found is not None
    assert found.step == 3
    return f"{tried + 1} refused in one line each; the checkpoint before is used"


def options(folder: Path) -> str:
    wrong: dict[str, Any] = {"betas": [0.9, 1.5], "lr": -1.0, "ema": 1.5}
    said = [refused(partial(preset, "quick", **{name: value}), OptionError) for name, value in wrong.items()]
    assert all(name in line for name, line in zip(wrong, said, strict=True))
    return said[0]


def large_crops(folder: Path) -> str:
    scenes = make_bank(folder, max_displacement=4.0).folder
    stages = [{"start": 0.0, "crop": 32, "batch": 1}, {"start": 0.5, "crop": 4096, "batch": 1}]
    values = {"dataset": str(scenes)}
    said = refused(
        lambda: run(values, SMALL, {"train": {**STEPS, "stages": stages}}).start(folder / "run"), OptionError
    )
    assert not (folder / "run").exists()
    return said


def no_validation(folder: Path) -> str:
    from alanet.data.synthetic.bank import render_bank
    from alanet.data.synthetic.scenes import SceneOptions
    from tests.support.noise import make_stills

    bank = render_bank(make_stills(folder / "stills"), folder / "bank", 20, SceneOptions(height=32, width=32))
    ready = run({"dataset": str(bank.folder)}, SMALL)
    assert ready.hooks.validate is not None
    return f"{len(ready.data.held_out)} of 20 scenes are held out"


def accepted(folder: Path) -> str:
    """A good folder is resumed, so that what is refused above is refused for its fault."""
    train(network(), settings(), Sharpen(), folder)
    seen: list[int] = []
    train(network(), settings(steps=8), Sharpen(), folder, hooks=Hooks(on_accepted=lambda: seen.append(1)))
    assert seen
    assert safetensors.torch.load_file(folder / "last.safetensors")
    return "resumed"


TRAINING: dict[str, Callable[[Path], str]] = {
    "run folder: good": accepted,
    "run folder: foreign, keep 1": partial(foreign, 1),
    "run folder: foreign, keep 3": partial(foreign, 3),
    "run folder: other width": another_width,
    "run folder: half saved": half_saved,
    "run folder: log with 0xff": damaged_log,
    "checkpoint: forged": forged_headers,
    "training options": options,
    "crops of 4096": large_crops,
    "no validation data": no_validation,
}
