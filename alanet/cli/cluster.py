"""`alanet restore --cluster`: many videos on many machines; a line for each as it ends, then a table of all.

With --json an object for each video goes to standard output as it ends, and every few seconds one with the progress, a
line each.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from alanet.cli.batch import close_batch, goes_on, line_of, share_done
from alanet.cli.options import NetworkOptions, RestoreOptions, Verbosity
from alanet.cli.progress import batch_progress
from alanet.cli.screen import Screen
from alanet.errors import OptionError
from alanet.restoration.batch import RECORDS, Item, Outcome
from alanet.restoration.cluster import RayCrew
from alanet.restoration.crew import Progress
from alanet.restoration.dispatch import Dispatch
from alanet.restoration.ray_session import LOCAL, ClusterOptions, connect
from alanet.restoration.storage import Store, find_videos, is_url
from alanet.restoration.work import Setup
from alanet.signals import Terminated
from alanet.text import count

__all__ = ["Cluster", "cluster_words", "restore_on_cluster"]

CLUSTER = Group("Cluster", sort_key=3)
ADDRESS = re.compile(r"auto|local|(?:ray://)?(?:\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}")
EVERY = 5.0  # seconds between two objects with the progress


@Parameter(name="*", group=CLUSTER)
@dataclass(frozen=True)
class Cluster:
    """Where and how a Ray cluster is used."""

    cluster: Annotated[
        str | None,
        Parameter(
            metavar="[ADDRESS]",
            help="Restore on a Ray cluster: HOST:PORT, or auto for this node's. Without ADDRESS on a local instance. "
            "Takes any number of VIDEOs and folders, as paths or URLs (s3://, gs://), and needs -o FOLDER.",
        ),
    ] = None
    scratch: Annotated[
        str | None, Parameter(metavar="FOLDER", help="Folder for temporary files on each node. The default is /tmp.")
    ] = None
    cpus_per_worker: Annotated[
        int | None, Parameter(metavar="N", help="CPUs of a worker. The default is all of the smallest node.")
    ] = None
    gpus_per_worker: Annotated[
        float | None, Parameter(metavar="N", help="GPUs of a worker. The default is 1 where there are GPUs.")
    ] = None

    def options(self) -> ClusterOptions:
        """Checked. Raises OptionError."""
        if self.cpus_per_worker is not None and self.cpus_per_worker < 1:
            raise OptionError(f"--cpus-per-worker {self.cpus_per_worker}: give 1 or more")
        if self.gpus_per_worker is not None and not 0 <= self.gpus_per_worker <= 64:
            raise OptionError(f"--gpus-per-worker {self.gpus_per_worker}: give 0 to 64")
        given = ClusterOptions(self.cluster or LOCAL, cpus=self.cpus_per_worker, gpus=self.gpus_per_worker)
        return given if self.scratch is None else replace(given, scratch=str(Path(self.scratch).absolute()))


def cluster_words(words: Sequence[str]) -> list[str]:
    """Gives --cluster its value where none follows.

    >>> cluster_words(["restore", "--cluster", "a.mp4"])
    ['restore', '--cluster', 'local', 'a.mp4']
    >>> cluster_words(["restore", "a.mp4", "--cluster", "head:6379"])
    ['restore', 'a.mp4', '--cluster', 'head:6379']
    """
    given: list[str] = []
    for i, word in enumerate(words):
        given.append(word)
        following = words[i + 1] if i + 1 < len(words) else ""
        if word == "--cluster" and not ADDRESS.fullmatch(following):
            given.append(LOCAL)
    return given


def restore_on_cluster(
    sources: Sequence[Path],
    output: Path | None,
    options: RestoreOptions,
    network: NetworkOptions,
    verbosity: Verbosity,
    cluster: ClusterOptions,
) -> int:
    """What `restore` does with --cluster."""
    _refuse(sources, output, options)
    inputs, out = [_as_given(path) for path in sources], _as_given(output or Path())
    screen = Screen(quiet=verbosity.quiet)
    store = Store(out if is_url(out) else str(Path(out).absolute()))
    with screen.waiting("looking for videos"):
        found, others = find_videos(inputs, store.url)
        store.check_writable()
    items = [Item(name, url, record=f"{RECORDS}/{name}.json") for name, url in found]
    setup = Setup(network, options, workers=1, verbose=verbosity.verbose)
    with screen.waiting("connecting to the cluster"):
        dashboard = connect(cluster, verbose=verbosity.verbose)
    screen.heading(f"{count(len(items), 'video')} → {out}")
    if dashboard:
        screen.rows([("dashboard", dashboard)])
    outcomes: list[Outcome] = []

    def over(outcome: Outcome) -> None:
        outcomes.append(outcome)
        screen.say(line_of(outcome))
        if verbosity.json:
            print(json.dumps(outcome.to_dict()), flush=True)

    try:
        with batch_progress(screen) as show:
            told = _with_json(show) if verbosity.json else show
            crew = RayCrew(setup, cluster, store.url)
            Dispatch(items, crew, over=over, on_progress=told, say=screen.say).run()
    except (KeyboardInterrupt, Terminated) as error:
        raise type(error)(f"stopped; {share_done(outcomes, items)}; {goes_on()}") from None
    return close_batch(sorted(outcomes, key=lambda outcome: outcome.name), others, screen)


def _refuse(sources: Sequence[Path], output: Path | None, options: RestoreOptions) -> None:
    if not sources:
        raise OptionError("--cluster needs one or more VIDEOs or folders, as paths or URLs")
    if output is None:
        raise OptionError("--cluster needs a folder for the results; give a path or URL with -o")
    if Path("-") in (*sources, output) or Path("/dev/stdin") in sources:
        raise OptionError("--cluster goes with files, not with - (standard input and output)")
    if options.encode.codec == "png":
        raise OptionError("--codec png makes a folder of pictures; leave --cluster out for it")
    if options.input_rate is not None:
        raise OptionError("--input-rate is for one folder of images; leave --cluster out for it")


def _as_given(path: Path) -> str:
    """A path, or the URL that was made one."""
    return re.sub(r"^([a-z][a-z0-9+.-]+):/+", r"\1://", str(path))


def _with_json(show: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """Progress to the screen, and to standard output as JSON."""
    last = float("-inf")

    def told(now: Progress) -> None:
        nonlocal last
        show(now)
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            print(json.dumps({"progress": now.to_dict()}), file=sys.stdout, flush=True)

    return told
