"""The same graphs by PyTorch, onnxruntime, OpenVINO and torch.compile: time a restored frame, and start-up.

At twice the rate an input frame takes one graph of each kind: encode, relate, deblur, interpolate, with all neighbours.
They run one after the other on one clip's inputs; reading and writing of video is no part of it.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import warnings
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from alanet.engine.precision import choose_precision
from alanet.engine.runner import Runner
from alanet.model.graphs import Graph, graphs_of, traced
from alanet.model.weights import default_model, load_model
from benchmarks.common import medians, progress, ratio, table, take_turns

WAYS = ("torch", "torch-fp32", "onnxruntime", "openvino")
RATE = 25  # input frames a second, for the length of video after which a start-up has paid

Call = Callable[[], object]


def runtimes(options: argparse.Namespace, folder: Path) -> None:
    """One network's graphs by each runtime; the first one, PyTorch as alanet uses it, is what the others are beside."""
    torch.set_num_threads(options.threads or 1)
    if options.keep:
        folder = options.keep
        folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder / "inductor"))
    name, (width, height) = options.model or default_model(), options.size
    chosen = choose_precision("auto", torch.device("cpu")).precision
    made: dict[str, list[Call]] = {}
    starts: dict[str, float] = {}
    for way in options.ways:
        precision = "fp32" if way in ("torch-fp32", "onnxruntime", "openvino", "openvino-fp32") else chosen
        runner = Runner(load_model(name), torch.device("cpu"), precision)
        with torch.no_grad(), runner.autocast():  # tensors of inference mode cannot be traced
            graphs = _main_graphs(runner, (height, width))
        used = _cpu_seconds()
        made[way] = [_call(way, graph, runner, folder, options.threads or 1) for graph in graphs]
        for call in made[way]:
            call()
        starts[way] = _cpu_seconds() - used
        progress(f"{way}: ready after {starts[way]:.1f} CPU seconds")
    kinds = [graph.kind for graph in graphs]
    times = take_turns(list(chain(*made.values())), options.rounds, seconds=options.seconds)
    parts = {way: times[i * len(kinds) : (i + 1) * len(kinds)] for i, way in enumerate(made)}
    whole = {way: [_sum(turn) for turn in zip(*part, strict=True)] for way, part in parts.items()}
    first = whole[options.ways[0]]
    rows: list[tuple[object, ...]] = []
    for way, part in parts.items():
        own = whole[way]
        saved = (medians(first)[1] - medians(own)[1]) * RATE  # CPU seconds, of a second of video
        pays = f"{starts[way] / saved:.0f} s of video" if saved > 0 else "never"
        rows.append((_label(way, chosen), f"{ratio(first, own):.2f}", f"{medians(own)[0] / 2 * 1000:.0f}",
                     *(f"{medians(one)[0] * 1000:.0f}" for one in part), f"{starts[way]:.1f}",
                     "" if way == options.ways[0] else pays))  # fmt: skip
    print(f"{name}, {width}x{height}, x2, {options.threads or 1} threads\n")
    table(("runtime", "times as fast", "ms a restored frame", *(f"{kind}, ms" for kind in kinds), "start-up, CPU s",
           "start-up pays after"), *rows)  # fmt: skip


def _sum(turn: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(wall for wall, _ in turn), sum(cpu for _, cpu in turn)


def _label(way: str, chosen: str) -> str:
    import onnxruntime
    import openvino

    return {
        "torch": f"torch {torch.__version__}, {chosen} (default)",
        "torch-fp32": "torch, fp32",
        "compile": f"torch.compile, {chosen}",
        "onnxruntime": f"onnxruntime {onnxruntime.__version__}, fp32",
        "openvino": f"OpenVINO {openvino.__version__.split('-')[0]}, its default precision",
        "openvino-fp32": "OpenVINO, fp32",
    }[way]


def _main_graphs(runner: Runner, size: tuple[int, int]) -> list[Graph]:
    """The graphs of a frame in the middle of a shot, one of each kind."""
    reach, around = runner.model.window // 2, runner.model.around
    names = ("encode", "relate", f"deblur_{reach}{reach}", f"interpolate_{around}{around}")
    there = {graph.name: graph for graph in graphs_of(runner.model, size)}
    return [there[name] for name in names if name in there]


def _call(way: str, graph: Graph, runner: Runner, folder: Path, threads: int) -> Call:
    """The graph, ready to run on its sample."""
    inputs: tuple[Any, ...] = graph.samples[0]
    if way in ("onnxruntime", "openvino", "openvino-fp32"):
        named = {name: x.numpy() for name, x in zip(graph.inputs, inputs, strict=True)}
        path = _onnx(graph, folder)
        return _onnxruntime(path, named, threads) if way == "onnxruntime" else _openvino(path, named, way, threads)
    inputs = tuple(x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in inputs)
    module: Any = torch.compile(graph.module, dynamic=False) if way == "compile" else graph.module

    def run() -> object:
        with torch.inference_mode(), runner.autocast():
            return module(*inputs)

    return run


def _onnx(graph: Graph, folder: Path) -> Path:
    path = folder / f"{'-'.join(map(str, graph.samples[0][0].shape))}-{graph.name}.onnx"
    if not path.exists():
        for log in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir"):
            logging.getLogger(log).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(traced(graph), dynamo=True, input_names=list(graph.inputs),
                                        output_names=list(graph.outputs), opset_version=20, verbose=False)  # fmt: skip
        assert program is not None
        program.save(str(path))
    return path


def _onnxruntime(path: Path, named: dict[str, Any], threads: int) -> Call:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    given = {each.name: named[each.name] for each in session.get_inputs()}
    return lambda: session.run(None, given)


def _openvino(path: Path, named: dict[str, Any], way: str, threads: int) -> Call:
    import openvino

    settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    if way == "openvino-fp32":
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    request = compiled.create_infer_request()
    given = {each.get_any_name(): named[each.get_any_name()] for each in compiled.inputs}
    return lambda: request.infer(given, share_inputs=True, share_outputs=True)


def _cpu_seconds() -> float:
    """Of this process and of the compilers that it started."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)
