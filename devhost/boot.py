"""Starts devhost in this process: after `boot`, `modules.*` and `networks` import as inside the WebUI."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from devhost.datadir import REPOSITORY, make_data_dir

if TYPE_CHECKING:
    from fastapi import FastAPI

logger = logging.getLogger(__name__)
WEBUI = Path(__file__).resolve().parent / "webui"


def boot(data_dir: Path | None = None, extension_dir: Path | None = REPOSITORY) -> ModuleType:
    """Load the toy checkpoint, the LoRAs and the extension, and build the scripts' components.

    Args:
        data_dir: as made by `make_data_dir`; None for a fresh temporary one.
        extension_dir: the extension for a fresh data_dir; None for none.

    Returns:
        `modules.shared`.

    Raises:
        RuntimeError: another host's `modules` is loaded already.
    """
    if "modules" in sys.modules:
        raise RuntimeError("a host's `modules` package is loaded in this process already; start a fresh one")
    if data_dir is None:
        data_dir = make_data_dir(Path(tempfile.mkdtemp(prefix="devhost-")), extension_dir=extension_dir)
    sys.path.insert(0, str(WEBUI))
    _bare_k_diffusion()
    importlib.import_module("modules.shared_cmd_options").configure(data_dir)
    shared = importlib.import_module("modules.shared")
    shared.initialize()
    load()
    return shared


def _bare_k_diffusion() -> None:
    """Put k_diffusion in sys.modules as a package without its __init__, which imports half the world."""
    if "k_diffusion" in sys.modules:
        return
    spec = importlib.util.find_spec("k_diffusion")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("no k-diffusion; pip install --no-deps -r devhost/requirements-nodeps.txt")
    package = ModuleType("k_diffusion")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["k_diffusion"] = package
    for name in ("utils", "sampling", "external"):
        setattr(package, name, importlib.import_module(f"k_diffusion.{name}"))


def load() -> None:
    """Everything that "Reload UI" does again: extensions, scripts, model if none, components."""
    from modules import extensions, extra_networks, script_callbacks, scripts, sd_hijack, sd_models, shared, ui

    extensions.list_extensions()
    sd_models.list_models()
    scripts.load_scripts()
    extra_networks.initialize()
    sd_hijack.list_optimizers()
    script_callbacks.ui_settings_callback()
    script_callbacks.before_ui_callback()
    if shared.sd_model is None:
        sd_models.load_model()
    shared.demo = ui.create_ui()


def reload_ui() -> None:
    """The WebUI's "Reload UI": callbacks away, scripts executed again; packages stay imported."""
    from modules import script_callbacks

    script_callbacks.app_reload_callback()
    script_callbacks.script_unloaded_callback()
    load()


def create_app(app: FastAPI | None = None) -> FastAPI:
    """A web application with the API's routes and those of the extension.

    Args:
        app: that of the page, to which they are added; None for a new one without a page.
    """
    from fastapi import FastAPI
    from modules import script_callbacks, shared
    from modules.api.api import Api
    from modules.call_queue import queue_lock

    demo = None if app is None else shared.demo
    app = app or FastAPI()
    Api(app, queue_lock)
    script_callbacks.app_started_callback(demo, app)
    return app
