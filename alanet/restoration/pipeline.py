"""The frames of a video on their way through the network; memory does not grow with the length of the video.

decode -> cuts -> (a thread that reads ahead) -> stream(runner) -> restored frames
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from alanet.engine.counts import Counts
from alanet.engine.fallback import FallbackRunner
from alanet.engine.memory import DECODER_THREADS, READ_AHEAD
from alanet.engine.prefetch import read_ahead
from alanet.engine.stream import stream
from alanet.frames.cuts import find_cuts
from alanet.frames.frame import Frame, VideoInfo
from alanet.frames.repeats import Repeats, skip_repeats
from alanet.model.network import Network
from alanet.notes import Notes
from alanet.restoration.loaded import LoadedNetwork
from alanet.restoration.options import RestoreOptions
from alanet.restoration.plan import RestorePlan
from alanet.restoration.progress import Pass
from alanet.video.input.decode import decode
from alanet.video.input.scores import scored

__all__ = ["decoded", "period_of", "restored_frames", "shots", "streamed"]


def restored_frames(network: LoadedNetwork, plan: RestorePlan, run: Pass) -> Iterator[Frame]:
    """The restored frames of a plan that `run` does not skip, as they are made."""
    runner = network.runner_for(plan.tiles, plan.precision, plan.notes)
    frames = decoded(plan.info, plan.options, plan.notes)
    return streamed(frames, network.model, runner, plan.options, run.counts, run, period=period_of(plan.info))


def decoded(info: VideoInfo, options: RestoreOptions, notes: Notes) -> Iterator[Frame]:
    """The input frames from `start` to `end`."""
    part = {"start": options.start, "end": options.end}
    return decode(info, **part, deinterlace=options.deinterlace, notes=notes, threads=DECODER_THREADS)


def streamed(
    frames: Iterable[Frame],
    model: Network,
    runner: FallbackRunner,
    options: RestoreOptions,
    counts: Counts,
    run: Pass | None = None,
    *,
    period: Fraction | None,
) -> Iterator[Frame]:
    """Input frames to restored frames. period: `period_of` the input."""
    repeats = Repeats()
    ahead = read_ahead(shots(frames, options, repeats), depth=READ_AHEAD)
    shown: Iterator[tuple[Frame, bool]] = ahead if run is None else run.watched(ahead)
    skip = _nothing if run is None else run.skips
    try:
        yield from stream(
            shown,
            runner,
            options.schedule,
            window=model.window,
            around=model.around,
            tail=options.tail,
            counts=counts,
            skip=skip,
            strength=options.strength,
            period=period,
        )
        if repeats.animation and options.duplicates == "keep":
            runner.notes.warn(
                f"repeats: {repeats.repeats:,} of {repeats.frames:,} frames repeat the one before (animation on twos "
                "or threes); --duplicates skip interpolates between the drawings"
            )
        if counts.gaps:
            length, at = (float(part) for part in counts.longest_gap)
            runner.notes.keep(
                f"gaps: {counts.gaps:,} not interpolated across, the longest {length:.2f} s at {at:.2f} s; "
                "the frame before is repeated there"
            )
        if counts.first_passed is not None:
            runner.notes.warn(
                f"{counts.passed:,} restored frames (the first at {float(counts.first_passed):.3f} s) came out as "
                "NaN or infinity; the input is passed through there"
            )
    finally:
        ahead.close()


def shots(frames: Iterable[Frame], options: RestoreOptions, repeats: Repeats) -> Iterator[tuple[Frame, bool]]:
    """Each frame and whether it starts a shot; repeated drawings are counted, and skipped where that is wanted."""
    seen: Iterator[tuple[Frame, bool, bool]]
    if options.cuts == "auto":
        seen = ((frame, scores.still, starts) for frame, scores, starts in find_cuts(scored(frames)))
    elif options.duplicates == "skip":
        seen = ((frame, scores.still, False) for frame, scores in scored(frames))
    else:
        seen = ((frame, False, False) for frame in frames)

    def counted() -> Iterator[tuple[Frame, bool, bool]]:
        for frame, still, starts in seen:
            repeats.see(still)
            yield frame, still, starts

    if options.duplicates == "skip":
        return skip_repeats(counted())
    return ((frame, starts) for frame, _, starts in counted())


def period_of(info: VideoInfo) -> Fraction | None:
    """Seconds between frames, where the header says that they are evenly spaced."""
    return 1 / info.rate if info.steady else None


def _nothing(time: Fraction) -> bool:
    """By default no restored frame is skipped."""
    return False
