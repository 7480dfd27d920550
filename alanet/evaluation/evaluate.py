"""Score restorers: sharp high-rate video -> inputs by a protocol -> each method's frames -> a score a frame.

Our network is evaluated through the same `Restorer` that users call, so what is measured is what they get. Videos are
looked at one after the other and restored in parts, so memory depends on the longest video only.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from alanet.engine.counts import Counts
from alanet.engine.fallback import FallbackRunner
from alanet.engine.runner import Runner, pick_device
from alanet.engine.stream import stream
from alanet.errors import DataError, InputError, TimeError
from alanet.evaluation.baselines import Method
from alanet.evaluation.detail import errors_by_extent, estimated_motion, sharpness, stability
from alanet.evaluation.footage import Footage
from alanet.evaluation.metrics import Picture, psnr, ssim
from alanet.evaluation.protocols import Protocol, Trial, trials
from alanet.evaluation.result import Result, Score, Subject
from alanet.frames.frame import Frame
from alanet.frames.timing import Factor
from alanet.model.network import Network
from alanet.notes import Notes

if TYPE_CHECKING:
    from alanet.evaluation.perceptual import Lpips
    from alanet.restoration.restorer import Restorer

__all__ = ["evaluate", "of_model", "of_restorer"]

log = logging.getLogger("alanet")


def of_restorer(restorer: Restorer, name: str = "ours", *, weights: str | None = None) -> Method:
    """Our network as a method, through `Restorer.arrays`. `weights`: their SHA-256."""

    def restore(inputs: Sequence[Picture], times: Sequence[Fraction]) -> list[Picture]:
        restored = restorer.arrays(inputs, rate=_factor(times), tail="drop", cuts=False)
        return [np.asarray(picture, np.uint8) for picture in restored]

    return Method(name, restore, weights)


def of_model(
    model: Network,
    name: str = "ours",
    *,
    device: str = "auto",
    precision: str = "fp32",
    weights: str | None = None,
) -> Method:
    """A model as a method, through the same stream as a Restorer's, on machines without PyAV."""
    runner = FallbackRunner(Runner(model, pick_device(device), precision), (), "exact", Notes())

    def restore(inputs: Sequence[Picture], times: Sequence[Fraction]) -> list[Picture]:
        if not model.continuous_time and any(not model.can_restore(time % 1) for time in times):
            raise TimeError(f"{_factor(times)} needs frames between the halves; this model restores x2")
        frames = ((Frame(picture, Fraction(i), Fraction(1)), False) for i, picture in enumerate(inputs))
        window, around = model.window, model.around
        counts = Counts()
        restored = stream(
            frames, runner, _factor(times), window=window, around=around, tail="drop", counts=counts, period=Fraction(1)
        )
        pictures = [np.asarray(frame.pixels, np.uint8) for frame in restored]
        if counts.passed:
            log.warning(
                f"{name}: {counts.passed} restored frames are NaN or infinity; inputs are scored in their place"
            )
        return pictures

    return Method(name, restore, weights)


def _factor(times: Sequence[Fraction]) -> Factor:
    """A trial's times are 0, 1/n, 2/n ... to the last input: the factor n."""
    return Factor(max(time.denominator for time in times))


def evaluate(
    methods: Sequence[Method],
    videos: Iterable[Footage],
    protocol: Protocol,
    *,
    lpips: Lpips | None = None,
    count: int | None = None,
    on_progress: Callable[[str, str, int, int | None], None] | None = None,
    on_restored: Callable[[str, str, Fraction, Picture], None] | None = None,
) -> Result:
    """Restore every video with every method, and score each restored frame.

    `videos` may be a generator: one is held at a time. `on_progress` gets (video, method, frames scored so far,
    all frames: estimated from the videos so far where `count`, their number, is known);
    `on_restored` gets each scored frame (video, method, time), and each input under the method "inputs".
    A method that refuses its times or pictures (an InputError) is left out, with its reason in `refused`. Raises
    DataError for two videos of a name, for none, and for a video too short to give two inputs.
    """
    subjects: list[Subject] = []
    scores: list[Score] = []
    refused: dict[str, str] = {}
    expected = 0
    for video in videos:
        if any(video.subject.name == other.name for other in subjects):
            raise DataError(f"two videos are named {video.subject.name}; rename one, tables go by name")
        subjects.append(video.subject)
        motion = KnownMotion(video, protocol)
        inputs = protocol.exposure.available(len(video.frames))
        expected += len(methods) * ((inputs - 1) * protocol.factor + 1)
        total = None if count is None else max(count, len(subjects)) * expected // len(subjects)
        for trial in trials(video.subject.name, video.frames, protocol):
            if on_restored is not None:
                for i, picture in enumerate(trial.inputs):
                    on_restored(video.subject.name, "inputs", Fraction(trial.first + i), picture)
            for method in methods:
                if method.name in refused:
                    continue
                try:
                    by = method.of_video
                    restore = method.restore if by is None else by(video.subject.name, trial.first)
                    restored = restore(trial.inputs, trial.times)
                except InputError as error:
                    refused[method.name] = str(error)
                    continue
                scores += _scores(method.name, video.subject.name, trial, restored, lpips, motion)
                if on_restored is not None:
                    for time, picture, scored in zip(trial.times, restored, trial.scored, strict=True):
                        if scored:
                            on_restored(video.subject.name, method.name, trial.first + time, picture)
                if on_progress is not None:
                    on_progress(video.subject.name, method.name, len(scores), total)
    if not subjects:
        raise DataError("no video to evaluate on; give files, folders of images, or .npy arrays")
    return Result(
        protocol=protocol.name,
        description=protocol.describe(),
        seed=protocol.seed,
        subjects=tuple(subjects),
        methods=tuple((method.name, method.weights) for method in methods if method.name not in refused),
        scores=tuple(score for score in scores if score.method not in refused),
        versions=_versions(),
        refused=tuple(refused.items()),
    )


class KnownMotion:
    """How far places of a video are blurred in its inputs: by the motion that a scene states, else by that which is
    estimated between the sharp frames next to an input's centre."""

    def __init__(self, video: Footage, protocol: Protocol) -> None:
        self.video, self.protocol = video, protocol
        self._extents: dict[int, npt.NDArray[np.float32]] = {}

    def extent(self, trial: Trial, time: Fraction) -> npt.NDArray[np.float32]:
        """Blur extent at a trial's time, h/4 w/4, pixels: of the input, or the mean of both neighbours'."""
        before = int(time // 1)
        inputs = [before, before + 1] if time % 1 else [before]
        found = [self._of(trial.first + i) * (self.protocol.length - 1 if trial.blurred[i] else 0) for i in inputs]
        return np.asarray(np.mean(found, axis=0) / self.protocol.exposure.period, np.float32)

    def _of(self, i: int) -> npt.NDArray[np.float32]:
        """Speed at input i, pixels a period."""
        if i not in self._extents:
            if self.video.sweep is not None and i < len(self.video.sweep):
                motion = self.video.sweep[i]
            else:
                centre = self.protocol.exposure.centre(i)
                first, last = max(0, centre - 1), min(len(self.video.frames) - 1, centre + 1)
                motion = estimated_motion(self.video.frames[first], self.video.frames[last])
                motion = motion * np.float32(self.protocol.exposure.period / max(1, last - first))
            self._extents[i] = np.sqrt(np.square(motion).sum(axis=0))
        return self._extents[i]


def _scores(
    method: str, video: str, trial: Trial, restored: Sequence[Picture], lpips: Lpips | None, motion: KnownMotion
) -> Iterator[Score]:
    if len(restored) != len(trial.times):
        raise DataError(f"{method} gave {len(restored)} frames for {len(trial.times)} times; it must give one for each")
    for number, (ours, truth, time) in enumerate(zip(restored, trial.truth, trial.times, strict=True)):
        if not trial.scored[number]:
            continue
        before = int(time // 1)
        neighbours = trial.blurred[before : before + (2 if time % 1 else 1)]
        steady = None
        if number:
            steady = stability(ours, restored[number - 1], truth, trial.truth[number - 1])
        detail = sharpness(truth)
        yield Score(
            method,
            video,
            trial.first + time,
            sum(neighbours),
            psnr(ours, truth),
            ssim(ours, truth),
            None if lpips is None else _lpips(lpips, ours, truth),
            sharpness(ours) / detail if detail else None,
            steady,
            errors_by_extent(ours, truth, motion.extent(trial, time)),
        )


def _lpips(lpips: Lpips, ours: Picture, truth: Picture) -> float:
    device = next(lpips.buffers()).device
    pair = [torch.from_numpy(x.copy()).to(device).permute(2, 0, 1)[None] / 255 for x in (ours, truth)]  # 1 3 h w
    return float(lpips(*pair))


def _versions() -> tuple[tuple[str, str], ...]:
    """What a result may depend on besides data and weights."""
    found = [("python", platform.python_version())]
    for package in ("torch", "numpy", "av", "pillow"):
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)
