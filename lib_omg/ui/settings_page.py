"""OMG's page in the WebUI's settings."""

from __future__ import annotations

from typing import Any

SECTION = ("omg", "OMG")

OPTIONS: dict[str, tuple[int | str, str, str]] = {
    "omg_vram_limit_mb": (
        1024,
        "OMG: graphics memory for the layout's attention, in MB",
        "more is kept in main memory; 0 keeps all of it there",
    ),
    "omg_ram_limit_mb": (
        4096,
        "OMG: main memory for the layout's attention, in MB",
        "beyond it a picture is drawn with less of the layout kept",
    ),
    "omg_shelf_limit_mb": (
        8192,
        "OMG: main memory for the layouts on the board, in MB",
        "older ones are made again when they are used",
    ),
    "omg_rows_per_batch": (
        0,
        "OMG: UNet rows computed at once",
        "fewer need less memory and take longer; 0: as many as plain generation uses",
    ),
    "omg_sam_file": (
        "",
        "OMG: Segment Anything's model file",
        "a file's name in models/sam or in sd-webui-segment-anything's models/sam; empty: the smallest there",
    ),
}
"""Name: (default, label, explanation). A number or a text, as its default. The names are kept in config.json."""


def register_settings() -> None:
    """Add the page; for `script_callbacks.on_ui_settings`."""
    import gradio as gr
    from modules import shared

    whole_number: dict[str, Any] = {"precision": 0, "minimum": 0}
    for name, (default, label, explanation) in OPTIONS.items():
        component, given = (gr.Textbox, {"max_lines": 1}) if isinstance(default, str) else (gr.Number, whole_number)
        option = shared.OptionInfo(default, label, component, given, section=SECTION).info(explanation)
        shared.opts.add_option(name, option)
