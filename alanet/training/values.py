"""Plain values (TOML, JSON, flags) -> frozen dataclasses, nothing unknown and nothing of another kind.

A dataclass inside a dataclass is a table in a table, a tuple a list, a path a text. Undo of `dataclasses.asdict`, also
after JSON.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from alanet.errors import OptionError

__all__ = ["build", "hint", "overlay"]

T = TypeVar("T")
LARGEST = (1 << 53) - 1  # beyond it a float does not hold every whole number
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}


def build(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """A `cls` of these values, its defaults for those that are missing; `what` is its name in messages.

    Raises OptionError for a key that is no field, a value of another kind, and what `cls` itself refuses.
    """
    if not isinstance(values, Mapping):
        raise OptionError(f"{what} is {values!r}; give a table of names and values")
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # T is a dataclass
    for key in values:
        if key not in names:
            raise OptionError(f"{what} option {key!r} is unknown{hint(key, names)}; allowed: {', '.join(names)}")
    hints = typing.get_type_hints(cls)
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise OptionError(f"{what} lacks {field.name}; it has {', '.join(values) or 'nothing'}")
    return cls(**{key: _converted(value, hints[key], f"{what} option {key}") for key, value in values.items()})


def overlay(below: Mapping[str, Any], above: Mapping[str, Any], exclusive: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """Both, the values of `above` where both have one; tables are joined. exclusive: names of which one takes the
    place of all, so that a budget in steps drops one in minutes."""
    dropped = {name for group in exclusive if any(above.get(name) is not None for name in group) for name in group}
    joined = {key: value for key, value in below.items() if key not in dropped}
    for key, value in above.items():
        both = isinstance(joined.get(key), Mapping) and isinstance(value, Mapping)
        joined[key] = overlay(joined[key], value, exclusive) if both else value
    return joined


def hint(name: str, known: Iterable[str]) -> str:
    """ " (did you mean 'fourier'?)", or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _converted(value: Any, kind: Any, what: str) -> Any:
    """`value` as an instance of the type `kind`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (kind,) = (one for one in arguments if one is not type(None))
        return _converted(value, kind, what)
    if origin is Literal:
        if value not in arguments:
            raise OptionError(f"{what} is {value!r}; allowed: {', '.join(map(str, arguments))}")
        return value
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise OptionError(f"{what} is {value!r}; give a table of names and values")
        return dict(value)
    if origin is tuple:
        return _tuple(value, arguments, what)
    if is_dataclass(kind) and isinstance(kind, type):
        return value if isinstance(value, kind) else build(kind, value, what)
    return _single(value, kind, what)


def _tuple(value: Any, kinds: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise OptionError(f"{what} is {value!r}; give a list")
    if kinds[-1] is Ellipsis:
        return tuple(_converted(one, kinds[0], what) for one in value)
    if len(value) != len(kinds):
        raise OptionError(f"{what} has {len(value)} values; give {len(kinds)}")
    return tuple(_converted(one, kind, what) for one, kind in zip(value, kinds, strict=True))


def _single(value: Any, kind: Any, what: str) -> Any:
    """Numbers are not truth values, and a whole number is a number."""
    allowed = {float: (int, float), Path: (str, Path)}.get(kind, kind)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise OptionError(f"{what} is {_short(value)}; give {WORDS[kind]}")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise OptionError(f"{what} is {_short(value)}; allowed: numbers up to {LARGEST}")
    return kind(value) if kind in (float, Path) else value


def _short(value: Any) -> str:
    """The value as written, cut where it is long."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"a whole number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
