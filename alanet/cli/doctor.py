"""`alanet doctor`: what this machine has, and whether the parts that a restoration needs work here."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from alanet.cli.options import Reporting
from alanet.cli.screen import Paper
from alanet.errors import ResourceError
from alanet.text import count, duration, safe, size
from alanet.version import __version__

__all__ = ["Finding", "doctor", "examine"]

NEEDED_ENCODER = "x264"  # the default; the others are a choice


@dataclass(frozen=True)
class Finding:
    """One thing that was checked. `good` is None where nothing can be wrong."""

    name: str
    text: str
    good: bool | None = None


def doctor(*, report: Reporting = Reporting()) -> int:
    """Check this machine: versions, devices, encoders, folders, and a tiny restoration."""
    findings = examine()
    if report.json:
        print(json.dumps({f.name: {"is": f.text, "good": f.good} for f in findings}))
    else:
        _show(findings)
    bad = [finding.name for finding in findings if finding.good is False]
    if bad:
        raise ResourceError(f"not in order: {', '.join(bad)}; the report says what was found")
    return 0


def examine() -> list[Finding]:
    """All findings, in the order shown."""
    return [finding for look in LOOKS for finding in _looked(look)]


def _looked(look: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return look()
    except Exception as error:  # a doctor reports whatever breaks
        name = (look.__doc__ or "").rstrip(".").lower()
        return [Finding(name, f"{type(error).__name__}: {error}", good=False)]


def _versions() -> list[Finding]:
    """Versions."""
    import av
    import numpy
    import torch

    ffmpeg = getattr(av, "ffmpeg_version_info", None) or ".".join(map(str, av.library_versions["libavcodec"]))
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return [
        Finding("alanet", __version__),
        Finding("python", f"{platform.python_version()}, {sys.executable}"),
        Finding("libraries", f"torch {torch.__version__}, numpy {numpy.__version__}, av {av.__version__}"),
        Finding("ffmpeg", f"{ffmpeg}, inside av"),
        Finding("system", system),
    ]


def _memory() -> str:
    """The size of the memory, if the system reports it (Windows does not)."""
    try:
        return size(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return "size unknown; give a limit with --memory"


def _devices() -> list[Finding]:
    """Devices."""
    import torch

    from alanet.engine.threads import physical_cores

    threads = f"{count(physical_cores(), 'thread')} by default"
    found = [
        Finding("cpu", f"{count(os.cpu_count() or 1, 'core')}, {threads}, {_cpu_bf16()}"),
        Finding("memory", _memory()),
    ]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            found.append(Finding("cuda", f"{card.name}, {size(card.total_memory)}", good=True))
    else:
        built = "this torch is built for it, no card answers" if torch.version.cuda else "this torch is a CPU build"
        found.append(Finding("cuda", f"none: {built}"))
    if sys.platform == "darwin":
        there = torch.backends.mps.is_available()
        found.append(Finding("mps", "yes" if there else "none", good=there or None))
    if torch.xpu.is_available():
        for index in range(torch.xpu.device_count()):
            intel = torch.xpu.get_device_properties(index)
            found.append(Finding("xpu", f"{intel.name}, {size(intel.total_memory)}", good=True))
    return found


def _cpu_bf16() -> str:
    import torch

    from alanet.engine.precision import choose_precision

    return f"{torch.backends.cpu.get_cpu_capability()}, {choose_precision('auto', torch.device('cpu'))}"


def _encoders() -> list[Finding]:
    """Encoders."""
    import av

    from alanet.video.output.codecs import CODECS

    def has(encoder: str) -> bool:
        try:
            return av.Codec(encoder, "w") is not None
        except ValueError:  # what PyAV's unknown-codec error derives from
            return False

    software = {name: has(codec.encoder) for name, codec in CODECS.items() if not codec.hardware}
    missing = [name for name, there in software.items() if not there]
    text = ", ".join(name for name, there in software.items() if there)
    text += f"; missing: {', '.join(missing)}" if missing else ""
    return [Finding("encoders", text, good=software[NEEDED_ENCODER]), _hardware_encoders()]


def _hardware_encoders() -> Finding:
    """Those that open here, and of the others what they lack."""
    from alanet.video.output.codecs import CODECS
    from alanet.video.output.hardware import hardware_lacks

    by_lack: dict[str, list[str]] = {}
    for name, codec in CODECS.items():
        if codec.hardware:
            by_lack.setdefault(hardware_lacks(codec).partition(";")[0], []).append(name)
    working = ", ".join(by_lack.pop("", ["none"]))
    return Finding(
        "hardware encoders", "; ".join([working, *(f"{', '.join(names)}: {lack}" for lack, names in by_lack.items())])
    )


def _folder() -> list[Finding]:
    """Temporary folder."""
    with tempfile.TemporaryDirectory(prefix="alanet-") as folder:
        (Path(folder) / "probe").write_bytes(b"alanet")
        free = shutil.disk_usage(folder).free
    return [Finding("temporary folder", f"{tempfile.gettempdir()}, {size(free)} free", good=True)]


def _self_test() -> list[Finding]:
    """Self test."""
    from alanet.restoration.restorer import Restorer

    restorer = Restorer()
    with tempfile.TemporaryDirectory(prefix="alanet-") as folder:
        source = Path(folder) / "ramp.mp4"
        _write_ramp(source)
        report = restorer.restore(source, Path(folder) / "restored.mp4")
        good = (report.frames_in, report.frames_out) == (3, 6) and report.output.stat().st_size > 0
    where = f"{report.model} on {report.device}, {report.precision} ({report.precision_reason})"
    return [
        Finding("self test", f"3 frames in, {report.frames_out} out, {where}, {duration(report.seconds)}", good=good)
    ]


def _write_ramp(path: Path) -> None:
    """A video of three frames: a grey ramp that moves to the right."""
    import av
    import numpy as np

    ramp = np.linspace(16, 235, 96, dtype=np.uint8)
    with av.open(f"file:{path}", "w") as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for step in range(3):
            picture = np.broadcast_to(np.roll(ramp, 4 * step)[None, :, None], (64, 96, 3))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
        out.mux(stream.encode(None))


LOOKS = (_versions, _devices, _encoders, _folder, _self_test)


def _show(findings: list[Finding]) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    signs = {True: Text("ok", style="green"), False: Text("NO", style="bold red"), None: Text("")}
    before = ""
    for finding in findings:
        name = "" if finding.name == before else finding.name
        table.add_row(signs[finding.good], Text(name, style="cyan"), Text(safe(finding.text)))
        before = finding.name
    Paper().print(table, soft_wrap=True)
