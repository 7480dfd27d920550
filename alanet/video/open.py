"""Opening a file from an untrusted source: nothing but that one file is read, and only as a video.

FFmpeg picks a reader by looking into a file, and some readers are scripts that name other files or addresses (ffconcat,
HLS and DASH playlists), draw text as pictures, or make pictures up. Here a file is opened by its absolute "file:"
address (no name can be taken for a protocol or an option), by the video readers listed below and no other, and its
decoder refuses pictures beyond a limit.
"""

from __future__ import annotations

import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from alanet.errors import MediaError, OptionError
from alanet.video.tags import stated_duration

__all__ = ["Limits", "check_file", "check_size", "codec_name", "decoder_for", "open_media", "picture_of"]

READERS = (  # FFmpeg's demuxers for files that hold video, each self-contained
    "asf,av1,avi,dirac,dnxhd,dv,flv,gxf,h261,h263,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mxf,nsv,"
    "nut,obu,ogg,rm,roq,vc1,vc1test,vvc,webm,wtv,yuv4mpegpipe"
)
PIXELS = 2**27  # 16384 x 8192
LOOK = 2000  # packets looked at to count frames, where a file does not state them
STREAMS = 100  # of one file: each is looked at, carried and muxed
IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*", b"P5", b"P6", b"SDPX", b"XPDS", b"qoif")
SCRIPTS = (b"ffconcat", b"#EXTM3U", b"<?xml", b"<MPD", b"[playlist]", b"v=0", b"<ASX", b"<asx", b"<smil", b"#!")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a single input may ask of this machine."""

    pixels: int = PIXELS  # of one picture
    look: int = 24  # frames decoded at most while looking whether a video is interlaced


def open_media(path: Path, pixel_limit: int = PIXELS) -> Any:
    """The container (an `av` InputContainer, to be closed by the caller) of one regular file.

    Raises MediaError, one line: no such file, not a regular file, empty, unreadable, a playlist or script, not a video,
    too many streams.
    """
    path = check_file(path)
    safe = {"format_whitelist": READERS, "protocol_whitelist": "file"}
    ahead = {"max_pixels": str(pixel_limit)}  # for the decoders that FFmpeg opens to examine the streams
    try:
        media = av.open(f"file:{path}", options=ahead, container_options=safe, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError) as error:
        raise MediaError(f"{path}: {_why_not(path)}") from error
    if (count := len(media.streams)) > STREAMS:
        media.close()
        raise MediaError(f"{path}: holds {count} streams; allowed are {STREAMS}: take out what is not needed first")
    return media


def check_size(path: Path, pixel_limit: int) -> None:
    """MediaError if a picture stream is larger than the limit, by the word of its parser: nothing is decoded."""
    header = {"max_pixels": str(2**31 - 1), "skip_frame": "all"}
    safe = {"format_whitelist": READERS, "protocol_whitelist": "file"}
    with (
        suppress(av.FFmpegError, ValueError, OSError),
        av.open(f"file:{path}", options=header, container_options=safe) as media,
    ):
        for stream in media.streams.video:
            _check_pixels(stream, path, pixel_limit)


def _check_pixels(stream: Any, path: Path, pixel_limit: int) -> None:
    if stream.width * stream.height > pixel_limit:
        raise MediaError(
            f"{path}: a picture of {stream.width}x{stream.height} is beyond the limit of {pixel_limit} pixels"
        )


def check_file(path: Path) -> Path:
    """The absolute path of a regular file that can be read and is not empty."""
    path = path.absolute()
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise MediaError(
                f"{path}: not a regular file; give a video file, a folder of images, or - for y4m on stdin"
            )
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise MediaError(f"{path}: no such file") from None
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror or error})") from error
    if status.st_size == 0:
        raise MediaError(f"{path}: the file is empty")
    return path


def _why_not(path: Path) -> str:
    """One line for a file that no video reader opened."""
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(IMAGES):
        return "a single image, not a video; put images into a folder and give the folder with --input-rate"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(SCRIPTS):
        return "a playlist or script, which may name other files, is not opened; give the video itself"
    return "not a video that can be read (another kind of file, cut off before its index, or damaged)"


def picture_of(container: Any, path: Path, wanted: int | None = None) -> Any:
    """The stream that holds the moving picture: the one of this number, or the longest of several frames.

    Of streams that are about as long as the longest, the first marked default, else the first. Cover art is none.
    """
    moving = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not moving:
        kinds = sorted({f"{stream.type} ({codec_name(stream)})" for stream in container.streams})
        raise MediaError(f"{path}: holds no moving picture, only {', '.join(kinds) or 'nothing'}; give a video")
    if wanted is not None:
        moving = [stream for stream in moving if stream.index == wanted] or _no_stream(path, wanted, moving)
    stream = moving[0] if len(moving) == 1 else _longest(moving, path)
    if stream.codec_context is None:
        raise MediaError(
            f"{path}: no decoder of FFmpeg reads its picture (a rare codec, or damaged); convert it to H.264 first"
        )
    return stream


def _no_stream(path: Path, wanted: int, moving: list[Any]) -> Any:
    there = ", ".join(f"{stream.index} ({codec_name(stream)} {stream.width}x{stream.height})" for stream in moving)
    raise OptionError(f"{path}: --stream {wanted} is not a video; choose from {there}")


def _longest(moving: list[Any], path: Path) -> Any:
    frames = {stream.index: stream.frames for stream in moving}
    if not all(frames.values()):
        with open_media(path) as container:
            frames = dict.fromkeys(frames, 0)
            for count, packet in enumerate(container.demux([container.streams[index] for index in frames])):
                frames[packet.stream_index] += packet.size > 0
                if count > LOOK or all(number > 1 for number in frames.values()):
                    break
    several = [stream for stream in moving if frames[stream.index] > 1] or moving
    lengths = {stream.index: stated_duration(stream) or 0 for stream in several}
    longest = max(lengths.values())
    alike = [stream for stream in several if 10 * lengths[stream.index] >= 9 * longest or not lengths[stream.index]]
    return next((stream for stream in alike if stream.disposition & 1), alike[0])


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & (av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails))


def codec_name(stream: Any) -> str:
    """The codec's name, not its decoder's ("av1", not "libdav1d")."""
    return stream.codec_context.codec.canonical_name if stream.codec_context is not None else "unknown"


def decoder_for(stream: Any, path: Path, pixel_limit: int, threads: int) -> Any:
    """The codec context that decodes a picture stream, its limit and threads (0: one a core) set.

    FFmpeg's own VP8 and VP9 decoders drop alpha; libvpx keeps it, so it decodes streams that say they have some.
    """
    _check_pixels(stream, path, pixel_limit)
    context = stream.codec_context
    keeps_alpha = {"vp9": "libvpx-vp9", "vp8": "libvpx"}.get(context.name)
    says_alpha = any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())
    if keeps_alpha in av.codecs_available and says_alpha:
        context = av.CodecContext.create(keeps_alpha, "r")
    context.thread_count = threads
    context.thread_type = "AUTO"
    context.options = {"max_pixels": str(pixel_limit)}
    return context
