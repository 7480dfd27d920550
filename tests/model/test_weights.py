"""Weights files: there and back, and every kind of bad file refused in one line."""

from __future__ import annotations

import json
import pickle
import struct

import pytest
import torch

from alanet.errors import OutputError, WeightsError
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.weights import available_models, default_model, file_sha256, load_model, save_weights

CONFIG = ALANetConfig(width=0.125, attention="cross", residual=True)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "net.safetensors"
    save_weights(ALANet(CONFIG), path)
    return path


def test_round_trip_rebuilds_the_model(tmp_path):
    model = ALANet(CONFIG)
    path = tmp_path / "a.safetensors"
    digest = save_weights(model, path, half=False)
    again = load_model(path, sha256=digest.upper())
    assert digest == file_sha256(path)
    assert again.config == CONFIG
    assert not again.training
    for (key, a), (other, b) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert key == other
        assert torch.equal(a, b)


def test_half_precision_on_disk_full_in_memory(saved):
    model = load_model(saved)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert saved.stat().st_size < 2.2 * sum(p.numel() for p in model.parameters())


def test_same_model_same_bytes(saved, tmp_path):
    assert save_weights(load_model(saved), tmp_path / "b.safetensors") == file_sha256(saved)


def test_shipped_models_are_the_catalogued_files():
    assert default_model() in available_models()
    for name, card in available_models().items():
        assert file_sha256(card.path) == card.sha256
        model = load_model(name)
        assert sum(p.numel() for p in model.parameters()) == card.parameters
        assert card.path.stat().st_size <= 24 << 20


def test_not_finite_is_never_saved(tmp_path):
    model = ALANet(CONFIG)
    model.generator.to_rgb.bias.data[0] = float("nan")
    with pytest.raises(WeightsError, match="not saved"):
        save_weights(model, tmp_path / "c.safetensors")
    assert not list(tmp_path.iterdir())


def test_unwritable_place_is_one_line(tmp_path):
    with pytest.raises(OutputError, match="could not be written"):
        save_weights(ALANet(CONFIG), tmp_path / "no" / "d.safetensors")


def unpack(path):
    blob = path.read_bytes()
    size = struct.unpack("<Q", blob[:8])[0]
    return json.loads(blob[8 : 8 + size]), blob[8 + size :]


def pack(path, header, values):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + values)


def edit(change):
    """A file whose header `change` has had its way with."""

    def apply(path):
        header, values = unpack(path)
        values = change(header, values) or values
        pack(path, header, values)

    return apply


def first(header):
    return next(key for key in header if key != "__metadata__")


def config(header, **values):
    about = json.loads(header["__metadata__"]["alanet"])
    about.update(values)
    header["__metadata__"]["alanet"] = json.dumps(about)


def twice(path):
    header, values = unpack(path)
    text = json.dumps(header)
    key = first(header)
    pack(path, (text[:-1] + f', "{key}": {json.dumps(header[key])}}}').encode(), values)


def not_a_number(header, values):
    return b"\xff\x7f" + values[2:] if header[first(header)]["data_offsets"][0] == 0 else values[:-2] + b"\xff\x7f"


def overlapped(header, values):
    """The second tensor lies on the first, and the file is as much shorter."""
    places = sorted((entry["data_offsets"], key) for key, entry in header.items() if key != "__metadata__")
    (begin, _), size = places[1][0], places[1][0][1] - places[1][0][0]
    for (first, last), key in places[1:]:
        header[key]["data_offsets"] = [first - begin, last - begin]
    assert size > 0
    return values[begin:]


def edit_header_size(path):
    """Valid JSON of more than a megabyte: spaces are free."""
    header, values = unpack(path)
    pack(path, json.dumps(header).encode() + b" " * (1 << 20), values)


BAD = {
    "empty": lambda p: p.write_bytes(b""),
    "text": lambda p: p.write_text("no weights here"),
    "cut off": lambda p: p.write_bytes(p.read_bytes()[:-10]),
    "trailing bytes": lambda p: p.write_bytes(p.read_bytes() + b"x"),
    "header longer than file": lambda p: p.write_bytes(struct.pack("<Q", 1 << 40) + p.read_bytes()[8:]),
    "header no JSON": lambda p: pack(p, b"{nope", b""),
    "header a list": lambda p: pack(p, b"[]", b""),
    "deep header": lambda p: pack(p, b"[" * 100_000, b""),
    "not UTF-8": lambda p: pack(p, b"\xff\xfe{}", b""),
    "a key twice": twice,
    "no metadata": edit(lambda h, v: h.pop("__metadata__") and None),
    "metadata no JSON": edit(lambda h, v: h["__metadata__"].update(alanet="{")),
    "tensor missing": edit(lambda h, v: h.pop(first(h)) and None),
    "tensor renamed": edit(lambda h, v: h.update(other=h.pop(first(h)))),
    "tensor elsewhere": edit(lambda h, v: h[first(h)].update(data_offsets=[0, 4])),
    "negative place": edit(lambda h, v: h[first(h)].update(data_offsets=[-8, 0])),
    "shape of other size": edit(lambda h, v: h[first(h)].update(shape=[1, 2, 3])),
    "shape transposed": edit(lambda h, v: h[first(h)].update(shape=[*h[first(h)]["shape"][::-1], 1])),
    "tensors overlap": edit(overlapped),
    "header beyond the limit": edit_header_size,
    "infinite": edit(lambda h, v: v[:-2] + b"\x00\x7c"),
    "huge shape": edit(lambda h, v: h[first(h)].update(shape=[1 << 40])),
    "float64": edit(lambda h, v: h[first(h)].update(dtype="F64")),
    "not finite": edit(not_a_number),
    "other model": edit(lambda h, v: config(h, model="Other")),
    "later format": edit(lambda h, v: config(h, format=2)),
    "config with a stranger": edit(lambda h, v: config(h, config={"width": 0.125, "evil": 1})),
    "config of another size": edit(lambda h, v: config(h, config={"width": 0.25, "attention": "cross"})),
    "config of no size": edit(lambda h, v: config(h, config={"width": "wide"})),
    "config no object": edit(lambda h, v: config(h, config=[1])),
}


@pytest.mark.parametrize("how", BAD)
def test_bad_files_are_one_clear_error(how, saved):
    BAD[how](saved)
    with pytest.raises(WeightsError) as error:
        load_model(saved)
    assert "\n" not in str(error.value)
    assert str(saved) in str(error.value)


class Bomb:
    def __reduce__(self):
        return (open, ("/nonexistent-alanet-bomb/x", "w"))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickles_run_no_code(tmp_path, protocol):
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Bomb(), protocol))
    with pytest.raises(WeightsError, match="run code"):
        load_model(path)


def test_a_pickle_in_a_zip_runs_no_code(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="run code"):
        load_model(path)


def test_a_file_of_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)  # sparse
    with pytest.raises(WeightsError, match=r"is 1\.1 GB; alanet's weights are below"):
        load_model(path)


def test_demanded_digest(saved):
    with pytest.raises(WeightsError, match="SHA-256"):
        load_model(saved, sha256="0" * 64)


def test_unknown_name_lists_the_known(tmp_path):
    with pytest.raises(WeightsError, match=default_model()):
        load_model("no-such-model")
    with pytest.raises(WeightsError, match="give a safetensors file"):
        load_model(tmp_path)


@pytest.mark.parametrize(("name", "near"), [("alanet-hlaf", "alanet-half"), ("ALANET", "alanet-plus")])
def test_a_misspelt_name_gets_a_suggestion(name: str, near: str) -> None:
    with pytest.raises(WeightsError, match=f"no model '{name}': did you mean {near}\\?"):
        load_model(name)
