"""Streams beside the picture: copied whatever their codec, encoded losslessly where they must be, slowed down."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from alanet.errors import OptionError
from alanet.frames.timing import Factor
from alanet.notes import Notes
from alanet.video.input.probe import probe
from alanet.video.output.format import plan_output
from alanet.video.output.mux import mux
from alanet.video.output.options import EncodeOptions
from alanet.video.output.segments import SegmentWriter
from tests.support.doubling import doubled, restored
from tests.support.media import Track, make_video
from tests.support.witness import ffprobe, packets

SMALL = {"frames": 6, "rate": 25, "time_base": Fraction(1, 25), "size": (64, 64)}


def sound(path: Path) -> np.ndarray:
    """The first channel, decoded, -1 to 1."""
    resampler = av.AudioResampler("fltp")
    with av.open(str(path)) as container:
        parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("name", "codec", "video"),
    [("a.avi", "adpcm_ima_wav", "mpeg4"), ("a.avi", "pcm_mulaw", "mpeg4")],
)
def test_sound_that_pyav_refuses_is_copied_to_mkv(tmp_path: Path, name: str, codec: str, video: str) -> None:
    source = make_video(tmp_path / name, codec=video, audio=Track(codec, 0.4, rate=44100), **SMALL)
    out, notes = restored(source, tmp_path / "out.mkv")
    assert notes.left_out == []
    assert [data for _, data in packets(out)] == [data for _, data in packets(source)]
    assert np.array_equal(sound(out), sound(source))


def test_sound_that_a_container_cannot_hold_is_kept_losslessly(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.avi", codec="mpeg4", audio=Track("pcm_mulaw", 0.4, rate=44100), **SMALL)
    out, notes = restored(source, tmp_path / "out.mp4")
    assert notes.kept == ["audio 1 (pcm_mulaw): written losslessly as alac, as MP4 cannot hold it"]
    assert np.array_equal(sound(out)[: len(sound(source))], sound(source))


def with_telemetry(folder: Path) -> Path:
    """An action camera's file, with a track that is neither picture nor sound."""
    plain = make_video(folder / "plain.mp4", audio=Track(seconds=0.3), **SMALL)
    with av.open(str(plain)) as source, av.open(str(folder / "telemetry.mp4"), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        data = target.add_data_stream("bin_data")
        data.time_base = Fraction(1, 1000)
        target.start_encoding()
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
        for i in range(2):
            packet = av.Packet(b"DEVC" + bytes([i]) * 96)
            packet.stream, packet.time_base, packet.pts = data, Fraction(1, 1000), 100 * i
            packet.dts, packet.duration = packet.pts, 100
            target.mux(packet)
    return folder / "telemetry.mp4"


@pytest.mark.parametrize("ending", [".mp4", ".mov"])
def test_data_tracks_are_copied(tmp_path: Path, ending: str) -> None:
    source = with_telemetry(tmp_path)
    out, notes = restored(source, tmp_path / f"out{ending}")
    assert packets(out, "d:0") == packets(source, "d:0")
    assert len(packets(out, "d:0")) == 2
    assert notes.left_out == []


def test_a_data_track_that_cannot_be_kept_is_named(tmp_path: Path) -> None:
    _, notes = restored(with_telemetry(tmp_path), tmp_path / "out.mkv")
    assert [line for line in notes.left_out if "data 2" in line and "a name ending in .mp4 keeps it" in line]


def test_chapter_titles_are_not_a_data_track(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", chapters=[(0, 0.1, "one"), (0.1, 0.2, "two")], **SMALL)
    out, notes = restored(source)
    assert (notes.kept, notes.left_out) == (["chapters: 2"], [])
    assert [stream["codec_type"] for stream in ffprobe(out)["streams"]] == ["video", "data"]


def two_videos(folder: Path) -> Path:
    """A thumbnail, marked as default, before the film."""
    paths = [
        make_video(folder / "thumb.mkv", frames=1, size=(96, 96)),
        make_video(folder / "film.mkv", audio=Track(seconds=0.2), **SMALL),
    ]
    with av.open(str(folder / "both.mkv"), "w") as target:
        given = [av.open(str(path)) for path in paths]
        pairs = [(s, target.add_stream_from_template(s, opaque=True)) for file in given for s in file.streams]
        for (_, stream), default in zip(pairs, (1, 0, 1), strict=True):
            stream.disposition = default  # type: ignore[assignment]
        target.start_encoding()
        for file in given:
            for packet in file.demux():
                if packet.size:
                    packet.stream = next(made for source, made in pairs if source is packet.stream)
                    target.mux(packet)
            file.close()
    return folder / "both.mkv"


def test_the_stream_that_is_a_video_is_chosen(tmp_path: Path) -> None:
    source = two_videos(tmp_path)
    assert probe(source).stream_index == 1
    assert (probe(source).width, probe(source, stream=0).width) == (64, 96)
    out, notes = restored(source, tmp_path / "out.mkv")
    assert [line for line in notes.kept if line.startswith("videos: stream 1 is restored")]
    assert [(s["codec_type"], s.get("width")) for s in ffprobe(out)["streams"]] == [
        ("video", 96), ("video", 64), ("audio", None)
    ]  # fmt: skip
    with pytest.raises(OptionError, match=r"--stream 2 is not a video; choose from 0 \(h264 96x96\), 1 \(h264 64x64\)"):
        probe(source, stream=2)


def test_quicktime_keys_are_kept_in_mov(tmp_path: Path) -> None:
    place = {"com.apple.quicktime.location.ISO6709": "+00.0000+000.0000/", "com.apple.quicktime.make": "Phone"}
    options = {"movflags": "use_metadata_tags"}
    out, notes = restored(make_video(tmp_path / "a.mov", metadata=place, container_options=options, **SMALL))
    tags = ffprobe(out)["format"]["tags"]
    assert {key: tags.get(key) for key in place} == place
    assert notes.left_out == []


@pytest.mark.parametrize(
    ("pixels", "tag"), [("yuva444p10le", "ap4h"), ("yuv444p10le", "ap4h"), ("yuv422p10le", "apch")]
)
def test_prores_states_its_profile(tmp_path: Path, pixels: str, tag: str) -> None:
    source = make_video(tmp_path / "a.mov", codec="prores_ks", pix_fmt=pixels, frames=2)
    out, _ = restored(source, codec="prores")
    assert ffprobe(out)["streams"][0]["codec_tag_string"] == tag


def slowed(source: Path, target: Path, times: int, **options: Any) -> tuple[Path, Notes]:
    """A muxed result `times` as long: the frames as they are, only slower."""
    notes, info = Notes(), probe(source)
    encode = EncodeOptions(preset="ultrafast", **options)
    plan = plan_output(info, target, encode, notes, schedule=Factor(times, slow=times))
    folder = target.parent / "work"
    folder.mkdir()
    writer = SegmentWriter(folder, 0, plan, Fraction(0))
    for frame in doubled(info):
        writer.add(type(frame)(frame.pixels, frame.time * times, frame.duration * times))
    mux(plan, folder, [writer.close()], target, start=None, end=None, notes=notes)
    return target, notes


@pytest.mark.parametrize("times", [2, 3, 8])
def test_slow_motion_keeps_the_pitch_of_its_sound(tmp_path: Path, times: int) -> None:
    source = make_video(tmp_path / "a.mp4", frames=30, rate=30, audio=Track(seconds=1))
    out, notes = slowed(source, tmp_path / "out.mp4", times)
    wave = sound(out)
    assert abs(len(wave) - times * 48000) < 1024  # samples of a packet
    assert float(ffprobe(out)["streams"][1]["duration"]) == pytest.approx(times, abs=0.002)
    middle = wave[12000:-12000]
    loudest = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax() * 48000 / len(middle)
    assert abs(loudest - 440) < 3
    assert notes.kept == ["audio 1 (aac): slowed down at the same pitch, as aac"]


def test_slow_motion_without_sound_if_asked(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=6, audio=Track(seconds=0.2))
    out, notes = slowed(source, tmp_path / "out.mp4", 2, slow_audio="drop")
    assert [stream["codec_type"] for stream in ffprobe(out)["streams"]] == ["video"]
    assert notes.left_out == ["audio 1 (aac): dropped as asked"]
