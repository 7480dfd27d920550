"""What README.md shows works: its Python runs, its `alanet` commands run, the scripts and files it names are there.

Videos that it names are stood in for by a small one, in a folder of their own.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from alanet.cli import run
from tests.support.media import Track, make_video

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text("utf-8")
CHEAP = ("restore", "info", "preview", "models", "doctor")  # other verbs train, evaluate or wait
VIDEO = re.compile(r"[\w.-]+\.(?:mp4|mkv|mov)\b")


def blocks(*languages: str) -> list[str]:
    """The text of every fenced block in one of the languages."""
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def python_of(page: str) -> list[str]:
    """The Python of a page of the documentation."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[str]:
    """Every command line that begins with a program, without its prompt and comment."""
    lines = [
        line.strip().removeprefix("$ ") for block in blocks("sh", "bash", "console") for line in block.splitlines()
    ]
    return [line.split("  #")[0].strip() for line in lines if line.startswith(program)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stand_in(folder: Path, said: str) -> None:
    """The videos that a command or a piece of code reads: those it names and does not write."""
    written = set(re.findall(r"(?:-o |--output |, )[\"']?([\w.-]+)", said))
    for name in set(VIDEO.findall(said)) - written:
        make_video(folder / name, frames=40, size=(64, 48), audio=Track(seconds=1.5))
    for name in re.findall(r"restore (\w+)/", said):
        (folder / name).mkdir()
        make_video(folder / name / "a.mp4", frames=4, size=(64, 48))


def test_there_is_something_to_try():
    assert blocks("python")
    assert any(command.startswith("alanet restore") for command in commands("alanet"))
    assert any(command.startswith("scripts/restore") for command in commands("scripts/"))


@pytest.mark.parametrize("code", blocks("python"))
def test_its_python_runs(code, folder):
    stand_in(folder, code)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("code", [*python_of("docs/python.md"), *python_of("docs/export.md")])
def test_the_python_of_the_documentation_runs(code, folder):
    stand_in(folder, code)
    exec(compile(code, "the page", "exec"), {"__name__": "docs"})


@pytest.mark.parametrize("command", [c for c in commands("alanet") if c.split()[1] in CHEAP])
def test_its_commands_run(command, folder):
    stand_in(folder, command)
    assert run(shlex.split(command)[1:]) == 0


@pytest.mark.parametrize("command", commands("scripts/"))
def test_its_scripts_are_there(command):
    script = ROOT / command.split()[0]
    assert script.stat().st_mode & 0o111, f"{script} cannot be run"


def test_it_is_short():
    assert len(TEXT.split()) <= 600


@pytest.mark.parametrize("method", ["copy", "blend", "minterpolate", "RIFE 4.25", "alanet-plus"])
def test_its_scores_are_those_of_the_results(method):
    def scores(page):
        rows = (ROOT / page).read_text("utf-8").replace("*", "").replace("`", "").replace("FFmpeg ", "").splitlines()
        row = next(row for row in rows if row.startswith(f"| {method} |"))
        return re.findall(r"\d+\.\d{2}(?= )", row.split("|", 2)[2])[:3]

    measured = scores("docs/results/two-clips.md")
    assert scores("README.md")[:2] == measured[:2] == scores("docs/results.md")[:2]


def test_the_files_that_it_links_to_are_there():
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", TEXT) + re.findall(
        r"<img[^>]+src=\"(?!https?:)([^\"]+)", TEXT
    )
    assert [link for link in links if not (ROOT / link).exists()] == []
