"""Do the next step's reading while this step computes: an iterator that runs ahead in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

__all__ = ["read_ahead"]

T = TypeVar("T")


def read_ahead(source: Iterator[T], depth: int) -> Generator[T, None, None]:
    """The items of `source`, up to `depth` of them made ahead of time in a background thread.

    Order is kept; an exception of `source` is raised here, at its place. Closing this generator stops the thread and
    closes `source` in the thread that ran it.
    """
    items: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(maxsize=max(1, depth))
    stop = threading.Event()

    def put(item: T | None, error: BaseException | None, last: bool) -> bool:
        while not stop.is_set():
            try:
                items.put((item, error, last), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in source:
                if not put(item, None, False):
                    break
            else:
                put(None, None, True)
        except BaseException as error:
            put(None, error, True)
        finally:
            if isinstance(source, Generator):
                source.close()

    thread = threading.Thread(target=work, name="alanet-read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error, last = items.get()
            if error is not None:
                raise error
            if last:
                return
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
