"""The one way we change a host object: an attribute of one instance, put back as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(
    owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[Callable[..., Any]]:
    """While open, the instance's method `name` is what `make` makes of it; after, it is what it was."""
    had = name in vars(owner)
    before = getattr(owner, name)
    setattr(owner, name, make(before))
    try:
        yield before
    finally:
        if had:
            setattr(owner, name, before)
        else:
            delattr(owner, name)
