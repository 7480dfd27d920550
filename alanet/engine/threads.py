"""Threads of the CPU: how many, and what they do while they wait. Imports nothing large, since it runs before torch.

A thread that waits for the others of a team keeps its core busy by default. Beside another busy program that costs 8 to
10 times the CPU time (`benchmarks` measures it), so idle threads sleep: three environment variables, which the OpenMP
libraries read once, when torch is imported.
"""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from pathlib import Path

from alanet.errors import OptionError
from alanet.text import count

__all__ = ["check_count", "configure_threads", "physical_cores", "wait_passively"]

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # options of mallopt
KEPT = 512 << 20  # bytes of freed memory that stay with the process
LARGEST = 32 << 20  # bytes of a block that is freed into it: the most that glibc takes
TOPOLOGY = Path("/sys/devices/system/cpu")
CGROUP = Path("/sys/fs/cgroup")
MOST = 256  # threads or processes, or the machine's cores if it has more; 10,000 stop every program on two cores


def configure_threads(threads: int | None = None) -> int:
    """Let idle CPU threads sleep, let freed memory be used again, and set how many threads PyTorch uses.

    Call it before torch is imported: idle threads keep spinning otherwise. The command line, worker processes and the
    trainer call it. Environment variables that are set (OMP_WAIT_POLICY, OMP_NUM_THREADS ...) are left as they are.
    On Linux with glibc up to 512 MiB of freed memory stay with the process: getting the pages anew for each frame takes
    a tenth of the time.

    Args:
        threads: None takes OMP_NUM_THREADS where it is set, else the physical cores that this process may use.

    Returns:
        The number of threads.

    Raises:
        OptionError: for a number below 1 or above 256 (or the machine's cores, if it has more).

    >>> alanet.configure_threads(1)
    1
    """
    check_count(threads)
    wait_passively()
    _keep_freed_memory()
    if threads is None and os.environ.get("OMP_NUM_THREADS", "").isdecimal():
        threads = max(1, int(os.environ["OMP_NUM_THREADS"]))
    chosen = physical_cores() if threads is None else threads
    import torch

    torch.set_num_threads(chosen)
    return chosen


def check_count(number: int | None, name: str = "threads") -> None:
    """OptionError for a number of threads or processes that no machine can use; None stands for the default."""
    most = max(MOST, os.cpu_count() or 1)
    if number is not None and (type(number) is not int or not 1 <= number <= most):
        cores = count(physical_cores(), "core")
        raise OptionError(f"{name} {number!r} is not a whole number from 1 to {most}; this process has {cores}")


def wait_passively() -> None:
    """Set the environment variables that let idle threads sleep, where they are not set."""
    for name, value in PASSIVE.items():
        os.environ.setdefault(name, value)


def _keep_freed_memory() -> None:
    """Where the C library is glibc: do not return freed memory to the system in large parts after each use."""
    if sys.platform != "linux":
        return
    import ctypes

    with suppress(OSError, AttributeError):  # another C library has no mallopt
        set_option = ctypes.CDLL(None).mallopt
        set_option(M_TRIM_THRESHOLD, KEPT)
        set_option(M_MMAP_THRESHOLD, LARGEST)


def physical_cores(topology: Path = TOPOLOGY, cgroup: Path = CGROUP) -> int:
    """Physical cores that this process may use: by its affinity and its container's limit; at least 1."""
    allowed = _allowed()
    cores = {_siblings(topology, cpu) for cpu in allowed}
    limit = _container_cores(cgroup)
    return max(1, len(cores) if limit is None else min(len(cores), math.floor(limit)))


def _allowed() -> list[int]:
    """Logical processors."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    if sys.platform == "win32":  # two logical processors a core on nearly all machines, and no call that says so
        return list(range(max(1, (os.cpu_count() or 1) // 2)))
    return list(range(os.cpu_count() or 1))


def _siblings(topology: Path, cpu: int) -> str:
    """A name of the core that a logical processor belongs to."""
    with suppress(OSError):
        return (topology / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text().strip()
    return str(cpu)


def _container_cores(cgroup: Path) -> float | None:
    """Cores by the CPU quota of a container (cgroup version 2, else 1); None: no limit."""
    with suppress(OSError, ValueError):
        quota, period = (cgroup / "cpu.max").read_text().split()
        return int(quota) / int(period)
    with suppress(OSError, ValueError):
        limit = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text())
        return limit / int((cgroup / "cpu" / "cpu.cfs_period_us").read_text()) if limit > 0 else None
    return None
