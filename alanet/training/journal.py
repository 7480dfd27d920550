"""What a run writes down about itself: a line of JSON every so many steps; TensorBoard gets the same, if installed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from alanet.errors import OutputError
from alanet.files import write_whole

__all__ = ["Journal"]

log = logging.getLogger("alanet")


class Journal:
    """`FOLDER/metrics.jsonl`, one object a line with "step", and TensorBoard's files in `FOLDER/tensorboard`.

    Lines after `step` (written after the checkpoint a run goes on from) are dropped when it is opened.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        self.path = folder / "metrics.jsonl"
        if self.path.exists():
            lines = self.path.read_text("utf-8").splitlines()
            write_whole(self.path, "".join(f"{line}\n" for line in lines if _step(line) <= step).encode())
        self.board = _tensorboard(folder / "tensorboard", step)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """One line; numbers also go to TensorBoard under their names."""
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise OutputError(f"{self.path} could not be written ({error.strerror}); make room, then go on") from error
        if self.board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self.board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: Tensor) -> None:
        """An image panel, `c h w` in [0, 1], for TensorBoard."""
        if self.board is not None:
            self.board.add_image(name, image.float().clamp(0, 1).cpu(), step)

    def close(self) -> None:
        """Flush everything."""
        if self.board is not None:
            self.board.close()


def _step(line: str) -> float:
    """The step of a line; a damaged line (cut by a crash) counts as after everything."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info("TensorBoard is not installed: metrics go to metrics.jsonl only")
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
