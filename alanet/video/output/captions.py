"""Closed captions (CEA-608 and 708) of input frames on the frames that are encoded.

FFmpeg keeps captions as side data of a decoded frame, and x264 and x265 write that of each frame they are given. PyAV
cannot set side data. So FFmpeg's blend filter makes a frame with the pixels of the restored picture and the side data
of the decoded one, and sidedata removes the captions from a frame that is shown again.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av.filter import Graph

from alanet.frames.frame import Frame

__all__ = ["CAPTIONED", "CAPTIONING", "Captions"]

CAPTIONED = ("mpeg2video", "h264", "hevc")  # codecs of inputs that may have captions
CAPTIONING = ("x264", "x265")  # encoders that write them
TICK = Fraction(1, 1000)


class Captions:
    """Puts the captions of `frame.captions` on pictures, and no other; filters are kept from frame to frame."""

    def __init__(self) -> None:
        self._graphs: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._count = 0

    def on(self, picture: Any, frame: Frame) -> Any:
        """The picture (an `av.VideoFrame` of `frame`) with exactly the captions that belong to it."""
        given = frame.captions
        if given is picture:
            return picture
        if given is not None:
            return self._through(_blend, given, picture)
        return picture if frame.source is None else self._through(_without, picture)

    def _through(self, build: Any, *pictures: Any) -> Any:
        key = (build, *((each.format.name, each.width, each.height) for each in pictures))
        if key not in self._graphs:
            self._graphs[key] = build(*pictures)
        _, *sources, sink = self._graphs[key]
        self._count += 1
        for source, picture in zip(sources, pictures, strict=True):
            picture.pts, picture.time_base = self._count, TICK
            source.push(picture)
        return sink.pull()


def _blend(given: Any, picture: Any) -> tuple[Any, ...]:
    """The graph, its two inputs, its output: the side data of the first input, the pixels of the second."""
    graph = Graph()
    above, below = _input(graph, given), _input(graph, picture)
    scaled = graph.add("scale", f"w={picture.width}:h={picture.height}")
    same = graph.add("format", f"pix_fmts={picture.format.name}")
    blend, sink = graph.add("blend", "all_mode=normal:all_opacity=0"), graph.add("buffersink")
    above.link_to(scaled)
    scaled.link_to(same)
    same.link_to(blend, 0, 0)
    below.link_to(blend, 0, 1)
    blend.link_to(sink)
    graph.configure()
    return graph, above, below, sink  # nodes do not keep their graph alive


def _without(picture: Any) -> tuple[Any, ...]:
    """The graph, its input, its output: the input without its captions."""
    graph = Graph()
    source, sink = _input(graph, picture), graph.add("buffersink")
    graph.link_nodes(source, graph.add("sidedata", "mode=delete:type=A53_CC"), sink).configure()
    return graph, source, sink


def _input(graph: Any, picture: Any) -> Any:
    tags = {"colorspace": str(int(picture.colorspace)), "range": str(int(picture.color_range))}
    size = f"{picture.width}x{picture.height}"
    tick = f"{TICK.numerator}/{TICK.denominator}"
    return graph.add("buffer", video_size=size, pix_fmt=picture.format.name, time_base=tick, **tags)
