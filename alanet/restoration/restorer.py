"""`Restorer` holds a network on a device and restores many videos with it.

plan  (plan.py)      looks at the input, decides the output, refuses what cannot work
run   (run.py)       decode -> network -> writer -> file, and a report
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Any, Protocol

import torch

from alanet.engine.counts import Counts
from alanet.engine.precision import choose_precision
from alanet.engine.runner import Runner, pick_device
from alanet.engine.stream import Kept
from alanet.engine.threads import check_count, configure_threads
from alanet.engine.tiled import TileMode, plan_tiles_for
from alanet.errors import CancelledError, OptionError, TimeError
from alanet.files import as_path
from alanet.frames.frame import Frame
from alanet.frames.timing import Factor, Schedule, Tail
from alanet.model.network import Network, Window
from alanet.model.weights import default_model, load_model
from alanet.notes import Notes
from alanet.restoration.arrays import Picture, to_pixels
from alanet.restoration.handles import Input, Output, as_file, check_output, deliver, ending_of, temporary_folder
from alanet.restoration.loaded import LoadedNetwork
from alanet.restoration.naming import naming_arguments
from alanet.restoration.options import NetworkOptions, RestoreOptions, checked_options
from alanet.restoration.pipeline import decoded, period_of, streamed
from alanet.restoration.plan import RestorePlan, RestoreReport, make_plan
from alanet.restoration.progress import RestoreProgress
from alanet.restoration.run import run_plan
from alanet.video.input.probe import probe

__all__ = ["CancelToken", "Restorer"]


class CancelToken(Protocol):
    """What `threading.Event` is: set by another thread to end a run after the frame that it works on.

    >>> import threading
    >>> token: alanet.CancelToken = threading.Event()
    >>> token.is_set()
    False
    """

    def is_set(self) -> bool: ...


class Restorer:
    """A model on a device, ready for videos. It may be used again and again, by one thread at a time.

    Args:
        model: a name of `available_models()`, a path to weights, a network, or None for the default.
        device: "auto", "cpu", "cuda", "mps" or "xpu".
        precision: "auto" (by what the hardware can do), "fp32", "bf16" or "fp16".
        threads: CPU threads of the network; None takes all physical cores (`configure_threads`).
        memory: bytes the process may take at its peak (on a GPU: of its memory); frames too large for that are
            restored in tiles. None: most of what is free when a video is planned.
        tile_mode: "exact" gives the untiled result; "feather" is cheaper and notes how far it is from that.
        sha256: demanded digest of the weights file.
        processes: how many share this machine's memory (or this GPU's) with it, itself included.

    Raises:
        OptionError: a value that is not allowed.
        ResourceError: the device is not available.
        WeightsError: see `load_model`.

    >>> restorer = alanet.Restorer(device="cpu", precision="fp32")
    >>> report = restorer.restore("holiday.mp4")
    >>> report.frames_in, report.frames_out
    (4, 8)
    """

    @naming_arguments()
    def __init__(
        self,
        model: str | Path | Network | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        memory: int | None = None,
        tile_mode: TileMode = "exact",
        sha256: str | None = None,
        processes: int = 1,
    ) -> None:
        named = isinstance(model, str | os.PathLike) or model is None
        if not named and not (isinstance(model, torch.nn.Module) and hasattr(model, "generate")):
            raise OptionError(f"model is of type {type(model).__name__}; give a name, a path or a network of alanet")
        given: dict[str, Any] = {"model": None if model is None or not named else str(model), "sha256": sha256}
        given |= {"device": device, "precision": precision, "threads": threads, "memory": memory}
        options = NetworkOptions(**given, tile_mode=tile_mode)
        check_count(processes, "processes")
        configure_threads(options.threads)
        where = pick_device(device)
        if model is None or isinstance(model, str | os.PathLike):
            loaded, name = load_model(options.model, sha256=sha256), options.model or default_model()
        else:
            loaded, name = model, type(model).__name__
        chosen = choose_precision(precision, where)
        runner = Runner(loaded, where, chosen.precision)
        flags = {"--precision": precision, "--threads": threads, "--memory": options.memory, "--tile-mode": tile_mode}
        self.network = LoadedNetwork(loaded, name, runner, chosen, tile_mode, options.memory, processes, flags)
        self.model, self.model_name, self.runner = loaded, name, runner
        self.device, self.precision = where, chosen.precision

    @naming_arguments()
    def plan(
        self,
        source: str | Path,
        output: str | Path | None = None,
        options: RestoreOptions | None = None,
        *,
        folder: Path | None = None,
        shared: bool = False,
    ) -> RestorePlan:
        """Examine the input, decide the output, and refuse what cannot work. Writes nothing.

        The finished part of an interrupted run is resumed, or refused where something has changed since.

        Args:
            source: the input.
            output: the result; None names it after the input.
            options: how it is restored.
            folder: an absolute folder for a result with the input's own name.
            shared: several processes make its segments, in any order (`tasks.py`).

        Raises:
            InputError, OutputError, ResourceError: see `alanet.errors`.

        >>> plan = alanet.Restorer(device="cpu", precision="fp32").plan("holiday.mp4")
        >>> plan.output.path.name, plan.frames_in, plan.frames_out
        ('holiday_x2.mp4', 4, 8)
        """
        source, output = as_path(source, "the input"), None if output is None else as_path(output, "output")
        return make_plan(self.network, source, output, checked_options(options), folder=folder, shared=shared)

    @naming_arguments()
    def run(
        self,
        plan: RestorePlan,
        *,
        on_progress: Callable[[RestoreProgress], None] | None = None,
        about_to: Callable[[Path, Counts], None] | None = None,
        cancel: CancelToken | None = None,
    ) -> RestoreReport:
        """Carry out a plan. The input is not changed.

        After an error only the finished segments of a job remain, in a hidden folder beside the output; the same call
        resumes after them.

        Args:
            plan: what `plan` gave.
            on_progress: called after each input frame.
            about_to: called with the path of the complete result before it is renamed.
            cancel: ends the run with CancelledError after the input frame during which it is set.

        >>> restorer = alanet.Restorer(device="cpu")
        >>> restorer.run(restorer.plan("holiday.mp4")).frames_out
        8
        """
        if not isinstance(plan, RestorePlan):
            raise OptionError(f"plan is of type {type(plan).__name__}; give what plan() returned")
        if not (on_progress is None or callable(on_progress)):
            raise OptionError(
                f"on_progress is of type {type(on_progress).__name__}; give a function of RestoreProgress"
            )
        _check_cancel(cancel)

        def watch(progress: RestoreProgress) -> None:
            _check_cancel(cancel)
            if on_progress is not None:
                on_progress(progress)

        watched = on_progress if cancel is None else watch
        return run_plan(self.network, plan, on_progress=watched, about_to=about_to)

    @naming_arguments()
    def restore(
        self,
        source: Input,
        output: Output | None = None,
        options: RestoreOptions | None = None,
        *,
        on_progress: Callable[[RestoreProgress], None] | None = None,
        cancel: CancelToken | None = None,
    ) -> RestoreReport:
        """Restore a video into another; arguments and errors are those of `alanet.restore`.

        >>> import io
        >>> made = io.BytesIO()
        >>> with open("holiday.mp4", "rb") as file:
        ...     report = alanet.Restorer(device="cpu", precision="fp32").restore(file, made)
        >>> made.getvalue()[4:8]
        b'ftyp'
        """
        with as_file(source) as path:
            if output is None and not isinstance(source, str | os.PathLike):
                raise OptionError("the input has no name that a result could have; give output, a path or file object")
            if output is None or isinstance(output, str | os.PathLike):
                named = None if output is None else as_path(output, "output")
                return self.run(self.plan(path, named, options), on_progress=on_progress, cancel=cancel)
            check_output(output)
            with temporary_folder() as folder:
                ending = ending_of(output)
                named = folder / f"output{ending}" if ending else None
                plan = self.plan(path, named, options, folder=None if ending else folder)
                report = self.run(plan, on_progress=on_progress, cancel=cancel)
                deliver(report.output, output)
                return report

    def frames(
        self, source: Input, options: RestoreOptions | None = None, *, notes: Notes | None = None
    ) -> Iterator[Frame]:
        """The restored frames of a video with their exact times, as they are made.

        >>> for frame in alanet.Restorer(device="cpu", precision="fp32").frames("holiday.mp4"):
        ...     print(frame.time, frame.pixels.shape)
        ...     break
        0 (48, 64, 3)
        """
        with naming_arguments(), as_file(source) as path:
            options, notes = checked_options(options), Notes() if notes is None else notes
            info = probe(path, input_rate=options.input_rate, stream=options.stream, telecine=options.telecine)
            self.network.check_times(options.schedule, info.rate)
            if options.duplicates == "skip":
                self.network.check_repeats()
            tiles = plan_tiles_for(self.runner, info, self.network.memory, self.network.tile_mode)
            runner = self.network.runner_for(tiles, self.precision, notes)
            given, period = decoded(info, options, notes), period_of(info)
            yield from streamed(given, self.model, runner, options, Counts(), period=period)

    @naming_arguments()
    def arrays(
        self,
        frames: Sequence[Picture],
        *,
        rate: Schedule = Factor(2),
        tail: Tail = "drop",
        cuts: bool = False,
        strength: float = 1.0,
        cancel: CancelToken | None = None,
    ) -> list[Picture]:
        """Arrays in, arrays out.

        t frames give 2t - 1 restored ones: 0 deblurred, 1 interpolated, 2 deblurred ... (`tail="hold"`: 2t). A frame
        that the network estimates as sharp is returned unchanged, in an array of its own.

        Args:
            frames: `h w 3` each, evenly spaced in time, all of one size and type: NumPy arrays or torch tensors of
                uint8, uint16, or floats in [0, 1], which are computed with 16 bits. Gamma-coded RGB.
            rate: how many frames are restored; a `TargetRate` is relative to 1 input frame a second.
            tail: "hold" repeats the last restored frame.
            cuts: whether scene cuts are detected; no frame is interpolated across one.
            strength: how much frames at the input's times are deblurred, from 0 to 1.
            cancel: ends the work with CancelledError after the restored frame during which it is set.

        Returns:
            Arrays or tensors as given: same size, type and device.

        Raises:
            OptionError: no frames, or frames of other types, axes or values.
            TimeError: a rate with times that the network cannot restore.

        >>> clip = [np.full((48, 64, 3), i, np.uint8) for i in range(3)]
        >>> [frame.shape for frame in alanet.Restorer().arrays(clip)]
        [(48, 64, 3), (48, 64, 3), (48, 64, 3), (48, 64, 3), (48, 64, 3)]
        """
        if not isinstance(cuts, bool):
            raise OptionError(f"cuts is {cuts!r}; give True or False")
        _check_cancel(cancel)
        pixels, as_given = to_pixels(frames)
        options = RestoreOptions(rate=rate, tail=tail, cuts="auto" if cuts else "off", strength=strength)
        self.network.check_times(options.schedule, Fraction(1))
        given = (Frame(picture, Fraction(i), Fraction(1)) for i, picture in enumerate(pixels))
        runner = self.network.runner_for((), self.precision, Notes())
        made = []
        for frame in streamed(given, self.model, runner, options, Counts(), period=Fraction(1)):
            _check_cancel(cancel)
            made.append(as_given(frame.pixels))
        return made

    @naming_arguments()
    def interpolate(self, a: Picture, b: Picture, t: float | Fraction = 0.5) -> Picture:
        """The frame at time t between two neighbouring frames; arguments and errors are those of `alanet.interpolate`.

        >>> restorer = alanet.Restorer(device="cpu")
        >>> slow = [restorer.interpolate(frames[0], frames[1], k / 4) for k in range(5)]
        """
        pixels, as_given = to_pixels([a, b])
        if isinstance(t, bool) or not isinstance(t, Real) or not 0 <= t <= 1:
            raise TimeError(f"t {t!r} is not between the two frames; allowed: from 0 (the first) to 1 (the second)")
        if not self.model.can_restore(Fraction(t if isinstance(t, Fraction) else float(t)) % 1):
            raise TimeError(f"t {t} cannot be restored by {self.model_name}; allowed: 0, 0.5 and 1")
        window = Window({i: Kept(picture) for i, picture in enumerate(pixels)}, {0: Kept()})
        runner = self.network.runner_for((), self.precision, Notes())
        (made,) = runner.generate(window, [float(t)], pixels[0])
        return as_given(pixels[round(t)] if made is None else made)


def _check_cancel(cancel: CancelToken | None) -> None:
    if not (cancel is None or hasattr(cancel, "is_set")):
        raise OptionError(f"cancel is of type {type(cancel).__name__}; give a threading.Event")
    if cancel is not None and cancel.is_set():
        raise CancelledError("cancelled; the same call resumes after the segments that are finished")
