"""The processes that draw: every task once, errors come up, nothing goes on after one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from bench.fingerprints import REPOSITORY
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


def test_no_process_outlives_a_run_that_is_killed(tmp_path):
    code = (
        "from functools import partial; from pathlib import Path; from bench.workers import Workers\n"
        "from tests.bench.test_workers import begin\n"
        "if __name__ == '__main__':\n"
        f"    with Workers(2, partial(begin, Path({str(tmp_path)!r}))) as workers:\n"
        "        list(workers.each([5, 6, *range(1000, 9000)]))\n"
    )
    script = tmp_path / "killed.py"
    script.write_text(code)
    folders = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    run = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": folders})
    try:
        wait_until(lambda: len(pids(tmp_path)) == 2)
    finally:
        run.kill()
        run.wait()
    wait_until(lambda: not any(map(alive, pids(tmp_path))))


def pids(folder: Path) -> set[int]:
    return {int(path.suffix[1:]) for path in folder.iterdir() if path.suffix[1:].isdigit()}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(reached: Callable[[], bool], at_most_s: float = 60) -> None:
    end = time.monotonic() + at_most_s
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)
