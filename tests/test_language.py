"""Texts use plain technical English: phrases that readers stumbled over do not come back."""

import re

import pytest

from tests.support.paths import ROOT

FORBIDDEN = (
    "gone on with", "not to be had", "what rests", "something rests", "our own mistake", "begins? anew", "begun anew",
    "is told", "half a file never", "how good it is not", "who wish", "wish them ill", "what judges", "what restores",
    r"smear\w*", r"lessons?", "the judge", "judged sharp", "truth and all", "gone past", "at a loss", "has no say",
    "so many", "at hand", "in hand", "told apart", "as it came", "as they came", "goes on with", "on the spot",
    "nobody answers", "of ours", "whoever", "sign of life", "a stranger", "thinned out", "poor video",
    r"(?:network|model|teacher|decoder|encoder)s? (?:knows?|wants?|thinks?|believes?|sees?)",
)  # fmt: skip
PATTERN = re.compile(r"(?<![\w.])(?:" + "|".join(FORBIDDEN).replace(" ", r"\s+") + r")(?!\w)", re.IGNORECASE)
FILES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "alanet").rglob("*.py"),
        *ROOT.glob("benchmarks/*.py"),
    ]
)


def found(text: str) -> list[str]:
    return [" ".join(match.group().split()) for match in PATTERN.finditer(text)]


@pytest.mark.parametrize("name", [path.relative_to(ROOT).as_posix() for path in FILES])
def test_no_forbidden_phrase(name: str) -> None:
    assert found((ROOT / name).read_text("utf-8")) == [], "rewrite these phrases"


def test_phrases_are_found_across_lines_and_not_inside_words() -> None:
    assert found("The next file is\ngone on with. Blessons.") == ["gone on with"]
