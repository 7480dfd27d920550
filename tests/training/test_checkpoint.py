"""A checkpoint is whole or not there, checked when read, and runs no code."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import random
import resource
import signal
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from alanet.errors import AlanetError, OutputError, WeightsError
from alanet.files import write_whole
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.weights import load_model
from alanet.training.checkpoint import (
    MAGIC,
    Checkpoint,
    checkpoints,
    latest,
    random_state,
    read_checkpoint,
    restore_random_state,
    ship,
    write_checkpoint,
)
from alanet.training.config import TrainConfig
from alanet.training.trainer import describe_model


def checkpoint(step: int = 1, value: float = 0.5) -> Checkpoint:
    tensors = {
        "model/weight": torch.full((2, 3, 4, 4), value).to(memory_format=torch.channels_last),
        "random/torch": torch.arange(5, dtype=torch.uint8),
        "optimizer/exp_avg/weight": torch.tensor([1e-300], dtype=torch.float64),
    }
    return Checkpoint(tensors, header(step))


def header(step: int, **changes: Any) -> dict[str, Any]:
    """Everything but the tensors of a run after `step` steps, as JSON has it."""
    counts = {"step": step, "samples": 2 * step, "skipped": 0, "bad_in_a_row": 0, "ema_updates": step}
    model = describe_model(ALANet(ALANetConfig(width=0.02)))
    about = {**counts, "used": 0.1 + 0.2, "best": -0.5, "random": random_state()[1], "config": asdict(TrainConfig()),
             "model": model}  # fmt: skip
    return {**json.loads(json.dumps(about)), **changes}


def test_what_is_written_is_what_is_read(tmp_path) -> None:
    path = write_checkpoint(tmp_path, checkpoint(7))
    back = read_checkpoint(path)
    assert back.about == header(7)
    assert back.tensors.keys() == checkpoint(7).tensors.keys()
    assert all(torch.equal(back.tensors[key], value) for key, value in checkpoint(7).tensors.items())
    assert back.part("model").keys() == {"weight"}
    assert path.name == "step-00000007.ckpt"


def test_the_last_few_are_kept(tmp_path) -> None:
    for step in (1, 9, 10, 100):
        write_checkpoint(tmp_path, checkpoint(step), keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000010.ckpt", "step-00000100.ckpt"]
    assert [path.suffix for path in tmp_path.iterdir()] == [".ckpt", ".ckpt"]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "longer"])
def test_a_damaged_newest_falls_back_to_the_one_before(tmp_path, caplog, damage: str) -> None:
    write_checkpoint(tmp_path, checkpoint(1))
    path = write_checkpoint(tmp_path, checkpoint(2))
    blob = bytearray(path.read_bytes())
    blob[-3] ^= 1
    whole = path.read_bytes()
    path.write_bytes({"flip": bytes(blob), "cut": whole[:-20], "empty": b"", "longer": whole + b"x"}[damage])
    with caplog.at_level(logging.WARNING):
        found = latest(tmp_path)
    assert found is not None
    assert found.step == 1
    assert "step-00000002.ckpt is damaged" in caplog.text
    assert "using the checkpoint before it" in caplog.text


def test_no_checkpoint_is_none_and_only_damaged_ones_are_an_error(tmp_path) -> None:
    assert latest(tmp_path) is None
    (tmp_path / "step-00000003.ckpt").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"all 1 checkpoints in .* are damaged; choose another folder"):
        latest(tmp_path)


def test_a_write_cut_short_is_never_read(tmp_path) -> None:
    write_checkpoint(tmp_path, checkpoint(1))
    (tmp_path / "step-00000002.ckpt.part").write_bytes(b"half of it")
    assert latest(tmp_path).step == 1


def test_a_full_disk_is_loud_and_the_previous_checkpoint_survives(tmp_path) -> None:
    write_checkpoint(tmp_path, checkpoint(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the write itself fails, as on a full disk
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400, limits[1]))
        with pytest.raises(OutputError, match=r"step-00000002.ckpt: the disk is full"):
            write_checkpoint(tmp_path, checkpoint(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.ckpt"]
    assert latest(tmp_path).step == 1


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_never_written(tmp_path, value: float) -> None:
    with pytest.raises(AlanetError, match="model/weight holds values that are not finite, so nothing was saved"):
        write_checkpoint(tmp_path, checkpoint(1, value))
    assert not list(tmp_path.iterdir())


class Bomb:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self):
        return open, (self.target, "w")


@pytest.mark.parametrize("framed", [False, True])
def test_a_hostile_checkpoint_runs_no_code(tmp_path, framed: bool) -> None:
    mark = tmp_path / "ran"
    blob = pickle.dumps({"model": Bomb(str(mark))})
    if framed:  # with a checksum that is right
        blob = f"{MAGIC} {hashlib.sha256(blob).hexdigest()} {len(blob)}\n".encode() + blob
    path = tmp_path / "step-00000001.ckpt"
    path.write_bytes(blob)
    with pytest.raises(WeightsError, match=r"damaged or no checkpoint of alanet"):
        read_checkpoint(path)
    assert not mark.exists()


def test_random_numbers_go_on_where_they_were() -> None:
    random.gauss(0, 1), np.random.standard_normal(3), torch.randn(1)  # leave a half-used pair behind in each
    tensors, about = random_state()
    first = random.gauss(0, 1), random.random(), np.random.standard_normal(), torch.randn(3).tolist()
    restore_random_state(tensors, about)
    assert (random.gauss(0, 1), random.random(), np.random.standard_normal(), torch.randn(3).tolist()) == first


def test_a_checkpoint_becomes_weights_that_load(tmp_path) -> None:
    model, mean = ALANet(ALANetConfig(width=0.02, residual=True)), ALANet(ALANetConfig(width=0.02, residual=True))
    tensors = {f"model/{key}": value for key, value in model.state_dict().items()}
    tensors |= {f"ema/{key}": value for key, value in mean.state_dict().items()}
    write_checkpoint(tmp_path, Checkpoint(tensors, header(3, model=describe_model(model))))
    ship(tmp_path, tmp_path / "weights.safetensors", half=False)
    shipped = load_model(tmp_path / "weights.safetensors")
    assert shipped.config == model.config
    assert all(torch.equal(value, mean.state_dict()[key]) for key, value in shipped.state_dict().items())


def test_what_cannot_be_shipped_is_refused(tmp_path) -> None:
    with pytest.raises(WeightsError, match="holds no checkpoint"):
        ship(tmp_path, tmp_path / "weights.safetensors")
    path = write_checkpoint(tmp_path, Checkpoint({}, header(1, model={"model": "Other", "config": {}})))
    with pytest.raises(WeightsError, match=r"does not fit the network it names .*does not support"):
        ship(path, tmp_path / "weights.safetensors")
    write_checkpoint(tmp_path, Checkpoint({}, header(2)))
    with pytest.raises(WeightsError, match="does not fit the network it names"):
        ship(tmp_path, tmp_path / "weights.safetensors")


# --- damaged, foreign and forged files --------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [1, 3])
def test_damaged_and_foreign_files_do_not_count_among_those_kept(tmp_path, keep: int) -> None:
    for step in range(90, 90 + keep):
        (tmp_path / f"step-{step:08d}.ckpt").write_bytes(b"of another program")
    (tmp_path / "step-00000002.ckpt").write_bytes(b"cut short")
    for step in (1, 3, 4, 5, 6):
        path = write_checkpoint(tmp_path, checkpoint(step), keep=keep)
        assert path.exists()
        assert latest(tmp_path).step == step
    good = [path.name for path in checkpoints(tmp_path) if path.stat().st_size > 100]
    assert good == [f"step-{step:08d}.ckpt" for step in (1, 3, 4, 5, 6)][-keep:]


def forged(path, about: object, tensors: dict[str, torch.Tensor] | None = None, text: str | None = None) -> None:
    """A checkpoint of any header, with a checksum that is right."""
    values = {"model/weight": torch.ones(2)} if tensors is None else tensors
    payload = safetensors.torch.save(values, {"about": json.dumps(about) if text is None else text})
    path.write_bytes(f"{MAGIC} {hashlib.sha256(payload).hexdigest()} {len(payload)}\n".encode() + payload)


def places(values: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every field of a header, those of nested tables and the first of every list included."""
    found = [at] if at else []
    if isinstance(values, dict):
        return found + [path for key, value in values.items() for path in places(value, (*at, key))]
    if isinstance(values, list) and values:
        return found + places(values[0], (*at, 0))
    return found


WRONG: tuple[Any, ...] = ("text", -5, 10**400, float("nan"), [[]])


def put(values: Any, path: tuple[Any, ...], wrong: Any) -> Any:
    """The header with one field replaced."""
    copy = json.loads(json.dumps(values))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = wrong
    return copy


def test_a_forged_header_is_never_read(tmp_path) -> None:
    """Every field, five wrong values each; the network's own config is compared with the model's when a run resumes."""
    path, tried = tmp_path / "step-00000007.ckpt", 0
    for place in places(header(7)):
        if (place[:2] == ("model", "config") and len(place) > 2) or place == ("model", "model"):
            continue
        for wrong in WRONG:
            forged(path, put(header(7), place, wrong))
            with pytest.raises(WeightsError, match="damaged or no checkpoint of alanet"):
                read_checkpoint(path)
            tried += 1
    assert tried > 5 * 45
    forged(path, header(7))
    assert read_checkpoint(path).step == 7


@pytest.mark.parametrize("text", ["[" * 100_000, '{"step": 7}', "null", '{"step": ' + "9" * 5000 + "}", ""])
def test_a_header_that_is_none_is_one_line(tmp_path, text: str) -> None:
    write_checkpoint(tmp_path, checkpoint(3))
    forged(tmp_path / "step-00000007.ckpt", None, text=text)
    with pytest.raises(WeightsError, match="damaged or no checkpoint"):
        read_checkpoint(tmp_path / "step-00000007.ckpt")
    assert latest(tmp_path).step == 3


def test_values_that_are_not_finite_behind_a_right_checksum_are_not_read(tmp_path) -> None:
    write_checkpoint(tmp_path, checkpoint(3))
    forged(tmp_path / "step-00000007.ckpt", header(7), {"model/weight": torch.tensor([1.0, float("nan")])})
    assert latest(tmp_path).step == 3
    forged(tmp_path / "step-00000008.ckpt", header(7))
    with pytest.raises(WeightsError, match="it is of step 7"):
        read_checkpoint(tmp_path / "step-00000008.ckpt")
