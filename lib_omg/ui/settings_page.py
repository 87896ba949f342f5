"""OMG's page in the WebUI's settings."""

from __future__ import annotations

from typing import Any

SECTION = ("omg", "OMG")

OPTIONS: dict[str, tuple[int, str, str]] = {
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
}
"""Name: (default, label, explanation). The names are kept in the user's config.json."""


def register_settings() -> None:
    """Add the page; for `script_callbacks.on_ui_settings`."""
    import gradio as gr
    from modules import shared

    whole_number: dict[str, Any] = {"precision": 0, "minimum": 0}
    for name, (default, label, explanation) in OPTIONS.items():
        option = shared.OptionInfo(default, label, gr.Number, whole_number, section=SECTION).info(explanation)
        shared.opts.add_option(name, option)
