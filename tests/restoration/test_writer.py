"""Frames into files: exact times, segments, and what happens when something goes wrong. ffprobe is the witness."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alanet.errors import OutputError
from alanet.frames.frame import Frame
from alanet.notes import Notes
from alanet.restoration.options import EncodeOptions
from alanet.restoration.writer import open_writer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from alanet.video.output.format import plan_output
from tests.support.doubling import doubled, doubled_times, planned, restored, run
from tests.support.media import Track, make_video, number_of
from tests.support.witness import ffprobe, packets, program, times

IRREGULAR = [Fraction(t, 100) for t in (0, 4, 10, 11, 20, 50, 51, 55, 90)]


def video(path: Path) -> dict[str, Any]:
    return next(s for s in ffprobe(path)["streams"] if s["codec_type"] == "video")


def written(path: Path) -> list[Frame]:
    return list(decode(probe(path)))


@pytest.mark.parametrize("seconds", [20, Fraction(1, 10)])
def test_constant_rate_has_exact_times_and_the_same_sound(tmp_path: Path, seconds: Fraction) -> None:
    source = make_video(tmp_path / "a.mp4", frames=10, rate=Fraction(30000, 1001), bframes=2, audio=Track())
    out, _ = restored(source, seconds=seconds)
    assert out == tmp_path / "a_x2.mp4"
    assert times(out) == [Fraction(1001 * i, 60000) for i in range(20)]
    assert packets(out) == packets(source)
    assert video(out)["duration_ts"] * Fraction(video(out)["time_base"]) == Fraction(10010, 30000)
    assert [number_of(frame.pixels) for frame in written(out)][::2] == list(range(10))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a_x2.mp4"]


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_variable_rate_and_a_late_picture_keep_their_times(tmp_path: Path, ending: str) -> None:
    source = make_video(
        tmp_path / "a.mp4",
        frames=9,
        times=IRREGULAR,
        time_base=Fraction(1, 90000),
        start=Fraction(333, 1000),  # as many decimals as the maker keeps of a start
        bframes=2,
        audio=Track(seconds=1.5),
    )
    last = written(source)[-1]
    end = last.time + last.duration
    out, _ = restored(source, tmp_path / f"b{ending}", seconds=Fraction(1, 5))
    expected = doubled_times([time - times(source)[0] + times(out)[0] for time in times(source)], end + times(out)[0])
    slack = Fraction(1, 2000) if ending == ".mkv" else 0
    assert len(times(out)) == 18
    assert all(abs(a - b) <= slack for a, b in zip(times(out), expected, strict=True))
    if ending != ".mkv":
        assert video(out)["duration_ts"] * Fraction(video(out)["time_base"]) == end
    offset = times(source)[0] - times(out)[0]
    assert abs(packets(out)[0][0] + offset - packets(source)[0][0]) <= slack


def test_many_segments_show_what_one_shows(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=9, times=IRREGULAR, time_base=Fraction(1, 90000))
    whole, _ = restored(source, tmp_path / "whole.mkv", codec="ffv1")
    parts, _ = restored(source, tmp_path / "parts.mkv", codec="ffv1", seconds=Fraction(1, 10))
    assert times(whole) == times(parts)
    for a, b in zip(written(whole), written(parts), strict=True):
        assert np.array_equal(a.pixels, b.pixels)


def test_a_new_segment_begins_where_it_is_asked_for(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "a.mp4", frames=6))
    plan = plan_output(info, None, EncodeOptions(), Notes())
    with open_writer(plan) as writer:
        for i, frame in enumerate(doubled(info)):
            writer.write(frame, new_segment=i == 7)
        out = writer.finish()
    said = ffprobe(out, "-select_streams", "v", "-show_frames")["frames"]
    assert [i for i, frame in enumerate(said) if frame["key_frame"]] == [0, 7]
    assert times(out) == [Fraction(i, 60) for i in range(12)]


# ---- going wrong -----------------------------------------------------------------------------------------------------


def test_an_abandoned_writer_leaves_nothing(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=3)
    made, _ = planned(source)

    def interrupted() -> None:
        with open_writer(made) as writer:
            writer.write(next(doubled(made.info)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == [source]


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=1)
    made, _ = planned(source)
    with pytest.raises(OutputError, match="not one frame came to be written"), open_writer(made) as writer:
        writer.finish()
    assert list(tmp_path.iterdir()) == [source]


def test_two_runs_do_not_write_one_output(tmp_path: Path) -> None:
    made, _ = planned(make_video(tmp_path / "a.mp4", frames=1))
    with open_writer(made), pytest.raises(OutputError, match="another run is writing it"):
        open_writer(made)


def test_an_output_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=1)
    made, _ = planned(source)
    with open_writer(made) as writer:
        writer.write(next(doubled(made.info)))
        made.path.write_bytes(b"mine")
        with pytest.raises(OutputError, match="has come to exist meanwhile"):
            writer.finish()
    assert made.path.read_bytes() == b"mine"
    assert sorted(tmp_path.iterdir()) == [source, made.path]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("limit", [100, 3000, 20000])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    """Files may not grow beyond a limit: that stops a segment in its header, in its middle, or only the last join."""
    source = make_video(tmp_path / "a.mp4", frames=12, audio=Track(codec="pcm_s16le", seconds=1))
    size = source.stat().st_size
    code = """
        import resource, signal, sys
        from pathlib import Path
        from alanet.errors import OutputError
        from tests.support.doubling import restored
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
        try:
            restored(Path(sys.argv[1]))
        except OutputError as error:
            print(error)
        """
    done = run(code, source, limit)
    assert size > limit
    assert done.stdout.decode().strip().endswith("the disk is full; free some space or give another folder with -o")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_a_failing_encoder_is_told_by_the_writer(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=2)
    made, _ = planned(source)
    made = replace(made, encoder_options={"crf": "18", "preset": "nonsense"})

    def failing() -> None:
        with open_writer(made) as writer:
            for frame in doubled(made.info):
                writer.write(frame)
            writer.finish()

    with pytest.raises(OutputError, match="could not be written"):
        failing()
    assert list(tmp_path.iterdir()) == [source]


def test_encoders_are_silent(tmp_path: Path) -> None:
    program("ffprobe")
    source = make_video(tmp_path / "a.mp4", frames=2, size=(64, 64), color=("bt709", "bt709", "bt709", "tv"))
    code = """
        import sys
        from pathlib import Path
        from tests.support.doubling import restored
        for codec in ("x264", "x265", "av1", "prores", "ffv1"):
            restored(Path(sys.argv[1]), Path(sys.argv[1]).with_name(codec + ".mkv"), codec=codec)
        """
    done = run(code, source)
    assert done.returncode == 0
    assert done.stdout == b""
    assert done.stderr == b""
