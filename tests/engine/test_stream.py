"""The stream: each frame encoded once, windows that end at cuts, exact times, memory that does not grow."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from alanet.engine.counts import Counts
from alanet.engine.fallback import FallbackRunner
from alanet.engine.runner import Runner
from alanet.engine.stream import Estimate, stream
from alanet.frames.frame import Frame
from alanet.frames.timing import Factor, TargetRate
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.network import Window
from alanet.notes import Notes

RATE = Fraction(30000, 1001)


def video(n, size=(32, 48), cuts=(), seed=0, same=(), channels=3):
    """n frames of noise; `same` lists frames equal to the one before."""
    rng = np.random.default_rng(seed)
    pixels = None
    for i in range(n):
        if i not in same:
            pixels = rng.integers(0, 256, (*size, channels), dtype=np.uint8)
        yield Frame(pixels, i / RATE, 1 / RATE), i in cuts


class Spy:
    """Stands for a network: remembers what it was asked; a frame's features are its first pixel.

    `sharp`: whether a frame of these features is; None: no opinion.
    """

    def __init__(self, sharp=None):
        self.encodes, self.calls, self.estimated, self.sharp = 0, [], [], sharp

    def encode(self, pixels):
        self.encodes += 1
        return int(pixels[0, 0, 0])

    def estimate(self, window, i):
        self.estimated.append((i, sorted(window.features), sorted(window.relations)))
        one = window.features[i]
        return None if self.sharp is None else Estimate(0.25 + one, self.sharp(one))

    def relate(self, a, b):
        return (a, b)

    def generate(self, window, times, like):
        for at in times:
            self.calls.append((at, sorted(window.features)))
            yield np.full_like(like[..., :3], len(self.calls) % 256)


def lazily(runner):
    """What a stream takes: it makes features when they are first needed."""
    return FallbackRunner(runner, (), "exact", Notes())


def run(n, schedule=Factor(2), window=2, **options):
    spy, counts = Spy(), Counts()
    cut = {k: options.pop(k) for k in ("cuts", "same") if k in options}
    out = list(stream(video(n, **cut), lazily(spy), schedule, window=window, counts=counts, **options))
    return spy, counts, out


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_each_frame_once_and_2n_frames_at_exact_times(n):
    spy, counts, out = run(n)
    assert spy.encodes == n
    assert len(spy.calls) == 2 * n - 1  # the last one is held, not restored
    assert counts == Counts(n, 2 * n, 0, 0)
    assert [f.time for f in out] == [k / RATE / 2 for k in range(2 * n)]
    assert {f.duration for f in out} == {1 / RATE / 2}
    assert out[-1].pixels is out[-2].pixels


def test_tail_drop_shows_the_last_frame_longer():
    _, counts, out = run(3, tail="drop")
    assert counts.frames_out == 5
    assert out[-1].duration == 1 / RATE
    assert sum(f.duration for f in out) == 3 / RATE


def test_windows_of_an_interval():
    """What frames i and i + 1/2 look at together; that the network picks from it is tested with the equations."""
    spy, _, _ = run(4)
    assert spy.calls == [(0, [0, 1]), (0.5, [0, 1]), (1, [0, 1, 2]), (1.5, [0, 1, 2]), (2, [1, 2, 3]),
                         (2.5, [1, 2, 3]), (3, [2, 3])]  # fmt: skip


def test_nothing_crosses_a_cut():
    spy, counts, out = run(5, cuts=(2,))
    assert counts.cuts == 1
    assert spy.calls == [(0, [0, 1]), (0.5, [0, 1]), (1, [0, 1]), (2, [2, 3]), (2.5, [2, 3]), (3, [2, 3, 4]),
                         (3.5, [2, 3, 4]), (4, [3, 4])]  # fmt: skip
    assert out[3].pixels is out[2].pixels  # held until the cut
    assert [f.time for f in out] == [k / RATE / 2 for k in range(10)]


def test_wide_window():
    spy, _, _ = run(6, window=4, cuts=(1, 4))
    assert [call for call in spy.calls if call[0] % 1 == 0] == [
        (0, [0]), (1, [1, 2, 3]), (2, [1, 2, 3]), (3, [1, 2, 3]), (4, [4, 5]), (5, [4, 5])]  # fmt: skip


def test_duplicates_are_not_encoded_again():
    spy, counts, _ = run(6, same=(2, 3))
    assert spy.encodes == 4
    assert counts.duplicates == 2
    assert len(spy.calls) == 11


def test_target_rate_holds_at_cuts_without_a_deblurred_moment():
    """At 7 fps most intervals start between two moments: a hold must still show the frame before the cut."""
    spy, _, out = run(12, schedule=TargetRate(Fraction(7)), cuts=(6,))
    assert [f.time for f in out] == [Fraction(k, 7) for k in range(len(out))]
    assert all(set(look) <= set(range(6)) or set(look) <= set(range(6, 12)) for _, look in spy.calls)


def test_a_real_network_streams_what_its_forward_gives():
    torch.manual_seed(0)
    model = ALANet(ALANetConfig(width=0.125)).eval()
    runner = Runner(model, torch.device("cpu"), "fp32")
    n = 5
    out = [f.pixels for f in stream(video(n, (32, 64)), lazily(runner), Factor(2), window=2, tail="drop")]
    assert (runner.encodes, runner.generates) == (n, 2 * n - 1)
    clip = torch.stack([torch.from_numpy(f.pixels).permute(2, 0, 1) for f, _ in video(n, (32, 64))])[None] / 255
    with torch.inference_mode():
        whole = model(clip, [k / 2 for k in range(2 * n - 1)])
    expected = (whole[0].clamp(0, 1) * 255).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(np.stack(out) - expected).max() <= 1  # rounding of sums in another order


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (16, 16), (31, 33), (32, 32), (45, 97)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_any_size_and_depth_come_back(size, dtype):
    runner = Runner(ALANet(ALANetConfig(width=0.125, residual=True)), torch.device("cpu"), "fp32")
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (*size, 3), dtype=dtype, endpoint=True)
    (out,) = runner.generate(Window({0: runner.encode(pixels)}), [0.0], pixels)
    assert np.array_equal(out, pixels)  # a fresh residual network is the identity
    assert out.dtype == dtype


def test_alpha_goes_around_the_network():
    frames = list(video(2, channels=4))
    out = list(stream(iter(frames), lazily(Spy()), Factor(2), window=2))
    a, b = (frame.pixels[..., 3].astype(float) for frame, _ in frames)
    assert np.array_equal(out[0].pixels[..., 3], a)
    assert np.array_equal(out[1].pixels[..., 3], np.rint((a + b) / 2))


def numbered(n, channels=3):
    """Frame i is full of 10 i, and has planes of its own."""
    for i in range(n):
        yield Frame(np.full((2, 4, channels), 10 * i, np.uint8), i / RATE, 1 / RATE, source=f"planes {i}"), False


def test_sharp_frames_pass_as_they_came_and_nothing_is_made_for_them():
    spy, counts = Spy(lambda first: first in (10, 40)), Counts()
    frames = list(numbered(5))
    out = list(stream(iter(frames), lazily(spy), Factor(2), window=2, counts=counts))
    assert [at for at, _ in spy.calls] == [0, 0.5, 1.5, 2, 2.5, 3, 3.5]  # not 1, not 4
    assert [frame.source for frame in out] == [None] * 2 + ["planes 1"] + [None] * 5 + ["planes 4"] * 2  # the hold too
    assert out[2].pixels is frames[1][0].pixels
    assert [frame.time for frame in out] == [k / RATE / 2 for k in range(10)]
    assert (counts.estimates.classified, counts.estimates.sharp, counts.untouched) == (5, 2, 3)
    assert counts.estimates.exposure == pytest.approx((0.25 + 4 * 1) / 5)  # at most 1 is counted


def test_a_frame_is_estimated_with_its_neighbours_and_a_sharp_one_is_not_restored():
    spy = Spy(lambda first: True)
    out = list(stream(numbered(3), lazily(spy), Factor(1), window=2))
    assert (spy.encodes, spy.calls) == (3, [])
    assert spy.estimated == [(0, [0, 1], [0]), (1, [0, 1, 2], [0, 1]), (2, [1, 2], [1])]
    assert [frame.source for frame in out] == [f"planes {i}" for i in range(3)]


def test_sharp_frames_have_their_own_alpha():
    out = list(stream(numbered(3, channels=4), lazily(Spy(lambda first: first == 10)), Factor(2), window=2))
    assert out[2].pixels.shape == (2, 4, 4)
    assert (out[2].pixels == 10).all()


@pytest.mark.parametrize("strength", [0.0, 0.5])
@pytest.mark.parametrize("schedule", [Factor(2), Factor(3), TargetRate(Fraction(50))])
def test_each_estimate_is_counted_once_wherever_the_video_is_divided(strength, schedule):
    """Frames before a border by one run, the others by another; the first may also have ended there."""

    def run_of(skip):
        counts = Counts()
        found = stream(
            numbered(4),
            lazily(Spy(lambda first: False)),
            schedule,
            window=2,
            counts=counts,
            strength=strength,
            skip=skip,
        )
        return counts, found

    counts, whole = run_of(lambda time: False)
    times = [frame.time for frame in whole]
    expected = counts.estimates
    assert counts.estimates.classified == (4 if strength else 3)
    for border in times[1:]:
        after, rest = run_of(lambda time, border=border: time < border)
        assert sum(1 for _ in rest) == len(times) - times.index(border)
        before, part = run_of(lambda time, border=border: time >= border)
        assert sum(1 for _ in part) == times.index(border)
        ended, frames = run_of(lambda time: False)
        for _ in range(times.index(border)):
            next(frames)
        for first in (before, ended):
            assert first.estimates + after.estimates == expected


@pytest.mark.parametrize("strength", [0.0, 0.25, 0.5, 1.0])
def test_strength_blends_at_input_times_only(strength):
    """The spy's frames are 1, 2, 3 ... in the order made."""
    spy, counts = Spy(), Counts()
    out = list(stream(numbered(3), lazily(spy), Factor(2), window=2, counts=counts, strength=strength))
    if strength == 0:
        assert [at for at, _ in spy.calls] == [0.5, 1.5]
        assert [frame.source for frame in out] == ["planes 0", None, "planes 1", None, "planes 2", "planes 2"]
        assert [int(frame.pixels[0, 0, 0]) for frame in out] == [0, 1, 10, 2, 20, 20]
        assert counts.untouched == 4
    else:
        s, deblurred = strength, [(0, 1), (10, 3), (20, 5)]
        at = [int(np.rint(given + np.float32(s) * (made - given))) for given, made in deblurred]
        assert [int(frame.pixels[0, 0, 0]) for frame in out] == [at[0], 2, at[1], 4, at[2], at[2]]
        assert all(frame.source is None for frame in out)
        assert counts.untouched == 0


def test_strength_0_at_the_inputs_rate_needs_no_network():
    out = list(stream(numbered(3), None, Factor(1), window=2, strength=0.0))
    assert [frame.source for frame in out] == [f"planes {i}" for i in range(3)]


def test_strength_blends_deep_video_without_overflow():
    class Dark(Spy):
        def generate(self, window, times, like):
            for _ in times:
                yield np.zeros_like(like)

    frame = Frame(np.full((2, 2, 3), 65535, np.uint16), Fraction(0), Fraction(1))
    (out,) = stream([(frame, False)], lazily(Dark()), Factor(1), window=2, strength=0.25)
    assert out.pixels.dtype == np.uint16
    assert (out.pixels == 49151).all()  # 65535 x 3/4, rounded to even


@pytest.mark.parametrize("cut", [(), (2,)])
def test_slow_motion_is_the_same_frames_on_a_stretched_clock(cut):
    quick = list(stream(video(4, cuts=cut), lazily(Spy()), Factor(4), window=2))
    slow = list(stream(video(4, cuts=cut), lazily(Spy()), Factor(4, slow=4), window=2))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(quick, slow, strict=True))
    assert [frame.time for frame in slow] == [k / RATE for k in range(16)]
    assert {frame.duration for frame in slow} == {1 / RATE}


def test_the_ring_is_all_that_is_kept():
    """1,000 frames: never more features alive than the window and its lookahead."""
    alive = []

    class Tracked(Spy):
        def encode(self, pixels):
            alive.append(0)
            return Token()

    class Token:
        count = 0

        def __init__(self):
            Token.count += 1
            Token.most = max(getattr(Token, "most", 0), Token.count)  # type: ignore[attr-defined]

        def __del__(self):
            Token.count -= 1

    for _ in stream(video(1000, (2, 2)), lazily(Tracked()), Factor(2), window=2):
        pass
    assert len(alive) == 1000
    assert Token.most <= 4  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("schedule", "shown"),
    [(Factor(2), [0, 0.5, 1, 1.5, 2, 2, 3, 3]), (TargetRate(Fraction(2)), [0, 0.5, 1, 1.5, *[2] * 20, 3, 3])],
)
def test_across_a_gap_the_frame_before_is_repeated(schedule: Any, shown: list[float]) -> None:
    times = [Fraction(t) for t in (0, 1, 2, 12)]
    frames = [(Frame(np.full((16, 16, 3), 10 * i, np.uint8), t, Fraction(1)), False) for i, t in enumerate(times)]
    counts = Counts()
    given = stream(frames, lazily(Mean()), schedule, window=2, counts=counts, period=Fraction(1))
    made = [(frame.time, frame.pixels[0, 0, 0] / 10) for frame in given]
    assert [value for _, value in made] == shown
    assert (counts.gaps, counts.cuts, counts.longest_gap) == (1, 0, (Fraction(10), Fraction(2)))
    if schedule == Factor(2):
        assert [time for time, _ in made] == [0, 0.5, 1, 1.5, 2, 7, 12, 12.5]


class Mean(Spy):
    """The network that blends."""

    def generate(self, window: Any, times: Any, like: Any) -> Any:
        for at in times:
            a, b = (window.features.get(int(at) + k, window.features[int(at)]) for k in (0, 1))
            yield np.full_like(like, round(a + (b - a) * (at % 1)))
