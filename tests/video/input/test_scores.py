"""Scores of frames as a stream gives them, against FFmpeg's own scdet, and cuts found in pictures that move."""

import gc
import tracemalloc
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
import pytest
from av.filter import Graph

from alanet.frames.cuts import find_cuts
from alanet.frames.frame import Frame, Pixels
from alanet.video.input.scores import BlurMeter, scored, thumbnail

FLASH = 180  # code values


def picture(seed: int, height: int, width: int) -> Pixels:
    """Blocks of random colour: edges everywhere."""
    coarse = np.random.default_rng(seed).integers(0, 256, (-(-height // 12), -(-width // 12), 3)).astype(np.uint8)
    return np.repeat(np.repeat(coarse, 12, 0), 12, 1)[:height, :width]


def pan(seed: int, count: int, speed: int, height: int = 144, width: int = 256) -> list[Pixels]:
    wide = picture(seed, height, width + speed * count)
    return [wide[:, i * speed : i * speed + width].copy() for i in range(count)]


def frames_of(pixels: Iterable[Pixels]) -> Iterator[Frame]:
    for i, p in enumerate(pixels):
        yield Frame(p, Fraction(i, 25), Fraction(1, 25))


def decoded(pixels: Iterable[Pixels]) -> Iterator[Frame]:
    """As the decoder gives them: with planes of their own, here yuv420p."""
    for i, p in enumerate(pixels):
        yield Frame(
            p, Fraction(i, 25), Fraction(1, 25), av.VideoFrame.from_ndarray(p, "rgb24").reformat(format="yuv420p")
        )


def cuts_in(frames: Iterable[Frame]) -> list[int]:
    return [i for i, (_, _, cut) in enumerate(find_cuts(scored(frames))) if cut]


@pytest.mark.parametrize("make", [frames_of, decoded])
def test_cuts_are_found_and_pans_and_flashes_are_not_cuts(make) -> None:
    whip = pan(2, 12, 40)  # 40 px a frame: nothing stays where it was
    pixels = [*pan(1, 10, 2), *[whip[0]] * 4, *whip, *[whip[-1]] * 4, *pan(3, 10, 2)]
    pixels[5] = np.minimum(pixels[5].astype(int) + FLASH, 255).astype(np.uint8)
    assert cuts_in(make(pixels)) == [10, 30]


def test_frames_pass_unchanged_and_in_order() -> None:
    given = list(frames_of(pan(1, 5, 3)))
    assert [frame for frame, _ in scored(iter(given))] == given


def test_changes_are_those_of_scdet() -> None:
    pixels = [*pan(1, 4, 6, 90, 160), *pan(2, 4, 1, 90, 160)]  # the thumbnail's own size, so that nothing is scaled
    graph = Graph()
    source = graph.add_buffer(width=160, height=90, format=av.VideoFormat("gray"), time_base="1/25")
    graph.link_nodes(source, graph.add("scdet"), graph.add("buffersink")).configure()
    for i, (frame, scores) in enumerate(scored(frames_of(pixels))):
        grey = av.VideoFrame.from_ndarray(thumbnail(frame), "gray")
        grey.pts = i
        graph.vpush(grey)
        witness = float(graph.vpull().metadata["lavfi.scd.mafd"])
        assert (scores.changes or (0,))[0] == pytest.approx(witness, abs=0.002)  # scdet prints three digits


def test_changes_reach_back_three_frames() -> None:
    a, b = picture(1, 60, 80), picture(2, 60, 80)
    scores = [s.changes for _, s in scored(frames_of([a, b, a, b, b]))]
    assert [len(changes) for changes in scores] == [0, 1, 2, 3, 3]
    assert scores[3][0] == scores[3][2] > 10
    assert scores[3][1] == 0


def test_exact_duplicates_and_nothing_else() -> None:
    a = picture(1, 120, 160)
    nearly = a.copy()
    nearly[119, 159, 2] ^= 1
    scores = [s.duplicate for _, s in scored(frames_of([a, a.copy(), nearly, nearly.copy(), a]))]
    assert scores == [False, True, False, True, False]


def test_duplicates_among_decoded_frames_that_change_their_size() -> None:
    small, large = picture(1, 40, 60), picture(1, 80, 120)
    scores = [s for _, s in scored(decoded([small, small, large, large]), blur=True)]
    assert [s.duplicate for s in scores] == [False, True, False, True]
    assert scores[2].changes == ()


def test_blur_is_measured_and_grows_with_motion_blur() -> None:
    meter = BlurMeter()
    moving = pan(1, 40, 1, 352, 640)
    values = []
    for exposure in (1, 5, 9, 13):
        mean = np.mean([p.astype(np.float32) for p in moving[20 - exposure // 2 : 21 + exposure // 2]], axis=0)
        values.append(meter.measure(Frame(mean.round().astype(np.uint8), Fraction(0), Fraction(1))))
    assert all(value is not None for value in values)
    assert values == sorted(values)  # type: ignore[type-var]
    assert values[-1] > 1.2 * values[0]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (16, 16), (2, 999), (37, 53)])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [3, 4])
def test_any_size_depth_and_alpha(height: int, width: int, depth: int, channels: int) -> None:
    dtype, top = (np.uint8, 255) if depth == 8 else (np.uint16, 65535)
    dark, light = (np.full((height, width, channels), value, dtype) for value in (0, top))
    made = [scores for _, scores in scored(frames_of([dark, light]), blur=True)]
    assert made[1].changes[0] > 80  # limited-range grey would be 85.5, full range 99.6
    assert made[1].blur is None  # a flat picture has no edges


def test_a_thumbnail_keeps_the_shape_and_is_never_enlarged() -> None:
    assert [thumbnail(next(frames_of([picture(1, *size)]))).shape for size in ((720, 1280), (1280, 720), (9, 17))] == [
        (90, 160),
        (160, 90),
        (9, 17),
    ]


def test_memory_does_not_grow_with_the_video() -> None:
    def endless(count: int) -> Iterator[Pixels]:
        for i in range(count):
            yield np.full((90, 160, 3), i % 251, np.uint8)

    def held(count: int) -> int:
        gc.collect()
        tracemalloc.start()
        for _ in find_cuts(scored(frames_of(endless(count)), blur=True)):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    held(20)
    assert held(300) < held(60) + 50_000  # a single 160 x 90 frame has 43,200 bytes
