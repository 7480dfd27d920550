"""Mutated files through `info` and `restore`, some of the thousands that `scripts/fuzz` runs; and that it would see."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys

import pytest

from tests.stress.fuzz import CODES, ROOM, Outcome, finding
from tests.stress.fuzz_mutations import KINDS, mutate
from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each case runs in a fork of its own")


@pytest.mark.stress
def test_no_mutated_file_crashes_hangs_or_leaves_anything_behind() -> None:
    command = [sys.executable, "-m", "tests.stress.fuzz", "--cases", "200", "--seed", "0", "--jobs", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    decoded = re.search(r"a frame decoded +(\d+)%", done.stdout)
    assert decoded is not None
    assert int(decoded[1]) >= 30, done.stdout


def test_a_mutation_is_the_same_each_time_and_changes_the_file() -> None:
    data, others = bytes(range(256)) * 8, [b"another file" * 50]
    cases = [mutate(data, random.Random(n), others) for n in range(60)]
    assert cases == [mutate(data, random.Random(n), others) for n in range(60)]
    assert sum(changed != data for changed, _ in cases) >= 57
    assert {kind for _, how in cases for kind in how.split("+")} == {kind.__name__ for kind in KINDS}


GOOD = {"codes": {"info": 0, "restore": 2}, "said": {"restore": "alanet: a.mp4: damaged\n"}, "peak": ROOM}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, ""),
        ({"ended": signal.SIGSEGV}, "ended by SIGSEGV"),
        ({"ended": signal.SIGKILL}, "longer than 20 s"),
        ({"codes": {"info": 0, "restore": 1}}, "restore: exit 1"),
        ({"codes": {"info": 0}}, "restore reported nothing"),
        ({"said": {"restore": "Traceback (most recent call last):\n"}}, "a traceback"),
        ({"said": {"restore": "alanet: one\nalanet: two\n"}}, "other than one line"),
        ({"left": [".a.alanet-part"]}, "left behind: .a.alanet-part"),
        ({"peak": 2 * ROOM}, "MiB more than unharmed"),
    ],
)
def test_what_counts_as_a_finding(change: dict[str, object], fault: str) -> None:
    said = finding(Outcome("0 a.mp4 flip_bits", **{**GOOD, **change}), plain=ROOM // 2)
    assert (fault in said) if fault else (said == "")
    assert 1 not in CODES
