"""The unharmed files that the fuzz begins with: a few small frames in every container and codec that is read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from PIL import Image

from tests.support.media import Subtitle, Track, make_video, make_y4m, picture

__all__ = ["make_seeds"]

SIZE = (32, 32)
VIDEOS: dict[str, dict[str, Any]] = {
    "a.mp4": {"bframes": 2, "audio": Track(seconds=0.2), "subtitles": [Subtitle()], "chapters": [(0, 0.2, "one")]},
    "b.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "gop": 3, "rotation": 90},
    "c.mp4": {"codec": "libx265", "size": (64, 64), "frames": 4, "hdr": True},
    "d.mp4": {"codec": "libsvtav1", "size": (64, 64), "frames": 4, "options": {"preset": "12"}},
    "e.mp4": {"codec": "mpeg4", "start": 1, "audio": Track("libmp3lame", 0.2)},
    "f.mov": {"codec": "prores_ks", "pix_fmt": "yuva444p10le", "frames": 3},
    "g.mov": {"codec": "qtrle", "pix_fmt": "argb", "frames": 4},
    "h.mkv": {
        "bframes": 2,
        "audio": [Track("flac", 0.2), Track("libopus", 0.2)],
        "subtitles": [Subtitle()],
        "attachments": [("font.txt", "text/plain", b"hello" * 20)],
        "metadata": {"title": "A title"},
    },
    "i.mkv": {"codec": "ffv1", "pix_fmt": "yuv422p10le", "frames": 4},
    "j.mkv": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "audio": Track("ac3", 0.2)},
    "k.webm": {"pix_fmt": "yuva420p", "audio": Track("libopus", 0.2), "frames": 4},
    "l.webm": {"codec": "libvpx", "frames": 4},
    "m.avi": {"codec": "mpeg4", "audio": Track("libmp3lame", 0.2)},
    "n.avi": {"codec": "huffyuv", "pix_fmt": "yuv422p", "frames": 3},
    "o.ts": {"bframes": 2, "audio": Track("mp2", 0.2)},
    "p.mpg": {"codec": "mpeg2video", "rate": 25, "interlaced": "tff", "audio": Track("mp2", 0.2), "size": (64, 48)},
    "q.flv": {"codec": "flv", "audio": Track("libmp3lame", 0.2, rate=44100)},
    "r.nut": {"codec": "utvideo", "pix_fmt": "yuv420p", "frames": 3},
    "s.asf": {"codec": "wmv2", "audio": Track("libmp3lame", 0.2)},
    "t.h264": {"bframes": 2},
    "u.ivf": {"codec": "libvpx-vp9", "frames": 4},
    "v.mxf": {"codec": "mpeg2video", "rate": 25, "size": (64, 48), "frames": 4},
}


def make_seeds(folder: Path) -> dict[str, dict[str, bytes]]:
    """By name: the files of each, the first of which is the input."""
    os.environ.setdefault("SVT_LOG", "0")
    seeds: dict[str, dict[str, bytes]] = {}
    for name, options in VIDEOS.items():
        path = make_video(folder / name, **{"frames": 6, "size": SIZE, **options})
        seeds[name] = {name: path.read_bytes()}
    path = make_y4m(folder / "w.y4m", size=(16, 16))
    seeds[path.name] = {path.name: path.read_bytes()}
    stills = [Image.fromarray(picture(i, *SIZE, alpha=True)) for i in range(4)]
    for name in ("x.gif", "y.png", "z.webp"):
        stills[0].save(folder / name, save_all=True, append_images=stills[1:], duration=40)
        seeds[name] = {name: (folder / name).read_bytes()}
    kinds = {"images-png": "png", "images-jpg": "jpg", "images-tif": "tif"}
    for kind, ending in kinds.items():
        seeds[kind] = {}
        for i, still in enumerate(stills[:3]):
            path = folder / f"{i}.{ending}"
            still.convert("RGB" if ending == "jpg" else "RGBA").save(path)
            seeds[kind][f"images/{path.name}"] = path.read_bytes()
    if shutil.which("ffmpeg"):
        pattern = ["-f", "lavfi", "-i", "testsrc=size=32x32:rate=25:duration=0.2", "-f", "lavfi", "-i", "sine=d=0.2"]
        made = folder / "theora.ogv"
        command = ["ffmpeg", "-v", "error", "-y", *pattern, "-c:v", "libtheora", "-c:a", "libvorbis", str(made)]
        if subprocess.run(command, check=False).returncode == 0:
            seeds[made.name] = {made.name: made.read_bytes()}
    return seeds
