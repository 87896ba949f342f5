"""Batches made ahead of their step by other processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.pool import AsyncResult
from types import TracebackType
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class Ahead(Generic[Batch]):
    """Makes each step's batch from the step's number alone, so that a resumed run sees what an unbroken one would.

    Args:
        make: batch of a step; runs in forked processes, is to be a module's function and to leave torch alone.
        steps: number of steps of the whole run; none beyond is made.
        workers: processes.
        depth: batches held ready at most.
    """

    def __init__(self, make: Callable[[int], Batch], steps: int, workers: int = 2, depth: int = 6) -> None:
        self.make = make
        self.steps = steps
        self.depth = depth
        self.pending: dict[int, AsyncResult[Batch]] = {}
        # Nice: torch's threads wait for each other, so the trainer must not be the one who is kept waiting
        self.pool = multiprocessing.get_context("fork").Pool(workers, initializer=os.nice, initargs=(10,))

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
                self.pending[following] = self.pool.apply_async(self.make, (following,))
        return self.pending.pop(step).get()
