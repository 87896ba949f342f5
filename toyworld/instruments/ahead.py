"""Batches made ahead of their step by other processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.pool import AsyncResult
from types import TracebackType
from typing import Any, ClassVar, Generic, TypeVar

Batch = TypeVar("Batch")


class Ahead(Generic[Batch]):
    """Makes each step's batch from the step's number alone, so that a resumed run sees what an unbroken one would.

    Args:
        make: batch of a step; runs in forked processes and is to leave torch alone. What it holds is shared with
            them, never sent, so it may hold many pictures.
        steps: number of steps of the whole run; none beyond is made.
        workers: processes.
        depth: batches held ready at most.
    """

    def __init__(self, make: Callable[[int], Batch], steps: int, workers: int = 2, depth: int = 6) -> None:
        self.steps = steps
        self.depth = depth
        self.pending: dict[int, AsyncResult[Batch]] = {}
        # An initializer's arguments go through the fork; those of a task would be pickled for each of them
        self.pool = multiprocessing.get_context("fork").Pool(workers, initializer=_Worker.begin, initargs=(make,))

    def __enter__(self) -> Ahead[Batch]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.terminate()
        self.pool.join()

    def __call__(self, step: int) -> Batch:
        """The batch of a step; those of the next steps are begun."""
        for following in range(step, max(step + 1, min(self.steps, step + self.depth))):
            if following not in self.pending:
                self.pending[following] = self.pool.apply_async(_Worker.work, (following,))
        return self.pending.pop(step).get()


class _Worker:
    """What a forked process holds."""

    make: ClassVar[Callable[[int], Any]]

    @classmethod
    def begin(cls, make: Callable[[int], Any]) -> None:
        # Nice: torch's threads wait for each other, so the trainer must not be the one who is kept waiting
        os.nice(10)
        cls.make = make

    @classmethod
    def work(cls, step: int) -> Any:
        return cls.make(step)
