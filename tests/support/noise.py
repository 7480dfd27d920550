"""Stills of smooth noise, and banks of scenes made of them: what tests train on and score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from alanet.data.synthetic.bank import Bank, render_bank
from alanet.data.synthetic.render import is_held_out
from alanet.data.synthetic.scenes import SceneOptions


def make_stills(folder: Path, count: int = 2) -> Path:
    """96x96, none of them held out (which goes by name)."""
    folder.mkdir(exist_ok=True)
    names = [name for name in (f"{i}.png" for i in range(200)) if not is_held_out(name)][:count]
    for seed, name in enumerate(names):
        small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
        Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC).save(folder / name)
    return folder


def make_bank(folder: Path, *, stills: int = 2, seed: int = 0, **scenes: float) -> Bank:
    """Two scenes of 32x32 in `folder`/bank, of stills beside them."""
    options = SceneOptions(**{"height": 32, "width": 32, "max_displacement": 2.0, **scenes})
    return render_bank(make_stills(folder / "stills", stills), folder / "bank", 2, options, seed=seed)
