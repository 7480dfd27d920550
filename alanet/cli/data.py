"""`alanet data`: high-rate videos into a training set, and their motion; scenes from stills; `cli/blur.py` has blur."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from alanet.cli.blur import blur
from alanet.cli.options import Verbosity, flag
from alanet.cli.progress import progress, resumable
from alanet.cli.screen import Screen
from alanet.engine.threads import check_count
from alanet.restoration.values import parse_ratio, parse_size
from alanet.text import count, duration, rate, size

if TYPE_CHECKING:
    from alanet.data.real.build import BuildPlan, BuildProgress, BuildReport
    from alanet.data.real.find import SplitOptions
    from alanet.data.real.plan import BuildOptions

__all__ = ["data"]

STORED = Group("What is stored", sort_key=1)
SPLIT = Group("Split", sort_key=2)
SCENES = Group("Scenes", sort_key=1)
MANY = 12  # skipped videos shown; the manifest has all

data = App(
    name="data",
    help="Make training data from high-rate videos or photographs, or a blurred video to test with.",
    sort_key=10,
    result_action="return_value",
)
data.command(blur)

Folder = Annotated[
    Path, Parameter(name="FOLDER", help="Folder of high-rate videos or of their frames, with subfolders.")
]
Out = Annotated[Path, Parameter(name=["--output", "-o"], help="Folder to create or to resume.")]
AssumeRate = Annotated[
    str | None,
    Parameter(metavar="RATE", help="Accept sources below 120 fps as if they had this rate, such as 240."),
]


OnCluster = Annotated[
    str | None,
    Parameter(
        metavar="[ADDRESS]",
        help="Run on a Ray cluster; without ADDRESS on a local instance. All nodes must see the folders, under equal "
        "paths.",
    ),
]


def _each_on(address: str | None, verbosity: Verbosity) -> Any:
    """What maps a function over items on the cluster; None without one."""
    if address is None:
        return None
    from alanet.restoration.ray_session import ClusterOptions, connect, each

    connect(ClusterOptions(address), verbose=verbosity.verbose)
    return each


@Parameter(name="*", group=STORED)
@dataclass(frozen=True)
class Storing:
    """What is stored."""

    size: Annotated[
        str, Parameter(metavar="WxH", help="Frames are resized to this size, not cropped. Portrait video: HxW.")
    ] = "640x352"
    keep_aspect: Annotated[bool, flag(["--keep-aspect"], "Resize the longer side only and keep the aspect ratio.")] = (
        False
    )
    assume_rate: AssumeRate = None
    cuts: Annotated[Literal["auto", "off"], Parameter(help="Detect scene cuts. No clip spans a cut.")] = "auto"
    shortest: Annotated[int, Parameter(metavar="N", help="Shortest run of sharp frames that is stored.")] = 29


@Parameter(name="*", group=SPLIT)
@dataclass(frozen=True)
class Splitting:
    """Which videos are held out, where the data set's own layout does not say."""

    test: Annotated[float, Parameter(metavar="SHARE", help="Share of the videos for testing.")] = 0.1
    val: Annotated[float, Parameter(metavar="SHARE", help="Share of the videos for validation.")] = 0.0
    seed: Annotated[int, Parameter(metavar="N", help="Seed of the random choice.")] = 0
    test_list: Annotated[Path | None, Parameter(metavar="FILE", help="Names of the test videos, one a line.")] = None
    val_list: Annotated[Path | None, Parameter(metavar="FILE", help="Names of the validation videos.")] = None

    def options(self) -> SplitOptions:
        from alanet.data.real.find import SplitOptions, read_list

        files = {"test": self.test_list, "val": self.val_list}
        lists = {kind: read_list(path) for kind, path in files.items() if path is not None}
        return SplitOptions(seed=self.seed, test=self.test, val=self.val, lists=lists)


@data.command
def build(
    folder: Folder,
    /,
    *,
    output: Out,
    storing: Storing = Storing(),
    splitting: Splitting = Splitting(),
    cluster: OnCluster = None,
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Turn a folder of high-rate videos into a training set. The same command resumes an interrupted run."""
    from alanet.data.real.build import plan_build, run_build
    from alanet.notes import Notes

    options, notes, screen = _build_options(storing, splitting), Notes(), Screen(quiet=verbosity.quiet)
    with screen.waiting("looking into every video"):
        plan = plan_build(folder, output, options, notes)
    screen.heading(f"{folder} → {output}")
    screen.rows(_planned_rows(plan))
    with resumable() as safe_place, progress(screen, "building") as show:

        def on_progress(now: BuildProgress) -> None:
            show(now.frames, now.frames_total, f"video {now.videos + 1} of {now.videos_total}: {now.name}")
            safe_place()

        report = run_build(plan, notes, on_progress=on_progress, each=_each_on(cluster, verbosity))
    screen.rows(_built_rows(report))
    if verbosity.json:
        print(json.dumps(_as_json(report)))
    return 3 if report.manifest.skipped else 0


def _build_options(storing: Storing, splitting: Splitting) -> BuildOptions:
    from alanet.data.real.plan import BuildOptions

    return BuildOptions(
        size=parse_size(storing.size),
        keep_aspect=storing.keep_aspect,
        assume_rate=None if storing.assume_rate is None else parse_ratio(storing.assume_rate),
        cuts=storing.cuts == "auto",
        shortest=storing.shortest,
        split=splitting.options(),
    )


def _planned_rows(plan: BuildPlan) -> list[tuple[str, str]]:
    rows = [("layout", f"{plan.layout}, {count(len(plan.footage), 'usable video')}"), ("split", _split(plan.split))]
    if plan.done:
        rows.append(("there", f"{count(len(plan.done), 'video')} verified, not done again"))
    frames = sum(one.frames for one in plan.footage if one.source.name not in plan.done)
    return [*rows, ("estimate", f"{count(frames, 'frame')}, about {size(plan.bytes_needed)} on disk")]


def _split(split: dict[str, str]) -> str:
    kinds = list(split.values())
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("train", "val", "test") if kind in kinds)


def _built_rows(report: BuildReport) -> list[tuple[str, str]]:
    videos = report.manifest.videos
    runs = [run for video in videos for run in video.runs]
    frames, cuts = sum(run.frames for run in runs), sum(len(video.cuts) for video in videos)
    done = f"{count(frames, 'frame')} in {count(len(runs), 'run')} of {count(len(videos), 'video')}"
    rows = [("done", f"{done}, {count(cuts, 'cut')}, in {duration(report.seconds)}")]
    rows.append(("split", _split({video.name: video.split for video in videos})))
    for video in videos:
        if Fraction(video.stated_rate or 0) != Fraction(video.rate):
            stated = "unknown rate" if video.stated_rate is None else rate(Fraction(video.stated_rate))
            rows.append(("assumed", f"{video.name}: {stated} taken as {rate(Fraction(video.rate))}"))
    rows += [("warning", line) for line in report.notes.warnings]
    skipped = report.manifest.skipped
    rows += [("skipped", f"{one.name}: {one.reason}") for one in skipped[:MANY]]
    if len(skipped) > MANY:
        rows.append(("skipped", f"and {len(skipped) - MANY} more, named in data.json"))
    return [*rows, ("look at", str(report.sheet.absolute())), ("result", str(report.folder.absolute()))]


def _as_json(report: BuildReport) -> dict[str, object]:
    videos = report.manifest.videos
    return {
        "folder": str(report.folder),
        "sheet": str(report.sheet),
        "layout": report.manifest.layout,
        "videos": {video.name: video.split for video in videos},
        "frames": sum(run.frames for video in videos for run in video.runs),
        "runs": sum(len(video.runs) for video in videos),
        "reused": report.reused,
        "skipped": {one.name: one.reason for one in report.manifest.skipped},
        "warnings": report.notes.warnings,
        "seconds": report.seconds,
    }


@data.command
def motion(
    folder: Annotated[Path, Parameter(name="SET", help="A dataset of `alanet data build`.")],
    /,
    *,
    rife_module: Annotated[
        Path, Parameter(metavar="FILE", help="RIFE's ifnet.py. Its code is executed: use only a file you trust.")
    ],
    rife_weights: Annotated[Path, Parameter(metavar="FILE", help="RIFE's flownet.pkl.")],
    period: Annotated[int, Parameter(metavar="N", help="Frame period in sharp frames.")] = 8,
    device: Annotated[str, Parameter(metavar="NAME", help="Device that runs RIFE.")] = "cpu",
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Estimate the optical flow of a dataset by RIFE, for training. The same command resumes an interrupted run."""
    from alanet.data.real.teacher_flow import estimate_motion
    from alanet.evaluation.baselines import rife_motion

    began, screen = time.monotonic(), Screen(quiet=verbosity.quiet)
    teacher = rife_motion(rife_module, rife_weights, device=device)
    screen.heading(f"{folder}")
    with resumable(), progress(screen, "estimating") as show:
        pairs = estimate_motion(
            folder, teacher, "RIFE 4.25", period=period, on_progress=lambda done, total: show(done, total, "pairs")
        )
    seconds = time.monotonic() - began
    result = folder / "motion"
    screen.rows([("done", f"{count(pairs, 'pair')} in {duration(seconds)}"), ("result", str(result.absolute()))])
    if verbosity.json:
        print(json.dumps({"folder": str(result), "pairs": pairs, "seconds": seconds}))
    return 0


@Parameter(name="*", group=SCENES)
@dataclass(frozen=True)
class Rendering:
    """What is rendered."""

    scenes: Annotated[int, Parameter(metavar="N", help="Number of scenes. An existing folder is extended to it.")] = (
        2500
    )
    size: Annotated[str, Parameter(metavar="WxH", help="Frame size; multiples of 4.")] = "128x128"
    t: Annotated[int, Parameter(metavar="N", help="Input frames of a clip.")] = 5
    period: Annotated[int, Parameter(metavar="N", help="Frame period in sharp frames; even.")] = 8
    longest: Annotated[int, Parameter(metavar="N", help="Longest exposure in sharp frames; odd.")] = 15
    displacement: Annotated[float, Parameter(metavar="PX", help="Largest motion in a frame period, in pixels.")] = 24.0
    seed: Annotated[int, Parameter(metavar="N", help="Seed of the scenes.")] = 0
    held_out: Annotated[bool, flag(["--held-out"], "Use the held-out tenth of the photographs.")] = False
    workers: Annotated[int | None, Parameter(metavar="N", help="Number of processes. The default is one per core.")] = (
        None
    )


@data.command
def scenes(
    stills: Annotated[Path, Parameter(name="PHOTOS", help="Folder of sharp photographs.")],
    /,
    *,
    output: Out,
    rendering: Rendering = Rendering(),
    cluster: OnCluster = None,
    verbosity: Verbosity = Verbosity(),
) -> int:
    """Render moving scenes from photographs for training. The same command resumes, or adds scenes."""
    from alanet.data.clips import BankClips
    from alanet.data.cutting import ClipOptions
    from alanet.data.real.plan import check_room
    from alanet.data.sheet import contact_sheet
    from alanet.data.synthetic.bank import render_bank
    from alanet.data.synthetic.scenes import SceneOptions
    from alanet.frames.exposure import Exposure

    began, screen = time.monotonic(), Screen(quiet=verbosity.quiet)
    check_count(rendering.workers, "--workers")
    width, height = parse_size(rendering.size)
    frames = Exposure(rendering.longest, rendering.period).needed(rendering.t)
    options = SceneOptions(height, width, frames, rendering.period, rendering.displacement)
    needed = rendering.scenes * frames * height * width * 3
    there = sum(file.stat().st_size for file in output.glob("*.npy")) if output.is_dir() else 0
    check_room(output, max(0, needed - there), "render fewer or smaller --scenes")
    screen.heading(f"{stills} → {output}")
    screen.rows([("estimate", f"{count(rendering.scenes, 'scene')} of {frames} frames, about {size(needed)} on disk")])
    with resumable(), progress(screen, "rendering") as show:
        bank = render_bank(
            stills, output, rendering.scenes, options, seed=rendering.seed, longest=rendering.longest,
            held_out=rendering.held_out, workers=rendering.workers or os.cpu_count() or 1,
            each=_each_on(cluster, verbosity), on_progress=lambda done: show(done, rendering.scenes, "scenes"),
        )  # fmt: skip
    sheet = output / "sheet.png"
    contact_sheet(BankClips(bank, ClipOptions(t=min(bank.t, 5))).batch(0, size=min(10, len(bank)), crop=0), sheet)
    seconds = time.monotonic() - began
    screen.rows([
        ("done", f"{count(len(bank), 'scene')} in {duration(seconds)}"),
        ("look at", str(sheet.absolute())),
        ("result", str(output.absolute())),
    ])  # fmt: skip
    if verbosity.json:
        print(json.dumps({"folder": str(output), "sheet": str(sheet), "scenes": len(bank), "seconds": seconds}))
    return 0
