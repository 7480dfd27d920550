"""`alanet doctor` on a machine that is in order."""

from __future__ import annotations

import json

from alanet.cli import run


def test_the_doctor_finds_this_machine_in_order(capsys):
    assert run(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert "x264" in said["encoders"]["is"]
    assert said["self test"]["good"] is True
