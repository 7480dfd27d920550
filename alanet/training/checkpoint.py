"""A training run on disk, so that nothing is lost: written whole or not at all, checked when read, the last few kept.

    FOLDER/step-00001200.ckpt      one line "alanet checkpoint 1 SHA-256 LENGTH", then safetensors

The tensors are the model's, their running mean's, the optimizer's and the random generators'; everything else (step,
time used, config) is JSON in the header of the safetensors. The step is also the position in the data. Reading one
runs no code. A name ending in .part is a write that was cut short and is never read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from alanet.errors import AlanetError, WeightsError
from alanet.files import write_whole

__all__ = [
    "Checkpoint",
    "checkpoints",
    "latest",
    "random_state",
    "read_checkpoint",
    "refuse_not_finite",
    "restore_random_state",
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
    path = folder / f"step-{checkpoint.step:08d}.ckpt"
    write_whole(path, line, payload)
    for old in checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def refuse_not_finite(tensors: Mapping[str, Tensor]) -> None:
    """Raise AlanetError if a tensor holds infinity or NaN: such weights are never written."""
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise AlanetError(
                f"{name} holds values that are not finite, so nothing was saved; "
                "go on from the last checkpoint with a lower learning rate"
            )


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
        if not isinstance(about, dict) or type(about.get("step")) is not int:
            raise ValueError("it does not say its step")
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(f"{path} is damaged or no checkpoint of alanet ({reason}); use another") from error
    return Checkpoint(tensors, about)


def latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read; damaged newer ones are passed over with a warning. None if there is none.

    Raises WeightsError when there are checkpoints and all are damaged.
    """
    found = checkpoints(folder)
    for path in reversed(found):
        try:
            return read_checkpoint(path)
        except WeightsError as error:
            log.warning("%s; going back to the checkpoint before it", error)
    if found:
        raise WeightsError(f"all {len(found)} checkpoints in {folder} are damaged; choose another folder to start anew")
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
