"""`alanet data`: its verbs as a person runs them, and the poor video against eq. 7."""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from alanet.cli import run
from alanet.cli.progress import counting_line, progress
from alanet.cli.screen import Screen
from alanet.data.demo import BlurOptions, blur_video
from alanet.errors import AlanetError, DataError, OptionError, OutputError
from alanet.frames.exposure import Exposure, expose
from alanet.restoration.options import EncodeOptions
from alanet.restoration.values import parse_size
from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from tests.support.made_rife import write_rife
from tests.support.media import Track, make_video
from tests.support.witness import ffprobe

ROOT = Path(__file__).parents[2]
LOSSLESS = EncodeOptions(codec="ffv1")


def pan(count: int, seed: int = 0, light: float = 0.5) -> list[np.ndarray]:
    """64x32, one pixel a frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-0.2, 0.2, (6, (64 + count) // 8 + 2, 3)) + light
    full = np.asarray(coarse).repeat(8, axis=0).repeat(8, axis=1)
    return [np.rint(full[:32, k : k + 64] * 255).astype(np.uint8) for k in range(count)]


def sharp_video(path: Path, frames: list[np.ndarray], rate: Fraction | int = 240, **more: object) -> Path:
    return make_video(path, frames=frames, rate=rate, codec="ffv1", pix_fmt="bgr0", **more)


def shown(path: Path) -> tuple[np.ndarray, list[Fraction]]:
    frames = list(decode(probe(path)))
    return np.stack([frame.pixels[..., :3] for frame in frames]), [frame.time for frame in frames]


def tell(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = run([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out, told.err


# --- blur -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "linear"),
    [(BlurOptions(seed=3), False), (BlurOptions(Exposure(5, 4), 1.0, linear=True, factor=4), True)],
)
def test_the_poor_video_is_eq_7_and_its_truth_the_sharp_frames(tmp_path, options, linear):
    frames = pan(60)
    source = sharp_video(tmp_path / "sharp.mkv", frames)
    report = blur_video(source, tmp_path / "poor.mkv", options, LOSSLESS)
    listed = json.loads(report.list.read_text())
    blurred = [row["blurred"] for row in listed["frames"]]
    sharp = np.stack(frames).astype(np.float32).transpose(0, 3, 1, 2) / 255
    made = expose(sharp, options.exposure, blurred, factor=options.factor, linear=linear)
    poor, truth = shown(report.poor)[0], shown(report.truth)[0]
    assert np.abs(poor - made.clip.transpose(0, 2, 3, 1) * 255).max() <= (1 if linear else 0.01)
    assert np.array_equal(truth, np.rint(made.truth.transpose(0, 2, 3, 1) * 255))
    assert report.frames == len(poor) == options.exposure.available(60)
    assert report.blurred == sum(blurred)
    assert [row["sharp_frame"] for row in listed["frames"]] == [options.exposure.centre(i) for i in range(len(poor))]
    assert (listed["exposure"], listed["period"]) == (options.exposure.frames, options.exposure.period)


def test_times_are_exact_and_all_three_videos_keep_one_time_line(tmp_path):
    source = make_video(tmp_path / "sharp.mp4", frames=pan(60), rate=240, start=Fraction(1, 2),
                        audio=Track(seconds=0.25, start=Fraction(1, 2)))  # fmt: skip
    report = blur_video(source, tmp_path / "poor.mp4", BlurOptions(seed=1))
    assert shown(report.poor)[1] == [Fraction(k, 30) for k in range(7)]
    assert shown(report.truth)[1] == [Fraction(k, 60) for k in range(13)]
    assert [row["time"] for row in json.loads(report.list.read_text())["frames"]] == [
        str(Fraction(k, 30)) for k in range(7)
    ]
    for path, rate in ((report.poor, "30/1"), (report.truth, "60/1")):
        streams = {one["codec_type"]: one for one in ffprobe(path)["streams"]}
        assert streams["video"]["avg_frame_rate"] == rate
        assert float(streams["audio"]["duration"]) == pytest.approx(0.25 - 5 / 240, abs=0.005)  # cut with the picture
    ntsc = make_video(tmp_path / "ntsc.mp4", frames=pan(30), rate=Fraction(240000, 1001))
    report = blur_video(ntsc, tmp_path / "poor_ntsc.mp4")
    assert shown(report.poor)[1] == [Fraction(k * 1001, 30000) for k in range(3)]


def test_slow_video_becomes_a_poor_one_that_says_what_it_stands_for(tmp_path):
    source = make_video(tmp_path / "slow.mp4", frames=pan(40), rate=24, audio=Track(seconds=1.6))
    report = blur_video(source, options=BlurOptions(assume_rate=Fraction(120)))
    assert report.poor == tmp_path / "slow_poor.mp4"
    assert report.truth == tmp_path / "slow_poor_truth.mp4"
    assert report.list == tmp_path / "slow_poor.json"
    assert shown(report.poor)[1] == [Fraction(k, 15) for k in range(4)]
    assert any("24 fps is no high-rate video: its frames are taken as if 120 fps" in x for x in report.notes.warnings)
    assert any("sound" in line for line in report.notes.left_out)
    assert not any("audio" in line for line in report.notes.kept)
    assert [one["codec_type"] for one in ffprobe(report.poor)["streams"]] == ["video"]


def test_no_exposure_spans_a_cut(tmp_path):
    dark, bright = pan(40, light=0.25), pan(40, 1, light=0.75)
    source = sharp_video(tmp_path / "cut.mkv", [*dark, *bright])
    report = blur_video(source, tmp_path / "poor.mkv", BlurOptions(probability=1.0), LOSSLESS)
    means = shown(report.poor)[0].mean(axis=(1, 2, 3)) / 255
    assert all(abs(mean - 0.25) < 0.1 or abs(mean - 0.75) < 0.1 for mean in means)
    rows = json.loads(report.list.read_text())["frames"]
    at_cut = [row["sharp_frame"] for row in rows if row.get("at_cut")]
    assert at_cut == [37]
    assert [row["sharp_frame"] for row in rows if not row["blurred"]] == at_cut


def test_a_seed_is_a_choice_of_blurry_frames(tmp_path):
    source = sharp_video(tmp_path / "sharp.mkv", pan(120))

    def chosen(**options: object) -> list[bool]:
        report = blur_video(source, tmp_path / "poor.mkv", BlurOptions(**options),
                            EncodeOptions(codec="ffv1", overwrite=True))  # fmt: skip
        return [row["blurred"] for row in json.loads(report.list.read_text())["frames"]]

    assert chosen(seed=1) == chosen(seed=1) != chosen(seed=2)
    assert set(chosen(probability=0.0)) == {False}
    assert set(chosen(probability=1.0)) == {True}


def test_what_cannot_be_blurred_leaves_nothing_behind(tmp_path):
    short = sharp_video(tmp_path / "short.mkv", pan(10))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"has fewer than 11 frames, the exposure; give a longer video"):
        blur_video(short, tmp_path / "poor.mkv")
    assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(OptionError, match="do not go to standard output"):
        blur_video(short, Path("-"))
    (tmp_path / "poor.json").touch()
    with pytest.raises(OutputError, match=r"poor.json: exists already; --overwrite replaces it"):
        blur_video(short, tmp_path / "poor.mkv")
    for options in ({"probability": 1.5}, {"assume_rate": Fraction(30)}, {"factor": 3}):
        with pytest.raises(AlanetError, match="allowed: "):
            BlurOptions(**options)


# --- the verbs ------------------------------------------------------------------------------------------------------


def test_build_tells_what_it_did_and_what_it_skipped(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(2):
        sharp_video(folder / f"{k}.mkv", pan(40, k))
    sharp_video(folder / "slow.mkv", pan(40, 5), 30)
    words = ("data", "build", folder, "-o", tmp_path / "out", "--size", "64x32", "--test", "0.5")
    code, out, err = tell(capsys, *words, "--json")
    assert code == 3, "one of the files could not be used"
    report = json.loads(out)
    assert report["videos"] == {"0.mkv": "test", "1.mkv": "train"} or report["videos"] == {
        "0.mkv": "train", "1.mkv": "test",
    }  # fmt: skip
    assert (report["frames"], report["runs"], report["reused"]) == (80, 2, 0)
    assert list(report["skipped"]) == ["slow.mkv"]
    for words_told in ("2 usable videos", "1 train, 1 test", "80 frames, about 501 kB on disk", "slow.mkv: has 30 fps",
                       str(tmp_path / "out/sheet.png")):  # fmt: skip
        assert words_told in err
    Image.open(report["sheet"]).verify()
    code, out, err = tell(capsys, *words, "--assume-rate", "240", "-q", "--json")
    assert code == 2
    assert err.count("\n") == 1
    assert "built with assume_rate None; give the same options" in err
    (folder / "slow.mkv").unlink()
    code, out, err = tell(capsys, *words)
    assert code == 0
    assert out == ""
    assert "2 videos verified, not done again" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_build_says_that_it_goes_on(number, code, tmp_path):
    (tmp_path / "in").mkdir()
    for k in range(2):
        sharp_video(tmp_path / f"in/{k}.mkv", pan(40, k))
    # Stands in for a person: a signal once the first video is in the manifest.
    program = f"""
import os, signal, sys
import alanet.data.real.build as build
from alanet.cli import main
store = build._store
def interrupted(one, *rest):
    if one.source.name == "1.mkv":
        os.kill(os.getpid(), {int(number)})
    return store(one, *rest)
build._store = interrupted
sys.argv = ["alanet", "data", "build", "in", "-o", "out", "--size", "64x32", "-q"]
main()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True,
                          text=True, timeout=120)  # fmt: skip
    assert done.returncode == code, done.stderr
    assert done.stderr == "alanet: stopped; finished work is kept, and the same command resumes it\n"
    assert [one["name"] for one in json.loads((tmp_path / "out/data.json").read_text())["videos"]] == ["0.mkv"]
    assert [path.name[:5] for path in (tmp_path / "out/runs").iterdir()] == ["0.mkv"]


def test_build_takes_lists(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for k in range(3):
        sharp_video(tmp_path / f"in/{k}.mkv", pan(40, k))
    (tmp_path / "test.txt").write_text("2\n")
    (tmp_path / "val.txt").write_text("0.mkv\n")
    code, out, _ = tell(capsys, "data", "build", tmp_path / "in", "-o", tmp_path / "out", "--size", "64x32", "--json",
                        "--test-list", tmp_path / "test.txt", "--val-list", tmp_path / "val.txt")  # fmt: skip
    assert code == 0
    assert json.loads(out)["videos"] == {"0.mkv": "val", "1.mkv": "train", "2.mkv": "test"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("build", "none", "-o", "out"), "none: no such folder"),
        (("build", ".", "-o", "out"), "nothing usable"),
        (("build", ".", "-o", "out", "--size", "640"), "write it as 640x352"),
        (("build", ".", "-o", "out", "--size", "640x360"), "multiples of 32"),
        (("blur", "none.mp4"), "no such file"),
        (("blur", "none.mp4", "--exposure", "10"), "odd numbers"),
        (("scenes", "none", "-o", "out"), "no folder of stills"),
    ],
)
def test_failure_is_one_line_and_exit_code_2(words, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, err = tell(capsys, "data", *words, "-q")
    assert code == 2
    assert line in err
    assert (err.count("\n"), out) == (1, "")
    assert not list(tmp_path.iterdir())


def test_blur_writes_three_files_beside_the_source(tmp_path, capsys):
    source = sharp_video(tmp_path / "sharp.mkv", pan(60))
    code, out, err = tell(capsys, "data", "blur", source, "--codec", "ffv1", "--json")
    assert code == 0
    report = json.loads(out)
    assert (report["frames"], report["truth_frames"]) == (7, 13)
    assert {path.name for path in tmp_path.iterdir()} == {
        "sharp.mkv", "sharp_poor.mkv", "sharp_poor_truth.mkv", "sharp_poor.json",
    }  # fmt: skip
    assert "240 fps → 30 fps, truth 60 fps" in err
    assert tell(capsys, "data", "blur", source)[0] == 4, "nothing is overwritten unasked"
    assert tell(capsys, "data", "blur", source, "--overwrite", "-q", "--preset", "ultrafast") == (0, "", "")


def test_scenes_are_rendered_into_a_bank_with_a_sheet(tmp_path, capsys):
    stills = tmp_path / "stills"
    stills.mkdir()
    for k in range(12):
        coarse = np.random.default_rng(k).integers(0, 256, (12, 12, 3), np.uint8)
        Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC).save(stills / f"{k}.png")
    words = ("data", "scenes", stills, "-o", tmp_path / "bank", "--size", "32x32", "--workers", "1", "--period", "2",
             "--longest", "3", "--t", "4", "--json")  # fmt: skip
    code, out, err = tell(capsys, "data", "scenes", stills, "-o", tmp_path / "bank", "--workers", "5000")
    assert (code, out) == (2, "")
    assert "--workers 5000 is not a whole number from 1 to" in err
    code, out, err = tell(capsys, *words, "--scenes", "3")
    assert code == 0, err
    assert json.loads(out)["scenes"] == 3
    assert np.load(tmp_path / "bank/sharp-0000.npy").shape == (3, 9, 32, 32, 3)
    assert np.asarray(Image.open(tmp_path / "bank/sheet.png")).std() > 10
    assert json.loads(tell(capsys, *words, "--scenes", "4")[1])["scenes"] == 4


@pytest.fixture
def local_ray(monkeypatch) -> Iterator[None]:
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    yield
    ray.shutdown()
    gc.collect()  # what Ray leaves open is closed here, and not in another test


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_sets_of_a_cluster_are_those_of_one_machine(local_ray, tmp_path, capsys):
    (tmp_path / "stills").mkdir()
    for k in range(12):
        coarse = np.random.default_rng(k).integers(0, 256, (12, 12, 3), np.uint8)
        Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC).save(tmp_path / f"stills/{k}.png")
    (tmp_path / "in").mkdir()
    for k in range(3):
        sharp_video(tmp_path / f"in/{k}.mkv", pan(40, seed=k))
    (tmp_path / "in/bad.mkv").write_bytes(b"no video" * 100)
    scenes = ("data", "scenes", tmp_path / "stills", "--size", "32x32", "--period", "2", "--longest", "3", "--t", "4",
              "--scenes", "4", "-q")  # fmt: skip
    build = ("data", "build", tmp_path / "in", "--size", "64x32", "-q")
    for number, how in enumerate((["--workers", "1"], ["--cluster"])):
        out = tmp_path / f"{number}"
        assert tell(capsys, *scenes, "-o", out / "bank", *how)[0] == 0
        assert tell(capsys, *build, "-o", out / "set", *(how if number else ()))[0] == 3  # a video is damaged
    files = [{path.relative_to(top): path.read_bytes() for path in top.rglob("*.npy")} for top in (tmp_path / "0", out)]
    assert len(files[0]) == 3 + 3
    assert files[0] == files[1]
    manifests = [json.loads((tmp_path / top / "set/data.json").read_text()) for top in "01"]
    assert manifests[0] == manifests[1]


def test_the_motion_of_a_set_is_estimated_once(tmp_path, capsys):
    module, weights = write_rife(tmp_path)
    (tmp_path / "in").mkdir()
    sharp_video(tmp_path / "in/a.mkv", pan(40))
    assert (
        tell(capsys, "data", "build", tmp_path / "in", "-o", tmp_path / "set", "--size", "64x32", "--test", 0)[0] == 0
    )
    words = ["--rife-module", module, "--rife-weights", weights]
    code, _, err = tell(capsys, "data", "motion", tmp_path / "set", *words)
    assert code == 0
    assert "8 pairs" in err
    (file,) = (tmp_path / "set/motion").iterdir()
    flows = np.load(file)
    assert flows.shape == (8, 2, 2, 8, 16)
    assert flows[:, 0, 0].std() > 0.01
    assert np.allclose(flows[:, :, 1], 2 * flows[:, :, 0], rtol=1e-3)
    before = file.stat().st_mtime_ns
    assert json.loads(tell(capsys, "data", "motion", tmp_path / "set", *words, "--json")[1])["pairs"] == 8
    assert file.stat().st_mtime_ns == before, "what is done is not done again"
    code, _, err = tell(capsys, "data", "motion", tmp_path / "set", *words, "--period", 16, "-q")
    assert (code, err.count("\n")) == (2, 1)
    assert "motion of another teacher or period" in err


def test_the_group_shows_its_verbs_and_is_instant():
    code = (
        "import sys\nsys.argv = ['alanet', 'data', 'build', '--help']\nfrom alanet.cli import main\n"
        "try:\n    main()\nfinally:\n    assert not {'torch', 'av', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, "COLUMNS": "100"}, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for word in ("--assume-rate", "--size", "--test-list", "FOLDER"):
        assert word in done.stdout


def test_progress_is_shown_with_the_time_left_and_any_name():
    assert counting_line(1200, 9000, "a.mp4", 15.0) == "1,200 of 9,000   80.0 a second   1:38 left   a.mp4"
    assert counting_line(12, 9, "", 2.0) == "12   6.0 a second", "files may state too few frames"
    assert counting_line(0, None, "a\n.mp4", 0.0) == "0   a\\n.mp4"
    for terminal in (True, False):
        page = io.StringIO()
        screen = Screen(console=Console(file=page, force_terminal=terminal, width=120))
        with progress(screen, "building") as show:
            show(1, 2, "[/red] [bold]x")
        assert not terminal or "[/red] [bold]x" in page.getvalue()


def test_a_size_is_a_width_and_a_height():
    assert parse_size("640x352") == (640, 352)
    for text in ("640", "x", "0x32", "-1x2", "640x352x3"):
        with pytest.raises(OptionError, match="; write it as 640x352"):
            parse_size(text)
