"""Scores of each frame while it passes: how far it is from those before, whether it repeats one, how blurry it is.

FFmpeg does the heavy part: libswscale makes the thumbnails (grey, the longer side 160 px, area-averaged), blurdetect
the blur (grey, the longer side 640 px, about the scale that the network was trained at). The change between two
thumbnails is scdet's measure; it is computed here because a flash only shows against frames that scdet has forgotten.
What the scores mean for the video is decided in `frames/cuts.py`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.video.reformatter import Interpolation, VideoReformatter

from alanet.frames.cuts import MEMORY, Scores, change, same_pixels
from alanet.frames.frame import Frame
from alanet.frames.repeats import same_thumbnail

__all__ = ["BlurMeter", "scored", "thumbnail"]

THUMBNAIL = 160  # px, longer side
BLUR_SIZE = 640  # px, longer side


def scored(frames: Iterable[Frame], *, blur: bool = False) -> Iterator[tuple[Frame, Scores]]:
    """Every frame, unchanged and in order, with its scores; holds one frame and MEMORY thumbnails, whatever the length.

    blur: measure it too (some 5 ms a frame more). The first frame, and one of a new size, has no changes.
    """
    reformatter = VideoReformatter()
    meter = BlurMeter() if blur else None
    small: deque[npt.NDArray[np.uint8]] = deque(maxlen=MEMORY)  # the latest first
    before: Frame | None = None
    for frame in frames:
        thumb = thumbnail(frame, reformatter)
        if small and small[0].shape != thumb.shape:
            small.clear()
        changes = tuple(change(thumb, earlier) for earlier in small)
        repeats = bool(changes) and changes[0] == 0 and before is not None and same_pixels(frame.pixels, before.pixels)
        still = bool(small) and same_thumbnail(thumb, small[0])
        yield frame, Scores(changes, repeats, still, meter.measure(frame) if meter else None)
        small.appendleft(thumb)
        before = frame


def thumbnail(
    frame: Frame, reformatter: VideoReformatter | None = None, side: int = THUMBNAIL
) -> npt.NDArray[np.uint8]:
    """The frame in grey, h w, no side longer than `side` px; never enlarged. A reformatter of one's own saves time."""
    height, width = frame.pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    small = (reformatter or VideoReformatter()).reformat(
        _picture(frame),
        width=max(1, round(width * scale)),
        height=max(1, round(height * scale)),
        format="gray",
        interpolation=Interpolation.AREA,
    )
    return np.asarray(small.to_ndarray(), np.uint8)


class BlurMeter:
    """FFmpeg's blurdetect, kept open from frame to frame and built anew when their size changes."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._graph: Graph | None = None
        self._shape: tuple[int, ...] = ()

    def measure(self, frame: Frame) -> float | None:
        """Mean width of the edges in the sharper blocks of the frame, px at 640 px; None where there are none."""
        grey = thumbnail(frame, self._reformatter, BLUR_SIZE)
        if self._graph is None or self._shape != grey.shape:
            self._graph, self._shape = _blur_graph(*grey.shape), grey.shape
        picture = av.VideoFrame.from_ndarray(grey, "gray")
        picture.pts = 0
        self._graph.vpush(picture)
        value = float(self._graph.vpull().metadata.get("lavfi.blur", "nan"))
        return value if math.isfinite(value) else None


def _blur_graph(height: int, width: int) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("gray"), time_base=Fraction(1))
    graph.link_nodes(source, graph.add("blurdetect", "block_pct=80"), graph.add("buffersink")).configure()
    return graph


def _picture(frame: Frame) -> av.VideoFrame:
    """The frame in FFmpeg's form: its own planes where it still has them, else made from its pixels without alpha."""
    if isinstance(frame.source, av.VideoFrame):
        return frame.source
    rgb: Any = np.ascontiguousarray(frame.pixels[..., :3])
    return av.VideoFrame.from_ndarray(rgb, "rgb24" if rgb.dtype == np.uint8 else "rgb48le")
