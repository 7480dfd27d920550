"""Strangers' files by the thousand: small videos, mutated by a seed, through `alanet info` and `alanet restore`.

    python tests/fuzz.py --cases 3000 --seed 0          (scripts/fuzz)

Everything is imported once, then each case runs in a fork of its own: a crash ends only that one, and its peak memory
is its own. The network is tiny and untrained but residual, which makes it the identity. A case is a finding if a
command ends by a signal, takes longer than 20 s, shows a traceback, fails in other than one line or with an exit code
that is not documented, leaves a file behind, changes its input, or takes 1 GiB more than the unharmed file does.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.stress.fuzz_mutations import mutate
from tests.stress.fuzz_seeds import make_seeds

__all__ = ["Outcome", "finding", "judge", "mutated", "plain_runs", "run_cases", "summary"]

PATIENCE = 20.0  # seconds that one command may take, on a machine that is not busy with other things
ROOM = 1 << 30  # bytes above the unharmed file's run
CODES = {0, 2, 4, 5}  # documented, without 1 (internal error) and what signals give
ADDRESSES = 6 << 30  # bytes of addresses beyond those at the start, so that no case takes the machine


@dataclass
class Outcome:
    """What became of one case. Commands: info, restore."""

    name: str  # number, seed file, mutations
    codes: dict[str, int] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    frames: int = 0  # decoded
    left: list[str] = field(default_factory=list)  # files that should not be there
    seconds: float = 0.0  # of the slower command
    processor: float = 0.0  # seconds of the processor, both commands
    peak: int = 0  # bytes
    ended: int | None = None  # by which signal; SIGKILL is ours, after PATIENCE
    fault: str = ""


def run_cases(cases: Iterable[tuple[str, dict[str, bytes]]], jobs: int = 1) -> Iterator[Outcome]:
    """Runs (name, files) each in a fork; the first file is the input, "images/..." a folder of them."""
    _restorer()
    running: dict[int, _Case] = {}
    waiting = iter(cases)
    more = True
    while more or running:
        while more and len(running) < jobs:
            following = next(waiting, None)
            if following is None:
                more = False
            else:
                case = _Case(*following)
                running[case.pipe] = case
        nearest = min((case.deadline for case in running.values()), default=0.0)
        ready, _, _ = select.select(list(running), [], [], max(0.0, nearest - time.monotonic()))
        for case in list(running.values()):
            if case.pipe in ready:
                if case.read():
                    yield running.pop(case.pipe).end()
            elif time.monotonic() >= case.deadline:
                case.stop()
                yield running.pop(case.pipe).end()


class _Case:
    """One fork at work; it reports each command when it is done."""

    def __init__(self, name: str, files: dict[str, bytes]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="alanet-fuzz-"))
        self.outcome, self._heard = Outcome(name), b""
        self.pipe, writing = os.pipe()
        self.deadline = time.monotonic() + _patience()
        self.child = os.fork()
        if self.child == 0:
            os.close(self.pipe)
            _child(self.folder, files, writing)
        os.close(writing)

    def read(self) -> bool:
        """Takes what the fork says; True once it has ended."""
        part = os.read(self.pipe, 1 << 16)
        self._heard += part
        while b"\n" in self._heard:
            line, _, self._heard = self._heard.partition(b"\n")
            said = json.loads(line)
            self.outcome.codes[said["command"]] = said["code"]
            self.outcome.said[said["command"]] = said["said"]
            self.outcome.frames = max(self.outcome.frames, said["frames"])
            self.outcome.left += said["left"]
            self.outcome.seconds = max(self.outcome.seconds, said["seconds"])
            self.deadline = time.monotonic() + _patience()
        return not part

    def stop(self) -> None:
        """Ends the fork, which first says where it is."""
        os.kill(self.child, signal.SIGUSR1)
        time.sleep(0.5)
        os.kill(self.child, signal.SIGKILL)
        with suppress(OSError):
            self.outcome.said["stopped"] = (self.folder / "errors").read_text(errors="replace")[-3000:]

    def end(self) -> Outcome:
        os.close(self.pipe)
        _, status, usage = os.wait4(self.child, 0)
        self.outcome.ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        self.outcome.peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        self.outcome.processor = usage.ru_utime + usage.ru_stime
        shutil.rmtree(self.folder, ignore_errors=True)
        return self.outcome


def _patience() -> float:
    """Longer where more programs want to run than there are processors."""
    return PATIENCE * max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


def _child(folder: Path, files: dict[str, bytes], pipe: int) -> None:
    """Never returns."""
    try:
        _limit_addresses()
        scratch, errors, place = folder / "scratch", folder / "errors", folder / "in"
        scratch.mkdir()
        tempfile.tempdir = str(scratch)
        for name, data in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        first = place / next(iter(files))
        source = first.parent if first.parent != place else first
        os.dup2(os.open(errors, os.O_RDWR | os.O_CREAT | os.O_APPEND), 2)
        faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)
        os.dup2(os.open(scratch / "out", os.O_RDWR | os.O_CREAT), 1)
        for command in ("info", "restore"):
            report = _command(command, source, place, scratch, errors, files)
            os.write(pipe, json.dumps({"command": command, **report}).encode() + b"\n")
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(99)


def _command(
    command: str, source: Path, place: Path, scratch: Path, errors: Path, files: dict[str, bytes]
) -> dict[str, Any]:
    from alanet.cli import run

    rate = ["--input-rate", "25"] if source.is_dir() else []
    words = {
        "info": ["info", str(source), "--json", *rate],
        "restore": ["restore", str(source), "--quiet", "--json", "--preset", "ultrafast", "--threads", "1", *rate],
    }
    for descriptor in (1, 2):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
    began = time.monotonic()
    code = run(words[command])
    seconds = time.monotonic() - began
    sys.stdout.flush()
    sys.stderr.flush()
    printed = (scratch / "out").read_text(errors="replace")
    said = json.loads(printed) if code == 0 else {}
    frames = said.get("frames", 0) if command == "info" else said.get("frames_in", 0)
    there = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    wanted = set(files) | ({str(Path(said["output"]).relative_to(place))} if "output" in said else set())
    left = sorted(there ^ wanted) + [path.name for path in scratch.iterdir() if path.name != "out"]
    left += [f"{name} changed" for name, data in files.items() if (place / name).read_bytes() != data]
    return {"code": code, "seconds": seconds, "frames": frames or 0, "left": left,
            "said": errors.read_text(errors="replace")[:4000]}  # fmt: skip


def _limit_addresses() -> None:
    statm = Path("/proc/self/statm")
    if statm.exists():
        held = int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (held + ADDRESSES, held + ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@cache
def _restorer() -> Any:
    """The identity, in place of the shipped network; made before the first fork, and timed."""
    import torch
    from PIL import Image

    import alanet.cli.info
    import alanet.restoration.restorer
    from alanet.cli.screen import Screen, show_logging
    from alanet.engine.memory import resident_memory
    from alanet.model.alanet import ALANet, ALANetConfig

    Image.init()
    show_logging(Screen(), verbose=False)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = ALANet(ALANetConfig(width=0.125, residual=True))
    memory = resident_memory() + ROOM
    restorer = alanet.restoration.restorer.Restorer(model, device="cpu", precision="fp32", memory=memory)
    restorer.runner.seconds_per_gmac()
    alanet.restoration.restorer.Restorer = lambda **options: restorer  # type: ignore[assignment, misc]
    os.fsync = lambda fd: None  # nothing here outlives a loss of power
    gc.freeze()  # what the forks share is not copied by their collectors
    return restorer


def finding(outcome: Outcome, plain: int) -> str:
    """Why a case is one; "" where all is well. plain: bytes that the unharmed file's run takes at its peak."""
    if outcome.ended is not None:
        if outcome.ended == signal.SIGKILL:
            return (
                f"longer than {PATIENCE:.0f} s, {outcome.processor:.1f} s of the processor, after {list(outcome.codes)}"
            )
        return f"ended by {signal.Signals(outcome.ended).name}"
    for command in ("info", "restore"):
        said = outcome.said.get(command, "")
        if command not in outcome.codes:
            return f"{command} reported nothing"
        if outcome.codes[command] not in CODES:
            return f"{command}: exit {outcome.codes[command]}"
        if "Traceback" in said:
            return f"{command}: a traceback"
        if outcome.codes[command] and (said.count("\n") != 1 or not said.startswith("alanet: ")):
            return f"{command}: failed in other than one line"
    if outcome.left:
        return f"left behind: {', '.join(outcome.left)}"
    if outcome.peak > plain + ROOM:
        return f"{(outcome.peak - plain) >> 20} MiB more than unharmed"
    return ""


def mutated(seeds: dict[str, dict[str, bytes]], count: int, seed: int) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Cases by number; case n of a seed is the same whatever the count."""
    others = [data for files in seeds.values() for data in files.values()]
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        kind = sorted(seeds)[number % len(seeds)]
        files = dict(seeds[kind])
        name = rng.choice(sorted(files))
        files[name], how = mutate(files[name], rng, others)
        yield f"{number} {kind} {how}", files


def plain_runs(seeds: dict[str, dict[str, bytes]]) -> dict[str, Outcome]:
    """The unharmed files, each through the same."""
    return {o.name.split()[1]: o for o in run_cases((f"plain {kind}", files) for kind, files in seeds.items())}


def judge(outcomes: Iterable[Outcome], plain: dict[str, Outcome]) -> list[Outcome]:
    """With their faults filled in, each told as it comes."""
    judged = []
    for outcome in outcomes:
        outcome.fault = finding(outcome, plain[outcome.name.split()[1]].peak)
        if outcome.fault:
            said = " | ".join(filter(None, outcome.said.values()))
            print(f"case {outcome.name}: {outcome.fault}: {said[:3000]}", flush=True)
        judged.append(outcome)
    return judged


def summary(judged: list[Outcome], plain: dict[str, Outcome]) -> str:
    slow = max(judged, key=lambda o: o.seconds)
    large = max(judged, key=lambda o: o.peak - plain[o.name.split()[1]].peak)
    more = (large.peak - plain[large.name.split()[1]].peak) / 2**20
    codes = Counter(f"{o.codes.get('info', '-')}/{o.codes.get('restore', '-')}" for o in judged)
    return "\n".join(
        [
            f"cases                    {len(judged)} from {len(plain)} files",
            f"a frame decoded          {sum(o.frames > 0 for o in judged) / len(judged):.0%}",
            f"exit codes info/restore  {', '.join(f'{k}: {n}' for k, n in codes.most_common())}",
            f"slowest command          {slow.seconds:.1f} s (case {slow.name}; {slow.processor:.1f} s of processor)",
            f"most memory              {more:.0f} MiB above the unharmed file (case {large.name})",
            f"findings                 {sum(bool(o.fault) for o in judged)}",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutated files through info and restore.")
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of cases")
    parser.add_argument("--keep", type=Path, help="a folder for the files of --only, or of the findings")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alanet-seeds-") as folder:
        seeds = make_seeds(Path(folder))
    plain = plain_runs(seeds)
    broken = [f"{o.name}: {o.codes} {o.said}" for o in plain.values() if o.codes != {"info": 0, "restore": 0}]
    if broken:
        print("unharmed files do not work:", *broken, sep="\n")
        return 1
    cases = mutated(seeds, max(given.only or [given.cases - 1]) + 1, given.seed)
    chosen = (case for case in cases if not given.only or int(case[0].split()[0]) in given.only)
    judged = judge(run_cases(chosen, given.jobs), plain)
    if given.keep:
        numbers = {o.name for o in judged if o.fault or given.only}
        for name, files in mutated(seeds, given.cases if not given.only else max(given.only) + 1, given.seed):
            for file, data in files.items() if name in numbers else ():
                path = given.keep / name.split()[0] / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    print(summary(judged, plain))
    return int(any(o.fault for o in judged))


if __name__ == "__main__":
    sys.exit(main())
