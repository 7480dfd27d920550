"""A page of results: a command's section is replaced, everything else is left as people wrote it."""

from __future__ import annotations

import pytest

from alanet.errors import OptionError, OutputError
from alanet.evaluation.page import parse_section, put_section


def test_a_section_is_put_replaced_and_nothing_else_is_touched(tmp_path):
    page = tmp_path / "results.md"
    put_section(page, "one", "| a |")
    put_section(page, "two", "| b |")
    page.write_text(page.read_text().replace("# Results", "# Results\n\nWords of people.") + "\nMore words.\n")
    before = page.read_text()
    put_section(page, "one", "| new |\n| c |\n")
    assert page.read_text() == before.replace("| a |", "| new |\n| c |")
    put_section(page, "one", "| a |")
    assert page.read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["results.md"]


def test_a_broken_page_is_left_as_it_is(tmp_path):
    page = tmp_path / "results.md"
    for text in ("<!-- one -->\n", "<!-- end of one -->\n<!-- one -->\n", "<!-- one -->\n<!-- end of one -->\n" * 2):
        page.write_text(text)
        with pytest.raises(OutputError, match="section one is not there once"):
            put_section(page, "one", "x")
        assert page.read_text() == text
    with pytest.raises(OutputError, match="could not be written"):
        put_section(tmp_path / "none" / "results.md", "one", "x")


def test_what_names_a_section():
    assert [str(part) for part in parse_section("docs/results.md#table-3")] == ["docs/results.md", "table-3"]
    for text in ("results.md", "results.txt#a", "#a", "results.md#", "results.md#A b"):
        with pytest.raises(OptionError, match=r"give PAGE.md#SECTION"):
            parse_section(text)
