"""Every network passes `torch.export`, with dynamic height and width where its features grow evenly."""

from itertools import pairwise
from typing import Any

import pytest
import torch

from alanet.errors import OptionError
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.alanet_plus import ALANetPlus, ALANetPlusConfig
from alanet.model.graphs import Graph, Size, graphs_of, multiple_of, tensors_of, traced
from alanet.model.network import Window
from alanet.model.weights import NETWORKS

TINY: dict[str, tuple[Any, Size | None]] = {
    "ALANet": (lambda: ALANet(ALANetConfig(width=0.125)), None),
    "ALANetPlus": (lambda: ALANetPlus(ALANetPlusConfig((8,) * 4, (8,) * 3, (0,) * 4, (0,) * 4)), None),
}


def tiny(name: str) -> Any:
    """An untrained network, no layer of which is zero."""
    torch.manual_seed(0)
    model = TINY[name][0]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def check(graph: Graph) -> None:
    program = traced(graph).module()
    for sample in graph.samples:
        with torch.no_grad():
            for got, wanted in zip(program(*sample), graph.module(*sample), strict=True):
                torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_every_network_is_tried() -> None:
    assert TINY.keys() == NETWORKS.keys()


CASES = [(name, kind) for name in TINY for kind in ("encode", "relate", "deblur_11", "interpolate")]
LONG = [("ALANetPlus", "deblur_11"), ("ALANetPlus", "interpolate")]  # half a minute each


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"), [pytest.param(*case, marks=pytest.mark.stress if case in LONG else ()) for case in CASES]
)
def test_every_network_passes_torch_export(name: str, kind: str) -> None:
    found = [graph for graph in graphs_of(tiny(name), TINY[name][1]) if graph.name.startswith(kind)]
    assert found or (name, kind) == ("ALANet", "relate"), "the paper's network keeps nothing of a pair"
    for graph in found[:1]:
        check(graph)


@pytest.mark.parametrize(
    ("name", "size"), [*((name, size) for name, (_, size) in TINY.items()), ("ALANetPlus", (160, 96))]
)
def test_graphs_are_the_network(name: str, size: Size | None) -> None:
    """The graphs, one after the other, give what the network gives; at a fixed size too, where maps grow unevenly."""
    model = tiny(name)
    graphs = {graph.name: graph for graph in graphs_of(model, size)}
    clip = torch.rand(3, 3, 128, 128) if size is None else torch.rand(3, 3, *size)
    frames = [dict(zip(graphs["encode"].outputs, graphs["encode"].module(f[None]), strict=True)) for f in clip]
    pairs: list[dict[str, torch.Tensor]] = [{}, {}]
    if "relate" in graphs:
        pairs = [
            dict(zip(graphs["relate"].outputs, graphs["relate"].module(*a.values(), *b.values()), strict=True))
            for a, b in pairwise(frames)
        ]
    inputs = [x for one in (*frames, *pairs) for x in one.values()]
    whole = model(clip[None], [1.0, 0.5])[0]
    torch.testing.assert_close(graphs["deblur_11"].module(*inputs)[0][0], whole[0], rtol=1e-4, atol=1e-4)
    first = next(graph for graph in graphs.values() if graph.kind == "interpolate" and graph.frames[0] == 0)
    inputs = [x for k in first.frames for x in frames[k].values()] + [x for k in first.pairs for x in pairs[k].values()]
    inputs += [torch.tensor(0.5)] if "phase" in first.inputs else []
    torch.testing.assert_close(first.module(*inputs)[0][0], whole[1], rtol=1e-4, atol=1e-4)


def test_sizes_are_multiples_for_which_features_grow_evenly() -> None:
    assert multiple_of(tiny("ALANet")) == 32
    assert multiple_of(tiny("ALANetPlus")) == 64  # half-size frames are padded to multiples of 32
    with pytest.raises(OptionError, match="100x64 is not a multiple of 32"):
        graphs_of(tiny("ALANet"), (64, 100))


def test_tensors_have_the_names_of_their_fields() -> None:
    features = tiny("ALANet").encode(torch.rand(1, 3, 32, 32))
    names = [name for name, _ in tensors_of(features)]
    assert names == ["frame", *(f"skips_{k}" for k in range(5)), "latent", "descriptor"]
    assert list(tensors_of(Window({}))) == []
