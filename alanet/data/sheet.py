"""A contact sheet: clips as one picture, to be looked at. A sheet of scenes must look like video, not like noise.

A row is a clip: its input frames | the ground truth at the batch's times. `python -m alanet.data.sheet BANK OUT.png`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image

from alanet.data.clips import BankClips
from alanet.data.cutting import Batch, ClipOptions
from alanet.data.synthetic.bank import Bank
from alanet.files import atomic_write

__all__ = ["contact_sheet"]

GAP = 4  # pixels between pictures; twice as many between inputs and truth


def contact_sheet(batch: Batch, path: Path) -> None:
    """Write the clips of a batch as a PNG."""
    b, t, c, h, w = batch.clip.shape
    n = batch.truth.shape[1]
    sheet = torch.ones(c, b * (h + GAP) - GAP, (t + n) * (w + GAP))
    for row in range(b):
        for column, picture in enumerate([*batch.clip[row], *batch.truth[row]]):
            top, left = row * (h + GAP), column * (w + GAP) + (GAP if column >= t else 0)
            sheet[:, top : top + h, left : left + w] = picture.cpu()
    pixels = (sheet.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    with atomic_write(path) as file:
        Image.fromarray(pixels).save(file, format="PNG")


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m alanet.data.sheet", description="Clips of a bank as one picture.")
    parser.add_argument("bank", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=10)
    parser.add_argument("--crop", type=int, default=0, help="pixels; 0: whole frames")
    parser.add_argument("--index", type=int, default=0, help="which batch")
    args = parser.parse_args()
    clips = BankClips(Bank(args.bank), ClipOptions(between=2))
    contact_sheet(clips.batch(args.index, size=args.rows, crop=args.crop), args.out)


if __name__ == "__main__":
    _main()
