"""Nothing lost: a run that is ended anywhere goes on by the same command, and the result is the uninterrupted one's.

Twelve seconds of 2 fps make three segments of 8 frames, 16 restored ones each.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch

from alanet.cli import run
from alanet.errors import OptionError, OutputError
from alanet.files import lock_folder
from alanet.frames.estimate_sums import EstimateSums
from alanet.frames.tiles import plan_tiles
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.weights import save_weights
from alanet.restoration import writer
from alanet.restoration.finish import finish
from alanet.restoration.options import EncodeOptions, RestoreOptions
from alanet.restoration.progress import RestoreProgress
from alanet.restoration.restorer import Restorer
from alanet.restoration.writer import open_writer
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from alanet.video.output.destination import work_folder
from alanet.video.output.segments import INDEX, recorded, rewrite
from tests.support.media import Track, make_video
from tests.support.paths import ROOT

FRAMES, SEGMENTS = 24, 3
A_SEGMENT = 16  # restored frames
LOSSLESS = RestoreOptions(encode=EncodeOptions(codec="ffv1", threads=1))

KILLS = [  # where, by what, finished segments that must be there then
    ("read 3", "SIGKILL", 0),
    ("encode 5", "SIGKILL", 0),
    ("close 2", "SIGKILL", 1),
    ("record 2", "SIGKILL", 1),
    ("encode 40", "SIGKILL", 2),
    ("encode 40", "SIGINT+SIGTERM", 2),  # the second one stops now
    ("encode 3", "SIGINT", 0),  # just begun: little is lost
    ("encode 12", "SIGINT", 1),
    ("encode 12", "SIGTERM", 1),
    ("packet 20", "SIGKILL", 3),
    ("rename 1", "SIGKILL", 3),
    ("tidy 1", "SIGKILL", 3),
]


def shown(path: Path) -> list[tuple[Fraction, str]]:
    """Time and digest of every frame."""
    return [(f.time, hashlib.sha256(f.pixels.tobytes()).hexdigest()) for f in decode(probe(path))]


def sound(path: Path) -> list[tuple[float, str]]:
    """Time, in seconds to the millisecond, and digest of every packet of the sound."""
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(audio=0) if packet.size]
        return [(round(float(p.pts * p.time_base), 3), hashlib.sha256(bytes(p)).hexdigest()) for p in packets]


def make_network(seed: int = 0) -> ALANet:
    """Tiny, and not the identity: what a wrong window gives is another picture."""
    torch.manual_seed(seed)
    model = ALANet(ALANetConfig(width=0.125, residual=True))
    for values in model.parameters():
        torch.nn.init.normal_(values, std=0.05)
    return model


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(make_network(), device="cpu", precision="fp32", memory=8 << 30)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    return make_video(folder / "in.mp4", frames=FRAMES, rate=2, audio=Track(seconds=12))


@pytest.fixture
def video(made, tmp_path) -> Path:
    """One of its own, which may be changed."""
    path = tmp_path / "in.mp4"
    path.write_bytes(made.read_bytes())
    return path


@pytest.fixture(scope="module")
def whole(made, restorer, tmp_path_factory) -> list[tuple[Fraction, str]]:
    """What a run that nothing ends shows."""
    return shown(restorer.restore(made, tmp_path_factory.mktemp("whole") / "out.mkv", LOSSLESS).output)


def ended(restorer: Restorer, video: Path, options: RestoreOptions = LOSSLESS, after: int = 1) -> Path:
    """A run that ends after some finished segments; returns the result's name and not the result."""

    def stop(progress: RestoreProgress) -> None:
        if (progress.finished or 0) >= after:
            raise KeyboardInterrupt

    out = video.with_name("out.mkv")
    with pytest.raises(KeyboardInterrupt):
        restorer.restore(video, out, options, on_progress=stop)
    assert not out.exists()
    assert len(recorded(work_folder(out))) == after
    return out


# ---- kills -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def killed(made, tmp_path_factory) -> list[dict[str, Any]]:
    """Every case of KILLS, after one that nothing ends: each in a process of its own."""
    folder = tmp_path_factory.mktemp("killed")
    save_weights(make_network(), folder / "tiny.safetensors")
    words = ["-", "-", *(word for place, signals, _ in KILLS for word in (place, signals))]
    command = [sys.executable, "-m", "tests.stress.killing", str(made), str(folder / "tiny.safetensors"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *words], capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    cases: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    return [{**case, "out": folder / f"{i:03d}" / "out.mkv"} for i, case in enumerate(cases)]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(KILLS)))
def test_a_run_ended_anywhere_goes_on_and_gives_the_uninterrupted_result(killed, made, number):
    whole, case = killed[0], killed[1 + number]
    place, signals, kept = KILLS[number]
    assert whole["first"]["segments"] == SEGMENTS
    first, then = case["first"], case["then"]
    codes = {"SIGKILL": (-9,), "SIGINT": (130,), "SIGTERM": (143,)}.get(signals, (130, 143))
    assert first["code"] in codes, first["said"]
    if place == "encode 3" and "Finishing the current segment" in first["said"]:
        kept = 1  # on a busy machine more than a moment has passed, and the segment is worth finishing
    assert case["kept"] == kept, first["said"]
    assert case["there"] == kept * A_SEGMENT
    if signals != "SIGKILL" and kept:
        assert f"{4 * kept}.0 s of the result are finished and kept; resume with: alanet restore " in first["said"]
    if place.startswith("tidy"):  # the result is there: it is reused, and what was left is tidied up
        assert then["code"] == 4
    else:
        assert then["code"] == 0, then["said"]
        assert then["segments"] == SEGMENTS - kept
        assert then["frames"] == whole["first"]["frames"][kept * A_SEGMENT :]  # bit for bit, before the encoder
        assert then["encodes"] <= FRAMES * (SEGMENTS - kept) / SEGMENTS + 5  # those before a window, and the estimate's
    assert case["files"] == ["out.mkv"]
    assert shown(case["out"]) == shown(whole["out"])
    assert sound(case["out"]) == sound(made)


# ---- what a run goes on with -----------------------------------------------------------------------------------------


def test_a_library_run_goes_on(restorer, video, whole):
    out = ended(restorer, video)
    before = restorer.runner.encodes
    plan = restorer.plan(video, out, LOSSLESS)
    assert plan.done == A_SEGMENT
    told: list[RestoreProgress] = []
    report = restorer.run(plan, on_progress=told.append)
    assert (report.frames_in, report.frames_out, report.earlier_out) == (24, 48, 16)
    assert any("16 restored frames" in line for line in report.notes.kept)
    assert restorer.runner.encodes - before <= 16 + 2 + 4  # the new frames, the window before them, the estimate
    assert shown(out) == whole
    assert not work_folder(out).exists()
    assert [p.frames_in for p in told] == sorted({p.frames_in for p in told})
    assert (told[0].frames_in, told[-1].frames_in) == (1, FRAMES)
    assert told[0].finished is None  # nothing in hand yet: an interruption need not wait
    assert told[-1].earlier_out == 16


def test_a_summary_counts_the_whole_run(restorer, video):
    untouched = replace(LOSSLESS, strength=0)
    out = ended(restorer, video, untouched)
    folder = work_folder(out)
    (segment,) = recorded(folder)
    assert (segment.untouched, segment.passed) == (A_SEGMENT // 2, 0)
    assert segment.seconds > 0
    rewrite(folder, [replace(segment, seconds=1000.0, passed=3, estimates=EstimateSums(5, 2))])
    report = restorer.restore(video, out, untouched)
    assert report.untouched == FRAMES + 1  # the last one is held
    assert (report.passed, report.estimates) == (3, EstimateSums(5, 2))
    assert 1000 < report.seconds < 1100
    assert [line for line in report.notes.warnings if line.startswith("3 restored frames (the first at 0.000 s)")]


def change_segment(folder: Path) -> None:
    path = folder / recorded(folder)[1].name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_segment(folder: Path) -> None:
    path = folder / recorded(folder)[1].name
    path.write_bytes(path.read_bytes()[:-1])


def lose_segment(folder: Path) -> None:
    (folder / recorded(folder)[1].name).unlink()


def tear_index(folder: Path) -> None:
    text = (folder / INDEX).read_text()
    (folder / INDEX).write_text(text[:-30])


def miscount(folder: Path) -> None:
    """A file that is what its digest says, and has a frame less than its entry says."""
    first, second = (json.loads(line) for line in (folder / INDEX).read_text().splitlines())
    second["frames"] += 1
    (folder / INDEX).write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")


@pytest.mark.parametrize("damage", [change_segment, cut_segment, lose_segment, tear_index, miscount])
def test_what_is_damaged_is_made_again(restorer, video, whole, damage: Callable[[Path], None]):
    out = ended(restorer, video, after=2)
    damage(work_folder(out))
    report = restorer.restore(video, out, LOSSLESS)
    assert report.earlier_out == A_SEGMENT
    assert any("made again" in line for line in report.notes.warnings) == (damage is not tear_index)
    assert shown(out) == whole


def test_changed_options_are_refused_by_name_and_restart_begins_anew(restorer, video, whole):
    out = ended(restorer, video)
    changed = {
        "codec was ffv1 and is x264": replace(LOSSLESS, encode=EncodeOptions(threads=1)),
        "tail was hold and is drop": replace(LOSSLESS, tail="drop"),
        "end was not given and is 9": replace(LOSSLESS, end=Fraction(9)),
    }
    for said, options in changed.items():
        with pytest.raises(OptionError, match=f"{said}.*restart=True to start over"):
            restorer.plan(video, out, options)
    other = Restorer(make_network(1), device="cpu", precision="fp32", memory=8 << 30)
    with pytest.raises(OptionError, match="weights was"):
        other.plan(video, out, LOSSLESS)
    assert len(recorded(work_folder(out))) == 1
    assert restorer.restore(video, out, replace(LOSSLESS, restart=True)).earlier_out == 0
    assert shown(out) == whole


def test_a_changed_input_is_refused(restorer, video):
    out = ended(restorer, video)
    status = video.stat()
    data = bytearray(video.read_bytes())
    data[-1] ^= 1
    video.write_bytes(data)
    os.utime(video, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(OptionError, match=r"the input is another \(its content differs"):
        restorer.plan(video, out, LOSSLESS)
    os.utime(video, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    with pytest.raises(OptionError, match=r"the input is another \(its modified differs"):
        restorer.plan(video, out, LOSSLESS)


def test_a_manifest_that_cannot_be_read_is_not_thrown_away(restorer, video):
    out = ended(restorer, video)
    (work_folder(out) / "job.json").write_text("{")
    with pytest.raises(OptionError, match="cannot be read"):
        restorer.plan(video, out, LOSSLESS)
    assert recorded(work_folder(out))


def test_what_auto_chose_first_is_kept(video, monkeypatch):
    monkeypatch.setattr("alanet.engine.precision.cpu_bf16", lambda: "AMX-BF16")
    first = Restorer(make_network(), device="cpu")
    monkeypatch.setattr(
        "alanet.restoration.plan.plan_tiles_for",
        lambda *_: plan_tiles(64, 64, halo=0, stride=32, max_tile_pixels=64 * 32),
    )
    out = ended(first, video)
    tiles = first.plan(video, out, LOSSLESS).tiles
    assert len(tiles) > 1
    monkeypatch.undo()
    monkeypatch.setattr("alanet.engine.precision.cpu_bf16", lambda: None)
    then = Restorer(make_network(), device="cpu")
    plan = then.plan(video, out, LOSSLESS)
    assert (then.precision, plan.precision, plan.tiles) == ("fp32", "bf16", tiles)
    assert then.run(plan).precision == "bf16"


def test_a_second_run_is_refused_while_the_first_works(restorer, video):
    out = ended(restorer, video)
    with lock_folder(work_folder(out), out), pytest.raises(OutputError, match="another run is writing it"):
        restorer.plan(video, out, LOSSLESS)
    restorer.plan(video, out, LOSSLESS)  # the lock is gone with who held it


def test_a_full_disk_keeps_what_is_finished(restorer, video, whole, monkeypatch, capsys, tmp_path):
    records = [0]
    original = writer.record  # type: ignore[attr-defined]

    def full(*arguments: Any) -> None:
        records[0] += 1
        if records[0] == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(*arguments)

    monkeypatch.setattr(writer, "record", full)
    save_weights(make_network(), tmp_path / "tiny.safetensors")
    out = video.with_name("out.mkv")
    words = ["restore", str(video), "-o", str(out), "--codec", "ffv1", "--precision", "fp32", "--threads", "1"]
    words += ["--model", str(tmp_path / "tiny.safetensors"), "--memory", "8G"]
    monkeypatch.setattr("sys.argv", ["alanet", *words])
    assert run(words) == 4
    said = capsys.readouterr().err.splitlines()[-1]
    assert "the disk is full" in said
    assert "4.0 s of the result are finished and kept; resume with: alanet restore" in said
    assert not any(path.name.startswith("00001") for path in work_folder(out).iterdir())  # its space is free again
    assert run(words) == 0
    assert len(shown(out)) == len(whole)
    assert not work_folder(out).exists()


def test_other_writers_do_not_throw_a_job_away(restorer, video):
    out = ended(restorer, video)
    plan = restorer.plan(video, out, LOSSLESS)
    with pytest.raises(OutputError, match="an interrupted run of it is kept"):
        open_writer(plan.output)
    assert recorded(work_folder(out))


def test_pictures_are_not_kept(restorer, video, tmp_path):
    plan = restorer.plan(video, tmp_path / "pictures", RestoreOptions(encode=EncodeOptions(codec="png")))
    assert plan.job is None


# ---- finish ----------------------------------------------------------------------------------------------------------


def test_finish_makes_a_playable_file_and_the_run_can_go_on(restorer, video, whole, capsys):
    out = ended(restorer, video)
    assert run(["finish", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["frames"], said["seconds"]) == (16, 4.0)
    assert shown(out) == whole[:16]
    heard = sound(out)
    assert heard == sound(video)[: len(heard)]
    assert 4.0 <= heard[-1][0] + 0.03 < 4.1  # up to there, and not beyond
    with pytest.raises(OutputError, match="exists already"):
        restorer.plan(video, out, LOSSLESS)
    over = replace(LOSSLESS, encode=replace(LOSSLESS.encode, overwrite=True))
    assert restorer.restore(video, out, over).earlier_out == 16
    assert shown(out) == whole


def test_finish_refuses_what_it_cannot_and_discards_when_asked(restorer, video):
    with pytest.raises(OptionError, match="no interrupted run of it is kept"):
        finish(video.with_name("other.mkv"))
    out = ended(restorer, video)
    with lock_folder(work_folder(out), out), pytest.raises(OutputError, match="another run is writing it"):
        finish(out)
    (work_folder(out) / INDEX).rename(video.with_name("aside"))
    with pytest.raises(OptionError, match="not one segment"):
        finish(out)
    video.with_name("aside").rename(work_folder(out) / INDEX)
    os.utime(video)
    with pytest.raises(OptionError, match="has changed since"):
        finish(out)
    os.utime(video, ns=(0, json.loads((work_folder(out) / "job.json").read_text())["input"]["modified"]))
    finish(out, discard=True)
    assert sorted(path.name for path in video.parent.iterdir()) == ["in.mp4", "out.mkv"]
