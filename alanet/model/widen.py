"""A larger ALANetPlus that begins as what a smaller one has become.

Every channel of the smaller network has its place in the larger one and sees there what it saw before: its weights
from new channels are 0. New channels begin as in any new network, new blocks and parts change nothing at first. So the
larger network restores what the smaller one does, to rounding, and training goes on from there with more room. (Chen et
al., Net2Net, 2016, widen by copies of channels, which training has to make different again; here they are new.)
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

MAY_WIDEN = ("channels", "encoder", "generator", "motion", "along", "shutter")
MAY_COME = ("shutter", "along", "unaligned")  # parts that say nothing at first
OF_NO_WEIGHT = ("still", "uneven", "window", "sharp_above")
# Inputs made of several things, one after the other: how many grow alike, and the length of what follows and does not.
INPUTS = {
    r"generator\.join\.\d": (2, 0),  # from below, z
    r"generator\.lying\.\d": (2, 0),  # both frames
    r"generator\.fusions\.\d\.query": (2, 0),  # what is shared, from below; at the deepest scale the first alone
    r"generator\.refine\.\d\.first": (1, KEYS + 2),  # features; key, flow
}


def widen(small: nn.Module, config: Any, name: str = "the network") -> ALANetPlus:
    """A network of `config` that restores what `small` (called `name` in messages) does.

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
                weight.zero_()  # a further block: it adds nothing to what comes in
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
