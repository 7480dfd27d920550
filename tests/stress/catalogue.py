"""A catalogue of input files of every kind, and what must become of each: `python -m tests.catalogue` runs them all.

Each file is made here and sent through the command line with a tiny network that is the identity: a restored frame
at an input's time is that input, one between the mean of its neighbours. What must come out is so known: frames by
their hashes (against a plain reading of the file, not the package's), times and numbers of pictures as written down in
the entry, packets of sound by their hashes, the rest by ffprobe where it is installed. A refusal must be one line with
its exit code, leave nothing behind and its input untouched. The entries: catalogue_good.py and catalogue_refused.py.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
from PIL import Image

from tests.support.media import number_of

__all__ = ["Entry", "Shown", "check", "entries", "main"]

HALF_TICK = {".mkv": Fraction(1, 2000), ".webm": Fraction(1, 2000), ".ts": Fraction(1, 180000)}  # MP4, MOV: exact


@dataclass(frozen=True)
class Entry:
    """A file and what must become of it. Times in seconds, of the input's frames, worked out by hand."""

    name: str
    make: Callable[[Path], Path]  # in an empty folder -> the input
    times: Sequence[Fraction] = ()  # on the input's clock
    end: Fraction | None = None  # when the last frame has been shown; None: the container does not say to the tick
    numbers: Sequence[int] | None = None  # of the pictures (media.number_of), None: too small to be read
    coarse: Fraction = Fraction(0)  # how far the input's container rounds times
    words: tuple[str, ...] = ()  # further options
    codec: str = "x264"
    note: str = ""  # part of a note that must be there
    extra: Callable[[Path, Path], None] | None = None  # (input, output): further checks
    witness: bool = True  # frames are compared with a plain reading
    least: int = 0  # damaged: at least so many frames, whose numbers rise, instead of the lists above
    keeps_sound: bool = True
    refused: int | None = None  # the exit code; `note` is then part of the line
    quick: bool = False  # one of those in the suite


@dataclass(frozen=True)
class Shown:
    """What a run made of a file."""

    code: int
    line: str  # on standard error
    report: dict[str, Any]
    frames: list[tuple[Fraction, Fraction, np.ndarray]]  # time, duration, pixels handed to the encoder


def entries() -> list[Entry]:
    """All of them, in the catalogue's order."""
    from tests.stress import catalogue_good, catalogue_refused

    return [*catalogue_good.ENTRIES, *catalogue_refused.ENTRIES]


def check(entry: Entry, folder: Path, restorer: Any) -> None:
    """Makes the file, runs it, and raises AssertionError for whatever is not as it must be."""
    source = entry.make(folder)
    before = _state(folder)
    shown = _run(entry, source, restorer)
    if entry.refused is not None:
        assert shown.code == entry.refused, (shown.code, shown.line)
        assert shown.line.count("\n") == 1, shown.line
        assert shown.line.startswith("alanet: "), shown.line
        assert entry.note in shown.line, shown.line
        assert _state(folder) == before, "something was left behind or changed"
        return
    assert shown.code == 0, shown.line
    out = Path(os.path.abspath(source.parent / shown.report["output"]))
    after = _state(folder)
    mine = {str(path.relative_to(folder)) for path in (out, *out.rglob("*"))}
    assert {key: value for key, value in after.items() if key not in mine} == before, "litter"
    _check_notes(entry, shown)
    _check_frames(entry, source, shown)
    _check_output(entry, source, out, shown)
    if entry.extra is not None:
        entry.extra(source, out)


def _run(entry: Entry, source: Path, restorer: Any) -> Shown:
    """The command in the file's own folder, by the bare name, as people do; what is given to the encoder is seen."""
    from alanet.cli import run
    from alanet.restoration.writer import VideoWriter

    frames: list[tuple[Fraction, Fraction, np.ndarray]] = []
    write = VideoWriter.write

    def seen(self: Any, frame: Any, **named: Any) -> None:
        frames.append((frame.time, frame.duration, frame.pixels))
        write(self, frame, **named)

    speed = ["--preset", "ultrafast", "--crf", "10"] if entry.codec == "x264" else []
    speed = ["--preset", "ultrafast"] if entry.codec == "x265" else speed
    words = ["restore", source.name, "--json", "--quiet", "--threads", "1", "--codec", entry.codec, *speed]
    told, printed, here = io.StringIO(), io.StringIO(), os.getcwd()
    os.chdir(source.parent)
    try:
        with (
            mock.patch.object(VideoWriter, "write", seen),
            mock.patch("alanet.restoration.restorer.Restorer", return_value=restorer),
            contextlib.redirect_stderr(told),
            contextlib.redirect_stdout(printed),
        ):
            code = run([*words, *entry.words])
    finally:
        os.chdir(here)
    report = json.loads(printed.getvalue()) if code == 0 else {}
    return Shown(code, told.getvalue(), report, frames)


def _check_notes(entry: Entry, shown: Shown) -> None:
    notes = [line for kind in ("kept", "left_out", "warnings") for line in shown.report[kind]]
    assert not entry.note or any(entry.note in line for line in notes), f"no note says {entry.note!r}: {notes}"
    if not entry.least and not entry.note:
        bad = [line for line in notes if "damaged" in line or "missing" in line or "could be decoded" in line]
        assert not bad, bad


def _check_frames(entry: Entry, source: Path, shown: Shown) -> None:
    """What the encoder was given: times, numbers, each input frame unchanged, each other the mean of its neighbours."""
    given = shown.frames
    times, made = [time for time, _, _ in given], [pixels for _, _, pixels in given]
    count = len(given) // 2
    assert (shown.report["frames_in"], shown.report["frames_out"], len(given)) == (count, 2 * count, 2 * count)
    assert all(a < b for a, b in pairwise(times))
    assert all(a[0] + a[1] == b[0] for a, b in pairwise(given)), "a frame does not last until the next"
    numbers = [number_of(pixels) for pixels in made[::2]]
    if entry.least:
        assert count >= entry.least, f"{count} frames"
        assert entry.numbers is None or set(numbers) <= set(entry.numbers), numbers
        return
    first = entry.times[0]
    _same_times(times, doubled([time - first for time in entry.times], given[-1][0] + given[-1][1]), entry.coarse)
    if entry.end is not None:
        assert abs(given[-1][0] + given[-1][1] + first - entry.end) <= 2 * entry.coarse
    assert entry.numbers is None or numbers == list(entry.numbers), numbers
    for i in range(count):
        following = made[2 * i + 2] if i + 1 < count else made[2 * i]
        mean = made[2 * i].astype(np.float64) / 2 + following.astype(np.float64) / 2
        held = np.array_equal(made[2 * i + 1], made[2 * i])  # across a cut
        assert held or np.abs(made[2 * i + 1] - mean).max() <= 0.51, f"frame {2 * i + 1} is no mean"
    if entry.witness:
        hashes = [hashlib.sha256(pixels.tobytes()).hexdigest() for pixels in made[::2]]
        assert hashes == [hashlib.sha256(pixels.tobytes()).hexdigest() for pixels in _read_plainly(source)]


def _check_output(entry: Entry, source: Path, out: Path, shown: Shown) -> None:
    """The finished file: every frame in its place, the picture's track as long as the input's, the sound the same."""
    if out.is_dir():
        assert len(list(out.iterdir())) == len(shown.frames)
        return
    half = HALF_TICK.get(out.suffix, Fraction(0))
    with av.open(f"file:{out}") as made:
        stream = made.streams.video[0]
        stream.codec_context.thread_count = 1
        moments, numbers = [], []
        for frame in made.decode(stream):
            moments.append(frame.pts * stream.time_base)
            numbers.append(number_of(frame.to_ndarray(format="rgb24")))
        wanted = [time + moments[0] for time, _, _ in shown.frames]
        _same_times(moments, wanted, half if entry.witness else 2 * half)
        if entry.numbers is not None and not entry.least:
            assert numbers[::2] == list(entry.numbers), numbers
        if entry.end is not None and not half:
            assert stream.duration * stream.time_base == entry.end - entry.times[0]
    heard = _sound(out) if entry.keeps_sound else []
    begins = min([moments[0], *(track[0][0] for track in heard if track)], key=abs)
    assert abs(begins) < Fraction(1, 20), f"the output begins at {float(begins):.3f} s"
    if entry.keeps_sound:
        early = (entry.times[0] if entry.times else Fraction(0)) - moments[0]
        _same_sound(source, out, early, exact=not entry.least)


def _same_sound(source: Path, out: Path, early: Fraction, *, exact: bool) -> None:
    before, after = _sound(source), _sound(out)
    assert len(before) == len(after), "a track of sound is missing"
    for track, kept in zip(before, after, strict=True):
        if not exact:
            assert {data for _, data in kept} <= {data for _, data in track}
            continue
        assert [data for _, data in kept] == [data for _, data in track], "packets of sound differ"
        assert all(abs(a - early - b) <= Fraction(1, 500) for (a, _), (b, _) in zip(track, kept, strict=True)), (
            f"sound moved: {float(track[0][0])} to {float(kept[0][0])}"
        )


def _sound(path: Path) -> list[list[tuple[Fraction, str]]]:
    """(time, digest) of the packets of each track."""
    if path.is_dir() or path.suffix in (".gif", ".png", ".webp"):
        return []
    with contextlib.suppress(av.FFmpegError), av.open(f"file:{path}") as container:
        tracks: dict[int, list[tuple[Fraction, str]]] = {stream.index: [] for stream in container.streams.audio}
        with contextlib.suppress(av.FFmpegError):
            for packet in container.demux(container.streams.audio) if tracks else ():
                if packet.size:
                    stamp = (packet.pts or 0) * packet.time_base
                    tracks[packet.stream.index].append((stamp, hashlib.md5(bytes(packet)).hexdigest()))
        return list(tracks.values())
    return []


def _read_plainly(source: Path) -> Iterator[np.ndarray]:
    """The file's frames by PyAV or Pillow alone; only the conversion of colours is the package's (test_color.py)."""
    from alanet.frames.color import assumed_color
    from alanet.video.convert import to_rgb
    from alanet.video.input.probe import probe

    if source.is_dir():
        for file in sorted(source.iterdir()):
            yield np.asarray(Image.open(file))
        return
    info = probe(source)
    if info.container in ("gif", "apng", "webp"):
        with Image.open(source) as image:
            for i in range(image.n_frames):  # type: ignore[attr-defined]
                image.seek(i)
                yield np.asarray(image.convert("RGBA" if info.alpha else "RGB"))
        return
    color = assumed_color(info.color, info.width, info.height)
    with av.open(f"file:{source}") as container:
        stream = container.streams[info.stream_index]
        context: Any = stream.codec_context
        if info.alpha and context.name in ("vp9", "vp8"):
            context = av.CodecContext.create({"vp9": "libvpx-vp9", "vp8": "libvpx"}[context.name], "r")
        for packet in container.demux(stream):
            for frame in context.decode(packet if packet.size else None):
                yield to_rgb(frame, color, depth=info.depth, alpha=info.alpha)
            if not packet.size:
                return


def doubled(times: Sequence[Fraction], end: Fraction) -> list[Fraction]:
    """Each time, and the middle between it and the next."""
    return [t for a, b in zip(times, [*times[1:], end], strict=True) for t in (a, (a + b) / 2)]


def _same_times(found: Sequence[Fraction], wanted: Sequence[Fraction], within: Fraction) -> None:
    assert len(found) == len(wanted), f"{len(found)} frames instead of {len(wanted)}"
    far = max((abs(a - b) for a, b in zip(found, wanted, strict=True)), default=Fraction(0))
    assert far <= within, f"times up to {float(far):.6f} s away: {[str(t) for t in found[:8]]}"


def _state(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def identity() -> Any:
    """A restorer whose network is the identity."""
    import torch

    from alanet.model.alanet import ALANet, ALANetConfig
    from alanet.restoration.restorer import Restorer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = ALANet(ALANetConfig(width=0.125, residual=True))
    return Restorer(model, device="cpu", precision="fp32", memory=4 << 30)


def main() -> int:
    """Every entry, a line each; 1 if one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="entries; by default all")
    given = parser.parse_args()
    chosen = [entry for entry in entries() if not given.names or entry.name in given.names]
    restorer, failed = identity(), 0
    for entry in chosen:
        folder, began, fault = Path(tempfile.mkdtemp(prefix="alanet-catalogue-")), time.monotonic(), ""
        try:
            check(entry, folder, restorer)
        except Exception as error:
            fault, failed = f"{type(error).__name__}: {error}", failed + 1
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        kind = "refused" if entry.refused is not None else "restored"
        seconds = time.monotonic() - began
        name = ascii(entry.name)[1:-1]
        print(f"{name:40.40} {fault or kind:60.300} {seconds:5.2f} s", flush=True)
    refused = sum(entry.refused is not None for entry in chosen)
    print(f"{len(chosen)} files, {refused} of them to be refused: {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
