"""Every sound codec that FFmpeg can write, in every container: the packets come through, or the message is true."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import pytest

from alanet.errors import AlanetError
from alanet.video.input.probe import probe
from tests.support.doubling import restored
from tests.support.media import Track, ffmpeg, make_video
from tests.support.witness import ffprobe, packets, program

pytestmark = pytest.mark.stress

OUTPUTS = {".mp4": "x264", ".mov": "x264", ".mkv": "x264", ".ts": "x264", ".webm": "av1"}
SOURCES = (".mkv", ".mov", ".nut", ".avi", ".wmv", ".flv", ".ts", ".mpg", ".mxf")
PROGRAM = {
    ".avi": "mpeg4",
    ".wmv": "wmv2",
    ".mov": "libx264",
    ".m2ts": "libx264",
    ".3gp": "h263",
    ".flv": "flv",
    ".rm": "rv10",
    ".roq": "roqvideo",
    ".amv": "amv",
    ".mkv": "libx264",
    ".nut": "mpeg4",
}
REFRAMED = {"aac", "aac_latm", "eac3", "ac3", "opus"}  # their packets look different in some containers


def encoders() -> list[str]:
    found = []
    for name in sorted(av.codecs_available):
        try:
            codec = av.Codec(name, "w")
        except (ValueError, av.FFmpegError):
            continue
        if codec.type == "audio" and not codec.experimental and codec.audio_formats:
            found.append(name)
    return found


def source_of(encoder: str, folder: Path) -> Path | None:
    """A tiny video with sound of this encoder, in the first container that takes it."""
    codec = av.Codec(encoder, "w")
    rates = codec.audio_rates or [48000]
    rate = 48000 if 48000 in rates else 44100 if 44100 in rates else rates[0]
    for ending in SOURCES:
        for layout in ("stereo", "mono"):
            path = folder / f"in{ending}"
            video = {".wmv": "wmv2", ".flv": "flv", ".mpg": "mpeg2video", ".mxf": "mpeg2video"}.get(ending, "libx264")
            try:
                track = Track(encoder, 0.3, rate=rate, layout=layout)
                make_video(path, frames=6, rate=25, time_base=Fraction(1, 25), size=(64, 64), codec=video, audio=track)
                if packets(path) and channels(path):  # NUT by PyAV loses them for ADPCM
                    return path
            except (ValueError, av.FFmpegError, AssertionError, LookupError, KeyError):
                continue
    return by_program(encoder, rates, folder)


def by_program(encoder: str, rates: Sequence[int], folder: Path) -> Path | None:
    """The same made by the program ffmpeg, in containers that PyAV's own lists do not connect with the codec."""
    for ending, video in PROGRAM.items():
        size = "128x128" if video == "roqvideo" else "128x96"
        for rate, count in product(sorted({rates[0], rates[-1], 8000, 22050}, reverse=True), (2, 1)):
            path = folder / f"by{ending}"
            inputs = ("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25", "-f", "lavfi", "-i", "sine=440", "-t", "0.3")
            coded = ("-c:v", video, "-c:a", encoder, "-ar", str(rate), "-ac", str(count), "-strict", "-2")
            command = [program("ffmpeg"), "-v", "error", "-y", *inputs, *coded, str(path)]
            if subprocess.run(command, capture_output=True, check=False).returncode:
                continue
            try:
                if packets(path) and channels(path) and probe(path):
                    return path
            except (AssertionError, LookupError, AlanetError):
                continue
    return None


def channels(path: Path) -> int:
    with av.open(str(path)) as container:
        return int(container.streams.audio[0].codec_context.layout.nb_channels)


def takes(source: Path, ending: str, folder: Path) -> bool:
    """Whether the outside program ffmpeg copies the sound into such a file, and ffprobe finds the same sound in it."""
    out = folder / f"witness{ending}"
    command = [program("ffmpeg"), "-v", "error", "-y", "-i", str(source), "-map", "0:a", "-c", "copy", str(out)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return False
    try:
        ffprobe(out)
    except AssertionError:
        return False
    names = [
        {s.get("codec_name") for s in ffprobe(path)["streams"] if s["codec_type"] == "audio"} for path in (source, out)
    ]
    if names[0] != names[1]:
        return False
    given, copied = packets(source), packets(out)
    return bool(copied) and abs((copied[-1][0] - copied[0][0]) - (given[-1][0] - given[0][0])) < Fraction(1, 20)


@pytest.mark.parametrize("encoder", encoders())
def test_sound_comes_through_or_the_message_is_true(encoder: str, tmp_path: Path) -> None:
    source = source_of(encoder, tmp_path)
    if source is None:
        pytest.skip(f"{encoder}: of FFmpeg's containers for video none that alanet reads holds it")
    for ending, codec in OUTPUTS.items():
        out, notes = restored(source, tmp_path / f"out{ending}", codec=codec)
        said = [*notes.kept, *notes.left_out]
        heard = [stream for stream in ffprobe(out)["streams"] if stream["codec_type"] == "audio"]
        if any("packets copied" in line for line in said):
            given = packets(source)
            copied = packets(out)
            assert len(copied) == len(given), (ending, said)
            name = heard[0].get("codec_name")  # FFmpeg 5.1 does not know PCM in MP4
            assert name in REFRAMED or [data for _, data in copied] == [data for _, data in given], (ending, name)
        elif any("losslessly" in line for line in said):
            assert heard, (ending, said)
            assert not takes(source, ending, tmp_path), (ending, said)
        else:
            assert not heard, (ending, said)
            assert not takes(source, ending, tmp_path), (ending, said)
            advice = re.search(r"a name ending in (\.\w+) keeps it", " ".join(said))
            if advice:
                better, kept = restored(source, tmp_path / f"better{advice[1]}", codec=codec)
                assert any("packets copied" in line for line in kept.kept), (advice[1], kept)
                better.unlink()
        out.unlink()


def test_lossless_sound_decodes_to_the_same_samples(tmp_path: Path) -> None:
    """PCM of a DVD is not held by MKV."""
    track = Track("pcm_dvd", 0.3)
    source = make_video(
        tmp_path / "in.vob", frames=6, rate=25, time_base=Fraction(1, 25), codec="mpeg2video", audio=track
    )
    out, notes = restored(source, tmp_path / "out.mkv")
    assert notes.left_out == []
    assert [line for line in notes.kept if "losslessly as flac" in line]
    for path in (source, out):
        ffmpeg("-i", str(path), "-map", "0:a", "-f", "s16le", str(path.with_suffix(".raw")))
    given, kept = ((tmp_path / f"{name}.raw").read_bytes() for name in ("in", "out"))
    assert given == kept
    assert len(given) > 10_000
