"""Every row of `faults.py`."""

from pathlib import Path

import pytest

from tests.stress.faults import ROWS


@pytest.mark.stress
@pytest.mark.parametrize("name", ROWS)
def test_right(name: str, tmp_path: Path) -> None:
    assert ROWS[name](tmp_path)
