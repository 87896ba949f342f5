"""Callbacks that scripts register. Exceptions are reported and swallowed, as in the WebUI."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modules import errors


@dataclass
class CFGDenoiserParams:
    """Inputs of one denoiser call, before uncond may be dropped."""

    x: Any
    image_cond: Any
    sigma: Any
    sampling_step: int
    total_sampling_steps: int
    text_cond: Any
    text_uncond: Any
    denoiser: Any = None


@dataclass
class CFGDenoisedParams:
    """All rows as the model gave them back."""

    x: Any
    sampling_step: int
    total_sampling_steps: int
    inner_model: Any


@dataclass
class AfterCFGCallbackParams:
    """The guided result; `x` may be replaced."""

    x: Any
    sampling_step: int
    total_sampling_steps: int


@dataclass
class ExtraNoiseParams:
    """Noise about to be added in the hires pass."""

    noise: Any
    x: Any
    xi: Any


@dataclass
class ScriptCallback:
    """One registered callback and the file that registered it."""

    script: str
    callback: Callable[..., Any]
    name: str = "unnamed"


CATEGORIES = (
    "app_started",
    "model_loaded",
    "ui_tabs",
    "ui_settings",
    "extra_noise",
    "cfg_denoiser",
    "cfg_denoised",
    "cfg_after_cfg",
    "before_component",
    "after_component",
    "infotext_pasted",
    "script_unloaded",
    "before_ui",
    "on_reload",
)
callback_map: dict[str, list[ScriptCallback]] = {f"callbacks_{name}": [] for name in CATEGORIES}


def clear_callbacks() -> None:
    """Forget every callback."""
    for callbacks in callback_map.values():
        callbacks.clear()


def remove_callbacks_for_function(callback_func: Callable[..., Any]) -> None:
    """Forget one function wherever it is registered."""
    for callbacks in callback_map.values():
        callbacks[:] = [c for c in callbacks if c.callback != callback_func]


def remove_current_script_callbacks() -> None:
    """Forget what the calling file registered."""
    filename = _caller()
    for callbacks in callback_map.values():
        callbacks[:] = [c for c in callbacks if c.script != filename]


def _caller() -> str:
    return next((f.filename for f in inspect.stack() if f.filename != __file__), "unknown file")


def _add(category: str, callback: Callable[..., Any], name: str | None) -> None:
    callback_map[f"callbacks_{category}"].append(ScriptCallback(_caller(), callback, name or "unnamed"))


def _fire(category: str, *args: Any) -> list[Any]:
    results = []
    for entry in list(callback_map[f"callbacks_{category}"]):
        try:
            results.append(entry.callback(*args))
        except Exception:
            errors.report(f"Error executing callback {category} for {entry.script}", exc_info=True)
    return results


def app_started_callback(demo: Any, app: Any) -> None:
    """Tell that the web application is up."""
    _fire("app_started", demo, app)


def app_reload_callback() -> None:
    """Tell that the UI is about to reload."""
    _fire("on_reload")


def model_loaded_callback(sd_model: Any) -> None:
    """Tell that a checkpoint was loaded."""
    _fire("model_loaded", sd_model)


def ui_tabs_callback() -> list[Any]:
    """Collect tabs: (component, title, elem_id) each."""
    return [tab for tabs in _fire("ui_tabs") for tab in tabs or []]


def ui_settings_callback() -> None:
    """Let scripts add settings."""
    _fire("ui_settings")


def extra_noise_callback(params: ExtraNoiseParams) -> None:
    """Before extra noise is added."""
    _fire("extra_noise", params)


def cfg_denoiser_callback(params: CFGDenoiserParams) -> None:
    """Before the model is called."""
    _fire("cfg_denoiser", params)


def cfg_denoised_callback(params: CFGDenoisedParams) -> None:
    """After the model was called."""
    _fire("cfg_denoised", params)


def cfg_after_cfg_callback(params: AfterCFGCallbackParams) -> None:
    """After guidance."""
    _fire("cfg_after_cfg", params)


def infotext_pasted_callback(infotext: str, params: dict[str, Any]) -> None:
    """After a generation text was read."""
    _fire("infotext_pasted", infotext, params)


def script_unloaded_callback() -> None:
    """Before scripts are loaded again; last registered first."""
    for entry in reversed(list(callback_map["callbacks_script_unloaded"])):
        try:
            entry.callback()
        except Exception:
            errors.report(f"Error executing callback script_unloaded for {entry.script}", exc_info=True)


def before_ui_callback() -> None:
    """Before the interface is built; last registered first."""
    for entry in reversed(list(callback_map["callbacks_before_ui"])):
        try:
            entry.callback()
        except Exception:
            errors.report(f"Error executing callback before_ui for {entry.script}", exc_info=True)


def on_app_started(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback(demo, app)."""
    _add("app_started", callback, name)


def on_before_reload(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback()."""
    _add("on_reload", callback, name)


def on_model_loaded(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback(sd_model)."""
    _add("model_loaded", callback, name)


def on_ui_tabs(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback() -> list of (component, title, elem_id)."""
    _add("ui_tabs", callback, name)


def on_ui_settings(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback()."""
    _add("ui_settings", callback, name)


def on_extra_noise(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback(ExtraNoiseParams)."""
    _add("extra_noise", callback, name)


def on_cfg_denoiser(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback(CFGDenoiserParams)."""
    _add("cfg_denoiser", callback, name)


def on_cfg_denoised(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback(CFGDenoisedParams)."""
    _add("cfg_denoised", callback, name)


def on_cfg_after_cfg(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback(AfterCFGCallbackParams)."""
    _add("cfg_after_cfg", callback, name)


def on_before_component(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback(component, **kwargs); devhost's interface never calls it."""
    _add("before_component", callback, name)


def on_after_component(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback(component, **kwargs); devhost's interface never calls it."""
    _add("after_component", callback, name)


def on_infotext_pasted(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback(infotext, params)."""
    _add("infotext_pasted", callback, name)


def on_script_unloaded(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback()."""
    _add("script_unloaded", callback, name)


def on_before_ui(callback: Callable[..., Any], *, name: str | None = None) -> None:
    """Register callback()."""
    _add("before_ui", callback, name)
