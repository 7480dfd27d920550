"""A video file in, a better one out: the whole path, left to right, in memory that does not grow with the video.

    file ─> decode ─> scores, cuts ─> stream(runner) ─> writer ─> file
            └── a thread of its own ──┘                └ another one ┘

`Restorer` holds a model on a device and is used for many videos. `plan` checks all that can be checked before any work
is done; `run` does the work; `restore` is both. `frames` and `arrays` are the same path without files at the end, or
at either end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alanet.engine.fallback import FallbackRunner
from alanet.engine.memory import DECODER_THREADS, READ_AHEAD, exhaustion_told, free_memory
from alanet.engine.prefetch import read_ahead
from alanet.engine.runner import Runner, pick_device, pick_precision
from alanet.engine.stream import Counts, stream
from alanet.engine.tiled import TileMode, passes, plan_tiles_for
from alanet.errors import OptionError, TimeError
from alanet.frames.cuts import find_cuts
from alanet.frames.frame import Frame, Pixels, VideoInfo
from alanet.frames.tiles import Tile, overhead, round_up
from alanet.frames.timing import Factor, Schedule, Tail, output_rate, phases
from alanet.model.network import Network
from alanet.model.weights import continuous_models, default_model, load_model
from alanet.notes import Notes
from alanet.restoration.options import RestoreOptions, sorted_options
from alanet.restoration.plan import RestorePlan, RestoreReport, nothing_shown, stated_frames, suffix_of
from alanet.restoration.progress import Passing, RestoreProgress, RunProgress
from alanet.restoration.resume import earlier_job, job_for, segment_length, segment_of, tiles_of, weights_digest
from alanet.restoration.writer import open_writer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from alanet.video.input.scores import scored
from alanet.video.output.disk import check_room
from alanet.video.output.format import plan_output

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
        self.device = pick_device(device)
        if model is None or isinstance(model, str | Path):
            self.model = load_model(model, sha256=sha256)
            self.model_name = str(model or default_model())
        else:
            self.model, self.model_name = model, type(model).__name__
        self.precision = pick_precision(precision, self.model, self.device)
        self.runner = Runner(self.model, self.device, self.precision)
        self.tile_mode, self.processes = tile_mode, processes
        self._memory = memory
        self._asked = {"--precision": precision, "--threads": threads, "--memory": memory, "--tile-mode": tile_mode}

    @property
    def memory(self) -> int | None:
        """Bytes that this process may take; None: most of what is free."""
        if self.processes == 1:
            return self._memory
        all_of_it = free_memory(self.device) if self._memory is None else self._memory
        return None if all_of_it is None else all_of_it // self.processes

    def plan(
        self,
        source: str | Path,
        output: str | Path | None = None,
        options: RestoreOptions | None = None,
        *,
        folder: Path | None = None,
        shared: bool = False,
    ) -> RestorePlan:
        """Look at the input, decide the output, refuse what cannot work. Writes nothing.

        What an interrupted run of the same has finished is gone on with, or refused where something has changed since.

        folder: where the result goes under the input's own name, absolute. shared: for `sharing.run_worker`.

        Raises:
            InputError, OutputError, ResourceError: see `errors.py`; one line each.
        """
        options = options or RestoreOptions()
        notes = Notes()
        info = probe(source, input_rate=options.input_rate)
        self._check_times(options.schedule, info.rate)
        output = None if output is None else Path(output)
        suffix = suffix_of(options.schedule)
        target = plan_output(
            info, output, options.encode, notes, suffix=suffix, schedule=options.schedule, folder=folder
        )
        tiles = tuple(plan_tiles_for(self.runner, info, self.memory, self.tile_mode, target))
        precision, done = self.precision, 0
        rate, each = output_rate(options.schedule, info.rate), self._seconds_a_frame(info, options.schedule, tiles)
        segment = segment_length(rate, each * float(info.rate) / options.schedule.slow)
        job = job_for(target, options, self._network(), precision, tiles, segment)
        earlier = None if options.restart else earlier_job(target, job, shared=shared)
        if earlier is not None:
            job, done = earlier
            tiles, precision, segment = tiles_of(job), job.chosen["precision"], segment_of(job)
            each = self._seconds_a_frame(info, options.schedule, tiles)
        if (work := overhead(tiles)) > 2 and self.tile_mode == "exact":
            notes.warn(
                f"tiles: they compute every pixel {work:.1f} times; more --memory or --tile-mode feather is faster"
            )
        frames_in = stated_frames(info, options)
        left = (
            None if frames_in is None else max(0.0, frames_in - float(done * info.rate / rate / options.schedule.slow))
        )
        seconds = None if left is None else left * each
        return RestorePlan(info, target, options, notes, frames_in, seconds, tiles, rate, precision, job, done, segment)

    def run(
        self,
        plan: RestorePlan,
        *,
        on_progress: Callable[[RestoreProgress], None] | None = None,
        about_to: Callable[[Path, Counts], None] | None = None,
    ) -> RestoreReport:
        """Do what the plan says. The input is untouched; on any failure nothing is left behind but, in the hidden work
        folder beside the output, what of a job is finished: the same call goes on after it.

        about_to: told where the complete result lies, before it gets its name.
        """
        began, options = time.perf_counter(), plan.options
        if room := check_room(plan.output, plan.frames_out, done=plan.done):
            plan.notes.warn(f"disk: {room}")
        opened = open_writer(
            plan.output,
            start=options.start,
            end=options.end,
            notes=plan.notes,
            segment_seconds=plan.segment,
            job=plan.job,
            restart=options.restart,
        )
        with exhaustion_told(self.device), opened as writer:
            going = RunProgress(plan.frames_in, plan.segment, writer, plan.notes, on_progress)
            counts = going.counts
            for frame in self.restored(plan, going):
                writer.write(frame)
                going.tell(frame.time)
            if not counts.frames_in:
                raise OptionError(nothing_shown(plan))
            going.check_reached()
            path = writer.finish(about_to=None if about_to is None else lambda made: about_to(made, counts))
        return self.report(plan, path, counts, time.perf_counter() - began, going.skip)

    def report(self, plan: RestorePlan, path: Path, counts: Counts, seconds: float, earlier_out: int) -> RestoreReport:
        """What was done by a plan. earlier_out: restored frames that others have made."""
        return RestoreReport(
            path,
            counts.frames_in,
            counts.frames_out,
            counts.cuts,
            counts.duplicates,
            seconds=seconds,
            model=self.model_name,
            device=str(self.device),
            precision=plan.precision,
            notes=plan.notes,
            earlier_out=earlier_out,
            passed=counts.passed,
            judged=counts.judged,
            sharp=counts.sharp,
            exposure=counts.exposures / counts.judged if counts.judged else None,
            untouched=counts.untouched,
        )

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
        options = options or RestoreOptions()
        info = probe(source, input_rate=options.input_rate)
        self._check_times(options.schedule, info.rate)
        tiles = plan_tiles_for(self.runner, info, self.memory, self.tile_mode)
        notes = Notes() if notes is None else notes
        runner = self._runner(tiles, self.precision, notes)
        decoded = self._decoded(info, options, notes)
        return self._stream(decoded, runner, options, Counts())

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
        self._check_times(rate, Fraction(1))
        given = (Frame(pixels.copy(), Fraction(i), Fraction(1)) for i, pixels in enumerate(frames))
        options = RestoreOptions(rate=rate, tail=tail, cuts="auto" if cuts else "off", strength=strength)
        runner = self._runner((), self.precision, Notes())
        return [frame.pixels for frame in self._stream(given, runner, options, Counts())]

    def restored(self, plan: RestorePlan, going: Passing) -> Iterator[Frame]:
        """The restored frames of a plan that `going` does not skip, as they are made."""
        options = plan.options
        runner = self._runner(plan.tiles, plan.precision, plan.notes)
        decoded = self._decoded(plan.info, options, plan.notes)
        return self._stream(decoded, runner, options, going.counts, going)

    def _decoded(self, info: VideoInfo, options: RestoreOptions, notes: Notes) -> Iterator[Frame]:
        part = {"start": options.start, "end": options.end}
        return decode(info, **part, deinterlace=options.deinterlace, notes=notes, threads=DECODER_THREADS)

    def _runner(self, tiles: Sequence[Tile], precision: str, notes: Notes) -> FallbackRunner:
        runner = self.runner if precision == self.precision else Runner(self.model, self.device, precision)
        return FallbackRunner(runner, tiles, self.tile_mode, notes)

    def _stream(
        self,
        frames: Iterable[Frame],
        runner: FallbackRunner,
        options: RestoreOptions,
        counts: Counts,
        going: Passing | None = None,
    ) -> Iterator[Frame]:
        shots: Iterator[tuple[Frame, bool]]
        if options.cuts == "auto":
            shots = ((frame, starts) for frame, _, starts in find_cuts(scored(frames)))
        else:
            shots = ((frame, False) for frame in frames)
        ahead = read_ahead(shots, depth=READ_AHEAD)
        shown: Iterator[tuple[Frame, bool]] = ahead if going is None else going.passing(ahead)
        skip = _nothing if going is None else going.skips
        try:
            yield from stream(
                shown,
                runner,
                options.schedule,
                window=self.model.window,
                around=self.model.around,
                tail=options.tail,
                counts=counts,
                skip=skip,
                strength=options.strength,
            )
            if counts.first_passed is not None:
                runner.notes.warn(
                    f"{counts.passed:,} restored frames (the first at {float(counts.first_passed):.3f} s) came out as "
                    "NaN or infinity; the input is passed through there"
                )
        finally:
            ahead.close()

    def _network(self) -> dict[str, Any]:
        """What the result depends on of the network, by the names of its options."""
        return {**self._asked, "--device": str(self.device), "weights": weights_digest(self.model)[:16]}

    def _check_times(self, rate: Schedule, input_rate: Fraction) -> None:
        """A model that knows half times only is not asked for others: refused before work starts."""
        if self.model.continuous_time or all(self.model.can_restore(phase) for phase in phases(rate, input_rate)):
            return
        able = ", ".join(continuous_models())
        raise TimeError(
            f"{rate} of {float(input_rate):g} fps needs frames elsewhere than half-way, and {self.model_name} makes "
            "only inputs and midpoints: use x2, x1 or --slow 2, or a time-continuous model: "
            f"{f'--model {able}' if able else 'weights of such a network, by --model PATH'}"
        )

    def _seconds_a_frame(self, info: VideoInfo, rate: Schedule, tiles: Sequence[Tile]) -> float:
        """Estimated seconds an input frame, from a small frame timed here."""
        cost = self.model.cost()
        restored = float(output_rate(rate, info.rate) * rate.slow / info.rate)
        encodes, generates = passes(self.model, tiles)
        macs = encodes * cost.encode + cost.relate + restored * generates * cost.generate
        pixels = round_up(info.width, self.model.stride) * round_up(info.height, self.model.stride)
        return self.runner.seconds_per_gmac() * macs * pixels / (640 * 352)


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


def _nothing(time: Fraction) -> bool:
    """What a stream leaves out by default."""
    return False
