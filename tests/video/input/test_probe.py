"""What a file is said to hold, and what is refused: every message is one line."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from alanet.errors import MediaError, OptionError
from alanet.frames.frame import Color, ContentLight, MasteringDisplay, StreamInfo
from alanet.notes import Notes
from alanet.video.input.decode import decode
from alanet.video.input.probe import Limits, probe
from alanet.video.open import STREAMS
from alanet.video.tags import color_of, set_color
from tests.support.media import Subtitle, Track, cut_short, ffmpeg, make_video, picture
from tests.support.witness import ffprobe

F = Fraction


def test_a_plain_video(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4", frames=12, rate=30, metadata={"title": "Ein Titel"}))
    assert info.path == tmp_path / "a.mp4"
    assert (info.codec, info.pixel_format, info.depth) == ("h264", "yuv420p", 8)
    assert (info.width, info.height, info.rate) == (64, 48, F(30))
    assert (info.start, info.duration, info.frame_count) == (F(0), F(12, 30), 12)
    assert (info.rotation, info.pixel_aspect, info.alpha, info.interlaced) == (0, F(1), False, False)
    assert (info.color, info.side_data, info.streams) == (Color(), {}, ())
    assert info.metadata["title"] == "Ein Titel"


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_video(tmp_path / "-rf.mp4")
    monkeypatch.chdir(tmp_path)
    assert probe("-rf.mp4").path == tmp_path / "-rf.mp4"


@pytest.mark.parametrize("rate", [F(24000, 1001), F(30000, 1001), F(25), F(240)])
def test_rates_are_exact(tmp_path: Path, rate: Fraction) -> None:
    assert probe(make_video(tmp_path / "a.mp4", rate=rate)).rate == rate


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("a.mp4", {"pix_fmt": "yuv420p10le"}, {"depth": 10, "pixel_format": "yuv420p10le"}),
        ("a.mkv", {"pix_fmt": "yuv422p10le", "codec": "ffv1"}, {"depth": 10, "pixel_format": "yuv422p10le"}),
        ("a.mp4", {"pix_fmt": "yuv444p", "size": (63, 47)}, {"width": 63, "height": 47, "pixel_format": "yuv444p"}),
        ("a.mp4", {"rotation": 90}, {"rotation": 90, "width": 64, "height": 48}),
        ("a.mov", {"rotation": -90}, {"rotation": -90}),
        ("a.mp4", {"pixel_aspect": F(4, 3)}, {"pixel_aspect": F(4, 3)}),
        ("a.mp4", {"start": F(1, 2), "audio": Track()}, {"start": F(1, 2), "duration": F(12, 30)}),
        ("a.webm", {"pix_fmt": "yuva420p"}, {"alpha": True, "pixel_format": "yuva420p"}),
        ("a.mov", {"codec": "prores_ks", "pix_fmt": "yuva444p10le"}, {"alpha": True}),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "bgra"}, {"alpha": True, "depth": 8}),
        ("a.mp4", {"interlaced": "tff", "rate": 25}, {"interlaced": True}),
        ("a.h264", {"time_base": F(1, 30), "bframes": 2}, {"rate": F(30), "duration": None, "frame_count": None}),
    ],
)
def test_what_makes_a_video_special(tmp_path: Path, name: str, options: dict[str, Any], wanted: dict[str, Any]) -> None:
    info = probe(make_video(tmp_path / name, **options))
    assert {key: getattr(info, key) for key in wanted} == wanted


@pytest.mark.parametrize(
    "color",
    [
        ("bt709", "bt709", "bt709", "tv"),
        ("smpte170m", "smpte170m", "smpte170m", "tv"),
        ("bt2020nc", "bt2020", "arib-std-b67", "tv"),
        ("bt709", "bt709", "iec61966-2-1", "pc"),
        ("bt709", None, None, "tv"),
    ],
)
def test_colour_tags_are_read_and_ffprobe_agrees(tmp_path: Path, color: tuple[str | None, ...]) -> None:
    path = make_video(tmp_path / "a.mp4", color=color)
    assert probe(path).color == Color(*color)
    stream = ffprobe(path)["streams"][0]
    names = ("color_space", "color_primaries", "color_transfer", "color_range")
    assert tuple(stream.get(name) for name in names) == color


def test_colours_set_are_the_colours_read() -> None:
    frame = av.VideoFrame(16, 16, "yuv420p")
    for color in (Color("bt2020nc", "bt2020", "smpte2084", "pc"), Color(), Color(matrix="smpte240m")):
        set_color(frame, color)
        assert color_of(frame) == color


def test_hdr_data_is_read(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4", hdr=True, size=(96, 64), frames=4))
    assert info.color == Color("bt2020nc", "bt2020", "smpte2084", "tv")
    assert info.side_data["content_light"] == ContentLight(1000, 400)
    assert info.side_data["mastering_display"] == MasteringDisplay(
        red=(F(34000, 50000), F(16000, 50000)),
        green=(F(13250, 50000), F(34500, 50000)),
        blue=(F(7500, 50000), F(3000, 50000)),
        white=(F(15635, 50000), F(16450, 50000)),
        min_luminance=F(1, 10000),
        max_luminance=F(1000),
    )


def test_the_display_matrix_is_kept_whole(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4", rotation=90))
    assert info.side_data["display_matrix"] == (0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30)
    assert ffprobe(info.path)["streams"][0]["side_data_list"][0]["rotation"] == 90


def test_all_other_streams_are_listed(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mkv",
        audio=[Track("flac", language="eng"), Track("libopus", language="deu", layout="mono", default=False)],
        subtitles=[Subtitle(language="fra")],
        chapters=[(0, 0.2, "one"), (0.2, 0.4, "two")],
        attachments=[("font.txt", "text/plain", b"hello")],
    )
    info = probe(path)
    assert info.stream_index == 0
    assert info.chapters == 2
    assert info.streams == (
        StreamInfo(1, "audio", "flac", "eng", "48000 Hz stereo"),
        StreamInfo(2, "audio", "opus", "deu", "48000 Hz mono"),
        StreamInfo(3, "subtitle", "subrip", "fra"),
        StreamInfo(4, "attachment", None, None, "font.txt"),
    )


def test_cover_art_is_not_the_picture(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4", cover=True))
    assert (info.codec, info.width) == ("h264", 64)
    assert [(s.kind, s.codec, s.detail) for s in info.streams] == [("video", "mjpeg", "32x32")]


def test_a_probe_leaves_the_file_closed(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4")
    open_files = Path("/proc/self/fd")
    if not open_files.exists():
        pytest.skip("needs /proc")
    probe(path)
    assert str(path) not in {os.readlink(entry) for entry in open_files.iterdir() if entry.is_symlink()}


HOSTILE_NAMES = ["-rf.mp4", "concat:a|b.mp4", "pipe:0.mp4", "http:x.mp4", "a%03d.mp4", "file:x.mp4", "ü ñ.mp4"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_is_only_ever_a_name(tmp_path: Path, name: str) -> None:
    os.replace(make_video(tmp_path / "a.mp4"), tmp_path / name)
    assert len(list(decode(probe(tmp_path / name)))) == 12


def test_a_file_of_very_many_streams_is_refused(tmp_path: Path) -> None:
    for count, fine in ((STREAMS, True), (STREAMS + 1, False)):
        path = tmp_path / f"{count}.mkv"
        with av.open(str(path), "w") as out:
            picture = out.add_stream("ffv1", rate=25)
            picture.width = picture.height = 16
            sounds = [out.add_stream("pcm_s16le", rate=8000) for _ in range(count - 1)]
            for stream in (picture, *sounds):
                frame = (av.VideoFrame(16, 16, "yuv420p") if stream is picture else
                         av.AudioFrame.from_ndarray(np.zeros((1, 80), np.int16), "s16", "mono"))  # fmt: skip
                frame.pts, frame.time_base = 0, Fraction(1, 25 if stream is picture else 8000)
                if stream is not picture:
                    frame.sample_rate = 8000
                out.mux([*stream.encode(frame), *stream.encode(None)])  # type: ignore[attr-defined]
        if fine:
            assert probe(path).width == 16
        else:
            with pytest.raises(MediaError, match="holds 101 streams; allowed are 100"):
                probe(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.mp4", "ffconcat version 1.0\nfile good.mp4\n"),
        ("hls.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\ngood.mp4\n"),
        ("hls.m3u8", "#EXTM3U\n#EXTINF:1,\ngood.mp4\n"),
        ("dash.mpd", '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>'),
        ("a.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n"),
    ],
)
def test_playlists_and_scripts_are_refused(tmp_path: Path, name: str, content: str) -> None:
    make_video(tmp_path / "good.mp4")
    (tmp_path / name).write_text(content)
    with pytest.raises(MediaError, match="a playlist or script, which may name other files, is not opened"):
        probe(tmp_path / name)


def sound_only(path: Path, *, cover: bool) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48000)
        picture_stream = None
        if cover:
            picture_stream = out.add_stream("mjpeg", rate=1)
            picture_stream.width = picture_stream.height = 32
            picture_stream.pix_fmt, picture_stream.disposition = "yuvj420p", 0x400  # type: ignore[assignment]
            out.mux(picture_stream.encode(av.VideoFrame.from_ndarray(picture(0, 32, 32))))
            out.mux(picture_stream.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 4096), np.float32), "fltp", "stereo")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def refused(path: Path, tmp_path: Path) -> str:
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    with pytest.raises(MediaError) as caught:
        probe(path)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(f"{path}: ")


def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    assert refused(path, tmp_path) == "no such file"
    path.write_bytes(b"")
    assert refused(path, tmp_path) == "the file is empty"
    not_a_video = "not a video that can be read (another kind of file, cut off before its index, or damaged)"
    for content in (b"hello world\n" * 200, bytes(range(256)) * 400, b"PK\x03\x04" + bytes(1000)):
        path.write_bytes(content)
        assert refused(path, tmp_path) == not_a_video
    (tmp_path / "a.txt").write_text("hello world\n" * 200)
    assert refused(tmp_path / "a.txt", tmp_path) == not_a_video
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    assert refused(path, tmp_path).startswith("a single image, not a video; put images into a folder")
    sound_only(path, cover=False)
    assert refused(path, tmp_path) == "holds no moving picture, only audio (aac); give a video"
    path.unlink()
    sound_only(path, cover=True)
    assert refused(path, tmp_path) == "holds no moving picture, only audio (aac), video (mjpeg); give a video"


def test_special_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    assert refused(tmp_path / "fifo.mp4", tmp_path).startswith("not a regular file; give a video file, a folder")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    with pytest.raises(MediaError, match="cannot be read"):
        probe(tmp_path / "loop.mp4")


def test_an_index_that_was_cut_off_and_pictures_that_cannot_be_decoded(tmp_path: Path) -> None:
    cut = cut_short(make_video(tmp_path / "a.mp4"), tmp_path / "cut.mp4", 0.9)
    assert refused(cut, tmp_path).startswith("not a video that can be read")
    whole = make_video(tmp_path / "b.mp4", container_options={"movflags": "faststart"})
    at = whole.read_bytes().find(b"mdat") + 4
    data = whole.read_bytes()
    (tmp_path / "void.mp4").write_bytes(data[:at] + bytes(len(data) - at))
    assert refused(tmp_path / "void.mp4", tmp_path).startswith("not one picture could be decoded")


def test_a_picture_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=2, size=(320, 240))
    with pytest.raises(MediaError, match="a picture of 320x240 is beyond the limit of 70000 pixels"):
        probe(path, limits=Limits(pixels=70_000))
    assert probe(path, limits=Limits(pixels=76_800)).width == 320


def test_the_limit_holds_in_the_decoder_too(tmp_path: Path) -> None:
    """A container may state a small picture and carry an immense one."""
    path = make_video(tmp_path / "a.mkv", frames=2, size=(320, 240), codec="mjpeg", pix_fmt="yuvj420p")
    data = path.read_bytes()
    lied = data.replace(b"\xb0\x82\x01\x40", b"\xb0\x82\x00\x10").replace(b"\xba\x81\xf0", b"\xba\x81\x10")
    assert lied != data
    path.write_bytes(lied)
    with pytest.raises(MediaError, match="320x240 is beyond the limit of 70000 pixels"):
        probe(path, limits=Limits(pixels=70_000))
    assert probe(path, limits=Limits(pixels=76_800)).width == 320


def test_a_rate_is_refused_for_files_that_have_their_own(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--input-rate is for folders of images"):
        probe(make_video(tmp_path / "a.mp4"), input_rate=F(25))


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = shutil.copy(make_video(tmp_path / "a.mp4"), tmp_path / "b.mp4")
    os.chmod(path, 0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert refused(Path(path), tmp_path).startswith("cannot be read (Permission denied)")


def test_a_name_too_long_for_any_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / ("x" * 300), tmp_path).startswith("cannot be read (File name too long)")


def test_rates_that_cannot_be_are_not_believed(tmp_path: Path) -> None:
    """A clock that leaps makes FFmpeg's average immense or nothing."""
    data = bytearray(make_video(tmp_path / "a.avi").read_bytes())
    at = data.index(b"vids") + 20  # the stream's scale, then its rate
    for scale, rate in ((1, 2**31 - 1), (2**31 - 1, 1)):
        data[at : at + 8] = scale.to_bytes(4, "little") + rate.to_bytes(4, "little")
        (tmp_path / "b.avi").write_bytes(data)
        assert F(1, 86_400) <= probe(tmp_path / "b.avi").rate <= 10_000


@pytest.mark.parametrize("name", ["a.h264", "a.mp4", "a.ts", "a.mkv"])
def test_a_picture_beyond_the_limit_is_called_too_large(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, frames=3)
    with pytest.raises(MediaError, match="a picture of 64x48 is beyond the limit of 1000 pixels"):
        probe(path, limits=Limits(pixels=1000))


def test_the_length_of_a_matroska_file_whose_clock_begins_late(tmp_path: Path) -> None:
    """FFmpeg's muxer states the time of the end there, not the length."""
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=0.6", "-output_ts_offset", "3600", str(tmp_path / "a.mkv"))
    info, notes = probe(tmp_path / "a.mkv"), Notes()
    assert (info.start, info.duration) == (F(3600), F(3, 5))
    assert len(list(decode(info, notes=notes))) == 15
    assert notes.warnings == []
