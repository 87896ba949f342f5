"""Folders; read from the command line options at import, as in the WebUI."""

from __future__ import annotations

from pathlib import Path

from modules.shared_cmd_options import cmd_opts

script_path = str(Path(__file__).resolve().parent.parent)
data_path = cmd_opts.data_dir
models_path = str(Path(data_path) / "models")
extensions_dir = str(Path(data_path) / "extensions")
extensions_builtin_dir = str(Path(script_path) / "builtin")
