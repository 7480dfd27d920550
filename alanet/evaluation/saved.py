"""Restored frames as files: written by an evaluation, and read as a method of another one.

    FOLDER/VIDEO/000000.png ...     the frames of one method, in the order of their times, from the first input on

So what another program restores from the written inputs is scored beside the methods of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from alanet.errors import DataError
from alanet.evaluation.baselines import Method, RestoreFunction
from alanet.evaluation.metrics import Picture
from alanet.files import make_folder, write_errors

__all__ = ["saved_frames", "saving_to"]


def saved_frames(name: str, folder: str | Path) -> Method:
    """A method whose frames are there already, for every time of the protocol. Raises DataError for no folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give one that holds a folder of pictures a video")

    def of_video(video: str, first: int) -> RestoreFunction:
        found = sorted(path for path in (folder / _safe(video)).glob("*") if path.suffix.lower() in (".png", ".webp"))

        def restore(inputs: Sequence[Picture], times: Sequence[Fraction]) -> list[Picture]:
            factor = max(time.denominator for time in times)
            places = [int((first + time) * factor) for time in times]
            if places[-1] >= len(found):
                raise DataError(
                    f"{folder / _safe(video)}: {len(found)} pictures; allowed: {places[-1] + 1} or more, one for each "
                    "time of the protocol"
                )
            return [_read(found[place], inputs[0]) for place in places]

        return restore

    def none(inputs: Sequence[Picture], times: Sequence[Fraction]) -> list[Picture]:
        raise DataError(f"{folder}: frames of files belong to a video")

    return Method(name, none, None, of_video)


def saving_to(folder: Path) -> Callable[[str, str, Fraction, Picture], None]:
    """What `evaluate` calls with each frame: writes FOLDER/METHOD/VIDEO/NUMBER.png."""
    written: dict[tuple[str, str], set[Fraction]] = {}

    def save(video: str, method: str, time: Fraction, picture: Picture) -> None:
        from PIL import Image

        times = written.setdefault((method, video), set())
        if time in times:
            return  # the last input of a part is the first one of the next
        target = folder / _safe(method) / _safe(video)
        make_folder(target)
        with write_errors(target):
            Image.fromarray(picture).save(target / f"{len(times):06d}.png", compress_level=1)
        times.add(time)

    return save


def _safe(name: str) -> str:
    """A name as a folder's."""
    return name.replace("/", "_").replace("\\", "_")


def _read(path: Path, like: Picture) -> Picture:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            picture = np.asarray(opened.convert("RGB"), np.uint8)
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path}: cannot be read as a picture ({error})") from None
    if picture.shape != like.shape:
        sizes = [f"{x.shape[1]}x{x.shape[0]}" for x in (picture, like)]
        raise DataError(f"{path}: {sizes[0]}, the inputs are {sizes[1]}; give frames of the size that is scored")
    return picture
