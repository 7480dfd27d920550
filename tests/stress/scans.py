"""How videos of every kind of scan look, and what is decided: `python -m tests.stress.scans` prints a table.

Each video is made, its frames are judged one by one (`frames/fields.py`), and `probe` decides as for a user.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import numpy as np

from alanet.frames.fields import scan_of
from alanet.video.input.probe import probe
from tests.stress import faults_inputs as made
from tests.support.media import ffmpeg, make_video
from tests.support.paths import ROOT

__all__ = ["KINDS", "looks", "main"]

Maker = Callable[[Path], Path]
SAMPLE = ROOT / "alanet" / "sample" / "bikes.mp4"  # a camera's
FLAGS = {
    "progressive": (),
    "tff": ("-flags", "+ildct+ilme", "-top", "1", "-x264opts", "tff=1"),
    "bff": ("-flags", "+ildct+ilme", "-top", "0", "-x264opts", "bff=1"),
}


def through(source: tuple[str, ...], filters: str, flags: str, folder: Path) -> Path:
    """A source through filters of the program ffmpeg, H.264 with these flags."""
    path = folder / "made.mp4"
    marked = f"{filters},setfield={'prog' if flags == 'progressive' else flags}"
    h264 = ("-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p", "-bf", "0")
    ffmpeg(*source, "-vf", marked.lstrip(","), *h264, *FLAGS[flags], str(path))
    return path


def generated(name: str, rate: int, seconds: float = 1.2) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"{name}=s=320x240:r={rate}:d={seconds}")


def woven(order: str) -> str:
    """Two progressive frames become the fields of one."""
    return f"tinterlace={'interleave_top' if order == 'tff' else 'interleave_bottom'}"


def photograph() -> np.ndarray:
    """A frame of the sample, h w 3, and its mirror image below it, so that a window can move down."""
    with av.open(str(SAMPLE)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return np.concatenate((frame, frame[::-1], frame))


def tilt(step: int, folder: Path) -> Path:
    """A window that moves down a photograph by `step` rows a frame."""
    page = photograph()
    frames = [page[k * step : k * step + 240, :320] for k in range(30)]
    return make_video(folder / "tilt.mp4", frames=frames, rate=30, options={"crf": "12"})


def first_shot(order: str | None, folder: Path) -> Path:
    """12 s: 2 s of text that scrolls, then the sample, or, where an `order` is given, a test picture in fields."""
    text, path = made.scroll(folder, 2), folder / "film.mp4"
    shot = "[0:v]loop=1:30,trim=duration=2,scale=320:240,fps=25,setsar=1,setpts=PTS-STARTPTS[a]"
    rest = f"[1:v]scale=320:240,setsar=1{',' + woven(order) if order else ',fps=25'}[b]"
    second = generated("testsrc2", 50, 10) if order else ("-stream_loop", "9", "-i", str(SAMPLE))
    graph = ("-filter_complex", f"{shot};{rest};[a][b]concat=n=2")
    h264 = ("-c:v", "libx264", "-crf", "14", "-pix_fmt", "yuv420p")
    ffmpeg("-i", str(text), *second, *graph, "-t", "12", *h264, str(path))
    return path


def woven_first(folder: Path) -> Path:
    """12 s of which the first 2 s are woven and the rest is not."""
    shot = f"[0:v]{woven('tff')},setsar=1[a]"
    graph = f"{shot};[1:v]scale=320:240,fps=25,setsar=1[b];[a][b]concat=n=2"
    path = folder / "film.mp4"
    inputs = (*generated("testsrc2", 50, 2), "-stream_loop", "9", "-i", str(SAMPLE), "-t", "12")
    ffmpeg(*inputs, "-filter_complex", graph, "-c:v", "libx264", "-crf", "14", "-pix_fmt", "yuv420p", str(path))
    return path


def sample(folder: Path) -> Path:
    return SAMPLE


def camera(order: str, flags: str, folder: Path) -> Path:
    """The sample's frames as fields, 1/25 s apart."""
    return through(("-i", str(SAMPLE)), woven(order), flags, folder)


def test_picture(order: str, flags: str, folder: Path) -> Path:
    return through(generated("testsrc2", 50), woven(order), flags, folder)


def plain(name: str, flags: str, folder: Path) -> Path:
    return through(generated(name, 25), "", flags, folder)


KINDS: dict[str, tuple[str, str, Maker]] = {  # flags, right decision, maker
    "test picture, woven": ("tff", "tff", partial(test_picture, "tff", "tff")),
    "test picture, woven, bottom first": ("bff", "bff", partial(test_picture, "bff", "bff")),
    "camera, woven": ("tff", "tff", partial(camera, "tff", "tff")),
    "test picture, woven, wrong flags": ("progressive", "tff", partial(test_picture, "tff", "progressive")),
    "test picture, woven, wrong flags, bottom first": (
        "progressive",
        "not found",
        partial(test_picture, "bff", "progressive"),
    ),
    "camera, woven, wrong flags": ("progressive", "not found", partial(camera, "tff", "progressive")),
    "camera": ("progressive", "progressive", sample),
    "test picture, wrong flags": ("tff", "progressive", partial(plain, "testsrc2", "tff")),
    **{
        f"photograph that moves by {n} rows a frame": ("progressive", "progressive", partial(tilt, n))
        for n in range(1, 9)
    },
    **{
        f"text page that scrolls by {n} rows a frame": ("progressive", "progressive", partial(made.scroll, step=n))
        for n in range(1, 9)
    },
    "test picture (testsrc2)": ("progressive", "progressive", made.test_picture),
    "test picture (testsrc)": ("progressive", "progressive", partial(plain, "testsrc", "progressive")),
    "test picture (smptebars)": ("progressive", "progressive", partial(plain, "smptebars", "progressive")),
    "telecine (2:3)": ("tff", "telecine", made.telecine),
    "text for 2 s, then camera": ("progressive", "progressive", partial(first_shot, None)),
    "text for 2 s, then test picture, woven": ("progressive", "tff", partial(first_shot, "tff")),
    "woven for 2 s, then camera": ("progressive", "progressive", woven_first),
}


def looks(path: Path, most: int = 30) -> Counter[str]:
    """How many of the first pairs of frames look interlaced, progressive, undetermined."""
    seen: Counter[str] = Counter()
    with av.open(str(path)) as container:
        before = None
        for count, frame in enumerate(container.decode(video=0)):
            luma = frame.reformat(format="gray").to_ndarray()
            if before is not None:
                scan = scan_of(before, luma)
                seen["interlaced" if scan in ("tff", "bff") else scan] += 1
            before = luma
            if count >= most:
                break
    return seen


def decision(path: Path) -> str:
    info = probe(path)
    if info.telecine:
        return "telecine"
    return (info.field_order or "by the flags") if info.interlaced else "progressive"


def main() -> int:
    """The table, a line a kind; 1 if a decision is wrong."""
    print("| input | flags | interlaced | progressive | undetermined | decision |\n|---|---|---|---|---|---|")
    wrong = 0
    for name, (flags, right, make) in KINDS.items():
        with tempfile.TemporaryDirectory(prefix="alanet-scans-") as folder:
            path = make(Path(folder))
            seen, decided = looks(path), decision(path)
        fine = decided in (right, "by the flags" if flags == right else right)
        if right == "not found":  # limits: motion up and down by two rows a field, fields twice as far apart as usual
            fine, decided = True, f"{decided}, not found"
        wrong += not fine
        counts = " | ".join(str(seen[kind]) for kind in ("interlaced", "progressive", "undetermined"))
        print(f"| {name} | {flags} | {counts} | {decided}{'' if fine else ' (wrong)'} |", flush=True)
    print(f"\n{len(KINDS)} kinds, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
