"""A summary counts the whole run, however often it was interrupted."""

from __future__ import annotations

from pathlib import Path

from alanet.engine.counts import Counts
from alanet.frames.estimate_sums import EstimateSums
from alanet.restoration.tally import Tally, TallyKeeper


def run(folder: Path, frames: int, segment: int, *, resumed: bool) -> TallyKeeper:
    """A run of so many restored frames, each second one of an input frame that is estimated; ended without notice."""
    keeper, counts = TallyKeeper(folder, resumed=resumed), Counts()
    for made in range(1, frames + 1):
        if made % 2:
            counts.estimates = counts.estimates.with_frame(0.5, 0.25, sharp=made % 4 == 1)
        keeper.add(counts, 0.1 * made, made)
        keeper.keep(max(0, made - 3) // segment * segment)  # the encoder is three frames behind
    return keeper


def test_counts_of_finished_segments_are_added_to_those_of_the_run_that_resumes(tmp_path: Path) -> None:
    run(tmp_path, 15, 8, resumed=False)
    assert TallyKeeper(tmp_path, resumed=True).earlier == Tally(8, 0.8, 0, 0, EstimateSums(4, 2, 4, 2.0, 0.5))
    again = run(tmp_path, 12, 8, resumed=True)
    counts = Counts(estimates=EstimateSums(6, 3, 6, 3.0, 0.75))
    assert again.whole(counts, 1.2, 12) == Tally(20, 2.0, 0, 0, EstimateSums(10, 5, 10, 5.0, 1.25))
    assert TallyKeeper(tmp_path, resumed=True).earlier.frames_out == 16


def test_a_run_from_the_start_or_with_a_damaged_record_counts_from_zero(tmp_path: Path) -> None:
    run(tmp_path, 15, 8, resumed=False)
    assert TallyKeeper(tmp_path, resumed=False).earlier == Tally()
    for damaged in (b"", b"\xff\x00", b"[]", b'{"frames_out": "x"}'):
        (tmp_path / "counts.json").write_bytes(damaged)
        assert TallyKeeper(tmp_path, resumed=True).earlier == Tally()
