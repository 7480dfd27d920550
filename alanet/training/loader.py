"""Batches, prepared in the background in the order of their index, while the step before them runs.

A sampler makes batch k from (seed, k) alone, so that neither the number of workers nor a resumed run changes the
batches: the position in the data is one integer. A batch that cannot be made (a damaged file, values that are not
finite) is replaced by one from far ahead in the sequence, and named.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import torch
from torch import Tensor

from alanet.errors import AlanetError, DataError
from alanet.training.config import Stage

__all__ = ["BatchLike", "Feed", "Sampler", "make_batch", "moved"]

log = logging.getLogger("alanet")

REPLACEMENTS = 3  # tries for one batch
FAR = 1 << 40  # replacements come from indices no run reaches by itself


class BatchLike(Protocol):
    """A dataclass with at least these tensors (`alanet.data.clips.Batch`)."""

    clip: Tensor  # b t c h w
    times: Tensor  # b n
    truth: Tensor  # b n c h w


class Sampler(Protocol):
    """Where batches come from: the same (index, crop, batch) always gives the same tensors."""

    def batch(self, index: int, *, size: int, crop: int) -> Any: ...


class Feed:
    """`make(start)`, `make(start + 1)`, ... by `workers` threads, up to `ahead` of them before they are asked for."""

    def __init__(self, make: Callable[[int], Any], *, start: int, workers: int, ahead: int) -> None:
        self.make = make
        self.index = start  # of the next batch to be begun
        self.ahead = max(ahead, workers)
        self.waited = 0.0  # seconds the loop has waited for data, in sum
        self.queue: deque[Future[Any]] = deque()
        # One thread of torch a worker: two teams of threads on few cores slow each other down.
        self.pool = ThreadPoolExecutor(workers, "batches", _one_thread) if workers else None

    def next(self) -> Any:
        """The next batch; the time spent waiting for it is added to `waited`."""
        began = time.perf_counter()
        if self.pool is None:
            batch = self.make(self.index)
            self.index += 1
        else:
            self._fill()
            batch = self.queue.popleft().result()
            self._fill()
        self.waited += time.perf_counter() - began
        return batch

    def _fill(self) -> None:
        while self.pool is not None and len(self.queue) < self.ahead:
            self.queue.append(self.pool.submit(self.make, self.index))
            self.index += 1

    def close(self) -> None:
        """Stop the workers; batches not begun are dropped."""
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)


def _one_thread() -> None:
    torch.set_num_threads(1)


def make_batch(sampler: Sampler, index: int, stage: Stage) -> Any:
    """Batch `index` of the sampler, or a replacement for it, which is logged.

    Raises DataError when its replacements fail too.
    """
    reasons = []
    for attempt in range(1 + REPLACEMENTS):
        try:
            batch = sampler.batch(index + attempt * FAR, size=stage.batch, crop=stage.crop)
            if bool(torch.isfinite(batch.clip).all()) and bool(torch.isfinite(batch.truth).all()):
                return batch
            reason = "its pixels are not finite"
        except (AlanetError, OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
        reasons.append(reason)
        log.warning("batch %d cannot be used and is replaced: %s", index, reason)
    raise DataError(
        f"batch {index} and {REPLACEMENTS} replacements cannot be used ({reasons[0]}); check the training data"
    )


def moved(batch: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """The batch with its tensors on `device` and its floating tensors of `dtype`."""
    changed = {}
    for field in dataclasses.fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            kind = dtype if value.is_floating_point() else value.dtype
            changed[field.name] = value.to(device=device, dtype=kind, non_blocking=True)
    return dataclasses.replace(batch, **changed)
