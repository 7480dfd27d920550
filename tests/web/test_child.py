"""Work on a visitor's file is done in a child process: its crash is one line, and the next call finds a new process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alanet.errors import MediaError, ResourceError
from alanet.web.child import Child, CrashedError, Report, Stopped
from tests.support.paths import ROOT


@pytest.fixture
def child() -> Iterator[Child]:
    made = Child()
    yield made
    made.close()


def double(number: int) -> int:
    return 2 * number


def crash(name: str) -> None:
    os.kill(os.getpid(), getattr(signal, name))


def refuse() -> None:
    raise MediaError("a.mp4: not a video")


def fail() -> None:
    raise ZeroDivisionError


def count(last: int, *, report: Report) -> str:
    for number in range(last):
        report(number)
        time.sleep(0.01)
    return "counted"


def wait_for(path: Path) -> None:
    path.touch()
    time.sleep(600)


def test_a_result_an_error_and_an_internal_error_come_back(child: Child) -> None:
    assert child.call(double, 21) == 42
    with pytest.raises(MediaError, match=r"a.mp4: not a video"):
        child.call(refuse)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        child.call(fail)
    assert child.call(double, 4) == 8


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT"])
def test_a_crash_is_an_error_and_the_next_call_works(child: Child, name: str) -> None:
    with pytest.raises(CrashedError, match=rf"\({name}\)$"):
        child.call(crash, name)
    assert child.call(double, 3) == 6


def test_what_takes_too_long_is_ended(child: Child, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"longer than 0\.2 s"):
        child.call(wait_for, tmp_path / "began", seconds=0.2)
    assert child.call(double, 1) == 2


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_child_ends_with_a_server_that_is_killed() -> None:
    code = "import os; from alanet.web.child import Child; print(Child().call(os.getpid), flush=True); os.abort()"
    server = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert server.returncode == -signal.SIGABRT
    child, end = int(server.stdout), time.monotonic() + 60
    while alive(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(child)


def alive(process: int) -> bool:
    """Whether a process runs; one that ended and is not yet collected does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_reports_arrive_in_order_and_stop_ends_the_work(child: Child) -> None:
    seen: list[int] = []
    assert child.call(count, 5, on_report=seen.append) == "counted"
    assert seen == [0, 1, 2, 3, 4]
    with pytest.raises(Stopped):
        child.call(count, 10_000, on_report=lambda number: child.stop())
    assert child.call(double, 5) == 10
