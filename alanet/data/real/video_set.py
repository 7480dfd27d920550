"""The sharp frames of a built set, mapped from its files. Needs numpy and torch only."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alanet.data.real.manifest import read_manifest
from alanet.errors import DataError

__all__ = ["VideoSet"]


class VideoSet:
    """The runs of one split ("train", "val", "test") of a dataset of videos; their files are opened on first use.

    part: which of the split's videos, by their order in the manifest.
    """

    def __init__(self, folder: Path | str, split: str = "train", part: slice = slice(None)) -> None:
        self.folder = Path(folder)
        manifest = read_manifest(self.folder)
        self.videos = tuple(video for video in manifest.videos if video.split == split)[part]
        if not self.videos:
            there = ", ".join(sorted({video.split for video in manifest.videos})) or "nothing"
            raise DataError(f"{self.folder}: no video in split {split!r}; it has {there}")
        self.split = split
        self.runs = tuple(run for video in self.videos for run in video.runs)
        self.sizes = tuple(video.size for video in self.videos for _ in video.runs)  # (width, height) of every run
        self._open = lru_cache(maxsize=512)(self._mapped)

    def sharp(self, run: int) -> Tensor:
        """The frames of a run: frames h w c, uint8, on disk. Raises DataError if its file is damaged."""
        return self._open(run)

    def _mapped(self, number: int) -> Tensor:
        run, (width, height) = self.runs[number], self.sizes[number]
        path = self.folder / run.file
        try:
            # Copy-on-write, as torch needs writable memory; nothing is written.
            frames = np.load(path, mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read ({error}); run alanet data build again to repair it") from None
        if frames.shape != (run.frames, height, width, 3) or frames.dtype != np.uint8:
            raise DataError(f"{path}: holds {frames.dtype} {frames.shape}, not what its manifest says; build it again")
        return torch.from_numpy(frames)
