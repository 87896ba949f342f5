"""The panel as gradio draws it: labels, ids and order are contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr
import pytest
from PIL import Image

from lib_omg.ui import panel as panel_module
from lib_omg.ui import settings_page
from lib_omg.ui.inputs import NAMES
from lib_omg.ui.values import settings_from_args

if TYPE_CHECKING:
    from types import SimpleNamespace

    from lib_omg.ui.panel import Panel

CONCEPT_LABELS = {
    "class_word": "class word",
    "lora": "LoRA",
    "weight": "weight",
    "prompt": "prompt",
    "prompt_mode": "prompt is",
    "negative_prompt": "negative prompt",
    "mask_source": "region from",
    "box": "box",
    "mask_picture": "painted mask",
    "mask": "mask text",
    "start": "start",
    "cfg_scale": "CFG (0 = same)",
    "depth": "depth",
    "instance": "instance",
}
PICTURE_LABELS = {
    "enabled": "OMG",
    "show_pictures": "Show layout and masks",
    "view": "OMG concepts see",
    "crop_margin": "OMG crop margin",
    "hide_others": "OMG hide the other concepts from each LoRA",
    "attention_strength": "OMG attention strength",
    "self_attention_end": "OMG self-attention end",
    "feather_px": "OMG mask feather, px",
    "dilation_px": "OMG mask dilation, px",
    "on_missing": "OMG when a concept isn't found",
    "layout_only": "OMG layout only",
    "find_by": "OMG finds concepts by",
    "outline_by": "OMG outlines them by",
    "assign_by": "OMG gives one class's",
    "layout": "OMG approved layout",
}


def test_labels_are_a_contract(panel: Panel) -> None:
    """Users' defaults are kept in ui-config.json by label: a new label loses them, a double one mixes them up."""
    expected = dict(PICTURE_LABELS)
    for number in range(1, 6):
        expected |= {f"concept{number}_{name}": f"Concept {number} {text}" for name, text in CONCEPT_LABELS.items()}
    labels = {name: component.label for name, component in panel.inputs.items()}
    assert labels == expected
    assert len(set(labels.values())) == len(NAMES)


def test_element_ids_are_a_contract(panel: Panel) -> None:
    ids = {name: component.elem_id for name, component in panel.inputs.items()}
    assert ids == {name: f"txt2img_omg_{name}" for name in NAMES} | {"enabled": "txt2img_omg-checkbox"}


def test_the_host_can_keep_the_users_defaults(panel: Panel) -> None:
    """It keeps those of exactly these classes; not those of a picture, a mask's text, an approved layout."""
    kept = {gr.Slider, gr.Radio, gr.Checkbox, gr.Textbox, gr.Number, gr.Dropdown}
    for name, component in panel.inputs.items():
        if name.endswith(("_mask", "_mask_picture", "_instance")) or name == "layout":
            assert type(component) not in kept or component.do_not_save_to_config
        elif name != "enabled":
            assert type(component) in kept


def test_the_components_come_in_the_order_of_the_arguments(panel: Panel) -> None:
    assert tuple(panel.inputs) == NAMES
    assert panel.components == list(panel.inputs.values())


def test_its_defaults_are_off_and_valid(panel: Panel) -> None:
    values = [component.value for component in panel.components]
    assert settings_from_args(values) is None
    values[0] = True
    values[NAMES.index("concept1_class_word")] = "dog"
    settings = settings_from_args(values)
    assert settings is not None
    assert settings.to_dict() == {"concepts": [{"class_word": "dog"}]}


def test_sliders_start_with_fractions(panel: Panel) -> None:
    """The host's API turns restored values into the type of the default."""
    assert {type(c.value) for c in panel.components if isinstance(c, gr.Slider)} == {float}


def test_panels_know_nothing_of_each_other(webui: SimpleNamespace) -> None:
    with gr.Blocks():
        first, second = panel_module.build_panel("txt2img_omg"), panel_module.build_panel("txt2img_omg")
    assert not set(map(id, first.components)) & set(map(id, second.components))


def test_loras_are_listed_and_looked_for_again(panel: Panel, webui: SimpleNamespace) -> None:
    lora = panel.inputs["concept2_lora"]
    assert [choice[0] if isinstance(choice, tuple) else choice for choice in lora.choices] == ["None", "Ida", "rex"]
    assert lora.value == "None"
    assert webui.refreshes["txt2img_omg_concept2_lora_refresh"]() == {"choices": ["None", "Ida", "new", "rex"]}


def test_a_webui_without_its_lora_extension(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    from lib_omg.ui import loras

    monkeypatch.setitem(__import__("sys").modules, "networks", None)
    assert loras.choices() == ["None"]
    loras.refresh()
    assert "Lora" in caplog.text


@pytest.mark.parametrize(
    ("source", "box", "canvas"), [("attention", 0, 0), ("box", 1, 0), ("painted", 0, 1), (None, 0, 0)]
)
def test_box_and_canvas_show_only_when_chosen(source: str | None, box: int, canvas: int) -> None:
    assert [update["visible"] for update in panel_module._show_region(source)] == [box, canvas]


@pytest.mark.parametrize(("size", "expected"), [("768x512", (512, 341)), ("512x2048", (128, 512)), ("x", (512, 512))])
def test_a_blank_canvas_has_the_shape_of_the_picture(size: str, expected: tuple[int, int]) -> None:
    picture, text = panel_module._blank_canvas(size)
    assert picture["value"].size == expected  # PIL's (W, H)
    assert text == ""


def data_url(image: Image.Image) -> str:
    from gradio import processing_utils

    return processing_utils.encode_pil_to_base64(image)


@pytest.mark.parametrize("layer", [{}, {"mask": None}, {"mask": ""}, "text only"])
def test_a_canvas_that_was_never_shown_has_no_strokes(panel: Panel, layer: Any) -> None:
    """gradio itself fails on these, and with it the whole generation."""
    picture = data_url(Image.new("RGB", (40, 20), "white"))
    value = picture if layer == "text only" else {"image": picture, **layer}
    found = panel.inputs["concept1_mask_picture"].preprocess(value)
    assert found["image"].size == (40, 20)
    assert not any(high for _, high in found["mask"].convert("RGB").getextrema())


@pytest.mark.parametrize("value", [None, {}, {"image": None, "mask": None}])
def test_an_empty_canvas_is_none(panel: Panel, value: Any) -> None:
    assert panel.inputs["concept1_mask_picture"].preprocess(value) is None


def test_only_an_empty_canvas_is_drawn_from_the_masks_text() -> None:
    text = "bits:1x1:eJxrAAAAgQCB"
    assert panel_module._draw_text(text, None)["value"].size == (512, 512)
    assert "value" not in panel_module._draw_text(text, {"image": "something"})
    assert "value" not in panel_module._draw_text("", None)


def test_the_settings_page(webui: SimpleNamespace) -> None:
    settings_page.register_settings()
    found = {name: (option.default, option.section) for name, option in webui.options.items()}
    assert found == {
        "omg_vram_limit_mb": (1024, ("omg", "OMG")),
        "omg_ram_limit_mb": (4096, ("omg", "OMG")),
        "omg_shelf_limit_mb": (8192, ("omg", "OMG")),
        "omg_rows_per_batch": (0, ("omg", "OMG")),
        "omg_sam_file": ("", ("omg", "OMG")),
    }
    for option in webui.options.values():
        with gr.Blocks():
            option.component(value=option.default, label=option.label, **option.args)
