"""The scheduler, with workers that are functions: order, bounds, repeats, losses."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from fractions import Fraction
from typing import Any

import pytest

from alanet.errors import ResourceError
from alanet.restoration.batch import Item, Outcome
from alanet.restoration.crew import Progress, WorkerLostError
from alanet.restoration.dispatch import TRIES, Dispatch
from alanet.restoration.work import Failure, Made, Part, Prepared

SEGMENTS = 5


def prepared(name: str, segments: int = SEGMENTS, there: int = 0) -> Prepared:
    parts = tuple(Part(i, Fraction(4 * i), Fraction(4 * i + 4), 10, Fraction(0), 0, ()) for i in range(there, segments))
    return Prepared(name.encode(), parts, name, f"{name}.out", f".{name}", [], 10 * segments, 10 * there, segments, 5)


class Stub:
    """Workers that do nothing; `act` may answer a task instead. Tasks end in a random order."""

    def __init__(self, workers: int, act: Callable[..., Any] = lambda number, task, *given: None) -> None:
        self.workers, self.act = list(range(workers)), act
        self.log: list[tuple[str, str]] = []
        self.dropped: list[int] = []
        self.open: set[str] = set()
        self.most_open = 0
        self.kept: dict[str, bool] = {}
        self.ended = False

    def numbers(self) -> Sequence[int]:
        return tuple(self.workers)

    def call(self, number: int, task: str, *given: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            answer = self.act(number, task, *given)
            done.set_result(self._answer(task, *given) if answer is None else answer)
        except WorkerLostError as error:
            done.set_exception(error)
        return done

    def _answer(self, task: str, *given: Any) -> Any:
        if task == "start":
            return {"machine": "a", "torch": "2"}
        if task == "prepare":
            self.open.add(given[0].name)
            self.most_open = max(self.most_open, len(self.open))
            return prepared(given[0].name)
        if task == "segment":
            self.log.append((given[0].decode(), f"{given[1].number}"))
            return Made(given[1].number, given[1].count, warnings=["seen"])
        self.open.discard(given[0].name)
        self.log.append((given[0].name, "join"))
        return Outcome(given[0].name, "done", frames_out=given[2].frames, notes={"warnings": given[2].warnings})

    def drop(self, number: int) -> None:
        self.dropped.append(number)

    def opened(self, prepared: Prepared) -> None:
        pass

    def closed(self, prepared: Prepared, *, kept: bool) -> None:
        self.kept[prepared.source] = kept

    def frames(self) -> int:
        return 0

    def close(self) -> None:
        self.ended = True


def run(stub: Stub, names: Sequence[str], **more: Any) -> dict[str, Outcome]:
    outcomes: list[Outcome] = []
    Dispatch([Item(name, name) for name in names], stub, over=outcomes.append, **more).run()
    assert stub.ended
    assert len(outcomes) == len(names)
    return {outcome.name: outcome for outcome in outcomes}


def test_videos_finish_one_after_another_and_few_are_open():
    names = [f"{i:03d}" for i in range(60)]
    stub, said = Stub(4), list[Progress]()
    outcomes = run(stub, names, on_progress=said.append)
    assert {outcome.state for outcome in outcomes.values()} == {"done"}
    assert [name for name, what in stub.log if what == "join"] == names
    assert stub.most_open <= 5
    assert Counter(stub.log) == Counter((name, what) for name in names for what in [*map(str, range(5)), "join"])
    assert outcomes["000"].frames_out == 50
    assert outcomes["000"].notes["warnings"] == ["seen"]
    assert (said[-1].files, said[-1].segments, said[-1].frames, said[-1].share) == (60, 300, 3000, 1.0)
    assert [now.share for now in said] == sorted(now.share for now in said)


@pytest.mark.parametrize("seed", range(20))
def test_workers_that_end_at_any_moment_lose_nothing(seed):
    dice = random.Random(seed)
    tries = Counter[tuple[Any, ...]]()

    def act(number: int, task: str, *given: Any) -> None:
        key = (task, given[1].number if task == "segment" else number, given[0] if task != "start" else 0)
        if task != "start" and tries[key] < TRIES - 1 and dice.random() < 0.3:
            tries[key] += 1
            raise WorkerLostError("killed")

    stub = Stub(3, act)
    outcomes = run(stub, ["a", "b", "c"])
    states = {outcome.state for outcome in outcomes.values()}
    assert states <= {"done", "failed"}
    for name, outcome in outcomes.items():
        if outcome.state == "failed":  # prepare or join ended three workers
            assert "its worker ended 3 times" in str(outcome.reason)
        else:
            assert {what for video, what in stub.log if video == name} == {*map(str, range(5)), "join"}


def test_a_segment_that_fails_three_times_is_named_and_the_rest_is_made():
    def act(number: int, task: str, *given: Any) -> Any:
        if task == "segment" and given[0] == b"b" and given[1].number == 2:
            return Failure("as arranged", 1, "segment")
        return None

    stub = Stub(2, act)
    outcomes = run(stub, "abc")
    assert [outcomes[name].state for name in "abc"] == ["done", "failed", "done"]
    assert outcomes["b"].code == 3
    assert outcomes["b"].reason == (
        "b: segment 2 failed three times (from 8.0 s to 12.0 s: as arranged); the other 4 are finished and kept, and "
        "the same command tries again"
    )
    assert stub.kept == {"a": False, "b": True, "c": False}


def test_a_segment_that_ends_its_workers_is_given_up_and_others_are_not():
    def act(number: int, task: str, *given: Any) -> Any:
        if task == "segment" and given[1].number == 0 and given[0] == b"a":
            raise WorkerLostError("signal SIGKILL")
        return None

    stub = Stub(2, act)
    outcomes = run(stub, "ab")
    assert (outcomes["a"].state, outcomes["a"].code, outcomes["b"].state) == ("failed", 3, "done")
    assert "its worker ended (signal SIGKILL)" in str(outcomes["a"].reason)
    assert len(stub.dropped) == TRIES


def test_a_failure_of_a_video_ends_it_and_one_of_the_run_ends_all():
    def full(number: int, task: str, *given: Any) -> Any:
        return Failure("the disk is full", 4, "video") if task == "segment" and given[0] == b"a" else None

    outcomes = run(Stub(3, full), "ab")
    assert (outcomes["a"].state, outcomes["a"].code, outcomes["b"].state) == ("failed", 4, "done")

    def broken(number: int, task: str, *given: Any) -> Any:
        return Failure("scratch is full", 5, "run") if task == "prepare" and given[0].name == "b" else None

    stub = Stub(1, broken)
    with pytest.raises(ResourceError, match="scratch is full"):
        run(stub, "abc")
    assert stub.ended


def test_workers_that_cannot_begin_end_the_run():
    def act(number: int, task: str, *given: Any) -> None:
        raise WorkerLostError("exit code 1")

    with pytest.raises(ResourceError, match=r"workers end as soon as they begin \(exit code 1\)"):
        run(Stub(2, act), "a")


def test_finished_segments_of_an_earlier_run_are_not_made_again():
    def act(number: int, task: str, *given: Any) -> Any:
        return prepared("a", there=3) if task == "prepare" else None

    stub = Stub(2, act)
    run(stub, "a")
    assert sorted(stub.log) == [("a", "3"), ("a", "4"), ("a", "join")]


def test_machines_that_differ_are_named_once():
    said: list[str] = []

    def act(number: int, task: str, *given: Any) -> Any:
        return {"machine": f"m{number}", "torch": f"2.{number}"} if task == "start" else None

    run(Stub(3, act), "ab", say=said.append)
    assert len(said) == 1
    assert re.match(r"warning: machines differ \(torch: 2\.(\d) on m\1, 2\.(\d) on m\2\)", said[0])
