"""Exported networks restore clips without torch, as the network does."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from alanet.cli import run
from alanet.errors import OptionError, OutputError, ResourceError
from alanet.export import write
from alanet.export.loop import Graphs
from alanet.export.write import export_model
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.graphs import graphs_of
from alanet.model.weights import save_weights

pytestmark = pytest.mark.slow
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def network() -> ALANet:
    torch.manual_seed(0)
    return ALANet(ALANetConfig(width=0.125)).eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "onnx"
    weights = folder.with_name("tiny.safetensors")
    save_weights(network(), weights, half=False)
    assert run(["export", str(weights), "-o", str(folder), "--quiet"]) == 0
    return folder


def restored(clip: torch.Tensor) -> np.ndarray:
    """What the network gives: t h w 3 -> 2t - 1 h w 3."""
    times = [k / 2 for k in range(2 * len(clip) - 1)]
    with torch.no_grad():
        return network()(clip.permute(0, 3, 1, 2)[None], times)[0].clamp(0, 1).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (160, 128)])
def test_the_loop_restores_as_the_network_does(exported: Path, size: tuple[int, int]) -> None:
    clip = torch.rand(4, *size, 3)
    made = list(Graphs(exported, threads=1).restore(iter(clip.numpy())))
    np.testing.assert_allclose(np.stack(made), restored(clip), atol=1e-3)


def test_the_loop_pads_and_crops(exported: Path) -> None:
    clip = torch.rand(2, 50, 70, 3)
    made = list(Graphs(exported, threads=1).restore(clip.numpy()))
    assert [frame.shape for frame in made] == [(50, 70, 3)] * 3
    mirrored = torch.from_numpy(np.pad(clip.numpy(), ((0, 0), (0, 14), (0, 26), (0, 0)), "reflect"))
    np.testing.assert_allclose(np.stack(made), restored(mirrored)[:, :50, :70], atol=1e-3)


def test_the_folder_needs_neither_torch_nor_alanet(exported: Path, tmp_path: Path) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    np.save(tmp_path / "in.npy", clip)
    words = "import sys; sys.modules['torch'] = sys.modules['alanet'] = None; sys.argv = sys.argv[1:]"
    code = f"{words}; import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, str(exported / "restore_clip.py"), str(exported), "in.npy", "out.npy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    out = np.load(tmp_path / "out.npy")
    assert (out.dtype, out.shape) == (np.uint8, (3, 64, 64, 3))
    np.testing.assert_allclose(out, 255 * restored(torch.from_numpy(clip) / 255), atol=1)
    np.save(tmp_path / "in.npy", clip[..., 0])
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "uint8 of shape (2, 64, 64); give t h w 3" in done.stderr


def test_the_description_names_every_file(exported: Path) -> None:
    about = json.loads((exported / "graphs.json").read_text("utf-8"))
    files = {graph["file"] for graph in about["graphs"].values()}
    assert {path.name for path in exported.iterdir()} == files | {"graphs.json", "weights.bin", "restore_clip.py"}
    assert (about["multiple"], about["reach"], about["any_phase"]) == (32, 1, False)
    assert all(graph["difference"] < 1e-3 for graph in about["graphs"].values())
    values = sum(p.numel() for p in network().parameters()) * 4
    assert (
        0.9 * values <= (exported / "weights.bin").stat().st_size < 1.2 * values
    )  # once for all graphs; small ones stay in them


@pytest.mark.parametrize("form", ["openvino", "torch"])
def test_other_formats_are_compared_too(form: write.Format, tmp_path: Path, monkeypatch) -> None:
    if form == "openvino":
        pytest.importorskip("openvino")
    monkeypatch.setattr(write, "graphs_of", lambda model, size: graphs_of(model, size)[:2])
    done = export_model(network(), tmp_path / "out", form)
    assert 0 <= max(done.difference.values()) < 1e-3
    endings = {path.suffix for path in done.folder.iterdir()}
    assert endings == ({".json", ".xml", ".bin"} if form == "openvino" else {".json", ".pt2"})


def test_a_graph_that_differs_is_refused_and_nothing_is_left(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(write, "graphs_of", lambda model, size: graphs_of(model, size)[:1])
    monkeypatch.setattr(write, "TOLERANCE", -1.0)
    with pytest.raises(ResourceError, match="graph encode differs from the network by"):
        export_model(network(), tmp_path / "out", "torch")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_cannot_be_exported_is_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(OutputError, match="exists and is not empty"):
        export_model(network(), tmp_path / "full")
    with pytest.raises(OptionError, match="'tflite' is not one of onnx, openvino, torch"):
        export_model(network(), tmp_path / "out", "tflite")
    monkeypatch.setitem(write.NEEDS, "onnx", ("nothing_of_that_name",))
    with pytest.raises(
        ResourceError, match=r'needs nothing_of_that_name; install them: pip install "alanet\[export\]"'
    ):
        export_model(network(), tmp_path / "out")
    assert run(["export", "alanet-half", "-o", str(tmp_path / "out"), "--size", "large"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
