"""How a result is encoded. `metadata["help"]` of a field is its description in every interface."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["EncodeOptions"]


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How the result is encoded and written.

    >>> report = alanet.restore("holiday.mp4", codec="ffv1", overwrite=True)    # fields by name
    >>> report.output.name
    'holiday_x2.mkv'
    """

    codec: Literal[
        "x264",
        "x265",
        "av1",
        "prores",
        "ffv1",
        "png",
        "h264_nvenc",
        "hevc_nvenc",
        "av1_nvenc",
        "h264_qsv",
        "hevc_qsv",
        "h264_videotoolbox",
        "hevc_videotoolbox",
    ] = field(
        default="x264",
        metadata={
            "help": "Encoder (compression) of the result. png writes a folder of images; ffv1 is lossless. "
            "nvenc (NVIDIA), qsv (Intel) and videotoolbox (Apple) are hardware encoders; "
            "`alanet doctor` lists those that work here."
        },
    )
    crf: float | None = field(
        default=None,
        metadata={
            "help": "Quality; lower is better. The default is 18 for H.264, 20 for H.265 and 24 for AV1.",
            "metavar": "N",
        },
    )
    preset: str | None = field(
        default=None,
        metadata={
            "help": "Encoder preset, such as fast, medium or slow. A slower one makes a smaller file. "
            "AV1 has 0 (slowest) to 13, NVENC also p1 to p7.",
            "metavar": "NAME",
        },
    )
    compatible: bool = field(default=False, metadata={"help": "Write 8-bit 4:2:0, which every player supports."})
    slow_audio: Literal["stretch", "drop"] = field(
        default="stretch", metadata={"help": "Sound of slow motion. stretch: as long as the video, at the same pitch."}
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace an existing result."})
    threads: int = field(default=0, metadata={"flag": "encoder threads"})  # 0: as many as the encoder likes
