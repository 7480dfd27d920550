"""Files of kinds that went wrong, what becomes of each, and whether that is right: `python -m tests.stress.faults`.

Each row makes its file (`faults_inputs.py`), sends it through the package, and says what came out. A row that is not
right raises AssertionError. The rows of training are in `faults_training.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from alanet.notes import Notes
from alanet.restoration.options import EncodeOptions, RestoreOptions
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from tests.stress import faults_inputs as made
from tests.stress.faults_training import TRAINING
from tests.stress.program_stream import without_times
from tests.support.doubling import planned, restored
from tests.support.witness import ffprobe, packets, times

__all__ = ["ROWS", "main"]

Row = Callable[[Path], str]
LOOK = """
import sys
from pathlib import Path
from alanet.cli import run
code = run(["restore", sys.argv[1]])
lines = Path("/proc/self/status").read_text().splitlines()  # getrusage counts the process that started this one, too
print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
sys.exit(code)
"""


@cache
def identity() -> Any:
    from tests.stress.catalogue import identity as restorer

    return restorer()


def progressive(make: Callable[[Path], Path], folder: Path) -> str:
    info, notes = probe(make(folder)), Notes()
    list(decode(info, notes=notes))
    assert not info.interlaced
    assert not info.telecine
    assert not any("interlaced" in line for line in notes.warnings)
    return "progressive, not touched"


def gaps(folder: Path) -> str:
    frames = list(identity().frames(made.screen(folder), RestoreOptions(strength=0)))
    values = [round(float(frame.pixels.mean()) / 20) for frame in frames]
    assert len(frames) == 20
    assert (values[7], values[13]) == (values[6], values[12]), values
    return "20 frames; the frame before is repeated in both gaps"


def clock(folder: Path) -> str:
    source = made.clock(folder)
    whole = identity().restore(source, folder / "whole.ts").output
    part = RestoreOptions(start=Fraction(2, 5), end=Fraction(1))
    cut = identity().restore(source, folder / "cut.mkv", part).output
    assert times(source)[0] > 5000
    assert max(times(whole)[0], times(cut)[0]) < 0.1
    assert len(times(cut)) == 30
    return f"begins at {float(times(whole)[0]):.3f} s; 0.4 s to 1 s is 30 frames"


def copied(name: str, codec: str, video: str, folder: Path) -> str:
    source = made.old_sound(folder, name, codec, video)
    out, notes = restored(source, folder / "out.mkv")
    assert [data for _, data in packets(out)] == [data for _, data in packets(source)]
    assert notes.left_out == []
    return f"{len(packets(out))} packets of {codec} copied to MKV"


def joined(ending: str, folder: Path) -> str:
    out, _ = restored(made.joined(folder), folder / f"out{ending}")
    steps = [b - a for (a, _), (b, _) in pairwise(packets(out))]
    assert max(abs(step - Fraction(1024, 48000)) for step in steps) < Fraction(1, 500)
    return f"{len(steps) + 1} packets of sound at their own pace"


def telemetry(folder: Path) -> str:
    source = made.telemetry(folder)
    for ending in (".mp4", ".mov"):
        out, _ = restored(source, folder / f"out{ending}")
        assert packets(out, "d:0") == packets(source, "d:0")
    _, notes = restored(source, folder / "out.mkv")
    assert any("data 2" in line for line in notes.left_out)
    return "copied to MP4 and MOV, named in MKV"


def phone(folder: Path) -> str:
    source = made.phone(folder)
    out, notes = restored(source)
    tags = [ffprobe(path)["format"]["tags"] for path in (source, out)]
    keys = [key for key in tags[0] if key.startswith("com.apple")]
    assert keys
    assert all(tags[1].get(key) == tags[0][key] for key in keys)
    assert any("--codec x265" in line for line in notes.warnings)
    return f"{len(keys)} keys kept; the advice is --codec x265"


def alpha(folder: Path) -> str:
    out, _ = restored(made.alpha(folder), codec="prores")
    stream = ffprobe(out)["streams"][0]
    assert stream["codec_tag_string"] == "ap4h"
    return f"{stream['pix_fmt']}, {stream['codec_tag_string']}"


def thumbnail(folder: Path) -> str:
    _, notes = planned(source := made.thumbnail_first(folder))
    assert probe(source).stream_index == 1
    assert any(line.startswith("videos: stream 1 is restored") for line in notes.kept)
    return "stream 1, the film, is restored"


def telecine(folder: Path) -> str:
    source, notes = made.telecine(folder), Notes()
    list(decode(probe(source), notes=notes))
    assert any("--telecine remove" in line for line in notes.warnings)
    film = list(decode(probe(source, telecine="remove")))
    assert all(b.time - a.time == Fraction(1001, 24000) for a, b in pairwise(film))
    return f"hint; {len(film)} frames of film, evenly spaced"


def on_twos(folder: Path) -> str:
    notes = Notes()
    frames = list(identity().frames(made.on_twos(folder), RestoreOptions(strength=0), notes=notes))
    assert any("--duplicates skip" in line for line in notes.warnings)
    return f"{len(frames)} frames; hint: --duplicates skip"


def pictures(folder: Path) -> str:
    out, _ = restored(made.screen(folder), folder / "out", codec="png")
    lines = (out / "times.txt").read_text().splitlines()
    assert len(lines) == 20
    return f"times.txt has {len(lines)} times"


def numbers(folder: Path) -> str:
    notes = Notes()
    list(decode(probe(made.numbers(folder), input_rate=Fraction(24)), notes=notes))
    assert any("numbers 5 to 7 are missing" in line for line in notes.warnings)
    return "warning: numbers 5 to 7 are missing"


def no_times(folder: Path) -> str:
    source = without_times(folder)
    frames = list(decode(probe(source)))
    steps = {b.time - a.time for a, b in pairwise(frames[::2])}
    end = frames[-1].time + frames[-1].duration
    assert (len(frames), steps, end) == (48, {Fraction(5, 2) * Fraction(1001, 30000)}, 48 * Fraction(1001, 24000))
    for ending in (".mkv", ".mpg.mp4"):
        out, _ = restored(source, folder / f"out{ending}")
        heard = packets(out)
        assert [data for _, data in heard] == [data for _, data in packets(source)]
        assert abs(heard[0][0] - times(out)[0]) < Fraction(1, 500), "sound and picture begin together"
    return f"{len(frames)} frames in {float(end):.3f} s by their repeated fields, with the sound"


def too_large(folder: Path) -> str:
    source = made.large(folder)
    run = subprocess.run([sys.executable, "-c", LOOK, str(source)], capture_output=True, text=True, check=False)
    said, peak = run.stderr.strip(), int(run.stdout)
    assert said.startswith(f"alanet: {source}: a picture of 16000x16000 is beyond the limit"), said
    assert "\n" not in said
    assert run.returncode == 2
    assert peak < 1 << 20, f"{peak} KiB of memory"
    return f"refused in one line, {peak >> 10} MiB of memory at most"


def captions(codec: str, folder: Path) -> str:
    source = made.captions(folder)
    given = said(source)
    assert len(set(given)) == 9  # seven of the caption, one that ends it, one without text
    for strength in (0.0, 1.0):  # input frames left as they are, and restored ones
        encode = EncodeOptions(codec=codec, overwrite=True, preset="veryfast")
        report = identity().restore(source, folder / "out.mkv", RestoreOptions(strength=strength, encode=encode))
        assert any(line.startswith("closed captions:") for line in report.notes.kept)
        assert said(report.output) == [pair for each in given for pair in (each, None)], strength
    return f"{len(given)} pairs of bytes, each on its own restored frame ({codec})"


def said(path: Path) -> list[bytes | None]:
    """Captions of each frame shown."""
    with av.open(str(path)) as container:
        kept: list[list[Any]] = [list(frame.side_data) for frame in container.decode(video=0)]
    frames = [{data.type.name: bytes(data) for data in each} for each in kept]
    return [frame.get("A53_CC") for frame in frames]


ROWS: dict[str, Row] = {
    **{f"scroll{n}.mp4": partial(progressive, partial(made.scroll, step=n)) for n in (1, 2, 3, 4)},
    "testsrc2.mp4": partial(progressive, made.test_picture),
    "screen_vfr.mp4": gaps,
    "clock_5000s.ts": clock,
    "wma.wmv": partial(copied, "wma.wmv", "wmav2", "wmv2"),
    "adpcm.avi": partial(copied, "adpcm.avi", "adpcm_ima_wav", "mpeg4"),
    "mulaw.avi": partial(copied, "mulaw.avi", "pcm_mulaw", "mpeg4"),
    "joined.ts to .mkv": partial(joined, ".mkv"),
    "joined.ts to .mp4": partial(joined, ".mp4"),
    "telemetry.mp4": telemetry,
    "phone.mov": phone,
    "alpha.mov": alpha,
    "thumbnail_first": thumbnail,
    "telecine.vob": telecine,
    "on_twos.mp4": on_twos,
    "screen_vfr.mp4 to PNG": pictures,
    "numbers_with_gap": numbers,
    "no_times.vob": no_times,
    "16000x16000.mkv": too_large,
    "captions.h264": partial(captions, "x264"),
    "captions.h264 to x265": partial(captions, "x265"),
    **TRAINING,
}


def main() -> int:
    """Every row, a line each; 1 if one is wrong."""
    wrong = 0
    for name, row in ROWS.items():
        folder = Path(tempfile.mkdtemp(prefix="alanet-faults-"))
        try:
            said, right = row(folder), True
        except Exception as error:
            said, right = f"{type(error).__name__}: {error}".splitlines()[0], False
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        wrong += not right
        print(f"{name:24} {'right' if right else 'wrong':6} {said:.150}", flush=True)
    print(f"{len(ROWS)} rows, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
