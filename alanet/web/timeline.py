"""The blur of a video over time as a picture: an SVG with a bar a moment, a line at each cut, and times below."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alanet.frames.cuts import blur_track, find_cuts
from alanet.restoration.analysis import analyse
from alanet.text import clock, count
from alanet.video.input.decode import decode
from alanet.video.input.scores import scored

if TYPE_CHECKING:
    from alanet.frames.cuts import Scores
    from alanet.frames.frame import Frame, VideoInfo

__all__ = ["Timeline", "drawing", "look"]

BARS = 120
SECONDS = 20.0  # of work: a long video is looked at from its beginning
WIDTH, HEIGHT = 960, 56


@dataclass(frozen=True, slots=True)
class Timeline:
    """What looking at the frames of a video found. Times in seconds from its first frame."""

    blur: Sequence[float]  # a bar each, 0 = as sharp as its shot's sharpest frame
    cuts: Sequence[float]
    seconds: float  # looked at
    frames: int
    duplicates: int
    whole: bool  # the end was reached


def look(info: VideoInfo, patience: float = SECONDS) -> Timeline:
    """Decode a video and measure blur and cuts, for at most `patience` seconds."""
    until, rest = time.monotonic() + patience, [False]

    def limited(frames: Iterable[tuple[Frame, Scores, bool]]) -> Iterator[tuple[Frame, Scores, bool]]:
        for item in frames:
            yield item
            if time.monotonic() > until:
                rest[0] = True
                return

    found = analyse(limited(find_cuts(scored(decode(info), blur=True))))
    return Timeline(
        blur_track(found.blurs, found.cuts, min(found.frames, BARS)),
        [float(moment - found.start) for moment in found.cut_times],
        float(found.end - found.start),
        found.frames,
        found.duplicates,
        not rest[0],
    )


def drawing(found: Timeline) -> str:
    """The timeline as SVG, with its meaning in words for who cannot see it."""
    wide = WIDTH / max(1, len(found.blur))
    bars = "".join(
        f'<rect x="{i * wide:.2f}" y="{HEIGHT * (1 - tall):.2f}" width="{max(wide - 1, 1):.2f}" '
        f'height="{HEIGHT * tall:.2f}"/>'
        for i, tall in enumerate(max(blur, 0.03) for blur in found.blur)
    )
    at = [WIDTH * cut / found.seconds for cut in found.cuts] if found.seconds else []
    cuts = "".join(f'<path class="cut" d="M{x:.2f} 0V{HEIGHT}"/>' for x in at)
    seen = "" if found.whole else f", of the first {clock(found.seconds)}"
    words = f"Blur over time{seen}: {count(len(found.cuts), 'cut')}"
    caption = (
        f"Blur over time{seen} (higher: more blur{'; red: cuts' if found.cuts else ''}). Click to preview a moment."
    )
    return (
        f'<figure class="timeline" data-seconds="{found.seconds:.3f}">'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{words}">{bars}{cuts}</svg><figcaption><span>0:00.0</span><span>{caption}</span>'
        f"<span>{clock(found.seconds, tenths=True)}</span></figcaption></figure>"
    )
