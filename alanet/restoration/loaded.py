"""A network on a device, ready to restore: its weights, precision, memory limit and tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch

from alanet.engine.fallback import FallbackRunner
from alanet.engine.memory import free_memory
from alanet.engine.precision import PrecisionChoice
from alanet.engine.runner import Runner
from alanet.engine.tiled import TileMode, passes
from alanet.errors import TimeError
from alanet.frames.frame import VideoInfo
from alanet.frames.tiles import Tile, round_up
from alanet.frames.timing import Schedule, output_rate, phases
from alanet.model.network import Network
from alanet.model.weights import continuous_models
from alanet.notes import Notes
from alanet.restoration.job import weights_digest

__all__ = ["LoadedNetwork"]

NOMINAL = {"cpu": 50.0, "cuda": 5000.0}  # billions of multiply-accumulates a second


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with the runner that evaluates it.

    given: the options that it was loaded with, by their flags. processes: how many share the memory, this one included.
    """

    model: Network
    name: str
    runner: Runner
    chosen: PrecisionChoice
    tile_mode: TileMode
    memory_limit: int | None  # bytes, for all processes
    processes: int
    given: dict[str, Any]

    @property
    def precision(self) -> str:
        return self.chosen.precision

    @property
    def device(self) -> torch.device:
        return self.runner.device

    @property
    def memory(self) -> int | None:
        """Bytes that this process may take; None: most of what is free."""
        if self.processes == 1:
            return self.memory_limit
        all_of_it = free_memory(self.device) if self.memory_limit is None else self.memory_limit
        return None if all_of_it is None else all_of_it // self.processes

    def runner_for(self, tiles: Sequence[Tile], precision: str, notes: Notes) -> FallbackRunner:
        """A runner for frames that are restored in these tiles."""
        runner = self.runner if precision == self.precision else Runner(self.model, self.device, precision)
        return FallbackRunner(runner, tiles, self.tile_mode, notes)

    def place(self, precision: str) -> str:
        """Network, device and precision, for a person: "alanet-plus on cpu, bf16 (this CPU has AMX-BF16)"."""
        return f"{self.name} on {self.device}, {precision} ({self.reason(precision)})"

    def reason(self, precision: str) -> str:
        """Why a run has this precision."""
        return self.chosen.reason if precision == self.precision else "as the run began"

    def described(self) -> dict[str, Any]:
        """What a result depends on, by the names of the options."""
        return {**self.given, "--device": str(self.device), "weights": weights_digest(self.model)[:16]}

    def check_times(self, rate: Schedule, input_rate: Fraction) -> None:
        """Raise TimeError if the schedule needs times that the network cannot restore."""
        if self.model.continuous_time or all(self.model.can_restore(phase) for phase in phases(rate, input_rate)):
            return
        able = ", ".join(continuous_models())
        raise TimeError(
            f"{rate} of {float(input_rate):g} fps needs frames elsewhere than half-way, and {self.name} makes "
            "only inputs and midpoints: use x2, x1 or --slow 2, or a time-continuous model: "
            f"{f'--model {able}' if able else 'weights of such a network, by --model PATH'}"
        )

    def check_repeats(self) -> None:
        """Raise TimeError if the network cannot interpolate over skipped repeats."""
        if not self.model.continuous_time:
            able = ", ".join(continuous_models()) or "weights of such a network, by PATH"
            raise TimeError(
                f"--duplicates skip needs frames elsewhere than half-way, which {self.name} does not make; use "
                f"--duplicates keep, or a time-continuous model: --model {able}"
            )

    def seconds_a_frame(self, info: VideoInfo, rate: Schedule, tiles: Sequence[Tile]) -> float:
        """Estimated seconds per input frame, from a small frame that is timed here."""
        return self.runner.seconds_per_gmac() * self.gmacs_a_frame(info, rate, tiles)

    def nominal_seconds(self, info: VideoInfo, rate: Schedule, tiles: Sequence[Tile]) -> float:
        """Seconds per input frame on a usual device of this kind, the same in every run."""
        return self.gmacs_a_frame(info, rate, tiles) / NOMINAL.get(self.device.type, NOMINAL["cuda"])

    def gmacs_a_frame(self, info: VideoInfo, rate: Schedule, tiles: Sequence[Tile]) -> float:
        """Billions of multiply-accumulates per input frame."""
        cost = self.model.cost()
        restored = float(output_rate(rate, info.rate) * rate.slow / info.rate)
        encodes, generates = passes(self.model, tiles)
        macs = encodes * cost.encode + cost.relate + restored * generates * cost.generate
        pixels = round_up(info.width, self.model.stride) * round_up(info.height, self.model.stride)
        return macs * pixels / (640 * 352)
