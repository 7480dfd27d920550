"""`Restorer` holds a network on a device and restores many videos with it; `restore` is for one video.

plan  (plan.py)      looks at the input, decides the output, refuses what cannot work
run   (run.py)       decode -> network -> writer -> file, and a report
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alanet.engine.runner import Runner, pick_device, pick_precision
from alanet.engine.stream import Counts
from alanet.engine.tiled import TileMode, plan_tiles_for
from alanet.errors import OptionError
from alanet.frames.frame import Frame, Pixels
from alanet.frames.timing import Factor, Schedule, Tail
from alanet.model.network import Network
from alanet.model.weights import default_model, load_model
from alanet.notes import Notes
from alanet.restoration.loaded import LoadedNetwork
from alanet.restoration.options import RestoreOptions, sorted_options
from alanet.restoration.pipeline import decoded, period_of, streamed
from alanet.restoration.plan import RestorePlan, RestoreReport, make_plan
from alanet.restoration.progress import RestoreProgress
from alanet.restoration.run import run_plan
from alanet.video.input.probe import probe

__all__ = ["Restorer", "restore"]


class Restorer:
    """A model on a device, ready for videos.

    Args:
        model: a name of `available_models()`, a path to weights, a model, or None for the default.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto" (what measures faster), "fp32" or "bf16".
        threads: CPU threads of the network; None leaves PyTorch's choice.
        memory: bytes the process may take at its peak (on a GPU: of its memory); frames too large for that are
            restored in tiles. None: most of what is free when a video is planned.
        tile_mode: "exact" gives the untiled result; "feather" is cheaper and notes how far it is from that.
        sha256: demanded digest of the weights file.
        processes: how many share this machine's memory (or this GPU's) with it, itself included.

    >>> restorer = Restorer()                                    # doctest: +SKIP
    >>> report = restorer.restore("holiday.mp4")                 # doctest: +SKIP
    """

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
        if tile_mode not in ("exact", "feather"):
            raise OptionError(f"tile mode {tile_mode!r} is not one of exact, feather")
        if threads is not None:
            if threads < 1:
                raise OptionError(f"threads {threads} is not a number from 1 up")
            torch.set_num_threads(threads)
        where = pick_device(device)
        if model is None or isinstance(model, str | Path):
            loaded, name = load_model(model, sha256=sha256), str(model or default_model())
        else:
            loaded, name = model, type(model).__name__
        chosen = pick_precision(precision, loaded, where)
        runner = Runner(loaded, where, chosen)
        given = {"--precision": precision, "--threads": threads, "--memory": memory, "--tile-mode": tile_mode}
        self.network = LoadedNetwork(loaded, name, runner, chosen, tile_mode, memory, processes, given)
        self.model, self.model_name, self.runner = loaded, name, runner
        self.device, self.precision = where, chosen

    def plan(
        self,
        source: str | Path,
        output: str | Path | None = None,
        options: RestoreOptions | None = None,
        *,
        folder: Path | None = None,
        shared: bool = False,
    ) -> RestorePlan:
        """Look at the input, decide the output, and refuse what cannot work. Writes nothing.

        The finished part of an interrupted run is resumed, or refused where something has changed since.

        Args:
            source: the input.
            output: the result; None names it after the input.
            options: how it is restored.
            folder: an absolute folder for a result with the input's own name.
            shared: several processes restore the video (`sharing.run_worker`).

        Raises:
            InputError, OutputError, ResourceError: see `alanet.errors`.
        """
        return make_plan(self.network, source, output, options or RestoreOptions(), folder=folder, shared=shared)

    def run(
        self,
        plan: RestorePlan,
        *,
        on_progress: Callable[[RestoreProgress], None] | None = None,
        about_to: Callable[[Path, Counts], None] | None = None,
    ) -> RestoreReport:
        """Carry out a plan. The input is not changed.

        After an error only the finished segments of a job remain, in a hidden folder beside the output; the same call
        resumes after them. about_to: called with the path of the complete result before it is renamed.
        """
        return run_plan(self.network, plan, on_progress=on_progress, about_to=about_to)

    def restore(
        self,
        source: str | Path,
        output: str | Path | None = None,
        options: RestoreOptions | None = None,
        *,
        on_progress: Callable[[RestoreProgress], None] | None = None,
    ) -> RestoreReport:
        """Restore a video file into another; `output` None names it `NAME_x2.EXT` beside the input."""
        return self.run(self.plan(source, output, options), on_progress=on_progress)

    def frames(
        self, source: str | Path, options: RestoreOptions | None = None, *, notes: Notes | None = None
    ) -> Iterator[Frame]:
        """The restored frames of a video file with their exact times, as they are made."""
        options, notes = options or RestoreOptions(), Notes() if notes is None else notes
        info = probe(source, input_rate=options.input_rate)
        self.network.check_times(options.schedule, info.rate)
        tiles = plan_tiles_for(self.runner, info, self.network.memory, self.network.tile_mode)
        runner = self.network.runner_for(tiles, self.precision, notes)
        return streamed(decoded(info, options, notes), self.model, runner, options, Counts(), period=period_of(info))

    def arrays(
        self,
        frames: Sequence[Pixels],
        *,
        rate: Schedule = Factor(2),
        tail: Tail = "drop",
        cuts: bool = False,
        strength: float = 1.0,
    ) -> list[Pixels]:
        """Arrays in, arrays out: `h w 3` uint8 or uint16 each, evenly spaced in time, all of one size and type.

        t frames give 2t - 1 restored ones: 0 deblurred, 1 interpolated, 2 deblurred ... (`tail="hold"`: 2t).
        A frame judged sharp comes back as it is, in an array of its own.

        >>> import numpy as np
        >>> clip = [np.full((48, 64, 3), i, np.uint8) for i in range(3)]
        >>> [frame.shape for frame in Restorer().arrays(clip)]
        [(48, 64, 3), (48, 64, 3), (48, 64, 3), (48, 64, 3), (48, 64, 3)]
        """
        kinds = {f"{frame.shape} {frame.dtype}" for frame in frames}
        if len(kinds) > 1 or any(
            f.ndim != 3 or f.shape[2] != 3 or f.dtype not in (np.uint8, np.uint16) for f in frames
        ):
            seen = " and ".join(sorted(kinds))
            raise OptionError(f"frames of {seen} were given; give arrays h w 3 of one size, all uint8 or all uint16")
        self.network.check_times(rate, Fraction(1))
        given = (Frame(pixels.copy(), Fraction(i), Fraction(1)) for i, pixels in enumerate(frames))
        options = RestoreOptions(rate=rate, tail=tail, cuts="auto" if cuts else "off", strength=strength)
        runner = self.network.runner_for((), self.precision, Notes())
        made = streamed(given, self.model, runner, options, Counts(), period=Fraction(1))
        return [frame.pixels for frame in made]


def restore(
    path: str | Path,
    output: str | Path | None = None,
    *,
    on_progress: Callable[[RestoreProgress], None] | None = None,
    **options: Any,
) -> RestoreReport:
    """Restore a video file into another.

    Args:
        path: the input: a video, a folder of images (with `input_rate`), a GIF or an APNG.
        output: the result; None names it `NAME_x2.EXT` beside the input.
        on_progress: called after each input frame.
        options: fields of `RestoreOptions`, `EncodeOptions` and `NetworkOptions`, by name.

    Raises:
        OptionError: an unknown option, or a wrong value.
        InputError, OutputError, ResourceError: see `alanet.errors`.

    >>> alanet.restore("holiday.mp4", rate=alanet.Factor(4), crf=16, device="cuda")  # doctest: +SKIP
    """
    network, how = sorted_options(options)
    return Restorer(**asdict(network)).restore(path, output, how, on_progress=on_progress)
