"""A larger ALANetPlus with the weights of a smaller one.

Every channel of the smaller network has its place in the larger one, with the same inputs: its weights from new
channels are 0. New channels are initialised as in any new network; new blocks and parts change nothing at first. So the
larger network restores the same frames as the smaller one, to rounding, and training continues from there. (Net2Net,
Chen et al., 2016, widens by copies of channels, which training has to make different again; here the channels are new.)
"""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from typing import Any, cast

import torch
from torch import Tensor, nn

from alanet.errors import OptionError
from alanet.model.alanet_plus import KEYS, ALANetPlus, ALANetPlusConfig

__all__ = ["widen"]

MAY_WIDEN = ("channels", "encoder", "generator", "motion", "motion_deblur", "exposure_refiner")
MAY_COME = ("exposure_refiner", "motion_deblur", "unwarped")  # parts whose output is 0 at first
OF_NO_WEIGHT = ("motion_mask", "acceleration", "window", "sharp_above")
# Inputs that are concatenations: the number of parts that are widened, and the length of the rest, which is not.
INPUTS = {
    r"generator\.join\.\d": (2, 0),  # from below, z
    r"generator\.unwarped\.\d": (2, 0),  # both frames
    r"generator\.fusions\.\d\.query": (
        2,
        0,
    ),  # shared features, features from below; at the deepest scale the first alone
    r"generator\.refine\.\d\.first": (1, KEYS + 2),  # features; key, flow
}


def widen(small: nn.Module, config: Any, name: str = "the network") -> ALANetPlus:
    """A network of `config` that restores the same frames as `small` (called `name` in messages).

    Raises OptionError where `config` has no room for that, or `small` is of a class that cannot be widened.
    """
    if not isinstance(small, ALANetPlus):
        found = asdict(cast(Any, small).config)
        key, value = next((key, value) for key, value in asdict(config).items() if value != found[key])
        raise OptionError(f"{name} has {key} {found[key]}, not {value}; leave {key} out")
    _check(small.config, config)
    large = ALANetPlus(config)
    before = small.state_dict()
    single = f"generator.fusions.{len(config.channels) - 1}.query"
    with torch.no_grad():
        for name, weight in large.state_dict().items():
            layer = name.rpartition(".")[0]
            if name in before:
                _put(before[name], weight, "" if layer == single else layer)
            elif ".blocks." in name and ".second." in name:
                weight.zero_()  # a new block: a residual of 0
    return large


def _check(small: ALANetPlusConfig, large: ALANetPlusConfig) -> None:
    for name in (field.name for field in fields(ALANetPlusConfig)):
        a, b = getattr(small, name), getattr(large, name)
        if name in OF_NO_WEIGHT or a == b or (name in MAY_COME and not a):
            continue
        pairs = list(zip(a, b, strict=False)) if isinstance(a, tuple) else [(a, b)]
        if name not in MAY_WIDEN or any(m > n for m, n in pairs) or (isinstance(a, tuple) and len(a) != len(b)):
            allowed = f"{a} or more" if name in MAY_WIDEN else f"{a}"
            raise OptionError(f"weights with {name} {a} cannot be widened to {name} {b}; allowed: {allowed}")


def _put(old: Tensor, new: Tensor, layer: str) -> None:
    """The old weights into their places, nothing from new channels to old ones; the rest of `new` stays."""
    if old.dim() < 2:
        new[: len(old)] = old
        return
    widened = new.new_zeros(len(old), *new.shape[1:])
    widened[:, _places(old.shape[1], new.shape[1], layer)] = old
    new[: len(old)] = widened


def _places(old: int, new: int, layer: str) -> Tensor:
    """Where each of a layer's `old` inputs lies among its `new` ones."""
    count, fixed = next((made for pattern, made in INPUTS.items() if re.fullmatch(pattern, layer)), (1, 0))
    had, has = (old - fixed) // count, (new - fixed) // count
    parts = [torch.arange(had) + part * has for part in range(count)]
    return torch.cat((*parts, torch.arange(fixed) + count * has))
