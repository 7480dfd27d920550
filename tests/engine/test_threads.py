"""Threads: how many by default, passive waiting before torch is imported, and wrong numbers."""

import ctypes
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

import alanet
from alanet.engine.threads import (
    KEPT,
    LARGEST,
    M_MMAP_THRESHOLD,
    M_TRIM_THRESHOLD,
    PASSIVE,
    configure_threads,
    physical_cores,
)
from alanet.errors import OptionError


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes a machine of logical processors in pairs, two a core, with a container's CPU limit."""

    def make(allowed, cpu_max=None):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(allowed), raising=False)
        for cpu in range(8):
            folder = tmp_path / f"cpu{cpu}" / "topology"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
        if cpu_max is not None:
            (tmp_path / "cpu.max").write_text(cpu_max)
        return physical_cores(tmp_path, tmp_path)

    return make


@pytest.mark.parametrize(
    ("allowed", "cpu_max", "cores"),
    [(range(8), None, 4), ((0, 4), None, 1), ((0, 1, 4), "max 100000", 2), (range(8), "250000 100000", 2),
     (range(8), "50000 100000", 1)],
)  # fmt: skip
def test_cores_by_affinity_siblings_and_container(machine, allowed, cpu_max, cores):
    assert machine(allowed, cpu_max) == cores


def test_a_container_limit_of_cgroup_version_1(machine, tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("300000")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert machine(range(8)) == 3
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1")
    assert machine(range(8)) == 4


def test_a_wrong_number_is_refused():
    for wrong in (0, -1, 10_000, 1.5, "a"):
        with pytest.raises(
            OptionError, match=f"threads {wrong!r} is not a whole number from 1 to [0-9]+; this process"
        ):
            configure_threads(wrong)


def test_the_number_is_what_torch_uses(monkeypatch):
    before = torch.get_num_threads()
    try:
        assert alanet.configure_threads(1) == torch.get_num_threads() == 1
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        assert configure_threads() == torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


IMPORTS = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            os.write(2, (str(sorted((key, os.environ.get(key)) for key in %r)) + "\\n").encode())
sys.meta_path.insert(0, Watch())
%s
"""
STARTS = {
    "the command line": """
import alanet.cli
alanet.cli.run = lambda *_: __import__("torch") and 0
alanet.cli.main()
""",
    "the Python API": "import alanet; alanet.configure_threads(1)",
    "a worker": """
from alanet.restoration import pool
pool._begin(None)
import torch
""",
    "the trainer": "from alanet.training.__main__ import main; main('missing.toml', 'out')",
}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("given", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}], ids=["unset", "set by the user"])
def test_idle_threads_sleep_before_torch_is_imported(start, given):
    env = {key: value for key, value in os.environ.items() if key not in PASSIVE} | given
    code = IMPORTS % (tuple(PASSIVE), STARTS[start])
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    seen = [line for line in done.stderr.splitlines() if line.startswith("[(")][:1]
    assert seen == [str(sorted((PASSIVE | given).items()))], done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_memory_is_kept_where_the_c_library_can(monkeypatch):
    asked = []
    glibc = SimpleNamespace(mallopt=lambda option, value: asked.append((option, value)))
    for library in (glibc, SimpleNamespace()):  # another C library has no such function
        monkeypatch.setattr("ctypes.CDLL", lambda _, library=library: library)
        assert configure_threads(torch.get_num_threads())
    assert asked == [(-1, 512 << 20), (-3, 32 << 20)]  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_glibc_takes_both_options():
    libc = ctypes.CDLL(None)
    assert libc.mallopt(M_TRIM_THRESHOLD, KEPT) == libc.mallopt(M_MMAP_THRESHOLD, LARGEST) == 1
