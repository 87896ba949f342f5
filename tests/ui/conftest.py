"""A panel in a WebUI of stand-ins; gradio is the real one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

gr = pytest.importorskip("gradio", reason="gradio 3.41.2 is needed to draw the panel")

sys.path.append(str(Path(__file__).parent))  # for the helpers here; pytest's importlib mode adds nothing

from fake_webui import InputAccordion, OptionInfo, PasteField, quote  # noqa: E402

if TYPE_CHECKING:
    from lib_omg.ui.panel import Panel


@pytest.fixture(autouse=True)
def webui(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The host's modules; `networks` knows two LoRAs and an alias, `warnings` holds what the user was told."""
    told: list[str] = []
    networks = SimpleNamespace(
        available_networks={"rex": object(), "Ida": object()},
        available_network_aliases={"ida-alias": object()},
        list_available_networks=lambda: networks.available_networks.setdefault("new", object()),
    )
    options: dict[str, OptionInfo] = {}
    refreshes: dict[str, Any] = {}

    def create_refresh_button(component: Any, method: Any, args: Any, elem_id: str) -> Any:
        refreshes[elem_id] = lambda: (method(), args())[1]
        return gr.Button("refresh", elem_id=elem_id)

    modules = {
        "modules": {},
        "modules.ui_components": {"InputAccordion": InputAccordion, "FormRow": gr.Row},
        "modules.ui_common": {"create_refresh_button": create_refresh_button},
        "modules.infotext_utils": {"PasteField": PasteField, "quote": quote},
        "modules.shared": {"OptionInfo": OptionInfo, "opts": SimpleNamespace(add_option=options.__setitem__)},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
        if "." in name:
            setattr(sys.modules["modules"], name.split(".")[1], module)
    monkeypatch.setitem(sys.modules, "networks", networks)
    monkeypatch.setattr(gr, "Warning", told.append)
    return SimpleNamespace(networks=networks, options=options, refreshes=refreshes, warnings=told)


@pytest.fixture
def panel(webui: SimpleNamespace) -> Panel:
    """A freshly drawn panel."""
    from lib_omg.ui.panel import build_panel

    with gr.Blocks():
        return build_panel("txt2img_omg")
