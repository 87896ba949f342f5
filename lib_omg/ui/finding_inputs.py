"""The panel's inputs for who looks for the concepts, who outlines them, and who is who."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from lib_omg.core.errors import OmgError
from lib_omg.ui.inputs import ASSIGNMENTS, FINDERS, OUTLINES


def finding_inputs(elem_id: str, options: Callable[[str, str], dict[str, Any]]) -> dict[str, Any]:
    """Draw them into the present gradio context.

    Args:
        elem_id: the panel's. options: (name, label) -> keywords of an input's component.

    Returns:
        The components by name.
    """
    from modules.ui_components import FormRow

    inputs: dict[str, Any] = {}
    with FormRow():
        finders = options("find_by", "finds concepts by")
        inputs["find_by"] = gr.Dropdown(**finders, choices=list(FINDERS), multiselect=True)
        loads = gr.Button("Download OWL-ViT (600 MB)", size="sm", elem_id=f"{elem_id}_download_owlvit")
        loads.click(_download_owlvit, None, None)
    with FormRow():
        inputs["outline_by"] = gr.Radio(**options("outline_by", "outlines them by"), choices=list(OUTLINES))
        inputs["assign_by"] = gr.Radio(**options("assign_by", "gives one class's"), choices=list(ASSIGNMENTS))
    return inputs


def _download_owlvit() -> None:
    """Only when the button is pressed: nothing else of OMG loads anything from the network."""
    from lib_omg.host.model_files import owlvit_home
    from lib_omg.vision.owlvit import download

    try:
        folder = download(owlvit_home())
    except OmgError as error:
        raise gr.Error(str(error)) from error
    gr.Info(f"OWL-ViT is in {folder}; choose it under 'OMG finds concepts by'.")
