"""The command line: what it costs to ask for help, how faults are told, and that each verb does its job."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from alanet.cli import describe_error, plain_words, run
from alanet.cli import progress as progress_module
from alanet.cli.restore import free_path
from alanet.errors import AlanetError, OptionError, OutputError, ResourceError
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.weights import available_models, save_weights
from alanet.signals import Terminated, deferred_signals
from tests.support.media import Track, make_video, make_y4m
from tests.support.witness import ffprobe, times

ROOT = Path(__file__).parents[2]


def alanet(*arguments: str | Path, cwd: Path | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    """The program as a person runs it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "alanet", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, **more)


# --- words ----------------------------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from alanet.cli import run\n"
        "try: run(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print('heavy:', sorted({'torch', 'av', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    for words in (["--help"], ["restore", "--help"], ["info", "--help"], ["preview", "--help"], ["doctor", "--help"]):
        done = subprocess.run([sys.executable, "-c", script, *words], cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.strip().endswith("heavy: []"), done.stdout[-300:] + done.stderr
        assert "Usage: alanet" in done.stdout
        assert "130 Ctrl-C" in done.stdout  # exit codes are documented


def test_a_file_named_like_an_option_is_a_file_when_it_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert plain_words(["restore", "-rf.mp4"]) == ["restore", "-rf.mp4"]
    Path("-rf.mp4").touch()
    assert plain_words(["restore", "-rf.mp4", "-v"]) == ["restore", "./-rf.mp4", "-v"]
    assert plain_words(["restore", "-", "-o", "-"]) == ["restore", "/dev/stdin", "-o", "-"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["restor"], 'Did you mean "restore"?'),
        (["restore", "--crff", "3"], "Did you mean --crf?"),
        (["restore", "a.mp4", "b.mp4"], "unexpected arguments: b.mp4. Give one video at a time, or --cluster."),
        (["restore", "a.mp4", "--device", "tpu"], "--device"),
        (["restore", "a.mp4", "--crf", "good"], "--crf"),
        (["restore", "a.mp4", "-o", "-", "--json"], "both need standard output"),
        (["restore", "a.mp4", "--start", "soon"], "time 'soon' is not a moment"),
        (["restore", "a.mp4", "--fps", "fast"], "fast"),
    ],
)
def test_a_slip_of_the_keyboard_is_one_line_and_exit_code_2(words, said, capsys):
    assert run(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("alanet: ")
    assert err.count("\n") == 1
    assert said in err


def test_a_terminal_is_not_sent_a_video(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run(["restore", "a.mp4", "-o", "-"]) == 2
    assert "standard output is a terminal" in capsys.readouterr().err


def test_a_report_that_nobody_reads_is_no_traceback():
    command = [sys.executable, "-m", "alanet", "models"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=ROOT)
    os.close(writer)
    assert (done.returncode, done.stderr) == (4, b"")


def test_every_failure_has_its_exit_code():
    codes = {OptionError: 2, OutputError: 4, ResourceError: 5, AlanetError: 1, KeyboardInterrupt: 130, MemoryError: 5}
    assert {kind: describe_error(kind("x"))[1] for kind in codes} == codes
    line, code = describe_error(ZeroDivisionError("division\nby zero"))
    assert code == 1
    assert line.endswith("ZeroDivisionError: division by zero")


# --- verbs ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A network small enough for tests, which returns its input (nothing is learnt yet)."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(ALANet(ALANetConfig(width=0.125, residual=True)), path)
    return path


def small(weights: Path) -> list[str]:
    """The options that make a run cheap."""
    return ["--model", str(weights), "--precision", "fp32"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """8 frames at 25 fps with a cut before the fourth and a sound; the sixth repeats the fifth."""
    dark, bright = (np.full((64, 96, 3), value, np.uint8) for value in (20, 220))
    dark[:, ::8], bright[::8] = 90, 120
    pictures = [dark, dark + 1, dark + 2, bright, bright + 1, bright + 1, bright + 2, bright + 3]
    path = tmp_path_factory.mktemp("clips") / "a 100%\nday.mp4"
    return make_video(path, frames=pictures, rate=25, audio=Track(seconds=0.32), options={"qp": "0"})


def test_info_shows_what_is_there(clip, weights, capsys):
    assert run(["info", str(clip), *small(weights)]) == 0
    shown = capsys.readouterr().out
    facts = (
        "a 100%\\nday.mp4",
        "96x64, 25 fps, 0.3 s, h264",
        "untagged, taken as smpte170m, tv range",
        "aac, 48000 Hz",
    )
    for said in (*facts, "8 frames from 0:00.0 to 0:00.3", "1 cut at 0:00.1; 1 duplicate frame", "about "):
        assert said in shown
    lines = shown.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  blur"))
    track = lines[at].split()[1]
    assert len(track) == 8
    assert lines[at + 1].index("^") == lines[at].index(track) + 3  # the cut is marked below its frame


def test_info_as_json(clip, weights, capsys):
    assert run(["info", str(clip), "--model", str(weights), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["frames"], said["cuts"], said["duplicates"]) == (8, [0.12], 1)
    assert (said["width"], said["height"], said["rate"], said["variable_rate"]) == (96, 64, "25", False)
    assert said["estimate_seconds"] > 0
    assert run(["info", str(clip), "--quick", "--json"]) == 0
    assert "frames" not in json.loads(capsys.readouterr().out)


def test_info_shows_its_progress_and_draws_a_timeline(clip, weights, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    bar = progress_module._bar
    monkeypatch.setattr(progress_module, "_bar", lambda screen, what: bar(screen, what, 0.0, at_once=True))
    target = tmp_path / "timeline.png"
    assert run(["info", str(clip), *small(weights), "--plot", str(target)]) == 0
    err = capsys.readouterr().err
    assert "looking at frames: 7 of 8" in err
    assert str(target) in err
    with Image.open(target) as picture:
        assert picture.size[0] > 600
    assert run(["info", str(clip), "--quick", "--plot", str(target)]) == 2
    for refused in (target, tmp_path / "timeline.jpg"):
        assert run(["info", str(clip), *small(weights), "--plot", str(refused)]) == 4
        assert "looking at frames" not in capsys.readouterr().err  # before the video is read


def test_restore_says_what_it_does_and_where_the_result_is(clip, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip, "-rf.mp4")
    assert run(["restore", "-rf.mp4", *small(weights)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    result = tmp_path / "-rf_x2.mp4"
    for said in ("96x64, 25 fps", "50 fps", "about ", "8 frames in, 16 out", "1 cut, 1 duplicate frame", str(result)):
        assert said in err
    assert "Traceback" not in err
    assert times(result) == [Fraction(n, 50) for n in range(16)]
    assert run(["restore", "-q", *small(weights), "--overwrite", "--json", "--", "-rf.mp4"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    said = json.loads(out)
    assert (said["output"], said["frames_in"], said["frames_out"], said["cuts"]) == (str(result), 8, 16, 1)


def test_a_start_beyond_the_end_is_refused_in_one_line(clip, weights, capsys):
    assert run(["restore", str(clip), *small(weights), "--start", "100"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no frame is shown from 100 s to the end" in line


def test_standard_output_carries_the_video_and_nothing_else(weights, tmp_path):
    make_y4m(tmp_path / "in.y4m", frames=5)
    command = [sys.executable, "-m", "alanet", "restore", "-", "-o", "-", *small(weights)]
    with (tmp_path / "in.y4m").open("rb") as source:
        done = subprocess.run(command, stdin=source, capture_output=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"YUV4MPEG2 ")
    assert done.stdout.count(b"FRAME") == 10
    assert b"standard output" in done.stderr


def test_a_reader_that_goes_away_is_no_traceback(weights, tmp_path):
    make_y4m(tmp_path / "in.y4m", frames=20, size=(320, 192))
    command = [sys.executable, "-m", "alanet", "restore", str(tmp_path / "in.y4m"), "-o", "-", *small(weights)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        process.stdout.read(100)
        process.stdout.close()
        err = process.stderr.read().decode()
    assert process.returncode == 4, err
    assert "Traceback" not in err
    assert "Exception" not in err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_interruption_stops_now_and_leaves_nothing_behind(number, code, weights, tmp_path):
    """Before the first segment is finished; what a later one leaves to go on with: test_resume.py."""
    source = make_video(tmp_path / "long.mp4", frames=400, size=(160, 96))
    command = [sys.executable, "-m", "alanet", "restore", str(source), *small(weights)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) == 1 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        err = ""
        for line in map(bytes.decode, process.stderr):
            err += line
            if "Press Ctrl-C again" in line:  # not told where nothing is in hand yet
                process.send_signal(number)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("alanet: ")
    assert list(tmp_path.iterdir()) == [source]


def sound_only(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=48000, layout="mono")
        for start in range(0, 8192, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 48000, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def kill(*numbers: signal.Signals, wait: float = 0.0) -> None:
    """Signals to ourselves while files are written; then, unless one has raised already, the next safe place."""
    with deferred_signals() as safe_place:
        for number in numbers:
            os.kill(os.getpid(), number)
        time.sleep(wait)
        reached.append(numbers)
        safe_place()


reached: list[tuple[signal.Signals, ...]] = []


def test_a_signal_waits_for_a_safe_place_but_neither_twice_nor_for_ever(monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    reached.clear()
    with pytest.raises(KeyboardInterrupt):
        kill(signal.SIGINT)
    with pytest.raises(Terminated):
        kill(signal.SIGTERM)
    assert reached == [(signal.SIGINT,), (signal.SIGTERM,)]
    with pytest.raises(Terminated):
        kill(signal.SIGINT, signal.SIGTERM)
    monkeypatch.setattr("alanet.signals.PATIENCE", 0.05)
    with pytest.raises(KeyboardInterrupt):
        kill(signal.SIGINT, wait=10)  # an input that has stalled
    assert len(reached) == 2
    assert signal.getsignal(signal.SIGINT) is before


def refusals(folder: Path, clip: Path) -> dict[str, tuple[list[str], int, str]]:
    """Commands that cannot work, with the exit code and a word of the line that says so. Makes their files."""
    shutil.copy(clip, folder / "in.mp4")
    (folder / "empty.mp4").touch()
    (folder / "words.mp4").write_text("not a video " * 50)
    (folder / "list.mp4").write_text("ffconcat version 1.0\nfile in.mp4\n")
    (folder / "there.mp4").write_bytes(b"mine")
    (folder / "alias.mp4").symlink_to(folder / "in.mp4")
    sound_only(folder / "sound.m4a")
    return {
        "missing file": (["restore", "nowhere.mp4"], 2, "nowhere.mp4"),
        "missing file, asked about": (["info", "nowhere.mp4"], 2, "nowhere.mp4"),
        "empty": (["restore", "empty.mp4"], 2, "empty.mp4"),
        "not a video": (["restore", "words.mp4"], 2, "words.mp4"),
        "playlist": (["restore", "list.mp4"], 2, "list.mp4"),
        "sound only": (["restore", "sound.m4a"], 2, "sound.m4a"),
        "missing folder": (["restore", "in.mp4", "-o", "no/out.mp4"], 4, "no"),
        "existing output": (["restore", "in.mp4", "-o", "there.mp4"], 4, "--overwrite"),
        "output is input": (["restore", "in.mp4", "-o", "in.mp4", "--overwrite"], 4, "in.mp4"),
        "output links to input": (["restore", "in.mp4", "-o", "alias.mp4", "--overwrite"], 4, "alias.mp4"),
        "codec and container": (["restore", "in.mp4", "-o", "out.webm"], 4, "WebM"),
        "unknown model": (["restore", "in.mp4", "--model", "best"], 2, "best"),
        "end before start": (["restore", "in.mp4", "--start", "2", "--end", "1"], 2, "end"),
        "another rate": (["restore", "in.mp4", "--fps", "x3"], 2, "x3"),
        "no threads": (["restore", "in.mp4", "--threads", "0"], 2, "threads"),
        "a moment past the end": (["preview", "in.mp4", "--at", "9"], 2, "9"),
        "a picture of no kind": (["preview", "in.mp4", "-o", "out.jpg"], 2, ".png"),
        "existing picture": (["preview", "in.mp4", "-o", "there.mp4", "--video"], 4, "--overwrite"),
    }


def test_what_cannot_work_is_one_line_an_exit_code_and_leaves_nothing(clip, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cases = refusals(tmp_path, clip)
    if not torch.cuda.is_available():
        cases["no such device"] = (["restore", "in.mp4", "--device", "cuda"], 5, "cuda")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name, (words, code, said) in cases.items():
        chosen = [] if "--model" in words else small(weights)
        assert run([*words, *chosen]) == code, f"{name}: {capsys.readouterr().err}"
        out, err = capsys.readouterr()
        assert out == "", name
        assert err.startswith("alanet: "), f"{name}: {err}"
        assert err.count("\n") == 1, f"{name}: {err}"
        assert said in err, f"{name}: {err}"
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before, name


def test_a_traceback_is_shown_to_who_asks(capsys):
    assert run(["info", "nowhere.mp4", "-v"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_preview_shows_the_moment_before_and_after(clip, weights, tmp_path, capsys):
    target = tmp_path / "look.png"
    words = ["preview", str(clip), "--at", "0.17", "-o", str(target), "--model", str(weights), "--json"]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["output"] == str(target)
    sheet = np.asarray(Image.open(target))
    assert sheet.shape == (64 + 16, 3 * 96 + 2 * 4, 3)
    before, after, difference = (sheet[16:, left : left + 96].astype(int) for left in (0, 100, 200))
    assert abs(before[4::8] - 221).max() <= 3  # the fifth frame, at 0.16 s, of a network that changes nothing
    assert abs(after - before).max() <= 1
    assert (difference == 128).all()
    assert sheet[:16, :96].max() > 200  # the label


def test_a_preview_video_is_both_side_by_side(clip, weights, tmp_path):
    target = tmp_path / "look.mp4"
    assert run(["preview", str(clip), "--video", "--at", "0", "-o", str(target), *small(weights)]) == 0
    picture = next(s for s in ffprobe(target)["streams"] if s["codec_type"] == "video")
    assert (picture["width"], picture["height"]) == (2 * 96 + 4, 64 + 16)
    assert times(target) == [Fraction(n, 50) for n in range(16)]
    with av.open(str(target)) as made:
        strips = [frame.to_ndarray(format="gray")[:16, 100:].astype(int) for frame in made.decode(video=0)]
    assert abs(strips[0] - strips[1]).max() > 40  # deblurred at 0.000 s, interpolated at 0.020 s


def test_a_preview_can_be_an_animation_with_the_same_times(clip, weights, tmp_path):
    target = tmp_path / "p.webp"
    assert run(["preview", str(clip), "--video", "--at", "0", "-o", str(target), *small(weights)]) == 0
    lasts = []
    with Image.open(target) as animation:
        assert animation.size == (2 * 96 + 4, 64 + 16)
        for k in range(animation.n_frames):  # type: ignore[attr-defined]
            animation.seek(k)
            animation.load()
            lasts.append(animation.info["duration"])
    assert sum(lasts) == 320  # pictures that hardly differ are joined into one
    assert len(lasts) > 1
    assert not any(lasted % 20 for lasted in lasts)
    assert [path.name for path in tmp_path.iterdir() if "webp" in path.name] == ["p.webp"]


def test_models_lists_the_catalogue(capsys):
    cards = available_models()
    assert run(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["models"]
    assert [row["name"] for row in listed] == list(cards)
    for row in listed:
        assert hashlib.sha256(Path(row["path"]).read_bytes()).hexdigest() == row["sha256"]
    assert run(["models"]) == 0
    shown = capsys.readouterr().out
    for card in cards.values():
        assert card.name in shown
        assert card.sha256 in shown


def test_a_doctor_that_finds_a_fault_says_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("tempfile.TemporaryDirectory", lambda **_: 1 / 0)
    assert run(["doctor"]) == 5
    out, err = capsys.readouterr()
    assert "ZeroDivisionError" in out
    assert "alanet: not in order: temporary folder" in err


def test_the_sample_can_be_tried_twice(tmp_path):
    wanted = tmp_path / "bikes_x2.mp4"
    assert free_path(wanted) == wanted
    wanted.touch()
    assert free_path(wanted) == tmp_path / "bikes_x2_2.mp4"


@pytest.mark.slow
def test_without_a_video_the_sample_is_restored(weights, tmp_path):
    done = alanet("restore", *small(weights), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = tmp_path.iterdir()
    assert str(result) in done.stderr
    assert len(times(result)) == 122


def test_without_gradio_the_page_is_one_line_with_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["alanet.cli.web"], "find_spec", lambda name: None)
    assert run(["web"]) == ResourceError.exit_code
    assert capsys.readouterr().err == (
        'alanet: alanet web needs Gradio, which is not installed; install it with: pip install "alanet[web]"\n'
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "/etc/passwd"], "is not one that the page offers"),
        (["--auth", "nobody"], "auth is not USER:PASSWORD"),
        (["--port", "70000"], "port 70000 is not a number from 0 to 65535"),
        (["--max-size", "big"], "'big' is not a size"),
    ],
)
def test_a_wrong_option_of_the_server_is_one_line(words, said, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["alanet.cli.web"], "find_spec", lambda name: True)
    assert run(["web", *words]) == 2
    assert said in capsys.readouterr().err
