"""A training run on disk: written atomically, every field checked when read, the last few kept.

    FOLDER/step-00001200.ckpt      one line "alanet checkpoint 1 SHA-256 LENGTH", then safetensors

The tensors are the model's, their running mean's, the optimizer's and the random generators'; everything else (step,
time used, config) is JSON in the header of the safetensors. The step is also the position in the data. Reading one
runs no code. A file that is damaged, or whose header has a wrong value, is passed over for the one before.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from alanet.errors import AlanetError, WeightsError
from alanet.files import write_whole
from alanet.model.network import Network
from alanet.model.weights import build_network, save_weights
from alanet.training.config import config_from

__all__ = [
    "Checkpoint",
    "checkpoints",
    "latest",
    "random_state",
    "read_checkpoint",
    "refuse_not_finite",
    "restore_random_state",
    "ship",
    "trained_model",
    "write_checkpoint",
]

log = logging.getLogger("alanet")

MAGIC = "alanet checkpoint 1"
LINE = 160  # bytes that the first line can have at most


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by name ("model/...", "ema/...", "optimizer/...", "random/...") and what is not a tensor, as JSON."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors under `name/`, without it."""
        return {key[len(name) + 1 :]: value for key, value in self.tensors.items() if key.startswith(name + "/")}

    @property
    def step(self) -> int:
        return int(self.about["step"])


def write_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int = 3) -> Path:
    """Write `step-N.ckpt` into `folder` and delete all but the last `keep`; returns its path.

    Raises OutputError when it cannot be written (full disk, no permission): what was there before is untouched. Raises
    AlanetError, before anything is written, when a tensor is not finite.
    """
    refuse_not_finite(checkpoint.tensors)
    tensors = {key: value.detach().cpu().contiguous() for key, value in checkpoint.tensors.items()}
    payload = safetensors.torch.save(tensors, {"about": json.dumps(checkpoint.about)})
    line = f"{MAGIC} {hashlib.sha256(payload).hexdigest()} {len(payload)}\n".encode()
    path = folder / _name(checkpoint.step)
    write_whole(path, line, payload)
    _prune(folder, path, keep)
    return path


def _name(step: int) -> str:
    return f"step-{step:08d}.ckpt"


def _prune(folder: Path, newest: Path, keep: int) -> None:
    """Delete all but the last `keep` good checkpoints up to `newest`; damaged files do not count and stay."""
    older = [path for path in checkpoints(folder) if path.name < newest.name]
    if len(older) < keep:
        return
    good = [path for path in older if _is_good(path)]
    for path in good[: max(0, len(good) - keep + 1)]:
        path.unlink(missing_ok=True)


def _is_good(path: Path) -> bool:
    try:
        read_checkpoint(path)
    except WeightsError:
        return False
    return True


def refuse_not_finite(tensors: Mapping[str, Tensor]) -> None:
    """Raise AlanetError if a tensor holds infinity or NaN: such weights are never written."""
    if name := _not_finite(tensors):
        raise AlanetError(
            f"{name} holds values that are not finite, so nothing was saved; "
            "resume from the last checkpoint with a lower learning rate"
        )


def _not_finite(tensors: Mapping[str, Tensor]) -> str:
    """The name of a tensor that holds infinity or NaN; "" where none does."""
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            return name
    return ""


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    return sorted(folder.glob("step-*.ckpt"))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check one file. Raises WeightsError when it is damaged or is no checkpoint."""
    try:
        blob = path.read_bytes()
        head, _, payload = blob.partition(b"\n")
        words = head[:LINE].decode("ascii").split()
        if " ".join(words[:3]) != MAGIC or len(words) != 5:
            raise ValueError("it does not begin as a checkpoint does")
        if len(payload) != int(words[4]) or hashlib.sha256(payload).hexdigest() != words[3]:
            raise ValueError("its checksum differs")
        tensors = safetensors.torch.load(payload)
        header = json.loads(payload[8 : 8 + int.from_bytes(payload[:8], "little")])
        about = json.loads(header["__metadata__"]["about"])
        check_about(about)
        if path.name.startswith("step-") and path.name != _name(about["step"]):
            raise ValueError(f"it is of step {about['step']}")
        if name := _not_finite(tensors):
            raise ValueError(f"{name} holds values that are not finite")
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise _unusable(path, error) from error
    except (AlanetError, safetensors.SafetensorError) as error:
        raise _unusable(path, error) from error
    return Checkpoint(tensors, about)


def _unusable(path: Path, error: Exception) -> WeightsError:
    if isinstance(error, FileNotFoundError):
        return WeightsError(
            f"{path} is not there; give the folder of a training run, or a checkpoint (step-*.ckpt) in it"
        )
    reason = " ".join(str(error).split())[:120]
    return WeightsError(f"{path} is damaged or no checkpoint of alanet ({reason}); use another")


COUNTS = ("step", "samples", "skipped", "bad_in_a_row", "ema_updates")
FIELDS = {*COUNTS, "used", "best", "random", "config", "model"}


def check_about(about: Any) -> None:
    """Raise ValueError, TypeError or OptionError unless every field is what a run could have written."""
    if not isinstance(about, dict) or about.keys() != FIELDS:
        raise ValueError("its header has other fields than a checkpoint")
    for name in COUNTS:
        if type(about[name]) is not int or not 0 <= about[name] < 1 << 53:
            raise ValueError(f"{name} is no count")
    if not about["bad_in_a_row"] <= about["skipped"] <= about["step"] <= about["samples"]:
        raise ValueError("its counts contradict each other")
    config = config_from(about["config"])
    if about["config"].keys() != asdict(config).keys():
        raise ValueError("its config lacks values")
    if about["ema_updates"] != (about["step"] - about["skipped"] if config.ema else 0):
        raise ValueError("ema_updates contradicts the other counts")
    if not _is_finite(about["used"]) or about["used"] < 0:
        raise ValueError("used is no time")
    if about["best"] is not None and not _is_finite(about["best"]):
        raise ValueError("best is no score")
    model = about["model"]
    if not isinstance(model, dict) or model.keys() != {"model", "config"} or not isinstance(model["config"], dict):
        raise ValueError("it does not name its network")
    _check_random(about["random"])


def _is_finite(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _check_random(about: Any) -> None:
    """The states of NumPy's and Python's generators, both Mersenne twisters of 624 words."""
    kind, position, has_gauss, gauss = about["numpy"]
    version, numbers, gauss_next = about["python"]
    whole = [position, has_gauss, version, *numbers]
    if about.keys() != {"numpy", "python"} or any(type(number) is not int for number in whole):
        raise ValueError("the state of its random numbers is damaged")
    right = kind == "MT19937" and 0 <= position <= 624 and has_gauss in (0, 1) and _is_finite(gauss)
    right = right and version == 3 and len(numbers) == 625 and 0 <= numbers[-1] <= 624
    right = right and all(0 <= number < 1 << 32 for number in numbers)
    if not right or not (gauss_next is None or _is_finite(gauss_next)):
        raise ValueError("the state of its random numbers is damaged")


def latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read, or None without checkpoints.

    Damaged newer ones are passed over with a warning. Raises WeightsError when all of them are damaged.
    """
    found = checkpoints(folder)
    for path in reversed(found):
        try:
            return read_checkpoint(path)
        except WeightsError as error:
            log.warning("%s; using the checkpoint before it", error)
    if found:
        raise WeightsError(f"all {len(found)} checkpoints in {folder} are damaged; choose another folder to start over")
    return None


def random_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of torch's, NumPy's and Python's generators: tensors, and JSON."""
    kind, keys, position, has_gauss, gauss = cast(Any, np.random.get_state(legacy=True))
    version, numbers, gauss_next = random.getstate()
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(keys.astype(np.int64))}
    for index in range(torch.cuda.device_count()) if torch.cuda.is_available() else ():
        tensors[f"cuda{index}"] = torch.cuda.get_rng_state(index)
    numpy = [str(kind), int(position), int(has_gauss), float(gauss)]
    return tensors, {"numpy": numpy, "python": [version, list(numbers), gauss_next]}


def restore_random_state(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Undo of `random_state`."""
    torch.set_rng_state(tensors["torch"])
    for index in range(torch.cuda.device_count()) if torch.cuda.is_available() else ():
        if f"cuda{index}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda{index}"], index)
    kind, position, has_gauss, gauss = about["numpy"]
    np.random.set_state((kind, tensors["numpy"].numpy().astype(np.uint32), position, has_gauss, gauss))
    version, numbers, gauss_next = about["python"]
    random.setstate((version, tuple(numbers), gauss_next))


def ship(source: str | Path, path: str | Path, *, half: bool = True) -> str:
    """Write the weights of a checkpoint, or of the newest one in a run's folder, to `path`; returns their SHA-256.

    Raises WeightsError when there is no checkpoint that can be read, OutputError when `path` cannot be written.
    """
    source = Path(source)
    checkpoint = latest(source) if source.is_dir() else read_checkpoint(source)
    if checkpoint is None:
        raise WeightsError(f"{source} holds no checkpoint (step-*.ckpt); give the folder of a training run")
    return save_weights(trained_model(checkpoint), path, half=half)


def trained_model(checkpoint: Checkpoint) -> Network:
    """The network of a checkpoint with the running mean of its weights (the weights themselves if it has none)."""
    about = checkpoint.about["model"]
    try:
        model = build_network(about["model"], about["config"])
        model.load_state_dict(checkpoint.part("ema") or checkpoint.part("model"))
    except (AlanetError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(f"the checkpoint does not fit the network it names ({reason}); use another") from error
    model.eval()
    return model
