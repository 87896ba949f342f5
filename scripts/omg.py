"""Composition root: what the WebUI loads. No logic here."""

from __future__ import annotations

from typing import Any

from modules import script_callbacks, scripts

# At the top: this extension's folder is on sys.path only while the WebUI loads this file.
from lib_omg.host.cards import Cards
from lib_omg.host.runtime import Runtime
from lib_omg.ui.board import BoardCalls
from lib_omg.ui.infotext import INFOTEXT_KEY, infotext_fields, to_infotext
from lib_omg.ui.panel import build_panel, settings_from_args
from lib_omg.ui.settings_page import register_settings
from lib_omg.ui.tab import build_tab

PANEL_ID = "txt2img_omg"
"""Every id in the panel begins with it. Kept in users' own styles and scripts, so it never changes."""


class OmgScript(scripts.Script):
    """The panel in txt2img, and the host's hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.runtime = Runtime(settings_from_args, lambda settings: {INFOTEXT_KEY: to_infotext(settings)})
        self.board = BoardCalls(self.runtime.shelf)
        self.cards = Cards()

    def title(self) -> str:
        """The name that API callers use."""
        return "OMG"

    def show(self, is_img2img: bool) -> Any:
        """In txt2img only."""
        return False if is_img2img else scripts.AlwaysVisible

    def ui(self, is_img2img: bool) -> list[Any]:
        """The panel's inputs in their order."""
        panel = build_panel(PANEL_ID, self.board.methods() | self.cards.methods())
        self.infotext_fields = infotext_fields(panel)
        self.paste_field_names: list[str] = []
        return panel.components

    def before_process(self, p: Any, *args: Any) -> None:
        """Before seeds and prompts are settled."""
        self.runtime.prepare(p, args)

    def process(self, p: Any, *args: Any) -> None:
        """Before the first batch."""
        self.board.clicks.close()
        self.runtime.begin(p, args)

    def process_before_every_sampling(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Before the first pass and before the hires pass of every batch."""
        self.runtime.before_sampling(p)

    def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
        """After the last batch."""
        self.runtime.pictures(p, processed)


script_callbacks.on_ui_settings(register_settings)
script_callbacks.on_ui_tabs(build_tab)
