"""The OMG tab's places in the page."""

from __future__ import annotations

import re
from pathlib import Path

import gradio as gr

from lib_omg.ui import inputs, tab
from lib_omg.vision.overlay import COLOURS

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = (REPOSITORY / "javascript" / "omg_tab.js").read_text(encoding="utf8")


def test_the_tab_has_the_places_that_its_script_fills() -> None:
    ((page, title, name),) = tab.build_tab()
    assert isinstance(page, gr.Blocks)
    assert (title, name) == ("OMG", "omg")
    (html,) = (block for block in page.blocks.values() if isinstance(block, gr.HTML))
    places = set(re.findall(r'id="(omg_tab\w*)"', html.value))
    assert {"omg_tab", "omg_tab_board"} <= places
    wanted = set(re.findall(r'byId\("(omg_tab\w*)"\)', SCRIPT))
    assert wanted <= places


def test_the_page_for_trying_things_out_has_the_same_places() -> None:
    harness = (REPOSITORY / "tests" / "browser" / "harness" / "tab.html").read_text(encoding="utf8")
    lines = [line.strip() for line in tab.PAGE.strip().splitlines()]
    assert "\n".join(lines) in "\n".join(line.strip() for line in harness.splitlines())


def test_it_keeps_nothing_among_the_users_defaults() -> None:
    ((page, _, _),) = tab.build_tab()
    assert all(getattr(block, "label", None) is None for block in page.blocks.values())


def test_script_and_server_agree() -> None:
    """Colours, the text for no LoRA, and the concept inputs that the tab shows."""
    channel = (REPOSITORY / "javascript" / "omg_channel.js").read_text(encoding="utf8")
    (colours,) = re.findall(r"omg\.COLOURS \?\?= \[(.*)\];", channel)
    assert re.findall(r"\d+", colours) == [str(part) for colour in COLOURS for part in colour]
    cards = (REPOSITORY / "javascript" / "omg_cards.js").read_text(encoding="utf8")
    assert f'NO_LORA = "{inputs.NO_LORA}"' in cards
    shown = re.findall(r"const (?:TEXTS|NUMBERS|FIELDS) = \[(.*)\];", SCRIPT)
    names = set(re.findall(r'"(\w+)"', " ".join(shown)))
    assert names
    assert names <= set(inputs.CONCEPT_DEFAULTS)
    assert '"whole prompt"' in SCRIPT
    assert "whole prompt" in inputs.PROMPT_MODES
