"""Short hashes of what a picture depends on, so that a kept one is never taken for another."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = frozenset({"bench", "devhost", "lib_omg", "toyworld"})
_LENGTH = 16


def of_value(value: object) -> str:
    """Hash of plain data: what JSON can say, and what `str` can say of the rest."""
    return _short(json.dumps(value, sort_keys=True, default=str).encode())


def of_files(paths: Iterable[Path]) -> str:
    """Hash of files' names and contents."""
    return of_value([(path.name, _content(path)) for path in sorted(paths)])


@cache
def _content(path: Path) -> str:
    return _short(path.read_bytes())


def of_code(entries: Iterable[Path]) -> str:
    """Hash of modules and all they import of this repository; comments, docstrings and layout do not count.

    Args:
        entries: files to begin with.
    """
    return of_value([(str(path.relative_to(REPOSITORY)), _code(path)) for path in sorted(_closure(entries))])


def _closure(entries: Iterable[Path]) -> set[Path]:
    known: set[Path] = set()
    waiting = list(entries)
    while waiting:
        path = waiting.pop()
        if path not in known:
            known.add(path)
            waiting.extend(_imports(path))
    return known


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf8"))


def _imports(path: Path) -> Iterator[Path]:
    """Files of this repository that a file imports, at its top or within functions."""
    package = path.relative_to(REPOSITORY).parent.parts
    for node in ast.walk(_parsed(path)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{origin}.{alias.name}" for alias in node.names]
        for name in names:
            found = _file_of(name.split("."))
            if found:
                yield found


def _file_of(parts: list[str]) -> Path | None:
    """The module a dotted name lies in; the name's last part may be something defined there."""
    if parts[0] not in PACKAGES:
        return None
    for length in (len(parts), len(parts) - 1):
        path = REPOSITORY.joinpath(*parts[:length])
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if length and candidate.is_file():
                return candidate
    return None


@cache
def _code(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf8"))
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]  # type: ignore[attr-defined]
    return _short(ast.dump(tree).encode())


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_LENGTH]
