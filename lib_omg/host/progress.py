"""The host's progress bar and job label, told of both passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modules import shared


def count_layouts(p: Any) -> None:
    """Add one job for every layout pass of this generation to the host's count."""
    shared.state.job_count = max(shared.state.job_count, 0) + p.n_iter
    steps = 2 * p.steps
    if getattr(p, "enable_hr", False):
        steps += p.hr_second_pass_steps or p.steps
    shared.total_tqdm.updateTotal(steps * p.n_iter)


@contextmanager
def labelled(text: str) -> Iterator[None]:
    """While open, the host shows `text` as what it is doing."""
    state = shared.state
    before_job, before_text = state.job, state.textinfo
    state.job = f"{before_job}, {text}" if before_job.startswith("Batch") else text
    state.textinfo = text
    try:
        yield
    finally:
        state.job, state.textinfo = before_job, before_text
