"""Training clips from a set built of real videos (`build.py`): batch k is a function of (seed, k) and nothing else.

The face of `BankClips`: `batch(index, size=, crop=)`. An epoch is one clip, begun at a random frame, from every
`stretch` consecutive sharp frames: a run of n frames gives n // stretch of them, at least one if it has room for a
clip. Videos of several sizes (portrait, other aspects) go well together in crops; a batch of whole frames takes its
clips from videos of one size. Needs numpy and torch only, so a set can be built on one machine and used on another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alanet.data.augment import Degradation, ExposureMix, turn_motion
from alanet.data.clips import exposed_batch
from alanet.data.cutting import Batch, ClipOptions, cells, collate, cut_clip, draw_times, place, rng_of
from alanet.data.real.manifest import Run
from alanet.data.real.teacher_flow import HalfwayFlow
from alanet.data.real.video_set import VideoSet
from alanet.data.synthetic.render import CELL
from alanet.errors import DataError, OptionError
from alanet.frames.exposure import Exposure, draw_blurred

__all__ = ["Cell", "VideoClips", "held_out_batches", "paper_clips"]

STRETCH = 29  # sharp frames that one clip of an epoch is drawn from (section 5.2)
PLACES = 3  # for a crop, of which the one is taken in which most moves
FAST = 16.0  # pixels a period: faster counts no more
NOISE, MOST_CHANGE = 3, 30  # of 255: a change by less is noise, one by more counts no more


def paper_clips(t: int = 5, *, exposure: int = 11) -> ClipOptions:
    """The clips of preset `paper`: all restored frames, each input blurred with p = 0.5 over the whole exposure, and
    nothing else done to them."""
    return ClipOptions(
        t=t,
        deblurred=t,
        between=t - 1,
        clip_ends=1.0,
        mix=ExposureMix(sharp=0.0, blurry=0.0, same_exposure=1.0, linear=0.0, shortest=exposure),
        degradation=Degradation(noise=0.0, jpeg=0.0),
        turns=False,
    )


@dataclass(frozen=True, slots=True)
class Cell:
    """Where one clip of an epoch comes from: a run, and the frames `starts` that it may begin at."""

    run: int
    starts: range


def cells_of(runs: tuple[Run, ...], needed: int, stretch: int = STRETCH) -> list[Cell]:
    """One for every `stretch` frames of each run that has room for a clip of `needed` frames."""
    cells = []
    for number, run in enumerate(runs):
        room = run.frames - needed + 1
        if room > 0:
            count = min(max(1, run.frames // stretch), room)
            cells += [Cell(number, range(room * k // count, room * (k + 1) // count)) for k in range(count)]
    return cells


class VideoClips:
    """Clips of a set; `len` is the number of clips in an epoch. exposure: the longest, and its period."""

    def __init__(
        self,
        videos: VideoSet,
        options: ClipOptions = ClipOptions(),
        *,
        exposure: Exposure = Exposure(11, 8),
        stretch: int = STRETCH,
        seed: int = 0,
        halfway_flow: HalfwayFlow | None = None,
    ) -> None:
        if options.ramp_steps or (options.motion and halfway_flow is None):
            raise OptionError(
                "the motion of real video is not known; let alanet data motion estimate it, train on scenes, or leave "
                "motion and ramp_steps out"
            )
        if halfway_flow is not None and halfway_flow.period != exposure.period:
            raise OptionError(
                f"motion over {halfway_flow.period} sharp frames for a period of {exposure.period}; give equal"
            )
        if exposure.period % options.factor:
            raise OptionError(
                f"factor {options.factor} with a period of {exposure.period} frames; allowed: its divisors"
            )
        if options.mix.shortest > exposure.frames:
            raise OptionError(
                f"blurry frames of {options.mix.shortest} sharp ones or more at an exposure of {exposure.frames}; "
                "allowed: at most the exposure"
            )
        if stretch < 1:
            raise OptionError(f"one clip from every {stretch} frames; allowed: 1 or more, such as {STRETCH}")
        self.videos, self.options, self.exposure, self.seed = videos, options, exposure, seed
        self.halfway_flow = halfway_flow if options.motion else None
        room = self.halfway_flow.every - 1 if self.halfway_flow else 0  # to move a clip to a frame that has flows
        self.cells = cells_of(videos.runs, exposure.needed(options.t) + room, stretch)
        if not self.cells:
            longest = max(run.frames for run in videos.runs)
            raise DataError(
                f"{videos.folder}: its longest run has {longest} frames, a clip of {options.t} takes "
                f"{exposure.needed(options.t)}; give longer video, or shorter clips"
            )
        self._epoch = lru_cache(maxsize=4)(self._ordered)

    def __len__(self) -> int:
        return len(self.cells)

    def batch(self, index: int, *, size: int, crop: int) -> Batch:
        """Batch `index`: `size` clips of crop x crop pixels (0: whole frames), on the CPU."""
        rng = rng_of(self.seed, index)
        times = draw_times(rng, self.options)
        epoch, at = divmod(index, len(self._epoch(0, size, crop == 0)))
        cells = self._epoch(epoch, size, crop == 0)[at]
        samples = [self._sample(np.random.Generator(stream), self.cells[cell], crop, times)
                   for cell, stream in zip(cells, rng.bit_generator.spawn(size), strict=True)]  # fmt: skip
        return collate(samples, times, rng, self.options)

    def _ordered(self, epoch: int, size: int, whole: bool) -> list[list[int]]:
        """The cells of every batch of an epoch: each cell once, but for those that fill the last batch of a size."""
        rng = rng_of(self.seed, epoch, 1)
        kinds = [self.videos.sizes[cell.run] if whole else (0, 0) for cell in self.cells]
        batches: list[list[int]] = []
        for kind in sorted(set(kinds)):
            alike = np.flatnonzero([other == kind for other in kinds])
            order = rng.permutation(alike)
            filled = np.resize(order, -(-len(order) // size) * size)
            batches += filled.reshape(-1, size).tolist()
        return [batches[k] for k in rng.permutation(len(batches))]

    def _sample(
        self, rng: np.random.Generator, cell: Cell, crop: int, times: tuple[Fraction, ...]
    ) -> dict[str, Tensor]:
        start = cell.starts[int(rng.integers(len(cell.starts)))]
        if self.halfway_flow is not None:
            return self._with_motion(rng, cell.run, start, crop, times, self.halfway_flow)
        sharp, where = self._sharp(cell.run, start), None
        size = self._size(rng, sharp.shape[1:3], crop)
        if crop and self.options.moving and rng.random() < self.options.moving:
            where = _moving_place(rng, _changes(sharp, self.exposure.period), size)
        if size != crop:
            where = where or (place(rng, sharp.shape[1], size), place(rng, sharp.shape[2], size))
            sharp, where = _halved(sharp[:, where[0], where[1]]), (slice(0, crop), slice(0, crop))
        return cut_clip(rng, sharp, self.exposure, times, crop, self.options, where)[0]

    def _size(self, rng: np.random.Generator, frame: tuple[int, ...], crop: int) -> int:
        """Pixels a side to cut for a crop: twice as many in a share of the clips, where the frames are so large."""
        if not crop or not self.options.half_size or 2 * crop > min(frame):
            return crop
        return 2 * crop if rng.random() < self.options.half_size else crop

    def _sharp(self, run: int, start: int) -> Tensor:
        return self.videos.sharp(run)[start : start + self.exposure.needed(self.options.t)]

    def _with_motion(
        self,
        rng: np.random.Generator,
        run: int,
        start: int,
        crop: int,
        times: tuple[Fraction, ...],
        halfway_flow: HalfwayFlow,
    ) -> dict[str, Tensor]:
        """A clip with its motion: its centres are frames that have flows, its crop one that moves."""
        start -= (start + self.exposure.centre(0)) % halfway_flow.every
        start += halfway_flow.every if start < 0 else 0
        flows = halfway_flow.between(run, start + self.exposure.centre(0), self.options.t - 1).float()
        sharp = self._sharp(run, start)
        size = self._size(rng, sharp.shape[1:3], crop)
        where = _moving_place(rng, (flows[:, 1] - flows[:, 0]).square().sum(1).sqrt().clamp(max=FAST).mean(0), size)
        flows = flows[..., cells(where[0]), cells(where[1])]
        if size != crop:
            sharp, halved = _halved(sharp[:, where[0], where[1]]), F.avg_pool2d(flows.flatten(0, 1), 2) / 2
            flows, where = halved.view(-1, 2, 2, *halved.shape[-2:]), (slice(0, crop), slice(0, crop))
        sample, turn, _ = cut_clip(rng, sharp, self.exposure, times, crop, self.options, where)
        passed = flows[:, 1] - flows[:, 0]  # t-1 2 h w: how far what is seen half-way moves in its period
        sweep = torch.cat((passed[:1], (passed[1:] + passed[:-1]) / 2, passed[-1:]))  # of the inputs: about that
        sample["halfway_flow"], sample["sweep"] = turn_motion(flows, sweep, turn)
        return sample


def _moving_place(rng: np.random.Generator, motion: Tensor, crop: int) -> tuple[slice, slice]:
    """The rows and columns of a crop: of `PLACES` random ones that in which most moves. A still camera's pictures are
    mostly background. motion: how much moves in each cell, h/4 w/4."""
    height, width = (CELL * n for n in motion.shape)
    places = [(place(rng, height, crop), place(rng, width, crop)) for _ in range(PLACES)]
    return max(places, key=lambda at: float(motion[cells(at[0]), cells(at[1])].mean()))


def _changes(sharp: Tensor, period: int) -> Tensor:
    """How much the cells of sharp frames (f h w c, uint8) change in a period, beyond noise: h/4 w/4."""
    green = sharp[::period, CELL // 2 :: CELL, CELL // 2 :: CELL, 1].float()
    return (green.diff(dim=0).abs() - NOISE).clamp(0, MOST_CHANGE).mean(0)


def _halved(sharp: Tensor) -> Tensor:
    """Frames f h w c, uint8, at half their size: means of 2 x 2 pixels."""
    f, h, w, c = sharp.shape
    sums = sharp.reshape(f, h // 2, 2, w // 2, 2, c).sum((2, 4), dtype=torch.int16)
    return ((sums + 2) // 4).to(torch.uint8)


def held_out_batches(
    videos: VideoSet,
    *,
    clips: int | None = None,
    t: int = 5,
    exposure: Exposure = Exposure(11, 8),
    probability: float = 1.0,
    factor: int = 2,
    linear: bool = False,
    seed: int = 0,
) -> Iterator[Batch]:
    """Clips to validate on, always the same: whole frames, all times, one clip a batch, `clips` of them spread evenly
    over the set (None: every stretch of it). Only which frames are blurry is drawn. Protocols as in method.md:
    `all-blurry` is probability 1, `mixed` 0.5."""
    cells = cells_of(videos.runs, exposure.needed(t))
    if not cells:
        raise DataError(f"{videos.folder}: no run of split {videos.split} has room for a clip of {t} frames")
    count = len(cells) if clips is None else min(clips, len(cells))
    for number in range(count):
        cell = cells[len(cells) * number // count]
        start = cell.starts[0]
        sharp = videos.sharp(cell.run)[start : start + exposure.needed(t)].permute(0, 3, 1, 2).float() / 255
        yield exposed_batch(
            sharp, exposure, draw_blurred(rng_of(seed, number, 2), t, probability), factor=factor, linear=linear
        )
