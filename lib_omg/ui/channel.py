"""What the page's scripts and the server say to each other: calls by name, and the panel's values read and set.

No REST routes: gradio's own events are behind the WebUI's login. All of it lies in hidden components inside the panel,
and none of it waits in gradio's queue, so it answers while a picture is drawn. The other side is
javascript/omg_channel.js.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr

from lib_omg.core.errors import OmgError

if TYPE_CHECKING:
    from lib_omg.ui.panel import Panel

    Method = Callable[[dict[str, Any]], Any]

LANES = 3
"""Calls under way at once: gradio drops a click on a button whose last click isn't answered yet."""

LONGEST_REQUEST = 64_000_000
"""Letters."""

logger = logging.getLogger(__name__)


def build(panel: Panel, methods: Mapping[str, Method]) -> None:
    """Add the channel's hidden components to the present gradio context; once in a page.

    Args:
        panel: its inputs are read and set by the page's scripts.
        methods: (params) -> anything JSON can hold, by the name the page calls. An `OmgError` or `ValueError` of theirs
            is shown to the user as it is. They may run at the same time as each other and as a generation.
    """
    _build_calls(methods)
    _build_values(panel.inputs)


def answer(methods: Mapping[str, Method], text: str) -> str:
    """One call's reply.

    Args:
        text: JSON {"id": n, "method": name, "params": {...}}.

    Returns:
        JSON {"id": n, "result": ...}, or {"id": n, "error": a message for the user}; `id` is null if there was none.
    """
    number = None
    try:
        request = _parsed(text)
        number = request.get("id")
        result = _called(methods, request)
    except (OmgError, ValueError) as error:
        return _reply(number, error=str(error))
    except Exception as error:  # the page waits for an answer
        logger.exception("OMG: a call from the page failed")
        return _reply(number, error=f"OMG failed: {type(error).__name__}: {error}. The WebUI's log tells more.")
    try:
        return _reply(number, result=result)
    except (TypeError, ValueError, RecursionError) as error:
        logger.exception("OMG: %r gave what JSON can't hold", request["method"])
        return _reply(number, error=f"OMG failed: {type(error).__name__}: {error}. The WebUI's log tells more.")


def _parsed(text: str) -> dict[str, Any]:
    if len(text) > LONGEST_REQUEST:
        raise ValueError(f"request: expected at most {LONGEST_REQUEST} letters, found {len(text)}")
    try:
        request = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"request: expected JSON, found {text[:100]!r} ({error})") from error
    if not isinstance(request, dict):
        raise ValueError(f"request: expected an object with id, method and params, found {text[:100]!r}")
    return request


def _called(methods: Mapping[str, Method], request: Mapping[str, Any]) -> Any:
    name, params = request.get("method"), request.get("params") or {}
    method = methods.get(name) if isinstance(name, str) else None
    if method is None:
        raise ValueError(f"method: expected one of {', '.join(methods) or 'none'}, found {name!r}")
    if not isinstance(params, dict):
        raise ValueError(f"{name}: expected an object with params, found {str(params)[:100]!r}")
    return method(params)


def _reply(number: Any, **content: Any) -> str:
    # Plain ASCII: file names on Linux may hold letters that UTF-8 can't.
    return json.dumps({"id": number, **content}, allow_nan=False)


def describe(inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the page has to know of every input to show it elsewhere and to check a value for it.

    Args:
        inputs: the panel's components by name.

    Returns:
        {"name", "id", "label", "kind"} each; "number" has "minimum", "maximum" (None: no bound), "step" and "whole",
        "choice" and "choices" have "choices" and "free" (whether other texts will do as well). The other kinds are
        "flag", "text" and "picture" (which the page can't set).
    """
    return [
        {"name": name, "id": component.elem_id, "label": component.label, **_kind(component)}
        for name, component in inputs.items()
    ]


def _kind(component: Any) -> dict[str, Any]:
    if isinstance(component, gr.Checkbox):
        return {"kind": "flag"}
    if isinstance(component, gr.Slider | gr.Number):
        bounds = {name: getattr(component, name, None) for name in ("minimum", "maximum", "step")}
        return {"kind": "number", **bounds, "whole": getattr(component, "precision", None) == 0}
    if isinstance(component, gr.Radio | gr.Dropdown):
        kind = "choices" if getattr(component, "multiselect", False) else "choice"
        texts = [choice[1] if isinstance(choice, tuple) else choice for choice in component.choices]
        return {"kind": kind, "choices": texts, "free": bool(getattr(component, "allow_custom_value", False))}
    return {"kind": "picture" if isinstance(component, gr.Image) else "text"}


def _build_calls(methods: Mapping[str, Method]) -> None:
    known = dict(methods)

    def answered(text: str) -> str:
        return answer(known, text)

    request = _hidden(gr.Textbox("", max_lines=1, elem_id="omg_channel_request", visible=False))
    for lane in range(LANES):
        reply = _hidden(gr.Textbox("", max_lines=1, elem_id=f"omg_channel_reply_{lane}", visible=False))
        send = _hidden(gr.Button("OMG send", elem_id=f"omg_channel_send_{lane}", visible=False))
        # The request comes from the script itself: a box's text may be late.
        sent = send.click(
            answered,
            request,
            reply,
            _js=f"() => omg.channel.take({lane})",
            api_name=False,
            queue=False,
            show_progress=False,
        )
        sent.then(None, reply, None, _js=f"(text) => omg.channel.receive({lane}, text)", queue=False)


def _build_values(inputs: Mapping[str, Any]) -> None:
    """The page alone reads and sets values: a change is there at once, however busy the server is."""
    described = describe(inputs)
    readable = [part["name"] for part in described if part["kind"] != "picture"]
    read = _hidden(gr.Button("OMG read", elem_id="omg_panel_read", visible=False))
    schema = json.dumps(described)
    _page_only(read.click, _picked(inputs, readable), None, f"(...values) => omg.panel.read({schema}, values)")
    apply = _hidden(gr.Button("OMG apply", elem_id="omg_panel_apply", visible=False))
    _page_only(apply.click, None, list(inputs.values()), "() => omg.panel.take()")
    for name in readable:
        # Also while the scripts are missing: without them the panel works as ever.
        script = f"(value) => globalThis.omg?.panel?.changed({json.dumps(name)}, value) ?? []"
        _page_only(inputs[name].change, [inputs[name]], None, script)


def _page_only(event: Any, inputs: Any, outputs: Any, script: str) -> None:
    event(None, inputs, outputs, _js=script, queue=False, show_progress=False)


def _picked(inputs: Mapping[str, Any], names: Iterable[str]) -> list[Any]:
    return [inputs[name] for name in names]


def _hidden(component: Any) -> Any:
    """In the page but not seen, and nothing of it among the user's defaults."""
    component.do_not_save_to_config = True
    return component
