"""Outputs and inputs that are no container: PNG folders, y4m on standard output, animations, folders of images."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from alanet.errors import OutputError
from alanet.restoration.writer import open_writer
from tests.support.doubling import doubled, planned, restored, run
from tests.support.media import Track, make_video, make_y4m, picture
from tests.support.paths import ROOT
from tests.support.witness import ffprobe, times


def video(path: Path) -> dict[str, Any]:
    return next(s for s in ffprobe(path)["streams"] if s["codec_type"] == "video")


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=3, pix_fmt="yuv420p10le", audio=Track())
    out, notes = restored(source, codec="png")
    assert out == tmp_path / "a_x2"
    assert sorted(path.name for path in out.iterdir()) == [f"{i:08d}.png" for i in range(1, 7)]
    assert video(out / "00000001.png")["pix_fmt"] == "rgb48be"
    assert any(line.startswith("audio: a folder of pictures holds only") for line in notes.left_out)
    again, _ = restored(source, codec="png", overwrite=True)
    assert len(list(again.iterdir())) == 6


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=1)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.png").write_bytes(b"dear")
    with pytest.raises(OutputError, match="other files than numbered PNG"):
        restored(source, tmp_path / "photos", codec="png", overwrite=True)
    assert (tmp_path / "photos" / "holiday.png").read_bytes() == b"dear"


def test_pictures_that_came_meanwhile_are_not_replaced(tmp_path: Path) -> None:
    made, _ = planned(make_video(tmp_path / "a.mp4", frames=1), tmp_path / "out", codec="png")
    with open_writer(made) as writer:
        writer.write(next(doubled(made.info)))
        made.path.mkdir()
        (made.path / "holiday.png").write_bytes(b"dear")
        with pytest.raises(OutputError, match="has come to exist meanwhile"):
            writer.finish()
    assert (made.path / "holiday.png").read_bytes() == b"dear"


def test_animations_become_mp4_and_keep_their_times(tmp_path: Path) -> None:
    pictures = [Image.fromarray(picture(i)) for i in range(3)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[40, 100, 50])
    out, notes = restored(tmp_path / "a.gif")
    assert out == tmp_path / "a_x2.mp4"
    assert times(out) == [Fraction(t, 200) for t in (0, 4, 8, 18, 28, 33)]
    assert any("--compatible" in line for line in notes.warnings)


def test_a_folder_of_images_becomes_mp4(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        Image.fromarray(picture(i)).save(tmp_path / "in" / f"{i}.png")
    out, _ = restored(tmp_path / "in", input_rate=Fraction(24))
    assert out == tmp_path / "in_x2.mp4"
    assert times(out) == [Fraction(i, 48) for i in range(6)]


def test_y4m_on_standard_output(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=3, rate=25, size=(66, 49), pix_fmt="yuv444p")
    code = """
        import sys
        from pathlib import Path
        from tests.support.doubling import restored

        restored(Path(sys.argv[1]), Path("-"))
        """
    done = run(code, source)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out.y4m").write_bytes(done.stdout)
    said = video(tmp_path / "out.y4m")
    assert (said["width"], said["height"], said["pix_fmt"], said["avg_frame_rate"]) == (66, 49, "yuv444p", "50/1")
    assert times(tmp_path / "out.y4m") == [Fraction(i, 50) for i in range(6)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "out.y4m"]


def test_a_reader_of_standard_output_may_leave(tmp_path: Path) -> None:
    source = make_y4m(tmp_path / "a.y4m", frames=20, size=(320, 200))
    code = """
        import sys
        from pathlib import Path
        from alanet.errors import OutputError
        from tests.support.doubling import restored
        try:
            restored(Path(sys.argv[1]), Path("-"))
        except OutputError as error:
            print(error, file=sys.stderr)
        """
    command = [sys.executable, "-c", textwrap.dedent(code), str(source)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        process.stdout.close()
        assert b"closed by the program that reads it" in process.stderr.read()
    assert process.returncode == 0


def test_pictures_of_a_varying_rate_have_a_list_of_their_times(tmp_path: Path) -> None:
    moments = [Fraction(0), Fraction(1, 30), Fraction(8), Fraction(241, 30)]
    source = make_video(tmp_path / "a.mp4", frames=4, times=moments, time_base=Fraction(1, 30000))
    out, notes = restored(source, tmp_path / "out", codec="png")
    lines = (out / "times.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == [f"{i:08d}.png" for i in range(1, 9)]
    assert [float(line.split()[1]) for line in lines][::2] == pytest.approx([float(time) for time in moments], abs=1e-5)
    assert [line for line in notes.kept if line.startswith("times: times.txt")]
    restored(source, tmp_path / "out", codec="png", overwrite=True)
