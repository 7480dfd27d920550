"""A frame as the encoder takes it.

A frame left untouched still has its decoded planes: they go to the encoder as they are, or straight from one YUV layout
to another. A restored frame has only its RGB pixels, which `convert.from_rgb` converts by the plan's complete colour.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from alanet.frames.frame import Frame
from alanet.video.convert import CONVERTED, EXACT, from_rgb, has_alpha
from alanet.video.output.format import OutputPlan

__all__ = ["planes"]


def planes(frame: Frame, plan: OutputPlan, reformatter: VideoReformatter) -> Any:
    """The frame as the encoder takes it: its own planes where they are in that format, else converted by the plan.

    `reformatter` is kept from frame to frame by the caller.
    """
    target, source = av.VideoFormat(plan.pixel_format), frame.source
    if isinstance(source, av.VideoFrame) and (source.width, source.height) == plan.size:
        if source.format.name == plan.pixel_format:
            return source
        if _is_yuv(source.format) and _is_yuv(target):
            return _recoded(source, plan, reformatter)
    pixels: Any = frame.pixels if has_alpha(target) else frame.pixels[..., :3]
    below, right = plan.size[1] - pixels.shape[0], plan.size[0] - pixels.shape[1]
    if below or right:
        pixels = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
    return from_rgb(pixels, plan.pixel_format, plan.color, reformatter=reformatter, threads=plan.options.threads)


def _is_yuv(shape: Any) -> bool:
    return not shape.is_rgb and not shape.has_palette and len(shape.components) >= 3


def _recoded(frame: Any, plan: OutputPlan, reformatter: VideoReformatter) -> Any:
    """Planes of one YUV layout in another; matrix and range stay."""
    matrix = CONVERTED.get(plan.color.matrix or "", Colorspace.ITU709)
    levels = ColorRange.JPEG if plan.color.range == "pc" else ColorRange.MPEG
    return reformatter.reformat(
        frame,
        format=plan.pixel_format,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=levels,
        dst_color_range=levels,
        interpolation=EXACT,
        threads=plan.options.threads,
    )
