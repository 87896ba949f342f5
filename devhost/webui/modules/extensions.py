"""Installed extensions: the builtin folder first, then the data folder's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modules.paths_internal import extensions_builtin_dir, extensions_dir

extensions: list[Extension] = []


@dataclass(frozen=True)
class Extension:
    """One extension folder."""

    name: str
    path: str
    is_builtin: bool = False
    enabled: bool = True

    @property
    def canonical_name(self) -> str:
        """Lower-case name."""
        return self.name.lower()

    def list_files(self, subdir: str, extension: str) -> list[Path]:
        """Files of one subfolder with one ending, sorted by name."""
        return sorted(p for p in (Path(self.path) / subdir).glob(f"*{extension}") if p.is_file())


def list_extensions() -> None:
    """Find the extensions anew."""
    extensions.clear()
    extensions.append(Extension("Lora", extensions_builtin_dir, is_builtin=True))
    folder = Path(extensions_dir)
    if folder.is_dir():
        extensions.extend(Extension(p.name, str(p)) for p in sorted(folder.iterdir()) if p.is_dir())


def active() -> list[Extension]:
    """Extensions that are on: all."""
    return [ext for ext in extensions if ext.enabled]


def find_extension(filename: str) -> Extension | None:
    """The extension a file belongs to."""
    return next((ext for ext in extensions if filename.startswith(ext.path)), None)
