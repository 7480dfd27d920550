"""The data of a recipe: where batches come from, how many clips an epoch has, and the clips to validate on.

Everything that is wrong with the data is found here, before the run writes a file: folders that are missing or
incomplete, and crops that are larger than the frames, for every stage of the recipe.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from alanet.data.clips import BankClips, MixedClips, SceneClips, rendered_batches, validation_batches
from alanet.data.cutting import Batch, ClipOptions
from alanet.data.real.dataset import VideoClips, held_out_batches
from alanet.data.real.manifest import has_manifest, read_manifest
from alanet.data.real.teacher_flow import HalfwayFlow
from alanet.data.real.video_set import VideoSet
from alanet.data.synthetic.bank import Bank
from alanet.data.synthetic.render import CELL, Stills, find_stills, is_held_out
from alanet.data.synthetic.scenes import SceneOptions
from alanet.errors import OptionError
from alanet.frames.exposure import Exposure
from alanet.training.loader import Sampler
from alanet.training.recipe import Recipe

__all__ = ["TrainingData", "open_data"]

log = logging.getLogger("alanet")

EPOCH = 10_000  # clips counted as an epoch where scenes are rendered during training and never repeat
SHARE = (
    10  # one in this number of scenes, videos or photographs is held out where the recipe names nothing to validate on
)
FEWEST_VIDEOS = 5  # with fewer, none of them is held out


@dataclass(frozen=True)
class TrainingData:
    """Open data. `held_out` is empty where nothing can be held out."""

    sampler: Sampler
    clips: int  # of one epoch
    held_out: Sequence[Batch]


def open_data(recipe: Recipe, device: torch.device, *, motion: bool, validate: bool = True) -> TrainingData:
    """Open and check the data of a recipe.

    motion: the network learns motion where the data have it. validate: False reads no held-out clips.
    Raises OptionError, DataError.
    """
    if recipe.photographs:
        data = _photographs(recipe, device, motion)
    elif recipe.dataset and has_manifest(recipe.dataset):
        data = _videos(recipe)
    else:
        data = _scenes(recipe, motion)
    if not validate:
        return replace(data, held_out=())
    if recipe.held_out:
        data = replace(data, held_out=_named_held_out(recipe.held_out, recipe.held_out_clips))
    elif not data.held_out and recipe.held_out_clips:
        log.warning(
            "no validation: %s has too little to hold a part out; give held_out (--held-out), other scenes or videos",
            recipe.dataset or recipe.photographs,
        )
    return data


def _named_held_out(folder: Path, count: int) -> list[Batch]:
    if has_manifest(folder):
        found: Iterable[Batch] = held_out_batches(VideoSet(folder, "val"), clips=count)
    else:
        found = validation_batches(Bank(folder))
    chosen = list(islice(found, count))
    if not chosen:
        raise OptionError(f"held_out_clips is {count}, so {folder} has no batch to validate on; give 1 or more")
    return chosen


# --- scenes -----------------------------------------------------------------------------------------------------------


def _scenes(recipe: Recipe, motion: bool) -> TrainingData:
    """Rendered scenes, with a second dataset of them and real videos where the recipe names these."""
    assert recipe.dataset
    options, seed = replace(recipe.clips, motion=motion), recipe.train.seed
    bank = Bank(recipe.dataset)
    _check_crops(recipe, recipe.dataset, [(bank.options.width, bank.options.height)])
    held = 0 if recipe.held_out else min(recipe.held_out_clips, len(bank) // SHARE)
    left = len(bank) - held
    clips: BankClips | MixedClips = BankClips(bank, options, scenes=left, seed=seed)
    if recipe.second_dataset:
        second = Bank(recipe.second_dataset)
        _check_crops(recipe, recipe.second_dataset, [(second.options.width, second.options.height)])
        clips = MixedClips(clips, BankClips(second, options, seed=seed + 1), 0.5, seed=seed + 1)
    exposure = Exposure(min(11, bank.exposure.frames), bank.options.period)
    batches = validation_batches(bank, exposure, scenes=range(left, len(bank))) if held else ()
    return TrainingData(_with_extra(recipe, options, clips, bank.exposure), left, list(batches))


def _photographs(recipe: Recipe, device: torch.device, motion: bool) -> TrainingData:
    """Scenes that are rendered during training."""
    assert recipe.photographs
    options, exposure = replace(recipe.clips, motion=motion), Exposure(recipe.exposure or 15, recipe.period)
    crops = [stage.crop for stage in recipe.train.stages]
    if not max(crops):
        raise OptionError("whole frames (crop 0) need a dataset; give --stages with a crop for photographs")
    frames = exposure.needed(options.t)
    scenes = SceneOptions(max(crops), max(crops), frames, recipe.period, recipe.displacement)
    for crop in crops:
        replace(scenes, height=crop or max(crops), width=crop or max(crops))  # raises for a crop that has no scene
    stills = Stills(find_stills(recipe.photographs), device=device)
    clips = SceneClips(stills, scenes, options, longest=exposure.frames, seed=recipe.train.seed)
    batches: list[Batch] = []
    if not recipe.held_out and any(is_held_out(path.name) for path in recipe.photographs.iterdir()):
        others = Stills(find_stills(recipe.photographs, held_out=True), device=device)
        batches = list(rendered_batches(others, scenes, options.t, recipe.held_out_clips))
    return TrainingData(_with_extra(recipe, options, clips, exposure), EPOCH, batches)


def _with_extra(
    recipe: Recipe, options: ClipOptions, scenes: BankClips | SceneClips | MixedClips, exposure: Exposure
) -> Sampler:
    """The scenes, mixed with real videos where the recipe has `extra_data`."""
    if recipe.extra_data is None:
        return scenes
    videos = VideoSet(recipe.extra_data)
    _check_crops(recipe, recipe.extra_data, videos.sizes)
    deblurred = options.deblurred if recipe.extra_deblurred is None else recipe.extra_deblurred
    options = replace(options, ramp_steps=0, deblurred=deblurred)
    halfway_flow = HalfwayFlow(videos) if options.motion else None
    clips = VideoClips(videos, options, exposure=exposure, seed=recipe.train.seed, halfway_flow=halfway_flow)
    return MixedClips(scenes, clips, recipe.extra_share, seed=recipe.train.seed)


# --- real videos ------------------------------------------------------------------------------------------------------


def _videos(recipe: Recipe) -> TrainingData:
    """Real videos; their split "val" is held out, or else one video of ten where there are five or more."""
    assert recipe.dataset
    if recipe.extra_data or recipe.second_dataset:
        raise OptionError("extra_data and second_dataset go with scenes, not with a dataset of videos; leave them out")
    splits = [video.split for video in read_manifest(recipe.dataset).videos]
    count, own = splits.count("train"), "val" in splits
    held = 0 if own or recipe.held_out or count < FEWEST_VIDEOS or not recipe.held_out_clips else -(-count // SHARE)
    videos = VideoSet(recipe.dataset, part=slice(0, count - held))
    _check_crops(recipe, recipe.dataset, videos.sizes)
    exposure = Exposure(recipe.exposure or 11, recipe.period)
    clips = VideoClips(videos, recipe.clips, exposure=exposure, seed=recipe.train.seed)
    batches: Iterable[Batch] = ()
    if not recipe.held_out and recipe.held_out_clips and (own or held):
        others = VideoSet(recipe.dataset, "val") if own else VideoSet(recipe.dataset, part=slice(count - held, count))
        batches = held_out_batches(others, clips=recipe.held_out_clips)
    return TrainingData(clips, len(clips), list(batches))


def _check_crops(recipe: Recipe, folder: Path, sizes: Sequence[tuple[int, int]]) -> None:
    """Refuse a stage whose crop does not fit into every frame (width, height) of a dataset."""
    width, height = min(size[0] for size in sizes), min(size[1] for size in sizes)
    for number, stage in enumerate(recipe.train.stages, 1):
        if stage.crop > min(width, height) or stage.crop % CELL:
            raise OptionError(
                f"stage {number} has crops of {stage.crop} pixels, the smallest frames of {folder} are "
                f"{width}x{height}; allowed: multiples of {CELL} up to {min(width, height) // CELL * CELL}, or 0 "
                "(whole frames)"
            )
