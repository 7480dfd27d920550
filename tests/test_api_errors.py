"""Wrong calls of the public API end in one clear line of the right class, which names Python arguments."""

import io
import subprocess
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

import alanet
from tests.support.media import make_video, picture

FRAME = picture(0)  # 48 64 3, uint8
READER = io.BufferedReader(io.BytesIO(b"video"))
TEXT = io.TextIOWrapper(io.BytesIO(b"\xff"))
Call = Callable[[alanet.Restorer], Any]


def tiny() -> alanet.ALANet:
    torch.manual_seed(0)
    return alanet.ALANet(alanet.ALANetConfig(width=0.125, residual=True))


@pytest.fixture(scope="module")
def restorer() -> alanet.Restorer:
    return alanet.Restorer(tiny(), device="cpu", precision="fp32", memory=8 << 30)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "in.mp4", frames=3)
    (tmp_path / "words.mp4").write_text("not a video " * 50)
    (tmp_path / "there.mp4").write_bytes(b"mine")
    return tmp_path


def forward(shape: tuple[int, ...], times: Any, **kind: Any) -> Any:
    return tiny()(torch.zeros(*shape, **kind), times)


def closed() -> io.BytesIO:
    handle = io.BytesIO(b"video")
    handle.close()
    return handle


WRONG: dict[str, tuple[Call, type[alanet.AlanetError], str]] = {
    "a number as the rate": (
        lambda r: alanet.RestoreOptions(rate=4), alanet.OptionError, r"give alanet.Factor\(4\) .* alanet.TargetRate\(",
    ),
    "a rate by the function": (
        lambda r: alanet.restore("in.mp4", rate=4), alanet.OptionError, r"give alanet.Factor\(4\)",
    ),
    "no rate at all": (lambda r: alanet.RestoreOptions(rate=[2]), alanet.OptionError, "alanet.Factor or an alanet.Tar"),
    "half a factor": (lambda r: alanet.Factor(2.5), alanet.OptionError, "factor 2.5 is not a whole number"),
    "an inexact rate": (lambda r: alanet.TargetRate(59.94), alanet.OptionError, r'TargetRate\(Fraction\("59.94"\)\)'),
    "slow by a text": (lambda r: alanet.RestoreOptions(slow="4"), alanet.OptionError, "slow is '4'.* whole number"),
    "a strong strength": (lambda r: alanet.RestoreOptions(strength=2), alanet.OptionError, "strength 2 .* from 0"),
    "strength by a text": (lambda r: alanet.RestoreOptions(strength="all"), alanet.OptionError, "strength is 'all'"),
    "a start that is none": (lambda r: alanet.RestoreOptions(start="soon"), alanet.OptionError, "'soon' is not a mo"),
    "an unknown tail": (lambda r: alanet.RestoreOptions(tail="cut"), alanet.OptionError, "'cut' .* hold, drop"),
    "encode by a table": (
        lambda r: alanet.RestoreOptions(encode={"crf": 16}), alanet.OptionError, "give an alanet.EncodeOptions",
    ),
    "quality by a text": (lambda r: alanet.restore("in.mp4", crf="high"), alanet.OptionError, "crf is 'high'"),
    "an unknown option": (lambda r: alanet.restore("in.mp4", quality=3), alanet.OptionError, "'quality' is unknown"),
    "an unknown codec": (lambda r: alanet.restore("in.mp4", codec="mpeg1"), alanet.OptionError, "codec 'mpeg1'.*x264"),
    "an unknown device": (lambda r: alanet.Restorer(device="tpu"), alanet.OptionError, "device 'tpu' .* cpu, cuda"),
    "memory that is no size": (lambda r: alanet.Restorer(memory="much"), alanet.OptionError, "memory 'much' .* 4G"),
    "a number as a config": (lambda r: alanet.ALANet(8), alanet.OptionError, "config is of type int; give ALANetC"),
    "another config": (
        lambda r: alanet.ALANetPlus(alanet.ALANetConfig()), alanet.OptionError, "ALANetConfig; give ALANetPlusConfig",
    ),
    "arrays and tensors": (
        lambda r: r.arrays([np.zeros((32, 32, 3), np.uint8), torch.zeros(32, 32, 3, dtype=torch.uint8)]),
        alanet.OptionError, "NumPy arrays and torch tensors; give all of one kind",
    ),
    "no threads": (lambda r: alanet.Restorer(threads=0), alanet.OptionError, "threads 0"),
    "a model of another kind": (
        lambda r: alanet.Restorer(torch.nn.Linear(1, 1)), alanet.OptionError, "of type Linear; give a name, a path",
    ),
    "an unknown model": (lambda r: alanet.load_model("best"), alanet.WeightsError, "no model 'best': give"),
    "another digest": (lambda r: alanet.load_model(sha256="00"), alanet.WeightsError, "SHA-256 differs"),
    "a missing file": (lambda r: r.restore("nowhere.mp4"), alanet.MediaError, "nowhere.mp4"),
    "no video": (lambda r: r.restore("words.mp4"), alanet.MediaError, "words.mp4"),
    "a number as the input": (lambda r: r.restore(3), alanet.OptionError, "of type int; give a path, bytes or a file"),
    "bytes without an output": (lambda r: r.restore(b"video"), alanet.OptionError, "give output"),
    "bytes of nothing": (lambda r: r.restore(b"", io.BytesIO()), alanet.InputError, "no bytes"),
    "a file of text": (lambda r: r.restore(io.StringIO("video"), "out.mp4"), alanet.OptionError, "open it with 'rb'"),
    "an output of text": (lambda r: r.restore("in.mp4", io.StringIO()), alanet.OptionError, "open it with 'wb'"),
    "an existing output": (
        lambda r: r.restore("in.mp4", "there.mp4"), alanet.OutputError, "overwrite=True replaces it",
    ),
    "options of another kind": (
        lambda r: r.restore("in.mp4", options={"slow": 2}), alanet.OptionError, r"give alanet.RestoreOptions\(",
    ),
    "a folder without a rate": (lambda r: r.restore("."), alanet.InputError, "(?<!-)input_rate"),
    "too little memory": (
        lambda r: alanet.Restorer(r.model, device="cpu", precision="fp32", memory=1 << 20).restore("in.mp4"),
        alanet.ResourceError, "(?<!-)memory",
    ),
    "frames of a rate that the network lacks": (
        lambda r: next(r.frames("in.mp4", alanet.RestoreOptions(alanet.Factor(3)))),
        alanet.TimeError, "slow 2, or a time-continuous model: model alanet-plus",
    ),
    "no frames": (lambda r: r.arrays([]), alanet.OptionError, "no frames were given"),
    "one frame alone": (lambda r: r.arrays(FRAME), alanet.OptionError, "give arrays h w 3"),
    "frames as lists": (lambda r: r.arrays([FRAME.tolist()]), alanet.OptionError, "frame 0 is of type list"),
    "a path as frames": (lambda r: r.arrays("in.mp4"), alanet.OptionError, "frames are of type str"),
    "frames of c h w": (
        lambda r: r.arrays([FRAME.transpose(2, 0, 1)]), alanet.OptionError, r"frame.transpose\(1, 2, 0\)",
    ),
    "floats up to 255": (
        lambda r: r.arrays([FRAME.astype(np.float32)]), alanet.OptionError, "divide 8-bit values by 255",
    ),
    "signed integers": (lambda r: r.arrays([FRAME.astype(int)]), alanet.OptionError, "int64 were given; give arrays"),
    "two sizes": (lambda r: r.interpolate(FRAME, FRAME[:32]), alanet.OptionError, "of one size"),
    "a time outside": (lambda r: r.interpolate(FRAME, FRAME, 1.5), alanet.TimeError, "t 1.5 .* from 0 .* to 1"),
    "a time that the network lacks": (lambda r: r.interpolate(FRAME, FRAME, 0.25), alanet.TimeError, "0, 0.5 and 1"),
    "an option of another call": (
        lambda r: alanet.interpolate(FRAME, FRAME, crf=16), alanet.OptionError, "'crf' is unknown; allowed: model",
    ),
    "a clip of a size": (lambda r: forward((1, 2, 3, 48, 64), [0.5]), alanet.OptionError, "64x48 .* multiples of 32"),
    "a clip without batch": (lambda r: forward((2, 3, 64, 64), [0.5]), alanet.OptionError, "give b t 3 h w"),
    "a clip of integers": (
        lambda r: forward((1, 2, 3, 64, 64), [0.5], dtype=torch.uint8), alanet.OptionError, "torch.uint8 tensor; give",
    ),
    "times outside a clip": (lambda r: forward((1, 2, 3, 64, 64), [2.0]), alanet.TimeError, "from 0 to 1"),
    "no times": (lambda r: forward((1, 2, 3, 64, 64), []), alanet.TimeError, "one or more"),
    "a single time": (lambda r: forward((1, 2, 3, 64, 64), 0.5), alanet.TimeError, "give a list"),
    "a folder as a model": (
        lambda r: alanet.load_model("."), alanet.WeightsError, "is a folder, not a model: give a safetensors file",
    ),
    "a network to load": (lambda r: alanet.load_model(r.model), alanet.OptionError, "model is of type ALANet; give a"),
    "a digest of bytes": (lambda r: alanet.load_model(sha256=b"00"), alanet.OptionError, "sha256 is of type bytes"),
    "another network to save": (
        lambda r: alanet.save_weights(torch.nn.Linear(1, 1), "a.safetensors"), alanet.OptionError, "of type Linear",
    ),
    "weights to no path": (lambda r: alanet.save_weights(r.model, None), alanet.OptionError, "path is of type NoneT"),
    "an output to read": (lambda r: r.restore("in.mp4", READER), alanet.OptionError, "open it with 'wb'"),
    "a closed input": (lambda r: r.restore(closed(), "out.mp4"), alanet.OptionError, "closed or cannot be read"),
    "a closed output": (lambda r: r.restore("in.mp4", closed()), alanet.OptionError, "closed or cannot be written"),
    "a video opened as text": (lambda r: r.restore(TEXT, "out.mp4"), alanet.OptionError, "open it with 'rb'"),
    "an input without a name": (lambda r: r.restore("", "out.mp4"), alanet.OptionError, "input '' is not a path"),
    "an output without a name": (lambda r: r.restore("in.mp4", ""), alanet.OptionError, "output '' is not a path"),
    "a path with a zero byte": (lambda r: r.restore("a\0.mp4", "out.mp4"), alanet.OptionError, "'a.x00.mp4' is not a"),
    "a plan of bytes": (lambda r: r.plan(b"video"), alanet.OptionError, "input is of type bytes; give a path"),
    "a run of a path": (lambda r: r.run("in.mp4"), alanet.OptionError, r"type str; give what plan\(\) returned"),
    "progress to no function": (
        lambda r: r.restore("in.mp4", on_progress=3), alanet.OptionError, "on_progress is of type int; give a function",
    ),
    "a truth as a token": (lambda r: r.restore("in.mp4", cancel=True), alanet.OptionError, "give a threading.Event"),
    "cuts of arrays by a text": (lambda r: r.arrays([FRAME], cuts="off"), alanet.OptionError, "give True or False"),
    "a time by a text": (lambda r: r.interpolate(FRAME, FRAME, "0.5"), alanet.TimeError, "t '0.5' is not between"),
    "a start before the video": (lambda r: alanet.RestoreOptions(start=-1), alanet.OptionError, "start -1 is below 0"),
    "an end before the video": (lambda r: alanet.RestoreOptions(end=-1), alanet.OptionError, "end -1 is below 0"),
    "a rate of images below 0": (lambda r: alanet.RestoreOptions(input_rate=-24), alanet.OptionError, "is below 0"),
    "slow motion at a number": (lambda r: alanet.slow_motion(4, 60), alanet.OptionError, "rate is 60; give an alan"),
    "an unknown preset": (lambda r: alanet.restore("in.mp4", preset="warp"), alanet.OptionError, "'warp' is none of x"),
    "a preset of a codec without": (
        lambda r: alanet.restore("in.mp4", codec="ffv1", preset="slow"), alanet.OptionError, "ffv1 has no presets",
    ),
    "no processes": (lambda r: alanet.Restorer(r.model, processes=0), alanet.OptionError, "processes 0 is not a whole"),
    "ten thousand threads": (lambda r: alanet.Restorer(threads=10000), alanet.OptionError, "from 1 to [0-9]+; this"),
    "threads by a text": (lambda r: alanet.configure_threads("two"), alanet.OptionError, "threads 'two' is not a w"),
    "a clip of doubles": (
        lambda r: forward((1, 2, 3, 64, 64), [0.5], dtype=torch.float64), alanet.OptionError, "give a torch.float32",
    ),
    "a width by a text": (lambda r: alanet.ALANetConfig(width="big"), alanet.OptionError, "width is 'big'; give a v"),
    "channels by a number": (lambda r: alanet.ALANetPlusConfig(channels=32), alanet.OptionError, "channels is 32; giv"),
    "a network's width": (lambda r: alanet.ALANetConfig(width=9), alanet.OptionError, "width 9"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_is_one_clear_line(name: str, restorer: alanet.Restorer, folder: Path) -> None:
    call, kind, words = WRONG[name]
    before = sorted(folder.iterdir())
    with pytest.raises(alanet.AlanetError, match=words) as caught:
        call(restorer)
    message = str(caught.value)
    assert isinstance(caught.value, kind), type(caught.value)
    assert "\n" not in message
    assert "--" not in message, "flags are for the command line"
    assert sorted(folder.iterdir()) == before


def test_the_library_prints_nothing(tmp_path: Path) -> None:
    """A warning is logged; without a logging configuration Python would print it."""
    code = "import alanet; alanet.Notes().warn('container: MOV instead of MP4')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")


def test_numbers_and_texts_of_options_are_converted() -> None:
    options = alanet.RestoreOptions("x4", start=1.1, end="0:02", input_rate=24)
    assert options.schedule == alanet.Factor(4)
    assert (options.start, options.end, options.input_rate) == (Fraction(11, 10), Fraction(2), Fraction(24))
    rate = alanet.TargetRate(60)
    assert isinstance(rate.rate, Fraction)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64, torch.uint8, torch.float32])
def test_arrays_come_back_as_they_were_given(restorer: alanet.Restorer, kind: Any) -> None:
    scale = {np.uint8: 255, np.uint16: 65535, torch.uint8: 255}.get(kind, 1)
    arrays = [np.full((40, 56, 3), level) * scale for level in (0.25, 0.75)]
    torchs = isinstance(kind, torch.dtype)
    given: list[Any] = [torch.tensor(a).to(kind) if torchs else a.astype(kind) for a in arrays]
    made = restorer.arrays(given)
    assert [(type(m), m.dtype, tuple(m.shape)) for m in made] == [(type(given[0]), given[0].dtype, (40, 56, 3))] * 3
    middle = float(np.asarray(made[1], np.float64).mean()) / scale
    assert middle == pytest.approx(0.5, abs=0.01)  # an untrained residual network gives the mean of both
    again = restorer.interpolate(given[0], given[1])
    np.testing.assert_array_equal(np.asarray(again), np.asarray(made[1]))


def test_bytes_and_file_objects_go_in_and_out(restorer: alanet.Restorer, folder: Path) -> None:
    lossless = alanet.RestoreOptions(encode=alanet.EncodeOptions(crf=0))  # else an encoder adds differences of its own
    whole = restorer.restore("in.mp4", "out.mp4", lossless)
    made = io.BytesIO()
    report = restorer.restore(Path("in.mp4").read_bytes(), made, lossless)
    assert report.frames_out == whole.frames_out == 6
    Path("again.mp4").write_bytes(made.getvalue())
    for one, other in zip(pixels(Path("again.mp4")), pixels(Path("out.mp4")), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1)
    with open("in.mp4", "rb") as source, open("named.mkv", "wb") as target:
        restorer.restore(source, target)
    assert Path("named.mkv").read_bytes()[:4] == b"\x1aE\xdf\xa3"
    assert len(list(restorer.frames(Path("in.mp4").read_bytes()))) == 6


def pixels(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray().astype(np.float32) for frame in container.decode(video=0)]


@pytest.mark.parametrize("after", [0, 2])
def test_a_cancelled_run_leaves_no_result(restorer: alanet.Restorer, folder: Path, after: int) -> None:
    token, seen = threading.Event(), 0

    def on_progress(progress: alanet.RestoreProgress) -> None:
        nonlocal seen
        seen = progress.frames_in
        if seen >= after:
            token.set()

    make_video(folder / "long.mp4", frames=30)
    if not after:
        token.set()
    with pytest.raises(alanet.CancelledError):
        restorer.restore("long.mp4", on_progress=on_progress, cancel=token)
    assert seen <= after + 2
    assert not Path("long_x2.mp4").exists()
    with pytest.raises(alanet.CancelledError):
        restorer.arrays([FRAME, FRAME], cancel=token)


def test_a_command_keeps_its_flags(capsys) -> None:
    from alanet.cli import run

    assert run(["restore", "in.mp4", "-o", "there.mp4", "--precision", "fp32"]) == 4
    assert "--overwrite replaces it" in capsys.readouterr().err


@pytest.mark.parametrize("options", [{"rate": 4}, 4, "x4"])
def test_options_of_another_type_are_refused(restorer: alanet.Restorer, options: Any) -> None:
    for call in (
        lambda: restorer.restore("in.mp4", "o.mp4", options),
        lambda: next(restorer.frames("in.mp4", options)),
    ):
        with pytest.raises(alanet.OptionError, match=r"alanet\.RestoreOptions"):
            call()


@pytest.mark.parametrize("rate", [float("nan"), float("inf")])
def test_a_rate_that_is_no_number_is_refused(rate: Any) -> None:
    with pytest.raises(alanet.OptionError, match=r"give an alanet\.Factor"):
        alanet.RestoreOptions(rate=rate)


@pytest.mark.parametrize("output", ["in.mp4", "missing/o.mp4"])
def test_an_output_is_named_as_an_argument(restorer: alanet.Restorer, output: str) -> None:
    with pytest.raises(alanet.OutputError, match=r"as output$"):
        restorer.restore("in.mp4", output)
