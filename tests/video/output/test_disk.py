"""Room on the disk, asked before the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from alanet.errors import OutputError
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.notes import Notes
from alanet.restoration.options import EncodeOptions
from alanet.restoration.restorer import Restorer
from alanet.restoration.summary import opening_rows
from alanet.video.input.probe import probe
from alanet.video.output import disk
from alanet.video.output.disk import check_room, picture_bytes
from alanet.video.output.format import OutputPlan, plan_output
from tests.support.media import make_video


@pytest.fixture
def free(monkeypatch) -> Callable[[float], None]:
    def set_free(amount: float) -> None:
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=int(amount)))  # type: ignore[attr-defined]

    return set_free


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return make_video(tmp_path_factory.mktemp("disk") / "a.mp4", frames=4, size=(64, 48))


def planned(source: Path, name: str = "b.mkv", **options) -> OutputPlan:
    return plan_output(probe(source), source.with_name(name), EncodeOptions(**options), Notes())


def test_little_room_is_warned_of_and_hardly_any_refused(source, free):
    plan = planned(source)
    needed = 2 * 1000 * picture_bytes(plan)  # segments, and what they are joined into
    for room, said in ((1.01, False), (0.99, True), (0.11, True)):
        free(room * needed)
        assert bool(check_room(plan, 1000)) == said
    assert "the run stops, and goes on once there is room" in check_room(plan, 1000)
    free(0.09 * needed)
    with pytest.raises(OutputError, match=r"GB are needed .* and .* GB are free; free some space, .* a higher --crf"):
        check_room(plan, 1000)
    assert not check_room(plan, None)  # a stream without end


def test_what_is_finished_needs_no_room_again(source, free):
    plan = planned(source)
    free(1.2 * 1000 * picture_bytes(plan))
    assert check_room(plan, 1000)
    assert not check_room(plan, 1000, done=900)


def test_pictures_are_written_once_and_a_pipe_has_no_disk(source, free):
    pictures = planned(source, "folder", codec="png")
    free(1.01 * 1000 * picture_bytes(pictures))
    assert not check_room(pictures, 1000)
    free(0)
    assert not check_room(plan_output(probe(source), "-", EncodeOptions(), Notes()), 1000)


def test_more_bits_take_more(source):
    usual = picture_bytes(planned(source))
    assert picture_bytes(planned(source, crf=12)) == pytest.approx(2 * usual)
    assert picture_bytes(planned(source, codec="ffv1")) > 2 * usual
    assert picture_bytes(planned(source, codec="ffv1")) < 64 * 48 * 1.5
    assert picture_bytes(planned(source, "c.mov", codec="prores")) > 2 * usual


def test_a_run_asks_before_it_starts(source, free):
    restorer = Restorer(ALANet(ALANetConfig(width=0.0625)), device="cpu", precision="fp32")
    plan = restorer.plan(source, source.with_name("d.mp4"))
    free(0.5 * 16 * picture_bytes(plan.output))
    assert ("warning", check_room(plan.output, plan.frames_out)) in opening_rows(plan, "")
    assert any(line.startswith("disk: about ") for line in restorer.run(plan).notes.warnings)
    plan = restorer.plan(source, source.with_name("e.mp4"))
    free(0)
    with pytest.raises(OutputError, match="GB are free"):
        restorer.run(plan)
    assert not list(source.parent.glob("*e.mp4*"))
