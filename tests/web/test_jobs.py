"""Jobs on disk: whose they are, what is left of them, and what a server finds when it starts again."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from alanet.errors import InputError, OutputError, ResourceError
from alanet.web.jobs import MOST, Jobs, WebJob, display_name, usage
from alanet.web.options import ServerOptions

OPTIONS = ServerOptions(disk=1 << 20)


def add(jobs: Jobs, owner: str = "me", name: str = "a.mp4") -> WebJob:
    with jobs.adding(owner, name, 5, ".mp4") as (path, job):
        path.write_bytes(b"video")
    return job


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with Jobs(tmp_path / "jobs", OPTIONS) as made:
        yield made


def test_a_job_belongs_to_its_visitor(jobs: Jobs) -> None:
    job = add(jobs)
    assert jobs.find("me", job.id) == job
    assert jobs.find("you", job.id) is None
    assert jobs.find(None, job.id) is None
    assert [own.id for own in jobs.of("me")] == [job.id]
    assert jobs.of("you") == []


def test_a_refused_upload_leaves_nothing(jobs: Jobs) -> None:
    def refused() -> None:
        with jobs.adding("me", "a.mp4", 5, ".mp4") as (path, _):
            path.write_bytes(b"video")
            raise InputError("not a video")

    with pytest.raises(InputError, match="not a video"):
        refused()
    assert [path.name for path in jobs.folder.iterdir()] == ["lock"]
    assert jobs.of("me") == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\a.mp4", "a\0\n.mp4", "", "..", "x" * 500])
def test_a_visitors_name_is_no_path(jobs: Jobs, name: str) -> None:
    job = add(jobs, name=name)
    assert {path.name for path in (jobs.folder / job.id).iterdir()} == {"job.json", "input.mp4"}
    assert not {"/", "\\"} & {*job.name}
    assert job.name.isprintable()
    assert 1 <= len(job.name) <= 80


def test_a_long_name_keeps_its_ending() -> None:
    assert display_name("x" * 200 + ".mp4").endswith("x.mp4")


def test_a_new_server_finds_the_jobs_and_removes_cut_off_uploads(jobs: Jobs) -> None:
    job = jobs.enqueue(add(jobs), {"rate": "x4"})
    (jobs.folder / ("0" * 32)).mkdir()
    jobs.__exit__()
    with Jobs(jobs.folder, OPTIONS) as again:
        assert again.get(job.id) == job
    assert not (jobs.folder / ("0" * 32)).exists()


def test_two_servers_do_not_share_a_folder(jobs: Jobs) -> None:
    with pytest.raises(OutputError, match="another alanet web uses it"):
        Jobs(jobs.folder, OPTIONS)


def test_the_queue_is_in_order(jobs: Jobs) -> None:
    first, second = (add(jobs) for _ in range(2))
    jobs.enqueue(second, {})
    jobs.enqueue(first, {})
    assert [job.id for job in jobs.queue()] == [second.id, first.id]
    with pytest.raises(InputError, match="queue already"):
        jobs.enqueue(first, {})


def test_finished_segments_are_kept_for_the_same_options_only(jobs: Jobs) -> None:
    job = jobs.enqueue(add(jobs), {"rate": "x2"})
    work = jobs.path(job, ".input_x2.mp4.alanet-part")
    work.mkdir()
    jobs.change(job.id, state="cancelled")
    jobs.enqueue(job, {"rate": "x2"})
    assert work.exists()
    jobs.change(job.id, state="cancelled")
    jobs.enqueue(job, {"rate": "x4"})
    assert not work.exists()
    assert jobs.path(job, job.input).exists()


def test_unused_jobs_are_deleted_after_the_retention(jobs: Jobs) -> None:
    old, queued, fresh = (add(jobs) for _ in range(3))
    long_ago = time.time() - 25 * 3600
    jobs.change(old.id, used=long_ago)
    jobs.change(queued.id, used=long_ago, state="waiting")
    jobs.expire()
    assert {job.id for job in jobs.of("me")} == {queued.id, fresh.id}
    assert not (jobs.folder / old.id).exists()


def test_limits_are_one_line(tmp_path: Path) -> None:
    with Jobs(tmp_path / "small", replace(OPTIONS, disk=2)) as jobs, pytest.raises(ResourceError, match="disk limit"):
        add(jobs)
    with Jobs(tmp_path / "many", OPTIONS) as jobs:
        for _ in range(MOST):
            add(jobs)
        with pytest.raises(ResourceError, match=f"{MOST} videos"):
            add(jobs)
        add(jobs, owner="you")


def test_used_space_is_counted_while_folders_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").write_bytes(b"1234")
    scan = os.scandir

    def removed(path: str) -> object:
        if Path(path).name == "b":  # the job is deleted after its folder was listed
            (Path(path) / "data").unlink()
            Path(path).rmdir()
        return scan(path)

    monkeypatch.setattr(os, "scandir", removed)
    assert usage(tmp_path) == 4


def test_the_record_has_no_cookie(jobs: Jobs) -> None:
    record = json.loads((jobs.folder / add(jobs).id / "job.json").read_text())
    assert record["owner"] == "me"
    assert set(record) == set(WebJob.__dataclass_fields__)
