"""The architecture page agrees with the folders on disk and with the import order."""

import ast
import re

from tests.support.paths import ROOT
from tests.test_imports import ORDER

TEXT = (ROOT / "docs" / "architecture.md").read_text("utf-8")
LISTED = [folder.replace("/", ".") for folder in re.findall(r"^\| `alanet/(\S+)` \|", TEXT, re.MULTILINE)]


def test_the_page_lists_every_folder_of_the_package() -> None:
    package = ROOT / "alanet"
    on_disk = {".".join(path.parent.relative_to(package).parts) for path in package.rglob("*.py")} - {""}
    assert sorted(LISTED) == sorted(on_disk)


def test_the_page_lists_folders_in_import_order() -> None:
    ordered = [folder for folder in LISTED if folder in ORDER]
    assert ordered == sorted(ordered, key=ORDER.index)


def test_the_drawing_shows_every_top_folder() -> None:
    drawing = TEXT.partition("```mermaid")[2].partition("```")[0]
    top = {folder.partition(".")[0] for folder in LISTED} - {"frames"}  # pure functions that every step uses
    assert [folder for folder in sorted(top) if folder not in drawing] == []


def test_class_names_are_unique_in_the_package() -> None:
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "alanet").rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(path.name)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
