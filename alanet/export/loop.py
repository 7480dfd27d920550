"""Restores a clip with exported graphs. Needs numpy and onnxruntime, and neither torch nor alanet.

    from restore_clip import Graphs

    graphs = Graphs("folder of alanet export")
    for restored in graphs.restore(frames, phases=(0.0, 0.5)):     # frames: h w 3, RGB, float32 in [0, 1]
        ...

It is also a program, for .npy files of t h w 3, RGB, of uint8, uint16 or floats in [0, 1]:

    python restore_clip.py FOLDER in.npy out.npy

The reference for implementations in other languages: each frame is encoded once, each pair of neighbours related once,
and memory does not grow with the clip. Cuts and gaps are the caller's: restore each shot by itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Graphs"]

Array = npt.NDArray[np.float32]
Named = dict[str, Array]


class Graphs:
    """The graphs of one network. threads: CPU threads; 0 leaves the runtime's choice."""

    def __init__(self, folder: str | Path, *, threads: int = 0) -> None:
        import onnxruntime

        self.folder = Path(folder)
        self.about: dict[str, Any] = json.loads((self.folder / "graphs.json").read_text("utf-8"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.sessions = {
            name: onnxruntime.InferenceSession(
                str(self.folder / graph["file"]), options, providers=["CPUExecutionProvider"]
            )
            for name, graph in self.about["graphs"].items()
        }

    def restore(self, frames: Iterable[Array], phases: Sequence[float] = (0.0, 0.5)) -> Iterator[Array]:
        """The frames at each phase after each input frame: 0 is deblurred, others lie before the next input frame.

        After the last frame only phase 0 is restored. Values are clipped to [0, 1].
        """
        reach, around = self.about["reach"], self.about["around"]
        delay, kept = max(reach, 1 + around), max(reach, around)
        images: dict[int, Array] = {}
        features: dict[int, Named] = {}
        relations: dict[int, Named] = {}
        last = -1
        for last, frame in enumerate(frames):
            images[last] = frame
            features[last] = self.run("encode", {"image": self.padded(frame)})
            if last and "relate" in self.sessions:
                relations[last - 1] = self.run("relate", self.gathered({0: last - 1, 1: last}, features, {}, relations))
            if last >= delay:
                yield from self._at(last - delay, last, phases, images, features, relations)
            for old in (known for known in list(images) if known < last - delay - kept):
                for table in (images, features, relations):
                    table.pop(old, None)
        for i in range(max(0, last - delay + 1), last + 1):
            yield from self._at(i, last, phases, images, features, relations)

    def _at(
        self,
        i: int,
        last: int,
        phases: Sequence[float],
        images: dict[int, Array],
        features: dict[int, Named],
        relations: dict[int, Named],
    ) -> Iterator[Array]:
        """The restored frames from frame i until the next one."""
        height, width = images[i].shape[:2]
        for phase in phases if i < last else [0.0]:
            kind, far, end = ("interpolate", self.about["around"], 1) if phase else ("deblur", self.about["reach"], 0)
            before, after = min(far, i), min(far, last - i - end)
            graph = self.about["graphs"][f"{kind}_{before}{after}"]
            frames, pairs = ({k: i + k for k in graph[what]} for what in ("frames", "pairs"))
            given = self.gathered(frames, features, pairs, relations)
            if "phase" in graph["inputs"]:
                given["phase"] = np.array(phase, np.float32)
            made = self.run(f"{kind}_{before}{after}", given)
            if "sharp" in made and 1 / (1 + np.exp(-float(made["sharp"][0]))) > self.about["sharp_above"]:
                yield images[i]  # a sharp frame is passed through
                continue
            yield np.clip(made["restored"][0, :, :height, :width].transpose(1, 2, 0), 0, 1)

    def gathered(
        self, frames: dict[int, int], features: dict[int, Named], pairs: dict[int, int], relations: dict[int, Named]
    ) -> Named:
        """Inputs of a graph: names relative to the restored frame -> arrays of frames and pairs of the clip."""
        given = {f"frame{_sign(k)}_{name}": value for k, i in frames.items() for name, value in features[i].items()}
        given |= {f"pair{_sign(k)}_{name}": value for k, i in pairs.items() for name, value in relations[i].items()}
        return given

    def run(self, name: str, given: Named) -> Named:
        """One graph. Inputs that it does not use were left out of it."""
        session = self.sessions[name]
        taken = {wanted.name: given[wanted.name] for wanted in session.get_inputs()}
        outputs = [output.name for output in session.get_outputs()]
        return dict(zip(outputs, session.run(outputs, taken), strict=True))

    def padded(self, frame: Array) -> Array:
        """`h w 3` -> `1 3 h' w'`, mirrored at the bottom and right to sizes that the graphs take."""
        multiple, least = self.about["multiple"], self.about["least"]
        fixed = self.about["size"]
        missing = [
            (fixed[axis] if fixed else max(least, -(-length // multiple) * multiple)) - length
            for axis, length in enumerate(frame.shape[:2])
        ]
        if min(missing) < 0:
            raise ValueError(
                f"a frame of {frame.shape[1]}x{frame.shape[0]}; these graphs are for {fixed[1]}x{fixed[0]}"
            )
        edges = [(0, missing[0]), (0, missing[1]), (0, 0)]
        return np.ascontiguousarray(np.pad(frame, edges, "reflect").transpose(2, 0, 1)[None], np.float32)


def _sign(k: int) -> str:
    return str(k).replace("-", "m")


def main(folder: str, source: str, target: str) -> None:
    """Frames of 8 or 16 bits are scaled to [0, 1], and the restored ones back to the same depth."""
    clip = np.load(source)
    if clip.ndim != 4 or clip.shape[3] != 3 or clip.dtype.kind not in "uf":
        sys.exit(f"{source}: {clip.dtype} of shape {clip.shape}; give t h w 3, RGB: uint8, uint16, or floats in [0, 1]")
    top = np.float32(1 if clip.dtype.kind == "f" else np.iinfo(clip.dtype).max)
    made = np.stack(list(Graphs(folder).restore(frame.astype(np.float32) / top for frame in clip)))
    np.save(target, made if clip.dtype.kind == "f" else np.rint(made * top).astype(clip.dtype))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python restore_clip.py FOLDER in.npy out.npy")
    main(*sys.argv[1:])
