"""Loading of script files by path."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

loaded_scripts: dict[str, ModuleType] = {}


def load_module(path: str) -> ModuleType:
    """Execute a python file as a module that is not put in sys.modules."""
    spec = importlib.util.spec_from_file_location(Path(path).name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded_scripts[path] = module
    return module
