"""Reporting of swallowed exceptions: logged, and remembered in `exception_records` like the WebUI does."""

from __future__ import annotations

import logging
import sys
import traceback

logger = logging.getLogger(__name__)
exception_records: list[dict[str, object]] = []
RECORD_LIMIT = 5


def record_exception() -> None:
    """Remember the exception being handled; the oldest fall out."""
    _, error, trace = sys.exc_info()
    if error is None:
        return
    frames = [[f"{f.filename}, line {f.lineno}, {f.name}", f.line] for f in traceback.extract_tb(trace)]
    exception_records.append({"exception": str(error), "traceback": frames})
    del exception_records[:-RECORD_LIMIT]


def report(message: str, *, exc_info: bool = False) -> None:
    """Log an error, with the current traceback if asked."""
    record_exception()
    logger.error("%s", message, exc_info=exc_info)


def display(e: Exception, task: str, *, full_traceback: bool = False) -> None:
    """Log `e`, raised while doing `task`."""
    record_exception()
    logger.error("%s: %s", task, type(e).__name__, exc_info=e, stack_info=full_traceback)
