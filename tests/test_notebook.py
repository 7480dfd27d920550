"""The notebook of the documentation runs from its first cell to its last."""

import json

import pytest

from tests.support.paths import ROOT

NOTEBOOK = json.loads((ROOT / "docs" / "notebooks" / "quickstart.ipynb").read_text("utf-8"))
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch, capsys) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "notebook"}
    for number, cell in enumerate(CELLS):
        exec(compile(cell, f"cell {number}", "exec"), names)
    assert (tmp_path / "bikes_x2.mp4").stat().st_size > 1000
    said = capsys.readouterr().out
    assert "3 frames in, 6 out" in said
    assert "alanet   deblurred" in said
    matplotlib.pyplot.close("all")


def test_the_notebook_is_stored_without_results() -> None:
    assert not any(cell.get("outputs") for cell in NOTEBOOK["cells"])
