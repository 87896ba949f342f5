"""Starts the host that OMG_CONTRACT_HOST names, in this process: `devhost` (the default) or a real `webui`."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
WEBUI_ARGUMENTS = [
    "--skip-install",
    "--skip-prepare-environment",
    "--skip-torch-cuda-test",
    "--no-half",
    "--use-cpu",
    "all",
    "--api",
    "--skip-version-check",
    "--do-not-download-clip",
    "--no-download-sd-model",
    "--disable-console-progressbars",
]


@dataclass
class Host:
    """A running host; its app is another one after `reload_ui`."""

    name: str
    app: Any

    def reload_ui(self) -> None:
        """What the host does for "Reload UI": callbacks gone, scripts run again, components and routes built anew."""
        if self.name == "devhost":
            from devhost import boot

            boot.reload_ui()
            self.app = boot.create_app()
            return
        from modules import initialize, script_callbacks

        script_callbacks.app_reload_callback()
        script_callbacks.script_unloaded_callback()
        initialize.initialize_rest(reload_script_modules=True)
        self.app = _new_webui_app()


def host_name() -> str:
    """`devhost` or `webui`.

    Raises:
        ValueError: another name was asked for.
    """
    name = os.environ.get("OMG_CONTRACT_HOST", "devhost")
    if name not in ("devhost", "webui"):
        raise ValueError(f"OMG_CONTRACT_HOST must be devhost or webui, found {name!r}")
    return name


def webui_dir() -> Path | None:
    """Folder of a real WebUI, None if there is none."""
    folder = Path(os.environ.get("OMG_WEBUI_DIR") or Path.home() / "stable-diffusion-webui")
    return folder if (folder / "webui.py").exists() else None


def start() -> Host:
    """Start the host with the toy weights and this extension in a fresh data folder."""
    sys.path.append(str(REPOSITORY))
    from devhost.datadir import FASTEST_ATTENTION, make_data_dir

    data_dir = make_data_dir(Path(tempfile.mkdtemp(prefix="omg-contract-")), settings=FASTEST_ATTENTION)
    name = host_name()
    return Host(name, _start_devhost(data_dir) if name == "devhost" else _start_webui(data_dir))


def _start_devhost(data_dir: Path) -> Any:
    from devhost import boot

    boot.boot(data_dir)
    return boot.create_app()


def _start_webui(data_dir: Path) -> Any:
    """What the WebUI's own start does, up to an application without a server."""
    folder = webui_dir()
    if folder is None:
        raise FileNotFoundError("no WebUI; set OMG_WEBUI_DIR")
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = ["launch.py", *WEBUI_ARGUMENTS, "--data-dir", str(data_dir)]
    importlib.import_module("webui")
    from modules import initialize, sd_hijack, shared

    initialize.initialize()
    app = _new_webui_app()
    if shared.sd_model is None:
        raise RuntimeError("the WebUI started without a model; see its log above")
    sd_hijack.apply_optimizations()
    return app


def _new_webui_app() -> Any:
    webui = importlib.import_module("webui")
    from fastapi import FastAPI
    from modules import initialize_util, script_callbacks

    app = FastAPI()
    initialize_util.setup_middleware(app)
    script_callbacks.before_ui_callback()
    webui.create_api(app)
    script_callbacks.app_started_callback(None, app)
    return app
