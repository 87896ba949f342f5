"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write that takes its place only when it is whole; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # by process: two that write the same file at once must not write into each other's
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
