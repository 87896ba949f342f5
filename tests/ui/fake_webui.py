"""Stand-ins for the few names of the WebUI that the panel uses."""

from __future__ import annotations

import json
import re
from typing import Any

import gradio as gr

ENTRY = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


class InputAccordion(gr.Checkbox):
    """A checkbox that is also a place for other components."""

    def __init__(self, value: bool, *, label: str, elem_id: str) -> None:
        super().__init__(value, label=label, elem_id=f"{elem_id}-checkbox", visible=False)
        self.accordion = gr.Accordion(label=label, elem_id=elem_id, open=value)

    def __enter__(self) -> InputAccordion:
        self.accordion.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.accordion.__exit__()


class PasteField(tuple):
    """(component, label or function)."""

    __slots__ = ()
    component = property(lambda self: self[0])
    function = property(lambda self: self[1])
    api = None

    def __new__(cls, component: Any, target: Any, *, api: str | None = None) -> PasteField:
        assert api is None, "the host would set the field on its request model"
        return super().__new__(cls, (component, target))


def quote(text: str) -> str:
    """How the host writes a value into PNG info."""
    return json.dumps(text, ensure_ascii=False) if any(sign in text for sign in ",\n:") else text


def read_entries(line: str) -> dict[str, str]:
    """How the host reads the last line of PNG info."""
    found = {}
    for name, value in ENTRY.findall(line):
        found[name] = json.loads(value) if value.startswith('"') and value.endswith('"') else value
    return found


class OptionInfo:
    """A setting of the host."""

    def __init__(self, default: Any, label: str, component: Any, args: dict[str, Any], section: Any) -> None:
        self.default, self.label, self.component, self.args, self.section = default, label, component, args, section
        self.comment = ""

    def info(self, text: str) -> OptionInfo:
        self.comment = text
        return self
