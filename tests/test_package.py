"""The package: its extras, its version, and a wheel that restores the sample in an environment of its own."""

import ast
import re
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from functools import cache
from pathlib import Path

import pytest
import torch

from alanet import signals
from alanet.cli.options import source_path
from alanet.version import __version__
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
MODULES = {"pillow": "PIL", "tensorboard": "torch.utils.tensorboard"}  # where a package is imported by another name
WITHOUT = {"onnxscript", "s3fs"}  # used by other packages of their extra
BROUGHT = {"fastapi", "starlette", "uvicorn"}  # by gradio, whose application they are
HERE = {"alanet"} | set(sys.stdlib_module_names)


def named(requirement: str) -> str:
    """The name that a required package is imported by."""
    package = re.split(r"[\\[<>=~! ]", requirement)[0].lower()
    return MODULES.get(package, package.replace("-", "_"))


@cache
def imported() -> set[str]:
    """Everything outside the standard library that the package imports, whole names."""
    found = set()
    for path in (ROOT / "alanet").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
    return {name for name in found if name.partition(".")[0] not in HERE}


@pytest.mark.parametrize("extra", sorted(EXTRAS.keys() - {"test", "docs"}))
def test_an_extra_has_code_that_needs_it(extra: str) -> None:
    wanted = [named(requirement) for requirement in EXTRAS[extra]]
    used = {name for name in wanted if any(one == name or one.startswith(f"{name}.") for one in imported())}
    assert used, f"no module imports {wanted}"
    assert set(wanted) - used <= WITHOUT


def test_the_site_is_built_with_what_its_extra_has() -> None:
    configuration = (ROOT / "docs" / "conf.py").read_text("utf-8") + (ROOT / "scripts" / "docs").read_text("utf-8")
    wanted = {named(requirement) for requirement in EXTRAS["docs"]}
    assert {name for name in wanted if name not in configuration} == set()


def test_every_import_is_of_a_dependency_or_an_extra() -> None:
    allowed = {named(requirement) for requirement in PROJECT["dependencies"]}
    allowed |= {named(requirement) for extra in EXTRAS.values() for requirement in extra}
    tops = {name.partition(".")[0] for name in allowed}
    tops |= BROUGHT
    assert {name for name in imported() if name.partition(".")[0] not in tops} == set()


def test_the_version_is_stated_once() -> None:
    assert "version" in PROJECT["dynamic"]
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {__version__}\n" in citation


# --- other systems ----------------------------------------------------------------------------------------------------


def test_signals_work_without_an_alarm(monkeypatch) -> None:
    """Windows has neither SIGALRM nor setitimer."""
    monkeypatch.setattr(signals, "ALARM", None)
    monkeypatch.delattr("signal.setitimer")
    with pytest.raises(KeyboardInterrupt):
        interrupted()


def interrupted() -> None:
    with signals.deferred_signals() as safe_place:
        signal.raise_signal(signal.SIGINT)
        safe_place()


def test_a_system_that_does_not_tell_its_memory(monkeypatch) -> None:
    from alanet.cli.doctor import _memory
    from alanet.engine import memory

    monkeypatch.delattr("os.sysconf")
    monkeypatch.setattr(memory, "_available", lambda: None)
    monkeypatch.setattr(memory, "_container_limit", lambda: None)
    assert memory.free_memory(torch.device("cpu")) is None
    assert "size unknown" in _memory()


def test_standard_input_has_one_name_on_every_system() -> None:
    assert source_path(Path("/dev/stdin")) == Path("-")


def test_nothing_in_the_package_needs_a_shell() -> None:
    for path in (ROOT / "alanet").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                raise AssertionError(f"{path}: a subprocess with a shell")
            if isinstance(node, ast.Constant) and node.value in ("bash", "/bin/sh", "/bin/bash"):
                raise AssertionError(f"{path}: names a shell")


# --- wheel and sdist --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.package
def test_wheel_and_sdist_hold_what_is_needed(built: Path) -> None:
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    assert wheel.name.startswith(f"alanet-{__version__}-")
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "alanet").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.relative_to(ROOT).as_posix() in names
    assert not [name for name in names if name.startswith("tests")]
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "tests/test_package.py", "scripts/test"} <= files


@pytest.mark.package
def test_the_wheel_restores_the_sample_in_an_environment_of_its_own(built: Path, tmp_path: Path) -> None:
    """Dependencies come from this environment, so that nothing is downloaded; alanet itself from the wheel only."""
    (wheel,) = built.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=300)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, timeout=300)
    place = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    )
    Path(place.stdout.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    where = [str(python), "-c", "import alanet; print(alanet.__file__, alanet.__version__)"]
    said = subprocess.run(where, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert said.stdout.startswith(str(tmp_path / "venv")), said.stdout + said.stderr
    command = [
        str(python.with_name("alanet")),
        "restore",
        "--end",
        "0.1",
        "--precision",
        "fp32",
        "--preset",
        "ultrafast",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "bikes_x2.mp4").stat().st_size > 1000
