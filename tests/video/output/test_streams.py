"""What of the input's other streams is in the output: sound, subtitles, chapters, attachments, tags. ffprobe tells."""

from __future__ import annotations

import io
import re
import struct
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from alanet.frames.timing import Factor
from alanet.notes import Notes
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from alanet.video.output.format import plan_output
from alanet.video.output.options import EncodeOptions
from alanet.video.output.packets import Clock
from tests.support.doubling import planned, restored
from tests.support.media import Subtitle, Track, damage, ffmpeg, make_video, number_of
from tests.support.witness import ffprobe, packets, program, times

LINES = ((0.1, 0.2, "<i>one</i> line"), (Fraction(3, 10), Fraction(2, 5), "two\nlines"))
CHAPTERS = ((0, 0.2, "first"), (0.2, 0.4, "second"))


def streams(path: Path, kind: str | None = None) -> list[dict[str, Any]]:
    said = ffprobe(path)["streams"]
    return [stream for stream in said if kind in (None, stream["codec_type"])]


def about(path: Path, kind: str) -> list[tuple[str, str | None, int]]:
    """(codec, language, whether default) of each stream of a kind."""
    return [
        (s["codec_name"], s.get("tags", {}).get("language"), s["disposition"]["default"]) for s in streams(path, kind)
    ]


def words(path: Path) -> list[tuple[Fraction, Fraction, str]]:
    """(start, end, text) of the first subtitle track, MP4's silences left out."""
    found = []
    with av.open(str(path)) as container:
        track = container.streams.subtitles[0]
        for packet in container.demux(track):
            data = bytes(packet)
            if track.codec_context.codec.canonical_name == "mov_text":
                data = data[2 : 2 + struct.unpack(">H", data[:2])[0]] if data else b""
            if data:
                start = packet.pts * packet.time_base
                found.append((start, start + packet.duration * packet.time_base, data.decode()))
    return found


def samples(path: Path, track: int = 0) -> bytes:
    """The decoded sound, by the outside program ffmpeg."""
    command = [program("ffmpeg"), "-v", "error", "-i", str(path), "-map", f"0:a:{track}", "-f", "s16le", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


# ---- everything kept -------------------------------------------------------------------------------------------------


def test_mkv_keeps_tracks_subtitles_chapters_fonts_and_tags(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "a.mkv",
        frames=12,
        audio=[
            Track(language="fre", title="Bande"),
            Track(codec="libopus", language="eng", default=False),
            Track(codec="flac", default=False),
        ],
        subtitles=[Subtitle(LINES, language="ger")],
        chapters=CHAPTERS,
        attachments=[("font.ttf", "font/ttf", b"not a font")],
        metadata={"title": "A holiday", "artist": "Me", "odd_key": "kept"},
    )
    out, notes = restored(source, seconds=Fraction(1, 10))
    assert about(out, "audio") == about(source, "audio") == [("aac", "fre", 1), ("opus", "eng", 0), ("flac", None, 0)]
    assert streams(out, "audio")[0]["tags"]["title"] == "Bande"
    for track in range(3):
        assert packets(out, f"a:{track}") == packets(source, f"a:{track}")
    assert about(out, "subtitle") == [("subrip", "ger", 0)]
    assert words(out) == words(source)
    font = streams(out, "attachment")[0]["tags"]
    assert (font["filename"], font["mimetype"]) == ("font.ttf", "font/ttf")
    said = ffprobe(out)
    assert [(c["tags"]["title"], c["start_time"], c["end_time"]) for c in said["chapters"]] == [
        ("first", "0.000000", "0.200000"),
        ("second", "0.200000", "0.400000"),
    ]
    tags = {key.lower(): value for key, value in said["format"]["tags"].items()}
    assert (tags["title"], tags["artist"], tags["odd_key"]) == ("A holiday", "Me", "kept")
    assert notes.left_out == []
    assert any(line.startswith("audio 1 (aac, fre), audio 2 (opus, eng)") for line in notes.kept)


def test_mp4_keeps_tracks_subtitles_chapters_cover_and_tags(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "a.mp4",
        frames=12,
        audio=[Track(language="fre"), Track(codec="libmp3lame", language="eng", default=False)],
        subtitles=[Subtitle(LINES, language="ger")],
        chapters=CHAPTERS,
        cover=True,
        metadata={"title": "A holiday", "comment": "sunny"},
    )
    out, notes = restored(source, seconds=Fraction(1, 10))
    assert about(out, "audio") == about(source, "audio") == [("aac", "fre", 1), ("mp3", "eng", 0)]
    for track in range(2):
        assert packets(out, f"a:{track}") == packets(source, f"a:{track}")
        assert streams(out, "audio")[track]["duration"] == streams(source, "audio")[track]["duration"]
    assert words(out) == words(source)
    assert [s["codec_type"] for s in streams(out)] == [s["codec_type"] for s in streams(source)]
    said = ffprobe(out)
    assert [c["tags"]["title"] for c in said["chapters"]] == ["first", "second"]
    assert said["format"]["tags"]["title"] == "A holiday"
    cover = [s for s in streams(out, "video") if s["disposition"]["attached_pic"]]
    assert [(s["codec_name"], s["width"]) for s in cover] == [("mjpeg", 32)]
    assert notes.left_out == []


@pytest.mark.parametrize("codec", ["pcm_s16le", "alac", "ac3"])
def test_further_sound_formats(tmp_path: Path, codec: str) -> None:
    source = make_video(tmp_path / "a.mov", frames=6, audio=Track(codec=codec))
    out, _ = restored(source)
    assert packets(out) == packets(source)
    assert samples(out) == samples(source)


@pytest.mark.parametrize(
    ("picture", "sound"), [(Fraction(1, 4), 0), (0, Fraction(1, 4)), (Fraction(1, 2), Fraction(1, 4))]
)
@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_sound_keeps_its_place_and_its_length(tmp_path: Path, picture: Fraction, sound: Fraction, ending: str) -> None:
    track = Track(seconds=1, start=Fraction(sound))
    source = make_video(tmp_path / f"a{ending}", frames=6, start=picture, audio=track)
    out, _ = restored(source)
    slack = Fraction(1, 500) if ending == ".mkv" else Fraction(1, 40_000)
    begins = times(source)[0] - times(out)[0]
    assert min(times(out)[0], packets(out)[0][0]) <= slack  # what begins first begins at 0, or before to warm up
    assert all(abs(a + begins - b) <= slack for a, b in zip(times(out)[::2], times(source), strict=True))
    assert [data for _, data in packets(out)] == [data for _, data in packets(source)]
    assert abs(packets(out)[0][0] + begins - packets(source)[0][0]) <= slack
    assert samples(out) == samples(source)
    assert len(samples(out)) >= 48000 * 2 * 2


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_rotation_and_pixel_aspect(tmp_path: Path, ending: str) -> None:
    source = make_video(tmp_path / f"a{ending}", frames=2, rotation=90, pixel_aspect=Fraction(4, 3))
    out, _ = restored(source)
    given, said = streams(source)[0], streams(out)[0]
    assert said["sample_aspect_ratio"] == given["sample_aspect_ratio"] == "4:3"
    assert said["side_data_list"][0]["rotation"] == given["side_data_list"][0]["rotation"] == 90


def test_hevc_in_mp4_is_marked_for_every_player(tmp_path: Path) -> None:
    out, _ = restored(make_video(tmp_path / "a.mp4", frames=2, size=(64, 64)), codec="x265")
    assert streams(out)[0]["codec_tag_string"] == "hvc1"


# ---- from one container to another -----------------------------------------------------------------------------------


def test_mkv_to_mp4_rewrites_subtitles_and_says_what_is_left_out(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "a.mkv",
        frames=12,
        audio=Track(codec="libopus"),
        subtitles=[Subtitle(LINES, language="ger")],
        attachments=[("font.ttf", "font/ttf", b"not a font")],
        metadata={"title": "A holiday", "odd_key": "kept"},
    )
    out, notes = restored(source, tmp_path / "b.mp4")
    assert [hash for _, hash in packets(out)] == [hash for _, hash in packets(source)]
    assert about(out, "subtitle") == [("mov_text", "ger", 0)]  # hidden, as it was
    tenth = Fraction(1, 10)
    assert words(out) == [(tenth, 2 * tenth, "one line"), (3 * tenth, 4 * tenth, "two\nlines")]
    assert {key.lower(): value for key, value in ffprobe(out)["format"]["tags"].items()}["odd_key"] == "kept"
    assert notes.left_out == ["attachment 3 (font.ttf): MP4 cannot hold it; a name ending in .mkv keeps it"]
    assert any("written as mov_text" in line for line in notes.kept)


def test_mp4_to_mkv_shifts_nothing(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "a.mp4", frames=12, audio=Track(), subtitles=[Subtitle(LINES)], cover=True, chapters=CHAPTERS
    )
    out, notes = restored(source, codec="ffv1")
    assert out.suffix == ".mkv"
    assert times(out) == [Fraction(round(Fraction(i * 1000, 60)), 1000) for i in range(24)]
    assert [hash for _, hash in packets(out)] == [hash for _, hash in packets(source)]
    assert abs(packets(out)[0][0] - packets(source)[0][0]) <= Fraction(1, 2000)
    assert about(out, "subtitle") == [("subrip", None, 1)]
    assert [re.sub("</?font[^>]*>", "", text) for _, _, text in words(out)] == ["<i>one</i> line", "two\nlines"]
    cover = [s for s in streams(out, "video") if s["disposition"]["attached_pic"]]
    assert [s["tags"]["mimetype"] for s in cover] == ["image/jpeg"]
    assert notes.left_out == []


def test_ts_to_mp4_decodes_to_the_same_sound_and_starts_at_zero(tmp_path: Path) -> None:
    first = make_video(tmp_path / "first.mp4", frames=12, rate=25, audio=Track(seconds=1, language="eng"))
    source = tmp_path / "a.ts"
    ffmpeg("-i", str(first), "-c", "copy", str(source))
    assert times(source)[0] > 1  # the clock of a transport stream
    out, _ = restored(source, tmp_path / "b.mp4")
    given, found = times(source), times(out)
    shift = given[0] - found[0]
    assert found[::2] == [t - shift for t in given]
    assert min(found[0], packets(out)[0][0]) == 0
    assert packets(source)[0][0] - packets(out)[0][0] == shift
    assert samples(out) == samples(source)
    assert about(out, "audio") == [("aac", "eng", 1)]


def test_ts_stays_ts(tmp_path: Path) -> None:
    first = make_video(tmp_path / "first.mp4", frames=12, rate=25, audio=Track(codec="mp2", seconds=1))
    source = tmp_path / "a.ts"
    ffmpeg("-i", str(first), "-c", "copy", str(source))
    out, _ = restored(source)
    assert out == tmp_path / "a_x2.ts"
    begins = times(source)[0] - times(out)[0]  # the muxer's own 1.4 s, which the output does not carry
    assert begins > 1
    assert [time + begins for time in times(out)[::2]] == times(source)
    assert [(time + begins, data) for time, data in packets(out)] == packets(source)


def test_an_input_container_that_is_not_written(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.avi", frames=6, audio=Track(codec="libmp3lame"))
    out, notes = restored(source)
    assert out == tmp_path / "a_x2.mkv"
    assert "container: MKV, as avi is not written" in notes.warnings
    assert [hash for _, hash in packets(out)] == [hash for _, hash in packets(source)]


def test_cover_art_of_mkv_goes_to_mp4(tmp_path: Path) -> None:
    jpeg = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(jpeg, "jpeg")
    source = make_video(tmp_path / "a.mkv", frames=2, attachments=[("cover.jpg", "image/jpeg", jpeg.getvalue())])
    out, _ = restored(source, tmp_path / "b.mp4")
    assert [s["codec_name"] for s in streams(out, "video") if s["disposition"]["attached_pic"]] == ["mjpeg"]
    with av.open(str(out)) as container:
        picture = next(p for p in container.demux(container.streams.video[1]) if p.size)
        assert bytes(picture) == jpeg.getvalue()


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".webm", ".ts"])
def test_cover_art_is_kept_or_named(tmp_path: Path, ending: str) -> None:
    source = make_video(tmp_path / "a.mp4", frames=2, cover=True)
    out, notes = restored(source, tmp_path / f"b{ending}", codec="av1" if ending == ".webm" else "x264")
    found = [s for s in streams(out, "video") if s["disposition"]["attached_pic"]]
    assert len(found) == (ending in (".mp4", ".mkv"))
    assert any(line.startswith("cover art") for line in notes.kept) == bool(found)
    assert any(line.startswith("cover art") and "keeps it" in line for line in notes.left_out) != bool(found)


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_slow_motion_keeps_or_names_what_has_no_length(tmp_path: Path, ending: str) -> None:
    jpeg = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(jpeg, "jpeg")
    files = [("cover.jpg", "image/jpeg", jpeg.getvalue()), ("a.ttf", "font/ttf", b"font")]
    source, notes = make_video(tmp_path / "a.mkv", frames=2, attachments=files), Notes()
    plan_output(probe(source), tmp_path / f"b{ending}", EncodeOptions(), notes, schedule=Factor(2, slow=2))
    kept, lost = " ".join(notes.kept), " ".join(notes.left_out)
    assert ("cover art" in kept, "cover art" in lost) == (ending != ".mov", ending == ".mov")
    assert ("attachment" in kept, "attachment" in lost) == (ending == ".mkv", ending != ".mkv")


def test_text_subtitles_that_mpegts_would_make_unreadable_are_named(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mkv", frames=12, subtitles=[Subtitle(LINES)])
    _, notes = planned(source, tmp_path / "b.ts")
    assert any("MPEG-TS cannot hold it; a name ending in .mkv keeps it" in line for line in notes.left_out)
    assert not any(line.startswith("subtitle") for line in notes.kept)


# ---- cuts and damage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_cut_takes_what_meets_it(tmp_path: Path, ending: str) -> None:
    """Frames 9 to 20 of 30 fps; the middle one of three subtitles reaches out at both ends."""
    said = ((0.0, 0.25, "before"), (0.2, 0.8, "while"), (0.75, 0.9, "after"))
    source = make_video(
        tmp_path / f"a{ending}",
        frames=30,
        bframes=2,
        audio=Track(seconds=1),
        subtitles=[Subtitle(said)],
        chapters=((0, 0.5, "first"), (0.5, 1, "second"), (1, 2, "third")),
    )
    cut = (Fraction(3, 10), Fraction(7, 10))
    out, _ = restored(source, tmp_path / f"b{ending}", cut=cut)
    slack = Fraction(1, 1000) if ending == ".mkv" else 0  # half a tick each for the input and the output
    assert all(abs(t - Fraction(i, 60)) <= slack for i, t in enumerate(times(out)))
    assert [number_of(frame.pixels) for frame in decode(probe(out))][::2] == list(range(9, 21))
    assert [(round(a, 3), round(b, 3), text) for a, b, text in words(out)] == [(Fraction(0), Fraction(2, 5), "while")]
    chapters = [(c["tags"]["title"], c["start_time"], c["end_time"]) for c in ffprobe(out)["chapters"]]
    assert chapters == [("first", "0.000000", "0.200000"), ("second", "0.200000", "0.400000")]
    length = Fraction(1024, 48000)
    given, found = packets(source), packets(out)
    inside = [(t - cut[0], data) for t, data in given if t + 2 * length > cut[0] and t < cut[1]]
    if ending == ".mkv":  # begins with a whole packet
        inside = [(t, data) for t, data in inside if t >= 0]
    assert [data for _, data in found] == [data for _, data in inside]
    assert all(abs(a - b) <= slack for (a, _), (b, _) in zip(found, inside, strict=True))


def test_a_cut_from_before_the_picture_keeps_the_sound_before_it(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=6, start=Fraction(1, 2), audio=Track(seconds=1))
    out, _ = restored(source, tmp_path / "b.mp4", cut=(Fraction(0), Fraction(3, 5)))
    assert times(out)[0] == Fraction(1, 2)
    assert packets(out) == packets(source)[: len(packets(out))]
    assert Fraction(3, 5) - packets(out)[-1][0] < Fraction(1024, 48000)


def test_two_recordings_in_one_file_play_on(tmp_path: Path) -> None:
    """The clock of a transport stream begins anew in the middle."""
    for name, tone in (("1", 440.0), ("2", 880.0)):
        part = make_video(tmp_path / f"{name}.mp4", frames=50, rate=25, audio=Track(codec="mp2", seconds=2, tone=tone))
        ffmpeg("-i", str(part), "-c", "copy", str(tmp_path / f"{name}.ts"))
    source = tmp_path / "a.ts"
    source.write_bytes((tmp_path / "1.ts").read_bytes() + (tmp_path / "2.ts").read_bytes())
    out, _ = restored(source, tmp_path / "b.mp4")
    sound, picture = packets(out), times(out)
    assert len(picture) == 200
    assert [data for _, data in sound] == [data for _, data in packets(source)]
    assert all(a[0] < b[0] for a, b in pairwise(sound))
    assert abs((sound[-1][0] - picture[-1]) - (packets(tmp_path / "2.ts")[-1][0] - times(tmp_path / "2.ts")[-1])) < 0.1


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_a_chapter_from_before_the_picture_begins_with_it(tmp_path: Path, ending: str) -> None:
    """Opus shifts the picture by 7 ms, and chapters stay; Matroska refuses a chapter before 0."""
    source = make_video(tmp_path / "a.mkv", start=Fraction(7, 1000), chapters=((0, 0.004, "none"), (0.004, 0.4, "one")))
    out, _ = restored(source, tmp_path / f"out{ending}")
    (chapter,) = ffprobe(out)["chapters"]
    assert (chapter["tags"]["title"], float(chapter["start_time"])) == ("one", 0)
    assert float(chapter["end_time"]) == pytest.approx(0.393, abs=0.001)


def test_subtitles_shown_together_go_to_mp4(tmp_path: Path) -> None:
    together = ((0.1, 0.3, "one"), (0.1, 0.3, "two"))
    out, _ = restored(make_video(tmp_path / "a.mkv", frames=12, subtitles=[Subtitle(together)]), tmp_path / "b.mp4")
    assert [text for _, _, text in words(out)] == ["one", "two"]


@pytest.mark.parametrize("rate", [25, 17])
def test_time_code(tmp_path: Path, rate: int) -> None:
    pattern = f"testsrc=size=64x48:rate={rate}:duration=0.3"
    ffmpeg("-f", "lavfi", "-i", pattern, "-timecode", "01:00:00:00", "-pix_fmt", "yuv420p", str(tmp_path / "a.mkv"))
    out, notes = restored(tmp_path / "a.mkv", tmp_path / "b.mov")
    assert "01:00:00:00" in [s["tags"].get("timecode") for s in streams(out)]
    assert notes.left_out == []


def test_a_second_picture_comes_along(tmp_path: Path) -> None:
    first, second = ("testsrc=size=64x48:rate=25:duration=0.4", "testsrc2=size=32x32:rate=30:duration=0.4")
    made = ["-f", "lavfi", "-i", first, "-f", "lavfi", "-i", second, "-map", "0", "-map", "1", "-pix_fmt", "yuv420p"]
    ffmpeg(*made, str(tmp_path / "a.mp4"))
    out, notes = restored(tmp_path / "a.mp4")
    assert [(s["width"], s["nb_frames"]) for s in streams(out, "video")] == [(64, "20"), (32, "12")]
    assert packets(out, "v:1") == packets(tmp_path / "a.mp4", "v:1")
    assert "video 1 (h264): packets copied" in notes.kept


def test_damaged_sound_does_not_stop_the_picture(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mkv", frames=12, audio=Track(seconds=1))
    broken = damage(source, tmp_path / "b.mkv", at=0.6, count=2000)
    frames = list(decode(probe(broken)))
    out, _ = restored(broken)
    assert len(times(out)) == 2 * len(frames)
    hashes = {data for _, data in packets(broken)}
    assert {data for _, data in packets(out)} <= hashes


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_sound_goes_on_at_its_own_pace_where_the_clock_steps_back(tmp_path: Path, ending: str) -> None:
    """Two recordings joined byte by byte: the clock steps back by half a second."""
    part = make_video(tmp_path / "part.ts", frames=12, rate=25, audio=Track(seconds=0.48))
    source = tmp_path / "joined.ts"
    source.write_bytes(part.read_bytes() * 2)
    out, _ = restored(source, tmp_path / f"out{ending}")
    sound = packets(out)
    assert len(sound) == 2 * len(packets(part))
    assert all(abs(b - a - Fraction(1024, 48000)) < 0.002 for (a, _), (b, _) in pairwise(sound))


def test_one_sound_packet_with_a_wrong_time_moves_no_other() -> None:
    clock, length = Clock(True), Fraction(1, 50)
    stated = [i * length for i in range(10)]
    stated[5] -= Fraction(3, 10)
    shown = [clock.steady(time, length) for time in stated]
    assert shown == [i * length for i in range(10)]
