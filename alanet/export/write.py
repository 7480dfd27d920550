"""Writes the graphs of a network as ONNX, OpenVINO or torch.export files, with a description and a check.

    DIR/graphs.json       what each graph takes and gives, and how frames are padded
    DIR/encode.onnx ...   one file a graph (.xml and .bin for OpenVINO, .pt2 for torch)
    DIR/weights.bin       ONNX: the values, once for all graphs
    DIR/restore_clip.py   ONNX: the reference loop (`loop.py`)

Every graph is run at three sizes by its runtime and compared with the network before anything is put in place.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from alanet.errors import OptionError, OutputError, ResourceError
from alanet.files import make_folder, move_into_place, write_errors, write_json
from alanet.model.graphs import Graph, Size, graphs_of, multiple_of, traced
from alanet.model.network import Network

__all__ = ["Format", "Written", "export_model"]

Format = Literal["onnx", "openvino", "torch"]
NEEDS = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnx", "onnxscript", "openvino"), "torch": ()}
TOLERANCE = 1e-3  # of the range of a frame
SHARED = 1024  # bytes: larger values of ONNX files are kept once for all graphs
OPSET = 20

Runner = Callable[[Path, Graph], Callable[[tuple[torch.Tensor, ...]], list[npt.NDArray[Any]]]]


@dataclass(frozen=True)
class Written:
    """What was exported. difference: the largest from the network's own results, by graph, of three sizes."""

    folder: Path
    difference: dict[str, float]
    bytes: int


def export_model(
    model: Network,
    folder: str | Path,
    format: Format = "onnx",
    *,
    name: str = "",
    size: Size | None = None,
    on_progress: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> Written:
    """Write a network's graphs into a folder.

    Args:
        model: the network.
        folder: is made; must be empty.
        format: "onnx", "openvino" or "torch".
        name: of the network, for the description.
        size: height and width of frames, where they are fixed; None: dynamic.
        on_progress: graphs done, all graphs, the name of the next one.

    Raises:
        OptionError: an unknown format, or a network whose graphs need a fixed size.
        OutputError: a folder that is not empty, or cannot be written.
        ResourceError: a package is missing, or a graph differs from the network by more than 1e-3.
    """
    folder = Path(folder)
    if format not in get_args(Format):
        raise OptionError(f"format {format!r} is not one of {', '.join(get_args(Format))}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder}: exists and is not empty; name another folder")
    _check_packages(format)
    model = model.to("cpu").eval().to(memory_format=torch.contiguous_format)
    make_folder(folder)
    graphs = graphs_of(model, size)
    with TemporaryDirectory(dir=folder, prefix=".alanet-") as unfinished, write_errors(folder), _quiet():
        made = Path(unfinished)
        difference = _write_all(graphs, made, format, on_progress)
        write_json(made / "graphs.json", _description(model, graphs, format, name, size, difference))
        if format == "onnx":
            shutil.copy(str(resources.files("alanet.export") / "loop.py"), made / "restore_clip.py")
        for path in sorted(made.iterdir()):
            move_into_place(path, folder / path.name)
    return Written(folder, difference, sum(path.stat().st_size for path in folder.iterdir()))


def _write_all(
    graphs: list[Graph], made: Path, format: Format, on_progress: Callable[[int, int, str], None]
) -> dict[str, float]:
    """Write and check each graph; the largest differences by name."""
    write, run = {"onnx": (_to_onnx, _by_onnxruntime), "openvino": (_to_openvino, _by_openvino),
                  "torch": (_to_torch, _by_torch)}[format]  # fmt: skip
    difference: dict[str, float] = {}
    with open(made / "weights.bin", "wb") as values:
        shared: dict[str, int] = {}
        for number, graph in enumerate(graphs):
            on_progress(number, len(graphs), graph.name)
            write(graph, made, values, shared)
            values.flush()
            difference[graph.name] = _difference(graph, run(made, graph))
            if not difference[graph.name] <= TOLERANCE:
                raise ResourceError(
                    f"graph {graph.name} differs from the network by {difference[graph.name]:.2g} in {format}; "
                    f"allowed: {TOLERANCE}. Another version of {' and '.join(NEEDS[format]) or 'torch'} may do better"
                )
    if format != "onnx":
        (made / "weights.bin").unlink()
    on_progress(len(graphs), len(graphs), "")
    return difference


def _difference(graph: Graph, run: Callable[[tuple[torch.Tensor, ...]], list[npt.NDArray[Any]]]) -> float:
    """The largest difference between a graph's results and the network's, of all samples."""
    worst = 0.0
    for sample in graph.samples:
        with torch.no_grad():
            wanted = [value.numpy() for value in graph.module(*sample)]
        for got, value in zip(run(sample), wanted, strict=True):
            if got.shape != value.shape:
                raise ResourceError(f"graph {graph.name} gives {got.shape}, the network {value.shape}")
            scale = max(1.0, float(np.abs(value).max()))  # features may be larger than frames
            worst = max(worst, float(np.abs(got - value).max()) / scale)
    return worst


def _to_onnx(graph: Graph, made: Path, values: BinaryIO, shared: dict[str, int]) -> None:
    import onnx
    import onnx.numpy_helper
    from onnx.external_data_helper import set_external_data

    program = torch.onnx.export(
        traced(graph),
        dynamo=True,
        input_names=list(graph.inputs),
        output_names=list(graph.outputs),
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None
    proto = program.model_proto
    for tensor in proto.graph.initializer:
        raw = onnx.numpy_helper.to_array(tensor).tobytes()
        if len(raw) < SHARED:
            continue
        digest = hashlib.sha256(raw).hexdigest()
        if digest not in shared:
            shared[digest] = values.tell()
            values.write(raw + bytes(-len(raw) % 64))
        tensor.raw_data = raw
        set_external_data(tensor, "weights.bin", offset=shared[digest], length=len(raw))
        tensor.ClearField("raw_data")
    onnx.save(proto, str(made / f"{graph.name}.onnx"))


def _to_openvino(graph: Graph, made: Path, values: BinaryIO, shared: dict[str, int]) -> None:
    import openvino

    _to_onnx(graph, made, values, shared)
    values.flush()
    source = made / f"{graph.name}.onnx"
    openvino.save_model(openvino.convert_model(source), made / f"{graph.name}.xml", compress_to_fp16=False)
    source.unlink()


def _to_torch(graph: Graph, made: Path, values: BinaryIO, shared: dict[str, int]) -> None:
    torch.export.save(traced(graph), made / f"{graph.name}.pt2")


def _by_onnxruntime(made: Path, graph: Graph) -> Callable[[tuple[torch.Tensor, ...]], list[npt.NDArray[Any]]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(made / f"{graph.name}.onnx"), providers=["CPUExecutionProvider"])
    wanted = {given.name for given in session.get_inputs()}

    def run(sample: tuple[torch.Tensor, ...]) -> list[npt.NDArray[Any]]:
        named = {name: x.numpy() for name, x in zip(graph.inputs, sample, strict=True) if name in wanted}
        return list(session.run(list(graph.outputs), named))

    return run


def _by_openvino(made: Path, graph: Graph) -> Callable[[tuple[torch.Tensor, ...]], list[npt.NDArray[Any]]]:
    import openvino

    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(made / f"{graph.name}.xml", "CPU", exact)
    wanted = {given.get_any_name() for given in compiled.inputs}

    def run(sample: tuple[torch.Tensor, ...]) -> list[npt.NDArray[Any]]:
        named = {name: x.numpy() for name, x in zip(graph.inputs, sample, strict=True) if name in wanted}
        made = compiled(named)
        return [np.array(made[output]) for output in compiled.outputs]

    return run


def _by_torch(made: Path, graph: Graph) -> Callable[[tuple[torch.Tensor, ...]], list[npt.NDArray[Any]]]:
    module = torch.export.load(made / f"{graph.name}.pt2").module()

    def run(sample: tuple[torch.Tensor, ...]) -> list[npt.NDArray[Any]]:
        with torch.no_grad():
            return [value.numpy() for value in module(*sample)]

    return run


def _description(
    model: Network, graphs: list[Graph], format: Format, name: str, size: Size | None, difference: dict[str, float]
) -> dict[str, Any]:
    """What a program needs to use the graphs."""
    unit = model.stride if size is not None else multiple_of(model)
    ending = {"onnx": "onnx", "openvino": "xml", "torch": "pt2"}[format]
    return {
        "model": name or type(model).__name__,
        "format": format,
        "size": size,  # height, width; null: dynamic
        "multiple": unit,
        "least": 2 * unit,  # smallest height and width
        "reach": model.window // 2,  # neighbours of a deblurred frame on each side
        "around": model.around,  # further frames on each side of an interpolated frame's two
        "any_phase": model.continuous_time,
        "sharp_above": model.sharp_above,
        "graphs": {
            graph.name: {
                "file": f"{graph.name}.{ending}",
                "frames": graph.frames,
                "pairs": graph.pairs,
                "inputs": graph.inputs,
                "outputs": graph.outputs,
                "difference": difference[graph.name],
            }
            for graph in graphs
        },
    }


def _check_packages(format: Format) -> None:
    missing = [package for package in NEEDS[format] if importlib.util.find_spec(package) is None]
    if missing:
        raise ResourceError(
            f'format {format} needs {" and ".join(missing)}; install them: pip install "alanet[export]"'
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters print, warn and log a lot that a user cannot act on."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
