"""The settings as one entry of PNG info, and back into the panel."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lib_omg.core.errors import SettingsError
from lib_omg.core.settings import OmgSettings
from lib_omg.ui import loras
from lib_omg.ui.values import pack_masks, values_from_settings

if TYPE_CHECKING:
    from modules.infotext_utils import PasteField

    from lib_omg.ui.panel import Panel

INFOTEXT_KEY = "OMG"
"""The entry's name in PNG info."""

logger = logging.getLogger(__name__)


def to_infotext(settings: OmgSettings) -> str:
    """The entry's text: compact JSON of everything chosen, so that later defaults don't change old pictures.

    Put it into `p.extra_generation_params[INFOTEXT_KEY]`.
    """
    return json.dumps(settings.to_dict(complete=True), ensure_ascii=False, separators=(",", ":"))


def from_infotext(params: Mapping[str, Any]) -> OmgSettings | None:
    """Read the entry from parsed PNG info.

    Args:
        params: what the host's `parse_generation_parameters` gives.

    Returns:
        The settings; None if there is no entry.

    Raises:
        SettingsError: the entry is damaged, or a newer version of OMG wrote it.
    """
    text = params.get(INFOTEXT_KEY)
    if text is None:
        return None
    try:
        return pack_masks(OmgSettings.from_complete(json.loads(text)))
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise SettingsError(
            f"OMG's entry in the PNG info can't be read, so OMG is off: damaged, or from a newer OMG ({error})"
        ) from error


def infotext_fields(panel: Panel) -> list[PasteField]:
    """How the host restores each input from PNG info, for its paste button and for the API's `infotext`.

    A text without OMG's entry, or with a damaged one, turns OMG off and leaves the other inputs alone.
    """
    from modules.infotext_utils import PasteField

    # The host asks input by input; the entry is read once.
    read = functools.lru_cache(maxsize=1)(_read)
    # No `api=`: the host would set it on its own request model, which has no such field. It finds the inputs of
    # scripts by their components.
    return [
        PasteField(component, functools.partial(_restore, read, name, component))
        for name, component in panel.inputs.items()
    ]


def _read(text: str | None) -> tuple[dict[str, Any], str]:
    """The panel's values (only `enabled`, if there is nothing to restore) and what to tell the user."""
    try:
        settings = None if text is None else from_infotext({INFOTEXT_KEY: text})
        return (values_from_settings(settings) if settings else {"enabled": False}), ""
    except SettingsError as error:
        return {"enabled": False}, str(error)


def _restore(
    read: Callable[[str | None], tuple[dict[str, Any], str]], name: str, component: Any, params: Mapping[str, Any]
) -> Any:
    """The value that `params` has for one input; None leaves it alone."""
    _keep_fractions(component)
    values, trouble = read(params.get(INFOTEXT_KEY))
    if trouble and name == "enabled":
        _tell(trouble)
    if name not in values:
        return None
    if name.endswith("_lora"):
        return _restore_lora(name, values[name])
    if name.endswith("_mask_picture"):
        import gradio as gr

        # Emptied; the panel draws it from the mask's text as soon as it is seen (see `panel._canvas`).
        return gr.update(value=None)
    return values[name]


def _restore_lora(name: str, lora: str) -> Any:
    import gradio as gr

    if not loras.is_missing(lora):
        return lora
    number = name.removeprefix("concept").removesuffix("_lora")
    _tell(f"OMG concept {number}: the LoRA '{lora}' of this picture isn't there; choose another.")
    return gr.update(value=lora, choices=[*loras.choices(), lora])


def _keep_fractions(component: Any) -> None:
    """The host turns a restored value into the type of the input's default: a default of 1 would cut 0.85 to 0."""
    default = getattr(component, "value", None)
    if isinstance(default, int) and not isinstance(default, bool):
        component.value = float(default)


def _tell(message: str) -> None:
    import gradio as gr

    logger.warning("%s", message)
    gr.Warning(message)
