"""The processes that draw: every task once, errors come up, nothing goes on after one."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import pytest

from bench.workers import Workers

FAULT, SLOW_S = 3, 0.1


def begin(folder: Path):
    def work(task: int) -> None:
        (folder / f"{task}.{os.getpid()}").touch()
        if task == FAULT:
            raise LookupError(f"task {task}")
        time.sleep(SLOW_S)

    return work


def begin_nothing():
    raise OSError("no host here")


def done(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.iterdir())


def test_every_task_is_done_once_by_processes_of_their_own(tmp_path):
    tasks = [7, 8, 9, 10]
    with Workers(2, partial(begin, tmp_path)) as workers:
        assert sorted(task for task, _ in workers.each(tasks)) == tasks
        assert all(seconds >= SLOW_S for _, seconds in workers.each([11, 12]))
    assert done(tmp_path) == [*tasks, 11, 12]
    drew = {int(path.suffix[1:]) for path in tmp_path.iterdir()}
    assert os.getpid() not in drew
    assert len(drew) <= 2


def test_an_error_comes_up_and_ends_the_rest(tmp_path):
    with pytest.raises(LookupError, match=f"task {FAULT}"), Workers(1, partial(begin, tmp_path)) as workers:
        list(workers.each([FAULT, *range(10, 60)]))
    assert len(done(tmp_path)) < 10


def test_a_process_that_cannot_begin_is_an_error():
    with pytest.raises(RuntimeError), Workers(1, begin_nothing) as workers:
        list(workers.each([1]))


def test_none_is_refused():
    with pytest.raises(ValueError, match="found 0"):
        Workers(0, begin_nothing)
