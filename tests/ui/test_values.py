"""Panel values to settings and back: what isn't shown doesn't count, and errors name the concept."""

from __future__ import annotations

import contextlib
from dataclasses import fields
from typing import Any

import numpy as np
import panel_settings
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib_omg.core.errors import SettingsError
from lib_omg.core.settings import (
    AssignBy,
    ConceptSettings,
    Finder,
    LoraSettings,
    MaskSource,
    OmgSettings,
    OnMissing,
    Outline,
    PromptMode,
    View,
)
from lib_omg.ui import inputs
from lib_omg.ui.inputs import NAMES
from lib_omg.ui.values import settings_from_args, values_from_settings
from lib_omg.vision import painted


def panel_args(**changes: Any) -> list[Any]:
    """The panel's values with defaults, OMG on."""
    values = {"enabled": True, **inputs.PICTURE_DEFAULTS}
    for number in range(1, 6):
        values |= {inputs.key(number, name): default for name, default in inputs.CONCEPT_DEFAULTS.items()}
    assert set(changes) <= set(NAMES)
    return [(values | changes)[name] for name in NAMES]


def test_the_order_is_a_contract() -> None:
    """API callers may send values by position, and every value is the same input's for ever."""
    concept = [
        "class_word", "lora", "weight", "prompt", "prompt_mode", "negative_prompt", "mask_source", "box",
        "mask_picture", "mask", "start", "cfg_scale", "depth",
    ]  # fmt: skip
    picture = [
        "show_pictures", "view", "crop_margin", "attention_strength", "self_attention_end",
        "feather_px", "dilation_px", "on_missing",
    ]  # fmt: skip
    since_then = ["layout_only", "find_by", "outline_by", "assign_by", "layout"]
    assert list(NAMES) == [
        "enabled", *(f"concept{n}_{name}" for n in range(1, 6) for name in concept), *picture,
        *since_then, *(f"concept{n}_instance" for n in range(1, 6)), "hide_others",
    ]  # fmt: skip


def test_every_setting_has_an_input() -> None:
    """A new field of the settings must not be forgotten here."""
    assert {f.name for f in fields(OmgSettings)} == {"enabled", "concepts", *inputs.PICTURE_DEFAULTS}
    own = {"lora", "weight", "mask_picture"}
    assert {f.name for f in fields(ConceptSettings)} == {"loras", *inputs.CONCEPT_DEFAULTS} - own
    for texts, members in (
        (inputs.PROMPT_MODES, PromptMode),
        (inputs.MASK_SOURCES, MaskSource),
        (inputs.VIEWS, View),
        (inputs.ON_MISSING, OnMissing),
        (inputs.FINDERS, Finder),
        (inputs.OUTLINES, Outline),
        (inputs.ASSIGNMENTS, AssignBy),
    ):
        assert list(texts.values()) == list(members)


@given(panel_settings.settings)
def test_settings_survive_the_panel(settings: OmgSettings) -> None:
    values = values_from_settings(settings)
    assert settings_from_args([values[name] for name in NAMES]) == settings


@given(panel_settings.settings)
def test_masks_survive_the_canvas(settings: OmgSettings) -> None:
    """The page shows a mask as a picture and sends that back, with a layer of no strokes."""
    values = values_from_settings(settings)
    for number, concept in enumerate(settings.concepts, 1):
        if concept.mask:
            image = painted.picture(concept.mask).convert("RGBA")
            values[f"concept{number}_mask_picture"] = {"image": image, "mask": Image.new("RGB", image.size)}
    assert settings_from_args([values[name] for name in NAMES]) == settings


@given(panel_settings.settings)
def test_a_dict_is_enough(settings: OmgSettings) -> None:
    assert settings_from_args([settings.to_dict(), *[None] * (len(NAMES) - 1)]) == settings


@pytest.mark.parametrize("args", [[], [False], [None], [False, "x"], [{"enabled": False}]])
def test_off_is_none(args: list[Any]) -> None:
    assert settings_from_args(args) is None


def test_only_filled_in_concepts_count_and_defaults_are_the_settings_own() -> None:
    settings = settings_from_args(panel_args(concept2_class_word=" dog ", concept5_class_word="cat"))
    assert settings == OmgSettings(concepts=(ConceptSettings(class_word="dog"), ConceptSettings(class_word="cat")))


def test_cleared_inputs_count_as_defaults() -> None:
    cleared = dict.fromkeys(NAMES) | {
        "enabled": True,
        "concept1_class_word": "dog",
        "concept1_prompt_mode": "scene alone",
        "concept1_mask_source": "attention",
    }
    assert settings_from_args(list(cleared.values())) == OmgSettings(concepts=(ConceptSettings(class_word="dog"),))


@pytest.mark.parametrize("given_by", ["lora", "class_word", "prompt"])
def test_any_of_three_inputs_fills_a_concept_in(given_by: str) -> None:
    with pytest.raises(SettingsError, match="concept 3: "):
        settings_from_args(panel_args(**{"concept3_mask_source": "box", f"concept3_{given_by}": "rex"}))
    with pytest.raises(SettingsError, match="no concept is filled in"):
        settings_from_args(panel_args(concept3_mask_source="box", concept3_negative_prompt="blur", concept3_weight=2.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "no concept is filled in"),
        ({"concept2_lora": "rex"}, "concept 2: the class word is empty: write"),
        (
            {"concept2_prompt": "a dog", "concept2_prompt_mode": "whole prompt"},
            "concept 2: the class word is empty: .* a box or a painted mask",
        ),
        ({"concept4_class_word": "dog", "concept4_prompt_mode": "whole prompt"}, "concept 4: the prompt is empty"),
        ({"concept1_class_word": "dog", "concept1_mask_source": "box"}, r"concept 1: box: expected left, top"),
        (
            {"concept1_class_word": "dog", "concept1_mask_source": "box", "concept1_box": "0.5, 0, 0.2, 1"},
            r"concept 1: box: expected left < right",
        ),
        ({"concept1_class_word": "dog", "concept1_mask_source": "painted"}, "concept 1: no mask is painted: paint"),
        (
            {"concept1_class_word": "dog", "concept1_mask_source": "painted", "concept1_mask": "bits:oops"},
            "concept 1: mask: expected bits",
        ),
        (
            {
                "concept3_class_word": "dog",
                "concept3_mask_source": "painted",
                "concept3_mask_picture": {"image": Image.new("RGB", (9, 5)), "mask": None},
            },
            "concept 3: the painted mask is empty",
        ),
        (
            {"concept2_class_word": "a", "concept2_start": 3},
            r"concept 2: start: expected a number from 0 to 1, found 3",
        ),
        (
            {"concept2_class_word": "a", "concept2_lora": "x", "concept2_weight": "much"},
            r"concept 2: loras\[0\].weight: expected a number",
        ),
        ({"concept2_class_word": "a", "concept2_mask_source": "guess"}, "concept 2: mask_source: expected one of"),
        ({"concept2_class_word": "a", "view": "inside"}, "view: expected one of"),
        ({"concept2_class_word": "a", "concept2_instance": "-1"}, "concept 2: instance: expected the number"),
        ({"concept2_class_word": "a", "find_by": ["attention", "eyes"]}, "find_by: expected one of"),
    ],
)
def test_errors_name_the_concept_and_what_to_do(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings_from_args(panel_args(**changes))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([True], "expected one object with settings or 85 values, found 1"),
        (["yes"], "expected true, false or an object"),
        ([{"concepts": [{"class_word": "a"}, {"class_word": "b", "colour": 1}]}], "unknown field 'colour'"),
        (
            [{"concepts": [{"class_word": "a"}, {"class_word": "b", "mask": "??"}]}],
            "concept 2: mask: expected a painted",
        ),
    ],
)
def test_errors_of_api_callers(args: list[Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings_from_args(args)


def test_what_the_panel_hides_does_not_count() -> None:
    args = panel_args(concept1_class_word="dog", concept1_box="nonsense", concept1_mask="bits:oops")
    assert settings_from_args(args) == OmgSettings(concepts=(ConceptSettings(class_word="dog"),))


def painted_args(image: Image.Image, strokes: Image.Image | None, text: str = "") -> list[Any]:
    return panel_args(
        concept1_class_word="dog",
        concept1_mask_source="painted",
        concept1_mask_picture={"image": image, "mask": strokes},
        concept1_mask=text,
    )


def cells(args: list[Any]) -> np.ndarray:
    settings = settings_from_args(args)
    assert settings is not None
    return painted.unpack(settings.concepts[0].mask)


def test_strokes_keep_their_place_on_a_picture_that_is_wide() -> None:
    strokes = Image.new("RGB", (128, 64))
    strokes.paste("white", (96, 0, 128, 16))  # left, top, right, bottom
    found = cells(painted_args(Image.new("RGB", (128, 64), "white"), strokes))
    expected = np.zeros((64, 128))
    expected[:16, 96:] = 1
    np.testing.assert_array_equal(found, expected)


def test_strokes_over_a_restored_mask_add_to_it() -> None:
    mask = np.zeros((32, 64), dtype=np.float32)
    mask[:, :16] = 1
    text = painted.pack(mask)
    image = painted.picture(text)
    strokes = Image.new("RGB", image.size)
    strokes.paste("white", (image.width - 64, 0, image.width, image.height))
    mask[:, -8:] = 1
    found = cells(painted_args(image, strokes, text))
    np.testing.assert_array_equal(
        found, np.kron(mask, np.ones((4, 4))), "each cell is drawn as 8 x 8 px, and kept as 4 x 4"
    )


def test_strokes_over_another_picture_replace_a_restored_mask() -> None:
    text = painted.pack(np.ones((32, 64), dtype=np.float32))
    strokes = Image.new("RGB", (64, 32))
    strokes.paste("white", (0, 0, 8, 32))
    found = cells(painted_args(Image.new("RGB", (64, 32), "red"), strokes, text))
    assert found[:, :8].all()
    assert not found[:, 8:].any()


def test_loras_without_an_input_go_into_the_prompt() -> None:
    """The panel has one LoRA and one weight for each concept; nothing may be lost."""
    more = (LoraSettings("a", 0.5), LoraSettings("b", 0.25), LoraSettings("c", 1.0, 0.0))
    values = values_from_settings(OmgSettings(concepts=(ConceptSettings(class_word="dog", loras=more, prompt="big"),)))
    assert (values["concept1_lora"], values["concept1_weight"]) == ("a", 0.5)
    assert values["concept1_prompt"] == "big <lora:b:0.25> <lora:c:0:1>"
    other = (LoraSettings("c", 1.0, 0.5),)
    values = values_from_settings(OmgSettings(concepts=(ConceptSettings(class_word="dog", loras=other),)))
    assert (values["concept1_lora"], values["concept1_prompt"]) == ("None", "<lora:c:0.5:1>")


odd_values = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@given(st.lists(odd_values, min_size=len(NAMES) - 1, max_size=len(NAMES) - 1))
def test_any_values_give_settings_or_a_message(values: list[Any]) -> None:
    with contextlib.suppress(SettingsError):
        assert isinstance(settings_from_args([True, *values]), OmgSettings)
