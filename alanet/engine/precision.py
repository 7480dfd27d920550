"""Which number format the network computes in, by what the hardware can do. Nothing is timed: the choice, and with it
the result, is the same in every run on a machine.

    CPU with AMX-BF16 or AVX512-BF16   bf16
    CUDA                               fp16
    anything else                      fp32
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from alanet.errors import OptionError

__all__ = ["DTYPES", "PrecisionChoice", "choose_precision", "cpu_bf16"]

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class PrecisionChoice:
    """A precision and the reason for it."""

    precision: Precision
    reason: str

    def __str__(self) -> str:
        return f"{self.precision} ({self.reason})"


def choose_precision(name: str, device: torch.device) -> PrecisionChoice:
    """The precision that `name` stands for on a device.

    Args:
        name: "auto", "fp32", "bf16" or "fp16".
        device: where the network runs.

    Raises:
        OptionError: for another name, and for fp16 on a CPU, which has no fast fp16.
    """
    if name == "fp16" and device.type == "cpu":
        raise OptionError("precision fp16 needs a GPU; on a CPU give auto, fp32 or bf16")
    if name in ("fp32", "bf16", "fp16"):
        return PrecisionChoice(name, "as asked")  # type: ignore[arg-type]
    if name != "auto":
        raise OptionError(f"precision {name!r} is not one of auto, fp32, bf16, fp16")
    if device.type == "cuda":
        return PrecisionChoice("fp16", "CUDA")
    if device.type != "cpu":
        return PrecisionChoice("fp32", f"the default on {device.type}")
    unit = cpu_bf16()
    if unit is None:
        return PrecisionChoice("fp32", "this CPU has no bf16 arithmetic")
    return PrecisionChoice("bf16", f"this CPU has {unit}")


def cpu_bf16() -> str | None:
    """The CPU's unit for bf16 arithmetic, "AMX-BF16" or "AVX512-BF16"; None where there is none."""
    if torch.cpu._is_amx_tile_supported():
        return "AMX-BF16"
    return "AVX512-BF16" if torch.cpu._is_avx512_bf16_supported() else None
