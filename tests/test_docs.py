"""The documentation: generated pages are current, pages are short, and the site builds without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)


def test_the_generated_pages_are_those_of_the_code() -> None:
    done = run(str(DOCS / "generate.py"), "--check")
    assert done.returncode == 0, f"run python docs/generate.py: {done.stdout}{done.stderr}"


def test_the_reference_has_defaults_and_comments() -> None:
    page = (DOCS / "reference" / "configuration.md").read_text()
    assert "| `ema` | `float` | `0.999` | decay a step of the running mean" in page
    assert "| `dataset` | `Path \\| None` | `None` | scenes (`alanet data scenes`)" in page


def test_every_key_of_the_configuration_has_a_meaning() -> None:
    rows = (DOCS / "reference" / "configuration.md").read_text().splitlines()
    assert [row for row in rows if row.startswith("| `") and row.endswith("|  |")] == []


def test_files_of_the_repository_that_pages_name_are_there() -> None:
    named = re.compile(r"`((?:alanet|tests|scripts|recipes|benchmarks)/[\w./-]+)`")
    assert [(page.name, path) for page in DOCS.rglob("*.md") for path in named.findall(page.read_text())
            if not (ROOT / path).exists()] == []  # fmt: skip


def test_no_page_is_longer_than_400_lines() -> None:
    lengths = {path.relative_to(DOCS).as_posix(): len(path.read_text().splitlines()) for path in DOCS.rglob("*.md")}
    assert {name for name, lines in lengths.items() if lines > 400} == set()


@pytest.mark.stress
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    done = run("-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "autocorrelation" in (tmp_path / "blur-and-exposure.html").read_text()
    assert (tmp_path / "searchindex.js").stat().st_size > 10_000
