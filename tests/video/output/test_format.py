"""Names, containers, and all that is refused before any work."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alanet.errors import AlanetError, OptionError, OutputError, ResourceError
from alanet.video.output import codecs
from alanet.video.output.codecs import CODECS
from alanet.video.output.destination import work_folder
from tests.support.doubling import planned
from tests.support.media import make_video


@pytest.mark.parametrize(
    ("name", "codec", "expected"),
    [
        ("a.mp4", "x264", "a_x2.mp4"),
        ("a.mov", "x264", "a_x2.mov"),
        ("a.mkv", "x265", "a_x2.mkv"),
        ("a.mp4", "prores", "a_x2.mov"),
        ("a.mp4", "ffv1", "a_x2.mkv"),
        ("a.avi", "x264", "a_x2.mkv"),
        ("a.webm", "x264", "a_x2.mkv"),
        ("a.webm", "av1", "a_x2.webm"),
        ("a.ts", "x264", "a_x2.ts"),
    ],
)
def test_default_name_and_container(tmp_path: Path, name: str, codec: str, expected: str) -> None:
    made, notes = planned(make_video(tmp_path / name, frames=10), codec=codec)
    assert made.path == tmp_path / expected
    changed = Path(name).suffix != Path(expected).suffix
    assert any(line.startswith("container: ") for line in notes.warnings) == changed


REFUSED: list[tuple[type[AlanetError], str, str | None, dict[str, Any]]] = [
    (OutputError, "the output is the input; give another name", "a.mp4", {"overwrite": True}),
    (OutputError, "the output is the input; give another name", "link.mp4", {"overwrite": True}),
    (OutputError, "the output is the input; give another name", "hard.mp4", {"overwrite": True}),
    (OutputError, "exists already; --overwrite replaces it", "there.mp4", {}),
    (OutputError, "there is no such folder", "missing/b.mp4", {}),
    (OutputError, "cannot write '.gif' files; choose one of .mp4", "b.gif", {}),
    (OutputError, "cannot write '' files", "b", {}),
    (OutputError, "MP4 cannot hold ffv1; choose --codec x264 or x265 or av1, or a name", "b.mp4", {"codec": "ffv1"}),
    (OutputError, "WebM cannot hold x264; choose --codec av1", "b.webm", {}),
    (OptionError, "--codec divx is unknown; choose x264, x265", "b.mp4", {"codec": "divx"}),
    (OptionError, "--crf 52 is out of range; give 0 (best) to 51 (worst), 18 is usual", "b.mp4", {"crf": 52}),
    (OptionError, "--crf goes with encoders of H.264, H.265 and AV1; prores", "b.mov", {"codec": "prores", "crf": 1}),
    (OptionError, "8-bit 4:2:0, which ffv1 is not for", "b.mkv", {"codec": "ffv1", "compatible": True}),
    (OutputError, "is a file; PNG pictures need a folder", "there.mp4", {"codec": "png"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "line", "name", "options"), REFUSED)
def test_refused_in_one_line_before_any_work(
    tmp_path: Path, kind: type[AlanetError], line: str, name: str, options: dict[str, Any]
) -> None:
    source = make_video(tmp_path / "a.mp4", frames=1)
    (tmp_path / "link.mp4").symlink_to(source)
    (tmp_path / "hard.mp4").hardlink_to(source)
    (tmp_path / "there.mp4").write_bytes(b"mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(kind) as refused:
        planned(source, tmp_path / name, **options)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="the superuser may write anywhere")
def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=1)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="cannot write there"):
        planned(source, locked / "b.mp4")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_folder_that_only_looks_writable_is_refused(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=1)
    with pytest.raises(OutputError, match="cannot write there"):
        planned(source, Path("/proc/b.mp4"))


def test_an_encoder_that_this_build_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_video(tmp_path / "a.mp4", frames=1)
    monkeypatch.setitem(codecs.CODECS, "av1", replace(CODECS["av1"], encoder="libnothing"))
    with pytest.raises(ResourceError, match="has no libnothing encoder; choose another --codec"):
        planned(source, tmp_path / "b.mp4", codec="av1")


@pytest.mark.parametrize("codec", ["x265", "av1"])
def test_pictures_too_small_for_an_encoder(tmp_path: Path, codec: str) -> None:
    source = make_video(tmp_path / "a.mkv", frames=1, codec="ffv1", size=(2, 2))
    with pytest.raises(
        OutputError, match=f"{codec} cannot encode pictures of 2x2; choose another --codec, x264 or png"
    ):
        planned(source, codec=codec)


def test_names_as_long_as_a_file_system_takes(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=2)
    longest = tmp_path / ("é" * 125 + ".mp4")  # 254 bytes
    plan, _ = planned(source, longest)
    assert len(os.fsencode(work_folder(plan.path).name)) <= 255
    assert work_folder(plan.path) != work_folder(plan.path.with_name("e" + plan.path.name[1:]))
    with pytest.raises(OutputError, match="the name is longer than 255 bytes; give a shorter one with -o"):
        planned(source, tmp_path / ("é" * 126 + ".mp4"))
    with pytest.raises(OutputError, match="longer than 255 bytes"):
        planned(source.rename(tmp_path / ("x" * 250 + ".mp4")))
