"""Processes that draw side by side, one thread each.

A denoiser call of one picture hardly gains from a second thread, and processes of several threads slow each other down
many times over; with one process a core, each draws as fast as one alone.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Work = Callable[[T], object]

MOST = 4
"""Every process holds a host and a model."""

_begun: list[Work[Any]] = []
"""In a process of the pool: what does its work."""


def usual_count() -> int:
    """How many processes this machine keeps busy."""
    return min(os.cpu_count() or 1, MOST)


class Workers(Generic[T]):
    """A pool that is started when it first gets something to do.

    Args:
        count: processes.
        begin: called once in every process; what it gives does the work. It must be picklable, and so must the tasks.
    """

    def __init__(self, count: int, begin: Callable[[], Work[T]]) -> None:
        if count < 1:
            raise ValueError(f"count: expected 1 or more, found {count}")
        self.count = count
        self._begin = begin
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def each(self, tasks: Sequence[T]) -> Iterator[tuple[T, float]]:
        """Do tasks, begun in their order; gives each and the seconds it took, as they are done.

        Raises:
            Exception: what a task raised; those not yet begun are given up.
            BrokenProcessPool: a process ended, or could not begin.
        """
        if self._pool is None:
            fresh = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, fresh, initializer=partial(_start, self._begin))
        waiting: dict[Future[float], T] = {self._pool.submit(_timed, task): task for task in tasks}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            for future in waiting:
                future.cancel()


def _start(begin: Callable[[], Work[Any]]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    _begun.append(begin())


def _end_with_parent() -> None:
    """A pool's process outlives a parent that was killed: its own siblings hold the queue that it waits for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _timed(task: object) -> float:
    (work,) = _begun
    began = time.monotonic()
    work(task)
    return time.monotonic() - began
