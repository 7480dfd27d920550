"""The one-way order of the folders, and what is cheap to import: from the source, and in a fresh interpreter."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import alanet

ROOT = Path(alanet.__file__).parent
ORDER = (
    "ground",  # modules directly under alanet/
    "frames",
    "video",
    "video.input",
    "video.output",
    "model",
    "engine",
    "restoration",
    "data",
    "evaluation",
    "training",
    "export",
    "web",
    "cli",
)
APART = {frozenset(("video.input", "video.output"))}  # these do not import each other
BARE = (  # run on a machine that has torch and numpy and little else
    "model",
    "frames/exposure.py",
    "data/synthetic/scenes.py",
    "data/clips.py",
    "data/real/dataset.py",
    "data/real/teacher_flow.py",
    "data/augment.py",
    "frames/blur_extent.py",
    "training",
)
HEAVY = {"torch", "av", "numpy"}


def name_of(path: Path) -> str:
    parts = ["alanet", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def place_of(module: str) -> str:
    """The place in ORDER of a module, or of a name that `alanet` hands out."""
    if module == "alanet.__main__":
        return "cli"
    if module not in MODULES and module.count(".") == 1:
        return "restoration"  # a name of the package's face
    parts = module.split(".")[1:]
    return next((place for place in (".".join(parts[:2]), parts[0]) if place in ORDER), "ground")


def imports_of(module: str, tree: ast.AST, *, at_start: bool = False) -> Iterator[str]:
    """Modules that `module` names in its imports, whole names; `at_start`: only those that run when it is imported."""
    for node in ast.iter_child_nodes(tree):
        if at_start and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _for_types_only(node)):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if MODULES.get(module, Path()).stem == "__init__" else module.split(".")[:-1]
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in MODULES or base == "alanet" else base
        yield from imports_of(module, node, at_start=at_start)


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def upward(module: str, tree: ast.AST) -> list[str]:
    """Imports of `module` that point up in the order."""
    own = ORDER.index(place_of(module))
    inside = (name for name in imports_of(module, tree) if name.startswith("alanet."))
    return [
        name for name in inside if ORDER.index(place_of(name)) > own or frozenset((place_of(name), ORDER[own])) in APART
    ]


@pytest.mark.parametrize("module", [module for module in MODULES if module != "alanet"])
def test_imports_run_one_way(module: str) -> None:
    assert not upward(module, parsed(module)), f"{module} imports from a folder above its own; the order is {ORDER}"


def circles(graph: dict[str, set[str]]) -> set[tuple[str, ...]]:
    """Groups of modules that import each other, directly or through others."""

    def reached(start: str) -> set[str]:
        seen, todo = set[str](), list(graph[start])
        while todo:
            if (name := todo.pop()) not in seen:
                seen.add(name)
                todo += graph[name]
        return seen

    after = {name: reached(name) for name in graph}
    groups = (
        (other for other in after[name] | {name} if name in after[other]) for name in graph if name in after[name]
    )
    return {tuple(sorted(group)) for group in groups}


def test_no_modules_import_each_other() -> None:
    """Imports inside functions and for types only count; the package's face, which loads lazily, is exempt."""
    inside = {module: set(imports_of(module, parsed(module))) & (MODULES.keys() - {"alanet"}) for module in MODULES}
    assert not circles(inside)


def test_a_circle_would_be_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {("b", "c")}


def test_every_folder_has_a_place_in_the_order() -> None:
    assert {path.parent.relative_to(ROOT).parts[0] for path in MODULES.values() if path.parent != ROOT} <= set(ORDER)


def test_few_modules_lie_in_no_folder() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 8


@pytest.mark.parametrize(
    "source",
    [
        "from alanet.video.decode import decode",
        "from alanet import restore",
        "import alanet.cli",
        "def f():\n    from alanet.model.alanet import ALANet",
        "from ..video import decode",
        "if TYPE_CHECKING:\n    from alanet.training.loop import TrainConfig",
    ],
)
def test_an_upward_import_would_be_seen(source: str) -> None:
    assert upward("alanet.frames.timing", ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "from alanet.errors import TimeError",
        "from . import frame",
        "import numpy",
        "from alanet.version import __version__",
    ],
)
def test_a_downward_import_is_no_offence(source: str) -> None:
    assert not upward("alanet.frames.timing", ast.parse(source))


def brought_by(module: str) -> set[str]:
    """Top-level names of everything that importing `module` imports, through our own modules too."""
    seen, todo = set[str](), [module]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            ours = name if name in MODULES else name.rpartition(".")[0]
            if ours in MODULES:
                todo += [ours, *imports_of(ours, parsed(ours), at_start=True)]
                todo += [ours.rpartition(".")[0]] if "." in ours else []  # the packages above it run first
    return {name.partition(".")[0] for name in seen}


@pytest.mark.parametrize("place", BARE)
def test_what_runs_on_a_bare_machine_needs_neither_av_nor_cyclopts(place: str) -> None:
    modules = [m for m, path in MODULES.items() if path == ROOT / place or (ROOT / place) in path.parents]
    assert modules, f"{place} is gone: correct BARE"
    for module in modules:
        everywhere = {name.partition(".")[0] for name in imports_of(module, parsed(module))}
        assert not (everywhere | brought_by(module)) & {"av", "cyclopts"}, module


def test_what_a_module_brings_is_followed_through_our_own_modules() -> None:
    assert "av" in brought_by("alanet.restoration.restorer")
    assert {"torch", "einops"} <= brought_by("alanet.model.alanet")


def loaded_by(code: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after `code`."""
    report = "import sys; print('LOADED', *sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"import atexit\natexit.register(lambda: exec({report!r}))\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT.parent,
    )
    return set(done.stderr.rpartition("LOADED ")[2].split())


def test_import_alanet_is_cheap() -> None:
    loaded = loaded_by("import alanet")
    assert "alanet" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("words", [[], ["restore"]])
def test_help_is_cheap(words: list[str]) -> None:
    loaded = loaded_by(f"import sys\nsys.argv = {['alanet', *words, '--help']}\nfrom alanet.cli import main\nmain()")
    assert "alanet.cli" in loaded
    assert not loaded & HEAVY


def test_the_listing_sees_what_is_loaded() -> None:
    assert "numpy" in loaded_by("import alanet.frames.color")
