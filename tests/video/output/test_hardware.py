"""Hardware encoders, with a software encoder as the stand-in of one that opens: no test needs such a device."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import pytest

from alanet.cli.doctor import _encoders
from alanet.errors import OptionError, OutputError, ResourceError
from alanet.video.output import codecs, format, hardware
from alanet.video.output.codecs import CODECS, encoder_options, shape_of
from tests.support.doubling import doubled_times, planned, restored
from tests.support.media import make_video
from tests.support.witness import times

NAMES = [name for name, codec in CODECS.items() if codec.hardware]


@pytest.fixture
def opening(monkeypatch):
    """Every hardware encoder opens."""
    monkeypatch.setattr(hardware, "hardware_lacks", lambda codec: "")
    monkeypatch.setattr(format, "try_encoder", lambda *a, **k: None)


def test_a_build_without_the_encoder(tmp_path, monkeypatch):
    source = make_video(tmp_path / "a.mp4", frames=1)
    monkeypatch.setitem(codecs.CODECS, "hevc_nvenc", replace(CODECS["hevc_nvenc"], encoder="hevc_nothing"))
    with pytest.raises(ResourceError, match=r"--codec hevc_nvenc: the FFmpeg inside PyAV was built without it; use "
                       r"--codec x265"):  # fmt: skip
        planned(source, tmp_path / "b.mp4", codec="hevc_nvenc")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(("name", "device"), [("h264_nvenc", "NVIDIA GPU with NVENC"), ("h264_qsv", "Quick Sync")])
def test_a_machine_without_the_device(tmp_path, monkeypatch, name, device):
    source = make_video(tmp_path / "a.mp4", frames=1)
    tried = []

    def refuse(codec: Any, *_: Any, **__: Any) -> None:
        tried.append(codec.name)
        raise av.error.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("av.Codec", lambda *_: object())  # every build has it
    monkeypatch.setattr(hardware, "try_encoder", refuse)
    with pytest.raises(ResourceError, match=rf"--codec {name}: it does not open here; it needs an .*{device}.*; use "
                       "--codec x264$") as refused:  # fmt: skip
        planned(source, tmp_path / "b.mp4", codec=name)
    assert tried[0] == name
    assert refused.value.exit_code == 5
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_the_line_names_a_hardware_encoder_that_works(monkeypatch):
    monkeypatch.setattr(hardware, "hardware_lacks", lambda codec: "" if codec.name == "hevc_qsv" else "it is missing")
    with pytest.raises(ResourceError, match="use --codec av1 or hevc_qsv"):
        hardware.check_hardware(CODECS["av1_nvenc"])
    hardware.check_hardware(CODECS["hevc_qsv"])
    hardware.check_hardware(CODECS["x264"])


def test_a_frame_is_encoded_on_trial():
    one = replace(CODECS["h264_qsv"], encoder="libx264")
    hardware.try_encoder(one, (320, 192), "nv12", {"preset": "veryfast"})
    with pytest.raises(av.FFmpegError):
        hardware.try_encoder(one, (320, 192), "nv12", {"preset": "p5"})
    assert hardware.hardware_lacks(one) == ""


@pytest.mark.parametrize(
    ("name", "crf", "expected"),
    [
        ("h264_nvenc", None, {"rc": "vbr", "cq": "18", "b": "0", "preset": "p5"}),
        ("av1_nvenc", 30.5, {"rc": "vbr", "cq": "30.5", "b": "0", "preset": "p5"}),
        ("hevc_qsv", None, {"global_quality": "20", "preset": "medium"}),
        ("hevc_videotoolbox", None, {"flags": "+qscale", "global_quality": str(65 * 118)}),
        ("h264_videotoolbox", 51, {"flags": "+qscale", "global_quality": str(11 * 118)}),
    ],
)
def test_constant_quality_in_the_scale_of_each_encoder(name, crf, expected):
    assert encoder_options(CODECS[name], crf=crf, preset=None, threads=2, hdr="") == expected


@pytest.mark.usefixtures("opening")
@pytest.mark.parametrize("name", NAMES)
def test_ten_bits_are_kept_where_the_encoder_has_them(tmp_path, name):
    source = make_video(tmp_path / "a.mkv", frames=1, codec="ffv1", pix_fmt="yuv420p10le")
    plan, notes = planned(source, codec=name)
    deep = not name.startswith("h264")
    assert shape_of(plan.pixel_format).depth == (10 if deep else 8)
    assert any("10-bit 4:2:0 became 8-bit 4:2:0" in line for line in notes.left_out) != deep
    assert plan.container.name == "MKV"


@pytest.mark.usefixtures("opening")
def test_odd_sizes_are_refused_or_padded(tmp_path):
    source = make_video(tmp_path / "a.mkv", frames=1, codec="ffv1", size=(321, 191))
    with pytest.raises(OptionError, match="h264_qsv cannot encode the odd size 321x191; --compatible pads it"):
        planned(source, codec="h264_qsv")
    plan, _ = planned(source, codec="h264_qsv", compatible=True)
    assert (plan.size, plan.pixel_format) == ((322, 192), "nv12")


@pytest.mark.usefixtures("opening")
@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"codec": "h264_nvenc", "crf": 0}, "--crf 0 is out of range; give 1 .best. to 51"),
        ({"codec": "h264_videotoolbox", "preset": "slow"}, "--preset: h264_videotoolbox has no presets; leave it out"),
    ],
)
def test_options_that_an_encoder_does_not_have(tmp_path, options, line):
    with pytest.raises(OptionError, match=line):
        planned(make_video(tmp_path / "a.mp4", frames=1), tmp_path / "b.mp4", **options)


def test_what_the_encoder_refuses_is_said_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setitem(codecs.CODECS, "h264_qsv", replace(CODECS["h264_qsv"], encoder="libx264"))
    with pytest.raises(OutputError, match="h264_qsv cannot encode pictures of 64x48, 8-bit 4:2:0, preset p9; choose"):
        planned(make_video(tmp_path / "a.mp4", frames=1), tmp_path / "b.mp4", codec="h264_qsv", preset="p9")


def test_a_whole_video_through_a_stand_in(tmp_path, monkeypatch):
    """NV12, and times in 1/90000 s, though the input's need 1/180000."""
    monkeypatch.setitem(codecs.CODECS, "h264_qsv", replace(CODECS["h264_qsv"], encoder="libx264"))
    source = make_video(tmp_path / "a.ts", frames=5, rate=Fraction(30000, 1001))
    out, notes = restored(source, tmp_path / "b.mp4", codec="h264_qsv", preset="veryfast")
    assert any("times: rounded to 1/90000 s" in line for line in notes.warnings)
    step = Fraction(1001, 30000)
    given = [i * step for i in range(5)]
    exact = doubled_times(given, 5 * step)
    found = times(out)
    assert all(abs(a - found[0] - b) <= Fraction(1, 90000) for a, b in zip(found, exact, strict=True))
    with av.open(str(out)) as video:
        assert video.streams.video[0].codec_context.name == "h264"


def test_the_doctor_lists_those_that_open(monkeypatch):
    monkeypatch.setattr(
        hardware, "hardware_lacks", lambda codec: "" if codec.name == "hevc_nvenc" else "it does not open; it needs"
    )
    found = next(each for each in _encoders() if each.name == "hardware encoders")
    assert found.text.startswith("hevc_nvenc; h264_nvenc, av1_nvenc, ")
    assert found.text.endswith(": it does not open")
    assert found.good is None
