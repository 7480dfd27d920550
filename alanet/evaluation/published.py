"""What others have published on Adobe240 at x2, as they printed it: theirs, quoted, and never measured by us.

Inputs are all-blurry (11 frames of 240 fps every 8) except that ALANET does not state which of its were blurred.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["QUOTED", "QUOTED_ABLATION", "Quoted"]


@dataclass(frozen=True, slots=True)
class Quoted:
    """A row of a published table: (PSNR in dB, SSIM), None where it is not printed."""

    name: str
    deblurred: tuple[float, float | None] | None = None
    interpolated: tuple[float, float | None] | None = None
    joint: tuple[float, float | None] | None = None
    remark: str = ""


QUOTED = (
    Quoted("blurry input", (28.68, 0.8584)),
    Quoted("Jin et al. 2019", (29.40, 0.8734), (29.24, 0.8754), (29.32, 0.8744)),
    Quoted("Super SloMo", None, (27.52, 0.8593), remark="interpolation only"),
    Quoted("MEMC-Net", None, (30.83, 0.9128), remark="interpolation only"),
    Quoted("DAIN", None, (31.03, 0.9172), remark="interpolation only"),
    Quoted("BIN4, paper", (32.67, 0.9236), (32.51, 0.9280), (32.59, None)),
    Quoted("BIN4, its released weights", (33.33, 0.9319), (33.31, 0.9372), (33.32, None)),
    Quoted(
        "ALANET",
        (33.71, 0.9429),
        (32.98, 0.9362),
        (33.34, 0.9355),
        "does not state which inputs were blurred; its joint SSIM is not the mean of its two",
    ),
    Quoted("DeMFI-Net rb(5,3) 2022", (34.19, 0.9410), (34.29, None), (34.34, None), "interpolated: x8"),
    Quoted("BiT++ 2023", None, None, (34.97, None)),
    Quoted("BVFI 2024", None, None, (35.43, None), "no code"),
)

QUOTED_ABLATION = (  # ALANET, Table 3
    Quoted("only self", (31.98, None), (30.87, None)),
    Quoted("only cross", (32.36, None), (32.77, None)),
    Quoted("both", (33.71, None), (32.98, None)),
)
