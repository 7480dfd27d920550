"""Weights: a name from the catalogue or a path, checked before a single value is used.

A weights file is safetensors: raw tensors behind a JSON header, no code. Its metadata carry the network's class and
config under the key `alanet`, so the file alone rebuilds the model. Tensors are fp16 on disk and fp32 in memory.

What is checked, in this order: the file's size; the SHA-256 (always for shipped names, for a path when demanded); the
header's size and JSON; every tensor's type, shape and place (in bounds, nothing overlapping or hidden between); the
class and config; exactly the model's keys and shapes; only finite values. Any fault is one `WeightsError`.
"""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alanet.errors import AlanetError, OptionError, WeightsError
from alanet.files import as_path, write_whole

if TYPE_CHECKING:
    from alanet.model.network import Network

__all__ = [
    "NETWORKS",
    "ModelCard",
    "available_models",
    "build_network",
    "continuous_models",
    "default_model",
    "file_sha256",
    "load_model",
    "network_class",
    "save_weights",
]

MAX_BYTES = 1 << 30  # far above any network of alanet
MAX_HEADER = 1 << 20
BYTES_OF = {"F16": 2, "BF16": 2, "F32": 4}
# The networks by the name that weight files carry: module, class, dataclass of its config. A new network is one new
# file and one line here; workers, checkpoints and recipes find it through this table.
NETWORKS: dict[str, tuple[str, str, str]] = {
    "ALANet": ("alanet.model.alanet", "ALANet", "ALANetConfig"),
    "ALANetPlus": ("alanet.model.alanet_plus", "ALANetPlus", "ALANetPlusConfig"),
}


@dataclass(frozen=True)
class ModelCard:
    """A shipped set of weights, as `weights/catalogue.json` has it.

    >>> card = next(iter(alanet.available_models().values()))
    >>> card.path.exists()
    True
    """

    name: str
    file: str
    sha256: str
    purpose: str  # one line: what to use it for
    parameters: int
    gmacs: float  # a restored frame at 640x352, x2, in a stream
    scores: dict[str, str]  # what the card in docs/models says, briefly
    license: str
    default: bool = False

    @property
    def path(self) -> Path:
        return Path(str(resources.files("alanet") / "weights" / self.file))


def available_models() -> dict[str, ModelCard]:
    """The shipped models by name. Reads one small JSON file; imports no torch.

    >>> for name, card in alanet.available_models().items():
    ...     print(name, card.purpose)                             # doctest: +ELLIPSIS
    alanet-...
    """
    text = (resources.files("alanet") / "weights" / "catalogue.json").read_text("utf-8")
    return {entry["name"]: ModelCard(**entry) for entry in json.loads(text)}


def default_model() -> str:
    """The name of the model used where none is asked for."""
    name = next((card.name for card in available_models().values() if card.default), None)
    if name is None:
        raise WeightsError("this build ships no default model; name a safetensors file as the model")
    return name


def continuous_models() -> list[str]:
    """The shipped models that restore any time, not only inputs and midpoints. Reads the files' headers only."""
    names = []
    for name, card in available_models().items():
        with suppress(OSError, ValueError, KeyError), open(card.path, "rb") as file:
            header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), MAX_HEADER)))
            network, _ = network_class(json.loads(header["__metadata__"]["alanet"])["model"])
            if network.continuous_time:
                names.append(name)
    return names


def network_class(name: str) -> tuple[Any, Any]:
    """The class of a network and its config's class. Raises WeightsError for a name that is not in NETWORKS."""
    if name not in NETWORKS:
        raise WeightsError("it is of a model or format that this version does not support; another may")
    module, network, config = NETWORKS[name]
    there = import_module(module)
    return getattr(there, network), getattr(there, config)


def load_model(name_or_path: str | Path | None = None, *, sha256: str | None = None) -> Network:
    """A model with its weights, in fp32, on the CPU, in eval mode.

    Args:
        name_or_path: a name of `available_models()`, or a safetensors file; None is the default model.
        sha256: demanded digest of the file (hexadecimal). Shipped names have theirs checked always.

    Raises:
        OptionError: an argument of another type.
        WeightsError: an unknown name, a missing, damaged or hostile file, or one that is of another model.

    >>> model = alanet.load_model()
    >>> model.training
    False
    """
    cards = available_models()
    path = as_path(default_model() if name_or_path is None else name_or_path, "the model")
    if not isinstance(sha256, str | None):
        raise OptionError(f"sha256 is of type {type(sha256).__name__}; give a text of 64 hexadecimal digits")
    name = str(path)
    demanded = [sha256] if sha256 is not None else []
    if name in cards:
        path = cards[name].path
        demanded.append(cards[name].sha256)
    else:
        path = Path(name)
        if not path.is_file():
            near = [f"did you mean {found}? " for found in get_close_matches(name.lower(), cards, n=1, cutoff=0.5)]
            allowed = f"give a safetensors file or one of {', '.join(cards)}"
            what = f"{name} is a folder, not a model" if path.is_dir() else f"no model {name!r}"
            raise WeightsError(f"{what}: {''.join(near)}{allowed}")
    blob = _read(path)
    if any(hashlib.sha256(blob).hexdigest() != digest.lower() for digest in demanded):
        raise WeightsError(f"{path} is not the expected file: its SHA-256 differs; get it again")
    header = _header(blob, path)
    return _build(blob, header, path)


def save_weights(model: Network, path: str | Path, *, half: bool = True) -> str:
    """Write a model's weights, config inside, atomically; returns the file's SHA-256.

    Args:
        model: the network; its values must be finite.
        path: where to, usually `NAME.safetensors`; replaced if it exists.
        half: fp16 values (shipping); False keeps fp32.

    Raises:
        OptionError: a model or a path of another type.
        WeightsError: a value that is not finite.

    >>> digest = alanet.save_weights(alanet.ALANet(alanet.ALANetConfig(width=0.125)), "mine.safetensors")
    >>> model = alanet.load_model("mine.safetensors", sha256=digest)
    """
    import torch
    from safetensors.torch import save

    path = as_path(path, "path")
    if not hasattr(model, "config"):
        raise OptionError(f"model is of type {type(model).__name__}; give a network of alanet")
    tensors = {key: value.detach().cpu().to(torch.float16 if half else torch.float32).contiguous()
               for key, value in model.state_dict().items()}  # fmt: skip
    if broken := [key for key, value in tensors.items() if not value.isfinite().all()]:
        raise WeightsError(f"not saved: {broken[0]} holds values that are not finite in {'fp16' if half else 'fp32'}")
    about = {"format": 1, "model": type(model).__name__, "config": asdict(model.config)}
    blob = save(tensors, metadata={"alanet": json.dumps(about, sort_keys=True)})
    write_whole(path, blob)
    return hashlib.sha256(blob).hexdigest()


def build_network(name: str, config: dict[str, Any]) -> Network:
    """An untrained network from the name of its class and its config, as JSON has it (lists are tuples).

    Raises WeightsError for a name or field that this version does not have, OptionError or TypeError for a value.
    """
    network, config_class = network_class(name)
    if not set(config) <= {field.name for field in fields(config_class)}:
        raise WeightsError("it has a config that this version does not support; another version of alanet may")
    built: Network = network(config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}))
    return built


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise WeightsError(f"{path} is {size / 1e9:.1f} GB; alanet's weights are below {MAX_BYTES / 1e9:.1f} GB")
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error


def _header(blob: bytes, path: Path) -> dict[str, Any]:
    """The JSON header, with every tensor's type, shape and place checked."""
    size = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 or size > min(MAX_HEADER, len(blob) - 8):
        raise WeightsError(f"{path} is not a safetensors file; pickles (.pt, .pth, .ckpt) are not read: they run code")
    try:
        header = json.loads(blob[8 : 8 + size].decode("utf-8"), object_pairs_hook=_unique)
        tensors = {key: value for key, value in header.items() if key != "__metadata__"}
        places = sorted((*value["data_offsets"], key) for key, value in tensors.items())
        end = 0
        for first, last, key in places:
            length = BYTES_OF[tensors[key]["dtype"]] * math.prod(_lengths(tensors[key]["shape"]))
            if first != end or last - first != length:
                raise ValueError(f"tensor {key} is misplaced")
            end = last
        if end != len(blob) - 8 - size:
            raise ValueError(f"{len(blob) - 8 - size} bytes of values where the header states {end}")
        json.loads(header["__metadata__"]["alanet"], object_pairs_hook=_unique)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path} is damaged or not weights of alanet ({_reason(error)}); get it again") from error
    return dict(header)


def _build(blob: bytes, header: dict[str, Any], path: Path) -> Network:
    from safetensors.torch import load

    about = json.loads(header["__metadata__"]["alanet"])
    if not isinstance(about, dict) or about.get("format") != 1:
        raise WeightsError(f"{path} is of a model or format that this version does not support; another one may")
    config = about.get("config")
    if not isinstance(config, dict):
        raise WeightsError(f"{path} has a config that this version does not support; another version of alanet may")
    try:
        model = build_network(str(about.get("model")), config)
    except WeightsError as error:
        raise WeightsError(f"{path} is not read: {error}") from error
    except (AlanetError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} has a config that makes no network ({_reason(error)})") from error
    expected = {key: list(value.shape) for key, value in model.state_dict().items()}
    for key in sorted(expected.keys() | (header.keys() - {"__metadata__"})):
        given = header[key]["shape"] if key in header else "nothing"
        if given != expected.get(key, "nothing"):
            raise WeightsError(f"{path}: {key} is {given}, the network it names has {expected.get(key, 'nothing')}")
    tensors = {key: value.float() for key, value in load(blob).items()}
    if broken := [key for key, value in tensors.items() if not value.isfinite().all()]:
        raise WeightsError(f"{path}: {broken[0]} holds values that are not finite; get it again")
    model.load_state_dict(tensors)
    model.eval()
    return model


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON objects with a key twice are refused: readers differ on which one counts."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _lengths(shape: Any) -> list[int]:
    if not isinstance(shape, list) or not all(type(n) is int and 0 < n < 1 << 24 for n in shape) or len(shape) > 8:
        raise ValueError("a shape that no tensor of alanet has")
    return shape


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:120]
