"""The functions for one video and for one pair of frames: `alanet.restore` and `alanet.interpolate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from fractions import Fraction
from typing import Any

from alanet.errors import OptionError
from alanet.restoration.arrays import Picture
from alanet.restoration.handles import Input, Output
from alanet.restoration.naming import naming_arguments
from alanet.restoration.options import NetworkOptions, sorted_options
from alanet.restoration.plan import RestoreReport
from alanet.restoration.progress import RestoreProgress
from alanet.restoration.restorer import CancelToken, Restorer

__all__ = ["interpolate", "restore"]


@naming_arguments()
def restore(
    path: Input,
    output: Output | None = None,
    *,
    on_progress: Callable[[RestoreProgress], None] | None = None,
    cancel: CancelToken | None = None,
    **options: Any,
) -> RestoreReport:
    """Restore a video into another.

    Args:
        path: the input: the path of a video, a folder of images (with `input_rate`), a GIF or an APNG; or the bytes of
            a video, or a file object opened with "rb".
        output: the result: a path, or a file object opened with "wb" (in the input's container, or that of the
            object's name). None names it `NAME_x2.EXT` beside the input.
        on_progress: called after each input frame.
        cancel: a `threading.Event` or its like; when it is set, the run ends with CancelledError.
        options: fields of `RestoreOptions`, `EncodeOptions` and `NetworkOptions`, by name.

    Raises:
        OptionError: an unknown option, or a wrong value.
        InputError, OutputError, ResourceError, CancelledError: see `alanet.errors`.

    >>> report = alanet.restore("holiday.mp4", rate=alanet.Factor(4), crf=16, device="cpu")
    >>> report.output.name, report.frames_out
    ('holiday_x4.mp4', 16)
    """
    network, how = sorted_options(options)
    return Restorer(**asdict(network)).restore(path, output, how, on_progress=on_progress, cancel=cancel)


@naming_arguments()
def interpolate(a: Picture, b: Picture, t: float | Fraction = 0.5, **options: Any) -> Picture:
    """The frame at time t between two neighbouring frames.

    It loads the network at each call; for many frames make one `Restorer` and call its `interpolate` or `arrays`.

    Args:
        a: the first frame, `h w 3`: a NumPy array or torch tensor of uint8, uint16, or floats in [0, 1].
        b: the second one, of the same size and type.
        t: from 0 (a, deblurred) to 1 (b, deblurred).
        options: fields of `NetworkOptions`, by name.

    Returns:
        An array or tensor as given: same size, type and device.

    Raises:
        OptionError: other frames, or an unknown option.
        TimeError: t is outside [0, 1], or a time that the network cannot restore.

    >>> alanet.interpolate(frames[0], frames[1], 0.5, device="cpu").shape
    (48, 64, 3)
    """
    try:
        network = NetworkOptions(**options)
    except TypeError:
        allowed = [option.name for option in fields(NetworkOptions)]
        unknown = next(name for name in options if name not in allowed)
        raise OptionError(f"option {unknown!r} is unknown; allowed: {', '.join(allowed)}") from None
    return Restorer(**asdict(network)).interpolate(a, b, t)
