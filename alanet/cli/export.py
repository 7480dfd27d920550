"""`alanet export`: a network as ONNX, OpenVINO or torch.export files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from alanet.cli.options import Verbosity
from alanet.cli.progress import progress
from alanet.cli.screen import Screen
from alanet.restoration.values import parse_size
from alanet.text import size as size_of

__all__ = ["export"]


def export(
    model: Annotated[str, Parameter(name="MODEL", help="A name of `alanet models`, or a weights file.")],
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="Folder for the files. It must be empty.")],
    format: Annotated[
        Literal["onnx", "openvino", "torch"],
        Parameter(name="--format", help='onnx and openvino need the extra: pip install "alanet[export]".'),
    ] = "onnx",
    size: Annotated[
        str | None,
        Parameter(name="--size", metavar="WxH", help="Frames of one size only. The default is any height and width."),
    ] = None,
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Write a network for other runtimes: graphs that encode, relate, deblur and interpolate.

    Each graph is run at three sizes and compared with the network. An ONNX folder also has a loop that restores a clip
    with onnxruntime alone.
    """
    screen = Screen(quiet=verbosity.quiet)
    width, height = (None, None) if size is None else parse_size(size)
    with screen.waiting("loading PyTorch"):
        from alanet.export.write import export_model
        from alanet.model.weights import load_model

        network = load_model(model)
    fixed = None if height is None or width is None else (height, width)
    with progress(screen, "exporting") as show:
        written = export_model(network, output, format, name=model, size=fixed, on_progress=show)
    worst = max(written.difference.values())
    screen.rows([("graphs", ", ".join(written.difference)), ("accuracy", f"largest difference {worst:.1e}"),
                 ("result", f"{written.folder}, {size_of(written.bytes)}")])  # fmt: skip
    if verbosity.json:
        print(json.dumps({"output": str(written.folder), "difference": written.difference, "bytes": written.bytes}))
    return 0
