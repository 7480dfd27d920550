"""What the measurements share: turns within a budget of time, and sections of pages."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

from benchmarks import __main__ as program
from benchmarks.common import busy_neighbour, make_video, take_turns
from benchmarks.memory import child, least_memory


def test_a_budget_ends_the_rounds_after_one_at_least(capsys):
    calls = [0, 0]

    def call(k):
        calls[k] += 1
        time.sleep(0.02)

    times = take_turns([lambda: call(0), lambda: call(1)], 50, names=("one", "two"), seconds=0.01)
    assert calls == [2, 2]  # one to warm up
    assert [len(part) for part in times] == [1, 1]
    assert "round 1 of 50, two: 0.0" in capsys.readouterr().err


def test_a_neighbour_is_gone_afterwards(monkeypatch):
    started = []
    original = subprocess.Popen

    def start(*arguments, **options):
        started.append(original(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    with busy_neighbour():
        assert started[0].poll() is None
    assert started[0].poll() is not None


def test_a_table_goes_into_a_page(tmp_path, monkeypatch, capsys):
    def speed(options, folder):
        print(f"{options.size[0]} wide")

    page = tmp_path / "page.md"
    page.write_text("# Speed\n\nBy hand.\n")
    monkeypatch.setattr(program, "speed", speed)
    monkeypatch.setattr(sys, "argv", ["bench", "speed", "--size", "32x16", "--into", f"{page}#whole"])
    program.main()
    assert capsys.readouterr().out == "32 wide\n"
    text = page.read_text()
    assert text.startswith("# Speed\n\nBy hand.\n")
    assert f"32 wide\n\nWritten by `scripts/bench speed --size 32x16 --into '{page}#whole'`" in text.replace(
        "\n\n\n", "\n\n"
    )


def test_the_least_memory_is_read_from_a_refusal(tmp_path, capsys):
    source = make_video(tmp_path / "a.mp4", 1920, 1080, 2)
    child(argparse.Namespace(model="untrained", width=0.0625, threads=1, residual=True, source=str(source), every=0,
                             output=str(tmp_path / "out.mp4"), precision="fp32", memory=1, tile_mode="exact",
                             end=None))  # fmt: skip
    refusal = json.loads(capsys.readouterr().out)["refused"]
    assert 100 << 20 < least_memory(refusal) < 4 << 30
