"""Ends a run at an exact place, lets the same command go on, and says what each did. One process, a fork for each run.

Places are calls inside a run, counted from 1: "encode 20" is before the 20th restored frame goes to the encoder,
"packet 7" before the 7th packet of the final join. As a program: killing.py VIDEO WEIGHTS FOLDER PLACE SIGNAL ..., with
"-" as the first place for a run that nothing ends; killing.py spread: 50 kills over one job, judged. The codec is ffv1:
x264 is not repeatable to the bit by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["PLACES", "case"]

PLACES = {  # name: the module and the call, before which something happens
    "read": ("alanet.engine.stream", "_Ring.add"),
    "encode": ("alanet.video.output.segments", "SegmentWriter.add"),
    "close": ("alanet.video.output.segments", "SegmentWriter.close"),
    "record": ("alanet.restoration.writer", "record"),
    "join": ("alanet.restoration.writer", "mux"),
    "packet": ("alanet.video.output.packets", "_to_ticks"),
    "place": ("alanet.restoration.writer", "joining"),
    "rename": ("alanet.restoration.writer", "move_into_place"),
    "tidy": ("alanet.restoration.writer", "VideoWriter._clean"),
}


def before_call(place: str, number: int, act: Callable[[], None]) -> None:
    """Arrange for `act` before the number-th call of a place, in this process."""
    import importlib

    module, path = PLACES[place]
    holder: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        holder = getattr(holder, parent)
    original, calls = getattr(holder, name), [0]

    def counted(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            act()
        return original(*arguments, **named)

    setattr(holder, name, counted)


def watch(log: Path) -> Callable[[], None]:
    """Count, in this process, what a run does; what is returned writes it down."""
    from alanet.engine.runner import Runner
    from alanet.video.output.segments import SegmentWriter

    seen: dict[str, Any] = {"frames": [], "segments": 0, "encodes": 0}
    add, close, encode = SegmentWriter.add, SegmentWriter.close, Runner.encode

    def added(self: Any, frame: Any) -> None:
        seen["frames"].append(hashlib.sha256(frame.pixels.tobytes()).hexdigest()[:16])
        add(self, frame)

    def closed(self: Any) -> Any:
        seen["segments"] += 1
        return close(self)

    def encoded(self: Any, pixels: Any) -> Any:
        seen["encodes"] += 1
        return encode(self, pixels)

    SegmentWriter.add, SegmentWriter.close, Runner.encode = added, closed, encoded  # type: ignore[method-assign]
    return lambda: print(json.dumps(seen), file=log.open("w"))


def forked(words: list[str], log: Path, arrange: Callable[[], None]) -> dict[str, Any]:
    """One run of the command in a process of its own: how it ended, what it said, what it did."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.dup2(os.open(log.with_suffix(".err"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            from alanet.cli import run
            from alanet.signals import raise_signals

            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise_signals()
            sys.argv = ["alanet", *words]
            write = watch(log)
            arrange()
            code = run(words)
            write()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    seen = json.loads(log.read_text()) if log.exists() else {}
    log.unlink(missing_ok=True)
    return {"code": os.waitstatus_to_exitcode(status), "said": log.with_suffix(".err").read_text(), **seen}


def case(video: Path, weights: Path, folder: Path, place: str, numbers: list[int]) -> dict[str, Any]:
    """A run into `folder` that is ended at a place by signals, and the same command once more."""
    from alanet.video.output.destination import work_folder
    from alanet.video.output.segments import recorded

    folder.mkdir(parents=True)
    out, log = folder / "out.mkv", folder.with_suffix(".json")
    words = ["restore", str(video), "-o", str(out), "--codec", "ffv1", "--model", str(weights)]
    words += ["--precision", "fp32", "--threads", "1", "--memory", "4G"]

    def arrange() -> None:
        def act() -> None:
            for number in numbers:
                os.kill(os.getpid(), number)

        if place != "-":
            name, count = place.split()
            before_call(name, int(count), act)

    first = forked(words, log, arrange)
    kept = recorded(work_folder(out))
    result: dict[str, Any] = {"place": place, "first": first, "kept": len(kept), "there": sum(s.frames for s in kept)}
    result["left"] = sorted(path.name for path in folder.iterdir())
    if place != "-":
        result["then"] = forked(words, log, lambda: None)
    result["files"] = sorted(path.name for path in folder.iterdir())
    return result


def main(video: str, weights: str, folder: str, *cases: str) -> None:
    import torch

    import alanet.cli
    import alanet.restoration.restorer  # noqa: F401  (imported once, before the forks)

    torch.set_num_threads(1)
    for i in range(0, len(cases), 2):
        numbers = [getattr(signal, name) for name in cases[i + 1].split("+") if name != "-"]
        done = case(Path(video), Path(weights), Path(folder) / f"{i // 2:03d}", cases[i], numbers)
        print(json.dumps(done), flush=True)


def spread() -> int:
    """45 kills at every frame or so of one job and 5 during the final join; returns how many went wrong."""
    import tempfile

    from alanet.model.weights import save_weights
    from tests.restoration import test_resume
    from tests.support.media import Track, make_video

    folder = Path(tempfile.mkdtemp(prefix="alanet-kills-"))
    video = make_video(folder / "in.mp4", frames=24, rate=2, audio=Track(seconds=12))
    save_weights(test_resume.make_network(), folder / "tiny.safetensors")
    places = [f"encode {i}" for i in range(3, 48)] + [f"packet {i}" for i in (1, 12, 24, 36, 48)]
    numbers = [(signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[i % 3] for i in range(len(places))]
    tiny = folder / "tiny.safetensors"
    whole = case(video, tiny, folder / "whole", "-", [])
    # All forks come before the first decoding here: a fork lacks the threads of a decoder, and would wait for them.
    cases = [
        case(video, tiny, folder / f"{i:03d}", place, [number])
        for i, (place, number) in enumerate(zip(places, numbers, strict=True))
    ]
    expected = test_resume.shown(folder / "whole" / "out.mkv")
    wrong = again = after = 0
    for i, (place, number, done) in enumerate(zip(places, numbers, cases, strict=True)):
        out = folder / f"{i:03d}" / "out.mkv"
        made, then = done["kept"] + done["then"].get("segments", 99), done["then"]["code"]
        if done["files"] == ["out.mkv"] and not done["then"].get(
            "frames"
        ):  # a signal in the last segment: it ended well
            made, then = 3, 0 if done["first"]["code"] == 0 else then
        same = (
            out.exists() and test_resume.shown(out) == expected and test_resume.sound(out) == test_resume.sound(video)
        )
        fine = same and made == whole["first"]["segments"] and done["files"] == ["out.mkv"]
        wrong, again, after = wrong + (not fine), again + (made > 3), after + (done["kept"] > 0)
        print(f"{place:10} {number.name:8} exit {done['first']['code']:4}, kept {done['kept']}, then {then}: {fine}")
    print(f"{len(places)} kills, {after} after a finished segment: {wrong} wrong, {again} with a segment made again")
    return wrong


if __name__ == "__main__":
    if sys.argv[1:] == ["spread"]:
        sys.exit(spread() > 0)
    main(*sys.argv[1:])
