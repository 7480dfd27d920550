"""A video in parts: what each part gives is what a run over the whole video gives, bit for bit."""

from __future__ import annotations

import pickle
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from alanet.errors import InputError
from alanet.frames.frame import Frame
from alanet.frames.timing import Factor, TargetRate
from alanet.restoration import parts as module
from alanet.restoration.options import RestoreOptions
from alanet.restoration.parts import index_parts, make_part
from alanet.restoration.pipeline import decoded
from alanet.restoration.restorer import Restorer
from tests.restoration.test_resume import LOSSLESS, make_network, shown
from tests.support.media import make_video, picture


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(make_network(), device="cpu", precision="fp32", threads=1, memory=8 << 30)


@pytest.fixture(scope="module")
def anytime() -> Restorer:
    """The default network: any time, and an exposure head that looks at both neighbours."""
    return Restorer(device="cpu", precision="fp32", threads=1, memory=8 << 30)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return make_video(tmp_path_factory.mktemp("made") / "in.mp4", frames=24, rate=2, gop=5)


def in_parts(restorer: Restorer, video: Path, options: RestoreOptions, folder: Path) -> list[list[str]]:
    """Digests of the restored frames, by part; made from the last part to the first, by pickled values."""
    plan = pickle.dumps(restorer.plan(video, folder / "out.mkv", options))
    found, _ = index_parts(restorer.network, pickle.loads(plan))
    made: list[list[str]] = []
    for part in reversed(pickle.loads(pickle.dumps(found))):
        segment, one = make_part(restorer.network, pickle.loads(plan), part, folder)
        assert (one.frames, segment.start) == (segment.frames, part.start)
        made.insert(0, [digest for _, digest in shown(folder / segment.name)])
    return made


def joined(made: list[list[str]]) -> list[str]:
    return [digest for part in made for digest in part]


def in_one_run(restorer: Restorer, video: Path, options: RestoreOptions, folder: Path) -> list[str]:
    out = restorer.restore(video, folder / "whole.mkv", options).output
    digests = [digest for _, digest in shown(out)]
    out.unlink()
    return digests


@pytest.mark.parametrize(
    "changed",
    [{}, {"tail": "drop"}, {"slow": 2}, {"start": Fraction(3), "end": Fraction(9)}, {"cuts": "off"}],
)
def test_parts_are_the_whole(restorer, video, changed, tmp_path):
    options = replace(LOSSLESS, **changed)
    made = in_parts(restorer, video, options, tmp_path)
    assert len(made) > 1
    assert joined(made) == in_one_run(restorer, video, options, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [Factor(3), TargetRate(Fraction(7, 3))])
def test_phases_are_those_of_one_run(anytime, video, rate, tmp_path):
    """Thirds are not exact in floating point: a part counts its frames from the video's first one."""
    options = replace(LOSSLESS, rate=rate)
    made = in_parts(anytime, video, options, tmp_path)
    assert len(made) > 1
    assert joined(made) == in_one_run(anytime, video, options, tmp_path)


@pytest.mark.slow
def test_repeated_drawings_are_skipped_as_in_one_run(anytime, tmp_path):
    """Animation on twos: a frame of the stream stands for two of the file."""
    drawings = [picture(5 * (number // 2)) for number in range(24)]
    twos = make_video(tmp_path / "twos.mkv", frames=drawings, rate=2, codec="ffv1", pix_fmt="bgr0", gop=1)
    options = replace(LOSSLESS, duplicates="skip")
    made = in_parts(anytime, twos, options, tmp_path)
    assert len(made) > 1
    assert joined(made) == in_one_run(anytime, twos, options, tmp_path)


def test_a_part_decodes_from_a_key_frame_near_it(restorer, video, tmp_path, monkeypatch):
    starts: list[Fraction | None] = []

    def watched(info: Any, options: RestoreOptions, notes: Any) -> Any:
        starts.append(options.start)
        return decoded(info, options, notes)

    monkeypatch.setattr(module, "decoded", watched)
    in_parts(restorer, video, LOSSLESS, tmp_path)
    assert starts == [7, 3, None]  # the windows of 8 s, 4 s and 0 s, one frame further back


def test_a_video_that_decodes_differently_from_a_key_frame_is_decoded_from_its_beginning(
    restorer, video, tmp_path, monkeypatch
):
    """As with a damaged clock: what is decoded after a seek has other times."""
    whole = in_one_run(restorer, video, LOSSLESS, tmp_path)

    def shifted(info: Any, options: RestoreOptions, notes: Any) -> Any:
        for frame in decoded(info, options, notes):
            late = Fraction(1, 100) if options.start is not None else 0
            yield Frame(frame.pixels, frame.time + late, frame.duration, frame.source)

    monkeypatch.setattr(module, "decoded", shifted)
    assert joined(in_parts(restorer, video, LOSSLESS, tmp_path)) == whole


def test_a_video_that_never_decodes_the_same_is_named(restorer, video, tmp_path, monkeypatch):
    plan = restorer.plan(video, tmp_path / "out.mkv", LOSSLESS)
    part = index_parts(restorer.network, plan)[0][1]
    wrong = replace(part, frames=tuple(replace(seen, digest=seen.digest ^ 1) for seen in part.frames))
    with pytest.raises(InputError, match=r"decoded twice, it gives different frames \(frame \d+ has other pixels\)"):
        make_part(restorer.network, plan, wrong, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_borders_are_where_a_run_alone_has_them(restorer, video, tmp_path):
    """A segment begins with the first frame that is a segment's length or more after the last one's first."""
    plan = restorer.plan(video, tmp_path / "out.mkv", LOSSLESS)
    longer = replace(plan, segment=Fraction(17, 5))
    found, counts = index_parts(restorer.network, longer)
    assert [part.start for part in found] == [0, Fraction(7, 2), 7, Fraction(21, 2)]
    assert [part.count for part in found] == [14, 14, 14, 6]
    assert (counts.frames_in, counts.frames_out) == (24, 48)
