"""What a training run is: dataset, network, clips and training in one frozen dataclass, read from TOML or JSON.

    Recipe = preset + one of (dataset, photographs) + [model] + [clips] + [train]

A value that the file leaves out is the preset's; preset `paper` also sets the paper's clips. OUT/config.json holds the
whole recipe of the run in OUT and can be read again. The machine (device, processes, threads) is not part of it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from alanet.data.cutting import ClipOptions
from alanet.data.real.dataset import paper_clips
from alanet.errors import OptionError
from alanet.model.weights import NETWORKS, network_class
from alanet.training.config import Stage, TrainConfig, preset
from alanet.training.values import build, hint, overlay

__all__ = ["Recipe", "make_recipe", "merged", "network_config", "parse_setting", "parse_stages", "read_values"]

SOURCES = ("dataset", "photographs")
EXCLUSIVE = (SOURCES, ("minutes", "steps", "epochs"))


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that defines a run, except the machine."""

    preset: str = "cpu"  # "paper" | "scenes" | "cpu" | "quick": the defaults of [train] and [clips]
    dataset: Path | None = None  # scenes (`alanet data scenes`), or real videos (`alanet data build`), split "train"
    second_dataset: Path | None = None  # more scenes: half of the batches come from them
    photographs: Path | None = None  # scenes are rendered during training
    extra_data: Path | None = None  # real videos used in addition to scenes
    extra_share: float = 0.3  # share of the batches from `extra_data`
    extra_deblurred: int | None = (
        None  # deblurred frames of its clips; None: as `clips`; 0: video that is blurry itself
    )
    held_out: Path | None = None  # scenes, or real videos with a split "val"; default: a part of the dataset
    held_out_clips: int = 24  # clips to validate on
    init: str | None = None  # weights to start from, by name or path
    vgg: Path | None = None  # VGG16 weights for the perceptual loss
    exposure: int | None = None  # longest exposure in sub-frames; default 11 (videos) or 15 (photographs)
    period: int = 8  # sub-frames a frame period, of videos and photographs; rendered scenes have their own
    displacement: float = 24.0  # of photographs: largest motion, pixels a period
    network: str | None = None  # class name; default: that of `init`, else ALANet
    model: Mapping[str, Any] | None = None  # its config; what is left out is as in `init`, else the default
    train_only: Literal["all", "exposure_head", "generator", "generator_and_flow", "flow"] = (
        "all"  # the part that is trained; the rest stays as `init`
    )
    clips: ClipOptions = field(default_factory=ClipOptions)  # what a training clip is
    train: TrainConfig = field(default_factory=TrainConfig)  # budget, optimizer, loss


def make_recipe(values: Mapping[str, Any]) -> Recipe:
    """The recipe of plain values; what is left out is as the preset has it. Raises OptionError."""
    name = values.get("preset", Recipe().preset)
    tables = {key: values.get(key) or {} for key in ("model", "clips", "train")}
    for key, table in tables.items():
        if not isinstance(table, Mapping):
            raise OptionError(f"{key} is {table!r}; give a table of names and values")
    training = preset(str(name), **tables["train"])
    model = {key: value for key, value in tables["model"].items() if value is not None}
    network = values.get("network")
    if model:
        network_config(network or "ALANet" if not values.get("init") else network, model)
    defaults = paper_clips() if name == "paper" else ClipOptions()
    if network in NETWORKS and network_class(network)[0].continuous_time:
        defaults = replace(defaults, factor=8)
    clips = build(ClipOptions, overlay(asdict(defaults), tables["clips"], ()), "clips")
    recipe = build(Recipe, {**values, "model": model or None, "clips": clips, "train": training}, "recipe")
    _check_values(recipe)
    _check_sources(recipe)
    return recipe


def _check_values(recipe: Recipe) -> None:
    ranges = {"extra_share": (0, 1), "extra_deblurred": (0, 1000), "held_out_clips": (0, 1 << 20)}
    for name, (low, high) in {**ranges, "displacement": (0, 10_000), "period": (2, 1000)}.items():
        value = getattr(recipe, name)
        if value is not None and not low <= value <= high:
            raise OptionError(f"{name} is {value}; allowed: {low} to {high}")


def _check_sources(recipe: Recipe) -> None:
    if (recipe.dataset is None) == (recipe.photographs is None):
        given = "dataset and photographs are both given" if recipe.dataset else "no training data is given"
        raise OptionError(f"{given}; give one of dataset (a folder of alanet data), photographs")
    if recipe.second_dataset and not recipe.dataset:
        raise OptionError(f"second_dataset {recipe.second_dataset} needs a dataset; give both, or dataset alone")


def network_config(network: str | None, table: Mapping[str, Any], base: Any = None) -> Any:
    """The config of a network class from a table of its values.

    Values that are left out are those of `base`, or the defaults. Raises OptionError.
    """
    if network is None:
        return None
    if network not in NETWORKS:
        raise OptionError(f"network {network!r}{hint(network, NETWORKS)}; allowed: {', '.join(NETWORKS)}")
    return build(network_class(network)[1], {**(asdict(base) if base is not None else {}), **table}, "model")


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a file overridden by those of flags; a source or a budget replaces another one."""
    return overlay(below, above, EXCLUSIVE)


def read_values(path: Path) -> dict[str, Any]:
    """The plain values of a TOML or JSON file. Raises OptionError."""
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise OptionError(f"{path}: cannot be read ({error.strerror}); give the TOML or JSON file of a run") from None
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{path}: neither TOML nor JSON ({error}); see docs/training.md for one") from None
    if not isinstance(values, dict):
        raise OptionError(f"{path}: holds no table of names and values; see docs/training.md for one")
    return values


def parse_stages(text: str) -> tuple[Stage, ...]:
    """ "0:96:8,0.7:128:4" -> stages of (start, crop, batch). Raises OptionError."""
    try:
        parts = [part.split(":") for part in text.split(",")]
        return tuple(Stage(float(start), int(crop), int(batch)) for start, crop, batch in parts)
    except ValueError:
        raise OptionError(f"--stages {text}: give START:CROP:BATCH,..., such as 0:96:8,0.7:128:4") from None


def parse_setting(text: str) -> dict[str, Any]:
    """ "clips.mix.sharp=0.1" -> {"clips": {"mix": {"sharp": 0.1}}}; a single name is one of the recipe or of `train`.

    Values are JSON, otherwise text. Raises OptionError.
    """
    name, sign, value = text.partition("=")
    if not sign:
        raise OptionError(f"--set {text}: give NAME=VALUE, such as --set fourier=0")
    try:
        plain: Any = json.loads(value)
    except (ValueError, RecursionError):
        plain = value
    parts = name.split(".")
    tops = [one.name for one in fields(Recipe)]
    if len(parts) == 1 and name not in tops:
        parts = ["train", name]
    elif parts[0] not in tops:
        raise OptionError(f"--set {text}: {parts[0]!r} is unknown{hint(parts[0], tops)}; allowed: {', '.join(tops)}")
    for part in reversed(parts):
        plain = {part: plain}
    return dict(plain)
