"""The panel in the txt2img tab: one input per setting, in the order of `inputs.NAMES`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from lib_omg.core.settings import MAX_CONCEPTS
from lib_omg.ui import channel, loras
from lib_omg.ui.finding_inputs import finding_inputs
from lib_omg.ui.inputs import (
    CONCEPT_DEFAULTS,
    MASK_SOURCES,
    NAMES,
    ON_MISSING,
    PICTURE_DEFAULTS,
    PROMPT_MODES,
    VIEWS,
    key,
)
from lib_omg.ui.tab import OPEN_TAB_JS
from lib_omg.ui.values import settings_from_args

if TYPE_CHECKING:
    from lib_omg.ui.channel import Method

__all__ = ["Panel", "build_panel", "settings_from_args"]

_CANVAS_PX = 512
_RADIO_PX = 300
_THREE_CHOICES_PX = 410
"""What choices of one word, and what the prompt's choices need to stay on one line."""
_PICTURE_SIZE_JS = """() => ["width", "height"].map(
    (side) => gradioApp().querySelector(`#txt2img_${side} input[type=number]`)?.value ?? "512").join("x")"""

_CANVAS_HEIGHT_PX = 320
_NO_STROKES = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNg"
    "YGBgAAAABQABeqhXUAAAAABJRU5ErkJggg=="
)
"""One see-through pixel."""
_WHEN_SEEN_JS = """(text, canvas) => [gradioApp().getElementById("ELEM_ID")?.offsetParent ? text : "", canvas]"""

_PROMPT_HINT = (
    "Scene words: what stands in the class word's place, e.g. 'ida, a woman in a red coat'; "
    "empty: the LoRA's trigger words and the class word. May contain <lora:...>."
)


@dataclass(frozen=True)
class Panel:
    """The inputs of one panel; the host asks for several panels, none knows of another."""

    inputs: dict[str, Any]
    """Component by name, in the order of `inputs.NAMES`."""

    @property
    def components(self) -> list[Any]:
        """What a script's `ui()` returns."""
        return list(self.inputs.values())


def build_panel(elem_id: str, methods: Mapping[str, Method] | None = None) -> Panel:
    """Draw the panel into the present gradio context.

    Args:
        elem_id: the accordion's id in the page; every input's id begins with it.
        methods: what the page's scripts may call (see `channel`); None: a panel without the layout board.
    """
    from modules.ui_components import InputAccordion

    inputs: dict[str, Any] = {}
    toggles = []
    with InputAccordion(False, label="OMG", elem_id=elem_id) as enabled:
        inputs["enabled"] = enabled
        with gr.Tabs(elem_id=f"{elem_id}_concepts"):
            for number in range(1, MAX_CONCEPTS + 1):
                with gr.Tab(f"Concept {number}", elem_id=f"{elem_id}_concept{number}"):
                    concept = _Concept(elem_id, number)
                inputs.update(concept.inputs)
                toggles.append(concept.regions)
        if methods is not None:
            _board(elem_id)
        inputs.update(_picture_inputs(elem_id))
    sources = [inputs[key(number, "mask_source")] for number in range(1, MAX_CONCEPTS + 1)]
    # Opening the panel as well: a default of the user's own ("box") shows its input without a change.
    enabled.change(
        _show_regions, sources, [group for pair in toggles for group in pair], show_progress=False, queue=False
    )
    panel = Panel({name: inputs[name] for name in NAMES})
    if methods is not None:
        channel.build(panel, methods)
    return panel


def _board(elem_id: str) -> None:
    """The places that javascript/omg_board.js fills."""
    with gr.Accordion("OMG layout board", open=False, elem_id=f"{elem_id}_board_fold"):
        gr.HTML(f'<div id="{elem_id}_board"></div>')
        opens = gr.Button("Open in the OMG tab", size="sm", elem_id=f"{elem_id}_open_tab")
        opens.click(None, None, None, _js=OPEN_TAB_JS, queue=False)


class _Concept:
    """Draws one concept's tab; labels and ids are kept in users' files, so they never change."""

    def __init__(self, elem_id: str, number: int) -> None:
        self._id = elem_id
        self._number = number
        self.inputs: dict[str, Any] = {}
        self._who()
        self._how()
        self.regions = self._where()

    def _options(self, name: str, label: str) -> dict[str, Any]:
        return {
            "label": f"Concept {self._number} {label}",
            "value": CONCEPT_DEFAULTS[name],
            "elem_id": f"{self._id}_{key(self._number, name)}",
        }

    def _add(self, name: str, component: Any) -> Any:
        self.inputs[key(self._number, name)] = component
        return component

    def _who(self) -> None:
        from modules.ui_common import create_refresh_button
        from modules.ui_components import FormRow

        with FormRow():
            word = self._options("class_word", "class word")
            self._add("class_word", gr.Textbox(**word, placeholder="as in the main prompt: woman", max_lines=1))
            options = self._options("lora", "LoRA")
            lora = self._add("lora", gr.Dropdown(**options, choices=loras.choices(), allow_custom_value=True))
            button_id = f"{options['elem_id']}_refresh"
            create_refresh_button(lora, loras.refresh, lambda: {"choices": loras.choices()}, button_id)
        with FormRow():
            self._add("weight", gr.Slider(**self._options("weight", "weight"), minimum=-2, maximum=2, step=0.05))
            self._add("start", gr.Slider(**self._options("start", "start"), minimum=0, maximum=0.95, step=0.01))

    def _how(self) -> None:
        from modules.ui_components import FormRow

        self._add("prompt", gr.Textbox(**self._options("prompt", "prompt"), lines=2, placeholder=_PROMPT_HINT))
        negative = self._options("negative_prompt", "negative prompt")
        self._add("negative_prompt", gr.Textbox(**negative, placeholder="empty: the picture's own"))
        with FormRow():
            mode = self._options("prompt_mode", "prompt is")
            self._add("prompt_mode", gr.Radio(**mode, choices=list(PROMPT_MODES), min_width=_THREE_CHOICES_PX))
            self._add("depth", gr.Number(**self._options("depth", "depth"), precision=0, min_width=110))

    def _where(self) -> tuple[Any, Any]:
        from modules.ui_components import FormRow

        with FormRow():
            options = self._options("mask_source", "region from")
            choices = list(MASK_SOURCES)
            source = self._add("mask_source", gr.Radio(**options, choices=choices, min_width=_RADIO_PX))
            scale = self._options("cfg_scale", "CFG (0 = same)")
            self._add("cfg_scale", gr.Slider(**scale, minimum=0, maximum=30, step=0.5, min_width=120))
        hint = "left, top, right, bottom in fractions of the picture, e.g. 0, 0.2, 0.5, 1"
        box = gr.Textbox(**self._options("box", "box"), placeholder=hint, visible=False, max_lines=1)
        self._add("box", box)
        with gr.Group(visible=False) as canvas:
            self._canvas()
        source.change(_show_region, source, [box, canvas], show_progress=False, queue=False)
        # Who it is in the layout: chosen on the board. Never a default of the user's.
        instance = self._add("instance", gr.Textbox(**self._options("instance", "instance"), visible=False))
        instance.do_not_save_to_config = True
        return box, canvas

    def _canvas(self) -> None:
        options = self._options("mask_picture", "painted mask")
        canvas = self._add("mask_picture", _MaskCanvas(**options))
        # The mask as text: PNG info and the API restore texts, but no pictures. Never a default of the user's.
        text = self._add("mask", gr.Textbox(**self._options("mask", "mask text"), visible=False))
        text.do_not_save_to_config = True
        canvas.clear(lambda: "", None, text, show_progress=False, queue=False)
        blank = gr.Button("Blank canvas", size="sm", elem_id=f"{options['elem_id']}_blank")
        blank.click(_blank_canvas, text, [canvas, text], _js=_PICTURE_SIZE_JS, show_progress=False)
        # A canvas that gets its picture while a closed tab hides it stays empty: javascript/omg.js asks when seen.
        draw = gr.Button("Draw mask text", visible=False, elem_id=f"{options['elem_id']}_draw")
        draw.click(_draw_text, [text, canvas], canvas, show_progress=False, queue=False)
        seen = _WHEN_SEEN_JS.replace("ELEM_ID", options["elem_id"])
        text.change(_draw_text, [text, canvas], canvas, _js=seen, show_progress=False, queue=False)


class _MaskCanvas(gr.Image):
    """A picture to paint on. One that was never shown has no layer of strokes yet, which gradio doesn't expect."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options,
            source="upload",
            tool="sketch",
            type="pil",
            image_mode="RGBA",
            brush_color="#ffffff",
            height=_CANVAS_HEIGHT_PX,
        )

    def get_block_name(self) -> str:
        """The page draws it as gradio's own."""
        return "image"

    def preprocess(self, x: Any) -> Any:
        """The page's value to {"image", "mask"}, or None if the canvas is empty."""
        value = {"image": x} if isinstance(x, str) else x
        if not value or not value.get("image"):
            return None
        return super().preprocess({"image": value["image"], "mask": value.get("mask") or _NO_STROKES})


def _picture_inputs(elem_id: str) -> dict[str, Any]:
    """The inputs for the whole picture; all but one folded away."""
    from modules.ui_components import FormRow

    def options(name: str, label: str) -> dict[str, Any]:
        return {"label": f"OMG {label}", "value": PICTURE_DEFAULTS[name], "elem_id": f"{elem_id}_{name}"}

    inputs: dict[str, Any] = {}
    with FormRow():
        inputs["show_pictures"] = gr.Checkbox(
            label="Show layout and masks", value=PICTURE_DEFAULTS["show_pictures"], elem_id=f"{elem_id}_show_pictures"
        )
        inputs["layout_only"] = gr.Checkbox(**options("layout_only", "layout only"))
    inputs["layout"] = gr.Textbox(**options("layout", "approved layout"), visible=False)
    inputs["layout"].do_not_save_to_config = True
    with gr.Accordion("OMG advanced", open=False, elem_id=f"{elem_id}_advanced"):
        inputs["view"] = gr.Radio(**options("view", "concepts see"), choices=list(VIEWS))
        inputs["crop_margin"] = gr.Slider(**options("crop_margin", "crop margin"), minimum=0, maximum=2, step=0.05)
        inputs["hide_others"] = gr.Checkbox(**options("hide_others", "hide the other concepts from each LoRA"))
        with FormRow():
            strength = options("attention_strength", "attention strength")
            inputs["attention_strength"] = gr.Slider(**strength, minimum=0, maximum=1, step=0.05)
            end = options("self_attention_end", "self-attention end")
            inputs["self_attention_end"] = gr.Slider(**end, minimum=0, maximum=1, step=0.05)
        with FormRow():
            inputs["feather_px"] = gr.Slider(
                **options("feather_px", "mask feather, px"), minimum=0, maximum=128, step=1
            )
            dilation = options("dilation_px", "mask dilation, px")
            inputs["dilation_px"] = gr.Slider(**dilation, minimum=-128, maximum=128, step=1)
        inputs.update(finding_inputs(elem_id, options))
        inputs["on_missing"] = gr.Radio(**options("on_missing", "when a concept isn't found"), choices=list(ON_MISSING))
    return inputs


def _show_region(source: str | None) -> list[Any]:
    """Updates of (box, canvas)."""
    return [gr.update(visible=source == "box"), gr.update(visible=source == "painted")]


def _show_regions(*sources: str | None) -> list[Any]:
    return [update for source in sources for update in _show_region(source)]


def _draw_text(text: str, canvas: object) -> Any:
    """A picture of the mask's text for an empty canvas; a canvas with something on it stays."""
    from lib_omg.vision import painted

    return gr.update(value=painted.picture(text)) if text and canvas is None else gr.update()


def _blank_canvas(size: str) -> list[Any]:
    """A black picture in the shape of the picture to come, and no mask text. `size` is "WxH", as the page has it."""
    from PIL import Image

    try:
        width, height = (max(1.0, float(side)) for side in size.split("x"))
    except ValueError:
        width = height = 1.0
    scale = _CANVAS_PX / max(width, height)
    shape = max(8, round(width * scale)), max(8, round(height * scale))
    return [gr.update(value=Image.new("RGB", shape)), ""]
