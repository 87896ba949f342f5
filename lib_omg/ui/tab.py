"""The OMG tab: places in the page that javascript/omg_tab.js fills. All it shows and sets is the txt2img panel's."""

from __future__ import annotations

from typing import Any

TITLE = "OMG"
TAB_ID = "omg"
"""The WebUI calls the tab's element "tab_omg"."""

OPEN_TAB_JS = "() => { globalThis.omg?.tab?.open(); return []; }"
"""For a button in the panel: show the OMG tab."""

PAGE = """
<div id="omg_tab" class="omg-tab">
  <div id="omg_tab_bar" class="omg-tab-bar"></div>
  <div id="omg_tab_slots" class="omg-tab-slots"></div>
  <div id="omg_tab_result" class="omg-tab-result"></div>
  <div id="omg_tab_board" class="omg-tab-board"></div>
  <div id="omg_tab_cards" class="omg-tab-cards"></div>
</div>
"""


def build_tab() -> list[tuple[Any, str, str]]:
    """Draw the tab; for `script_callbacks.on_ui_tabs`.

    Returns:
        The gradio blocks, the tab's title and its id.
    """
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as tab:
        gr.HTML(PAGE, elem_id="omg_tab_html")
    return [(tab, TITLE, TAB_ID)]
