"""Generation text: writing and reading of values, and the components they are pasted into."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import gradio as gr

from modules import errors, script_callbacks, shared

re_param = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
re_imagesize = re.compile(r"^(\d+)x(\d+)$")
NEGATIVE = "Negative prompt:"
MIN_PARAMS = 3
DEFAULTS: dict[str, Any] = {
    "Clip skip": "1",
    "Hires resize-1": 0,
    "Hires resize-2": 0,
    "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler",
    "Hires checkpoint": "Use same checkpoint",
    "Hires prompt": "",
    "Hires negative prompt": "",
    "RNG": "GPU",
    "Schedule type": "Automatic",
    "Schedule max sigma": 0,
    "Schedule min sigma": 0,
    "Schedule rho": 0,
    "VAE Encoder": "Full",
    "VAE Decoder": "Full",
    "FP8 weight": "Disable",
    "Refiner switch by sampling steps": False,
}
paste_fields: dict[str, dict[str, Any]] = {}


class PasteField(tuple):
    """A component and the key, or function of all parameters, that fills it."""

    component: Any
    label: str | None
    function: Any
    api: str | None

    def __new__(cls, component: Any, target: Any, *, api: str | None = None) -> PasteField:
        made = super().__new__(cls, (component, target))
        made.component = component
        made.label = target if isinstance(target, str) else None
        made.function = target if callable(target) else None
        made.api = api
        return made

    def __init__(self, component: Any, target: Any, *, api: str | None = None) -> None:
        super().__init__()


def quote(text: Any) -> Any:
    """Json where a comma, colon or line end would break the format."""
    return json.dumps(text, ensure_ascii=False) if any(c in str(text) for c in ",\n:") else text


def unquote(text: str) -> str:
    """The other way; unreadable json stays."""
    quoted = text.startswith('"') and text.endswith('"')
    with contextlib.suppress(ValueError):
        return json.loads(text) if quoted else text
    return text


def add_paste_fields(tabname: str, init_img: Any, fields: list[Any], override_settings_component: Any = None) -> None:
    """Register a tab's fields."""
    fields[:] = [f if isinstance(f, PasteField) else PasteField(*f) for f in fields or []]
    paste_fields[tabname] = {
        "init_img": init_img,
        "fields": fields,
        "override_settings_component": override_settings_component,
    }


def parse_generation_parameters(x: str, skip_fields: list[str] | None = None) -> dict[str, Any]:
    """Read a generation text; sizes become "key-1" and "key-2", missing keys the WebUI's defaults."""
    *lines, last = x.strip().split("\n")
    if len(re_param.findall(last)) < MIN_PARAMS:
        lines, last = [*lines, last], ""
    positive, negative = _split_prompts(lines)
    found: dict[str, Any] = {}
    for key, value in re_param.findall(last):
        text = unquote(value)
        size = re_imagesize.match(text) if isinstance(text, str) else None
        if size:
            found[f"{key}-1"], found[f"{key}-2"] = size.groups()
        else:
            found[key] = text
    found |= {"Prompt": positive, NEGATIVE[:-1]: negative}
    for key, value in DEFAULTS.items():
        found.setdefault(key, value)
    for key in shared.opts.infotext_skip_pasting if skip_fields is None else skip_fields:
        found.pop(key, None)
    return found


def _split_prompts(lines: list[str]) -> tuple[str, str]:
    parts: tuple[list[str], list[str]] = ([], [])
    side = 0
    for line in lines:
        text = line.strip()
        if text.startswith(NEGATIVE):
            side, text = 1, text[len(NEGATIVE) :].strip()
        parts[side].append(text)
    return "\n".join(parts[0]), "\n".join(parts[1])


def connect_paste(button: Any, fields: list[PasteField], input_comp: Any) -> None:
    """Let a button fill all fields from the generation text in `input_comp`; what the text lacks stays as it is."""

    def paste(text: str) -> list[Any]:
        params = parse_generation_parameters(text)
        script_callbacks.infotext_pasted_callback(text, params)
        return [_pasted(field, params) for field in fields]

    button.click(paste, inputs=[input_comp], outputs=[field.component for field in fields], show_progress=False)


def _pasted(field: PasteField, params: dict[str, Any]) -> Any:
    """A field's update; the value is cast to the type of the component's default, as in the WebUI."""
    try:
        value = field.function(params) if field.function else params.get(field.label)
        if value is None or isinstance(value, dict):
            return gr.update() if value is None else value
        kind = type(field.component.value)
        if kind is bool and value == "False":
            return gr.update(value=False)
        return gr.update(value=float(value) if kind is int else kind(value))
    except Exception:
        errors.report(f"Error pasting into {field.component}", exc_info=True)
        return gr.update()
