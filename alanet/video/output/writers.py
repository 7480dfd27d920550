"""Writers of the input's other streams: packets of the input on the output's time line -> packets of the output.

    Copy      as they are
    Retext    text subtitles in another text format
    Recode    sound decoded and encoded: losslessly in a codec of the container, or slowed down at the same pitch

`finish` gives what a writer still holds at the end.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from alanet.video.output.codecs import Container

__all__ = [
    "Copy",
    "Recode",
    "Retext",
    "alike",
    "codec_of",
    "copied_stream",
    "lossless_encoder",
    "read_back",
    "slowed_encoder",
]

ACCEPTED = {"audio": "pcm_s16le", "video": "mpeg4"}  # codecs that MKV, MP4 (video) and MOV hold
SLOWEST = 2.0  # times that one atempo filter slows down
TAIL = 0.5  # seconds of silence after the end, more than atempo loses
PACKET = 1024  # samples of a packet, where the encoder does not mind
LAYOUTS = {"1 channels": "mono", "2 channels": "stereo", "6 channels": "5.1", "8 channels": "7.1"}  # where unstated
MPEG_AUDIO = {"mp1", "mp2", "mp3"}
LOSSY_RATE = 96_000  # bits a second and channel
LIKE = {"mp3": "libmp3lame", "opus": "libopus", "vorbis": "libvorbis"}  # encoders that have other names than codecs


def codec_of(stream: Any) -> str | None:
    """The codec's own name, not its decoder's: mp3, not mp3float."""
    return stream.codec_context.codec.canonical_name if stream.codec_context is not None else None


def copied_stream(out: Any, source: Any) -> Any:
    """A stream of `out` for packets of `source`. Raises ValueError or av.FFmpegError where that cannot be.

    PyAV refuses codecs that are not in a muxer's list, though Matroska takes any codec that AVI has. A null bitstream
    filter puts the source's parameters on a stream of an accepted codec; then the muxer itself decides.
    """
    if source.codec_context is None and source.type in ("data", "attachment"):
        return out.add_stream_from_template(source)
    try:
        stream = out.add_stream_from_template(source, opaque=True)
        if codec_of(source) == "rawvideo" and out.format.name == "matroska":  # written by the pixel format's tag
            stream.codec_context.codec_tag = source.codec_context.codec_tag
        return stream
    except ValueError:
        if source.type not in ACCEPTED:
            raise
    with av.open(io.BytesIO(), "w", format="nut") as draft:
        stream = out.add_stream_from_template(draft.add_stream(ACCEPTED[source.type]), opaque=True)
        BitStreamFilterContext("null", source, stream)
    stream.codec_context.codec_tag = "\0\0\0\0"
    stream.time_base = source.time_base
    return stream


class Copy:
    """Hands packets on as they are, but for MP4's empty subtitles: its muxer adds its own."""

    def __init__(self, out: Any, source: Any) -> None:
        self.stream = copied_stream(out, source)
        self._no_empty = source.type == "subtitle" and codec_of(source) == "mov_text"

    def packets(self, packet: Any) -> list[Any]:
        """The packet, as the output stream's."""
        if self._no_empty and bytes(packet) == b"\0\0":
            return []
        packet.stream = self.stream
        return [packet]

    def finish(self) -> list[Any]:
        """Nothing is held."""
        return []


class Retext:
    """Writes text subtitles in another text format, through FFmpeg's own decoder and encoder (italics survive)."""

    def __init__(self, out: Any, source: Any, codec: str) -> None:
        self._decoder = source.codec_context
        if not self._decoder.is_open:
            self._decoder.open(strict=False)
        self.stream = out.add_stream(codec)
        self.stream.codec_context.subtitle_header = self._decoder.subtitle_header
        self.stream.codec_context.time_base = self.stream.time_base = Fraction(1, 1000)

    def packets(self, packet: Any) -> list[Any]:
        """The same words at the same time, in the other format; nothing for a packet without words."""
        said = self._decoder.decode2(packet)
        if said is None or not len(said.rects):
            return []
        written = self.stream.codec_context.encode_subtitle(said)
        written.stream, written.time_base = self.stream, packet.time_base
        written.pts = written.dts = packet.pts
        written.duration = packet.duration
        return [written]

    def finish(self) -> list[Any]:
        """Nothing is held."""
        return []


class Recode:
    """Decodes sound and encodes it, `slow` times as long at the same pitch.

    end: seconds of sound, from the output's 0, that are used; None: all. Gaps become silence. Slowed down, the sound
    begins at 0 and is exactly `slow` times as long: atempo loses some of its end, so silence follows, which is cut.
    """

    def __init__(self, out: Any, source: Any, encoder: str, *, slow: int = 1, end: Fraction | None = None) -> None:
        self._decoder, self._slow, self._end = source.codec_context, slow, end
        self.stream = encoding_stream(out, source, encoder)
        self._graph: Any = None
        self._base = Fraction(1)  # of the packet before
        self._until: Fraction | None = None  # end of the last packet, seconds
        self._length = Fraction(0)  # of the decoded sound, from the output's 0 on, seconds
        self._next: int | None = None  # pts of the next frame, samples

    def packets(self, packet: Any) -> list[Any]:
        """What the encoder gives for a packet; packets that cannot be decoded are passed over."""
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError:
            return []
        self._base = packet.time_base
        known = packet.pts is not None and packet.duration
        self._until = (packet.pts + packet.duration) * Fraction(packet.time_base) if known else None
        return [written for frame in frames for written in self._encoded(self._filtered(frame))]

    def finish(self) -> list[Any]:
        """What decoder, filter and encoder still hold."""
        try:
            left = self._decoder.decode(None)
        except av.FFmpegError:
            left = []
        made = [written for frame in left for written in self._encoded(self._filtered(frame))]
        if self._graph is None:
            return made
        self._graph.push(None)
        if self._slow > 1:
            self._end = self._length if self._end is None else min(self._end, self._length)
        return [*made, *self._encoded(_pulled(self._graph)), *self._named(self.stream.encode(None))]

    def _filtered(self, frame: Any) -> Iterator[Any]:
        if frame.time_base is None:
            frame.time_base = self._base
        begin = self._length if frame.pts is None else frame.pts * Fraction(frame.time_base)
        end = begin + Fraction(frame.samples, frame.sample_rate)
        stated = end if self._until is None else self._until
        self._length = max(self._length, min(end, stated))  # a last packet may be padded
        if self._graph is None:
            self._graph = self._filters(frame)
        self._graph.push(frame)
        yield from _pulled(self._graph)

    def _filters(self, frame: Any) -> Any:
        """aresample fills gaps; atempo keeps the pitch."""
        context = self.stream.codec_context
        graph = av.filter.Graph()
        nodes = [
            graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format.name,
                layout=frame.layout.name,
                time_base=frame.time_base,
            )
        ]
        steps = [("aresample", "async=1:first_pts=0" if self._slow > 1 else "async=1")]
        if self._slow > 1:
            steps.append(("apad", f"pad_dur={TAIL}"))
        left = float(self._slow)
        while left > 1:
            steps.append(("atempo", f"{1 / min(left, SLOWEST):.9f}"))
            left /= min(left, SLOWEST)
        form = f"sample_fmts={context.format.name}:sample_rates={context.sample_rate}"
        steps.append(("aformat", f"{form}:channel_layouts={context.layout.name}"))
        steps.append(("asetnsamples", f"n={context.frame_size or PACKET}:p=0"))
        nodes += [graph.add(name, words) for name, words in steps]
        graph.link_nodes(*nodes, graph.add("abuffersink")).configure()
        return graph

    def _encoded(self, frames: Iterator[Any]) -> list[Any]:
        made: list[Any] = []
        rate = self.stream.codec_context.sample_rate
        for frame in frames:
            if self._next is None:
                self._next = round((frame.pts or 0) * frame.time_base * rate)
            if self._slow > 1 and self._end is not None:
                left = round(self._slow * self._end * rate) - self._next
                if left <= 0:
                    break
                frame = _shortened(frame, left) if left < frame.samples else frame
            frame.pts, frame.time_base = self._next, Fraction(1, rate)
            self._next += frame.samples
            made += self.stream.encode(frame)
        return self._named(made)

    def _named(self, packets: list[Any]) -> list[Any]:
        for packet in packets:
            packet.stream = self.stream
        return packets


def _shortened(frame: Any, samples: int) -> Any:
    """The first samples of a frame."""
    values = frame.to_ndarray()  # channels, samples; one row where the channels are interleaved
    kept = np.ascontiguousarray(values[:, : values.shape[1] // frame.samples * samples])
    short = av.AudioFrame.from_ndarray(kept, format=frame.format.name, layout=frame.layout.name)
    short.sample_rate = frame.sample_rate
    return short


def encoding_stream(out: Any, source: Any, encoder: str) -> Any:
    """A stream of `out` that encodes what `source` decodes to, at its rate and layout where the encoder has them."""
    given, codec = source.codec_context, av.Codec(encoder, "w")
    rates = codec.audio_rates or [given.sample_rate]
    rate = given.sample_rate if given.sample_rate in rates else max(rates, key=lambda each: (each == 48000, each))
    stream = out.add_stream(encoder, rate=rate)
    context = stream.codec_context
    formats = [form.name for form in codec.audio_formats or ()]
    deep = is_deep(source)
    own = [] if given.format is None else [given.format.name]
    wanted = [*own, *(("s32p", "s32", "fltp", "flt") if deep else ("s16p", "s16", "fltp", "flt"))]
    context.format = next((name for name in wanted if name in formats), formats[0] if formats else "s16")
    context.layout = LAYOUTS.get(given.layout.name, given.layout.name)
    context.time_base = stream.time_base = Fraction(1, rate)
    if codec.lossy and not codec.lossless:
        context.bit_rate = LOSSY_RATE * given.layout.nb_channels
    return stream


def lossless_encoder(stream: Any, container: Container) -> str | None:
    """The encoder that writes a sound stream losslessly into a container; None where there is none. Sound of more than
    16 bits is kept in 24."""
    pcm = "pcm_s24le" if is_deep(stream) else "pcm_s16le"
    name = {"MKV": "flac", "MP4": "alac", "MOV": pcm}.get(container.name)
    return name if name is not None and _encodes(stream, container, name) else None


def is_deep(stream: Any) -> bool:
    """Whether a sound stream decodes to samples of more than 16 bits."""
    form = stream.codec_context.format if stream.codec_context is not None else None
    return form is not None and form.bytes > 2


def slowed_encoder(stream: Any, container: Container) -> str | None:
    """The encoder of slowed sound: the input's codec where it can be, else AAC or Opus."""
    own = codec_of(stream) or ""
    choices = [LIKE.get(own, own), "aac", "libopus"]
    return next((name for name in choices if name and _encodes(stream, container, name)), None)


def _encodes(stream: Any, container: Container, encoder: str) -> bool:
    """Whether the container takes the encoder's packets: a second of silence, written to memory and read."""
    if stream.codec_context is None:
        return False
    memory = io.BytesIO()
    try:
        with av.open(memory, "w", format=container.format) as trial:
            made = encoding_stream(trial, stream, encoder)
            made.codec_context.open()
            trial.start_encoding()
            _silence(trial, made)
        with read_back(memory, container) as written:
            return any(alike(codec_of(found), codec_of(made)) for found in written.streams)
    except (av.FFmpegError, ValueError, LookupError):
        return False


def read_back(memory: io.BytesIO, container: Container) -> Any:
    """What a muxer wrote, opened by the demuxer of the same format."""
    memory.seek(0)
    return av.open(memory, format=None if container.format in ("matroska", "webm") else container.format)


def alike(found: str | None, codec: str | None) -> bool:
    """Whether two names are of one codec; few packets do not show which layer of MPEG audio they are."""
    return found == codec or {found, codec} <= MPEG_AUDIO


def _silence(trial: Any, stream: Any) -> None:
    context = stream.codec_context
    for i in range(4):
        frame = av.AudioFrame(
            format=context.format.name, layout=context.layout.name, samples=context.frame_size or 1024
        )
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.time_base = context.sample_rate, Fraction(1, context.sample_rate)
        frame.pts = i * frame.samples
        trial.mux(stream.encode(frame))
    trial.mux(stream.encode(None))


def _pulled(graph: Any) -> Iterator[Any]:
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
