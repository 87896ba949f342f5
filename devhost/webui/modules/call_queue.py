"""The lock that keeps generations one at a time, and what a button's generation answers when it fails."""

from __future__ import annotations

import functools
import html
import threading
import time
from collections.abc import Callable
from typing import Any

from modules import errors, progress, shared

queue_lock = threading.Lock()


def wrap_gradio_gpu_call(func: Callable[..., Any], extra_outputs: list[Any]) -> Callable[..., Any]:
    """`func` under the lock as a job of its own; its last output is html, into which errors and the time go.

    Args:
        func: takes the job's name first.
        extra_outputs: what the outputs before the last are when it raises.
    """

    @functools.wraps(func)
    def wrapped(id_task: str, *args: Any) -> tuple[Any, ...]:
        began = time.perf_counter()
        with queue_lock:
            shared.state.begin(job=id_task)
            progress.start_task(id_task)
            try:
                outputs = list(func(id_task, *args))
            except Exception as error:
                errors.report("Error completing request", exc_info=True)
                outputs = [
                    *extra_outputs,
                    f"<div class='error'>{html.escape(f'{type(error).__name__}: {error}')}</div>",
                ]
            finally:
                progress.finish_task(id_task)
                shared.state.end()
                shared.state.skipped = shared.state.interrupted = shared.state.stopping_generation = False
        outputs[-1] += f"<p class='performance'>{time.perf_counter() - began:.1f} s</p>"
        return tuple(outputs)

    return wrapped
