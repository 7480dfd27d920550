"""A network as graphs for other runtimes: encode, relate, deblur and interpolate, each with tensors in and out.

    frame ──> encode ──> features (several tensors)            once a frame
    features of a, of b ──> relate ──> relation                once a pair of neighbours
    features and relations of a window ──> deblur              a frame at its own time
    the same, and a phase ──> interpolate                      a frame between two

A graph has a fixed number of inputs, so at the ends of a shot, where neighbours are missing, other graphs are used:
`deblur_11` has one frame before and one after the restored one, `deblur_01` has none before. `Graph.frames` lists the
frames relative to the restored one (or to the first of the two). Height and width are dynamic, multiples of
`multiple`; batch is 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from alanet.errors import OptionError
from alanet.model.network import Network, Window

__all__ = ["Graph", "Size", "graphs_of", "multiple_of", "tensors_of", "traced"]

Size = tuple[int, int]  # height and width


@dataclass(frozen=True)
class Graph:
    """One graph: a module with tensors in and out, and the names of both."""

    name: str  # "encode", "relate", "deblur_11" ...
    kind: str  # "encode", "relate", "deblur" or "interpolate"
    frames: tuple[int, ...]  # whose features it takes, relative to the restored frame
    pairs: tuple[int, ...]  # whose relations it takes, by their first frame
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    samples: tuple[tuple[Tensor, ...], ...]  # inputs of frames of three sizes; where they differ, axes are dynamic


def graphs_of(model: Network, size: Size | None = None) -> list[Graph]:
    """All graphs of a network. size: of frames, where it is fixed; None: any multiple of `multiple_of(model)`."""
    unit = model.stride if size is not None else multiple_of(model)
    if size is not None and (size[0] % model.stride or size[1] % model.stride):
        raise OptionError(f"size {size[1]}x{size[0]} is not a multiple of {model.stride}")
    sizes = [(2 * unit, 3 * unit), (3 * unit, 5 * unit), (5 * unit, 2 * unit)] if size is None else [size]
    samples = [_sample(model, *size) for size in sizes]
    _, features, relation = samples[0]
    reach = model.window // 2
    graphs = [_graph("encode", "encode", Encode(model), (), (), samples)]
    if relation is not None:
        graphs.append(_graph("relate", "relate", Relate(model, features), (0, 1), (), samples))
    for kind, anchors, around in (("deblur", (0,), reach), ("interpolate", (0, 1), model.around)):
        for before in range(around, -1, -1):
            for after in range(around, -1, -1):
                frames = tuple(range(-before, anchors[-1] + after + 1))
                pairs = frames[:-1] if relation is not None else ()
                name = f"{kind}_{before}{after}"
                module = Restore(model, kind, frames, pairs, features, relation)
                graphs.append(_graph(name, kind, module, frames, pairs, samples))
    return graphs


def multiple_of(model: Network) -> int:
    """What height and width of frames are multiples of: the smallest for which all features grow evenly."""
    for unit in (model.stride, 2 * model.stride, 4 * model.stride):
        small, large = (_sample(model, unit * k, unit * k) for k in (1, 3))
        pairs = zip(tensors_of(small[1:]), tensors_of(large[1:]), strict=True)
        if all(b == a or b == 3 * a for (_, x), (_, y) in pairs for a, b in zip(x.shape, y.shape, strict=True)):
            return unit
    raise OptionError(f"features of {type(model).__name__} do not grow evenly with the frame; give a fixed size")


def traced(graph: Graph) -> ExportedProgram:
    """The graph as `torch.export` has it."""
    scale = [{axis: _dimension(axis, a) for axis, (a, b) in enumerate(zip(x.shape, y.shape, strict=True)) if a != b}
             for x, y in zip(graph.samples[0], graph.samples[min(1, len(graph.samples) - 1)], strict=True)]  # fmt: skip
    with torch.no_grad():
        return torch.export.export(
            graph.module, graph.samples[0], dynamic_shapes={"inputs": tuple(scale)}, strict=False
        )


def _dimension(axis: int, length: int) -> Any:
    """An axis of a frame of 2 x 3 units, whose features have `length` there, in terms of the number of units."""
    units, name = ((2, "rows"), (3, "columns"))[axis - 2]
    return Dim(name, min=1, max=512) * (length // units) if length != units else Dim(name, min=1, max=512)


def _tied(inputs: Sequence[Tensor], example: Sequence[Any]) -> None:
    """State that the maps are of one frame: their sizes are multiples of the smallest one's. Tracing needs
    this statement, because it takes each size for a symbol of its own. example: the shapes of the example's inputs;
    none where the size is fixed."""
    if not example:
        return
    maps = [(x, shape) for x, shape in zip(inputs, example, strict=True) if len(shape) == 4 and shape[-1] > 1]
    smallest, least = min(maps, key=lambda pair: pair[1][-1])
    for x, shape in maps:
        for axis in (-2, -1):
            torch._check(  # type: ignore[no-untyped-call]
                x.shape[axis] == smallest.shape[axis] * (shape[axis] // least[axis])
            )


class Encode(nn.Module):
    shapes: list[tuple[int, ...]]

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return _values(self.model.encode(inputs[0]))


class Relate(nn.Module):
    shapes: list[tuple[int, ...]]

    def __init__(self, model: Any, features: Any) -> None:
        super().__init__()
        self.model, self.features = model, features

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        _tied(inputs, self.shapes)
        given = iter(inputs)
        a, b = (_rebuilt(self.features, given) for _ in range(2))
        return _values(self.model.relate(a, b))


class Restore(nn.Module):
    """A deblurred frame (with exposure and sharpness, of a network that estimates them), or an interpolated one."""

    shapes: list[tuple[int, ...]]

    def __init__(self, model: Any, kind: str, frames: Any, pairs: Any, features: Any, relation: Any) -> None:
        super().__init__()
        self.model, self.kind, self.frames, self.pairs = model, kind, frames, pairs
        self.features, self.relation = features, relation

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        _tied(inputs, self.shapes)
        given = iter(inputs)
        features = {i: _rebuilt(self.features, given) for i in self.frames}
        window = Window(features, {i: _rebuilt(self.relation, given) for i in self.pairs})
        if self.kind == "interpolate":
            return (self.model.between(window, 0, next(given) if self.model.continuous_time else inputs[0]),)
        found = self.model.estimate(window, 0)
        estimates = () if found is None else (found.exposure, found.sharp)
        return (self.model.generate(window, 0), *estimates)


def tensors_of(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of features or a relation, in order, with their names ("own_2")."""
    if isinstance(value, Tensor):
        yield name, value
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors_of(getattr(value, field.name), f"{name}_{field.name}".strip("_"))
    elif isinstance(value, tuple):
        for number, part in enumerate(value):
            yield from tensors_of(part, f"{name}_{number}".strip("_"))


def _values(value: Any) -> tuple[Tensor, ...]:
    return tuple(tensor for _, tensor in tensors_of(value))


def _rebuilt(like: Any, given: Iterator[Tensor]) -> Any:
    """Features or a relation of the same structure, with other tensors."""
    if isinstance(like, Tensor):
        return next(given)
    if is_dataclass(like) and not isinstance(like, type):
        return type(like)(*(_rebuilt(getattr(like, field.name), given) for field in fields(like)))
    if isinstance(like, tuple):
        parts = [_rebuilt(part, given) for part in like]
        return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)
    return like


def _sample(model: Network, height: int, width: int) -> tuple[Tensor, Any, Any]:
    """A frame, its features, and the relation of it to itself."""
    frame = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = model.encode(frame)
        return frame, features, model.relate(features, features)


def _graph(
    name: str, kind: str, module: Any, frames: tuple[int, ...], pairs: tuple[int, ...], samples: Sequence[Any]
) -> Graph:
    module.eval()
    names, tensors = zip(*(_inputs(module, kind, frames, pairs, sample) for sample in samples), strict=True)
    inputs, example = names[0], tensors[0]
    module.shapes = [tuple(x.shape) for x in example] if len(samples) > 1 else []
    _, features, relation = samples[0]
    made = {"encode": features, "relate": relation}
    outputs = tuple(name for name, _ in tensors_of(made[kind])) if kind in made else ("restored",)
    if kind == "deblur":
        with torch.no_grad():
            outputs += ("exposure", "sharp") if len(module(*example)) == 3 else ()
    return Graph(name, kind, frames, pairs, module, inputs, outputs, tensors)


def _inputs(module: Any, kind: str, frames: Any, pairs: Any, sample: Any) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    frame, features, relation = sample
    if kind == "encode":
        return ("image",), (frame,)
    named = [(f"frame{i}_{name}", value) for i in frames for name, value in tensors_of(features)]
    named += [(f"pair{i}_{name}", value) for i in pairs for name, value in tensors_of(relation)]
    if kind == "interpolate" and module.model.continuous_time:
        named.append(("phase", torch.tensor(0.3)))
    named = [(name.replace("-", "m"), value.clone()) for name, value in named]
    return tuple(name for name, _ in named), tuple(value for _, value in named)
