"""PNG info: settings to text, through the host's quoting and its two ways of restoring, and back."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import panel_settings
import pytest
from fake_webui import quote, read_entries
from hypothesis import HealthCheck, given
from hypothesis import settings as run
from hypothesis import strategies as st

from lib_omg.core.errors import SettingsError
from lib_omg.core.settings import ConceptSettings, LoraSettings, MaskSource, OmgSettings
from lib_omg.ui.infotext import INFOTEXT_KEY, from_infotext, infotext_fields, to_infotext
from lib_omg.ui.inputs import NAMES
from lib_omg.ui.values import settings_from_args
from lib_omg.vision import painted

if TYPE_CHECKING:
    from types import SimpleNamespace

    from lib_omg.ui.panel import Panel

scalars = st.none() | st.booleans() | st.floats() | st.text()
once_drawn = run(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def through_the_host(settings: OmgSettings) -> dict[str, str]:
    """What the host parses out of the PNG info it wrote."""
    line = (
        f"Steps: 20, Sampler: Euler a, {INFOTEXT_KEY}: {quote(to_infotext(settings))}, Size: 512x512, Version: v1.10.1"
    )
    assert "\n" not in line
    found = read_entries(line)
    assert found["Version"] == "v1.10.1"
    return found


def paste(panel: Panel, params: dict[str, str], now: dict[str, Any]) -> dict[str, Any]:
    """The panel's values after the host's paste button: None leaves an input alone, updates are applied."""
    after = dict(now)
    for name, field in zip(NAMES, infotext_fields(panel), strict=True):
        value = field.function(params)
        if value is None:
            continue
        if isinstance(value, dict):
            after[name] = value.get("value", after[name])
            continue
        default = field.component.value
        after[name] = float(value) if type(default) is int else type(default)(value)
    return after


def by_api(panel: Panel, params: dict[str, str], defaults: dict[str, Any]) -> dict[str, Any]:
    """The script's arguments that the API's `infotext` gives: values take the type of the input's default."""
    after = dict(defaults)
    for name, field in zip(NAMES, infotext_fields(panel), strict=True):
        value = field.function(params)
        kind = type(field.component.value)
        if value is None or kind is type(None):
            continue
        if isinstance(value, dict):
            value = value.get("value")
        after[name] = value if value is None or isinstance(value, kind) else kind(value)
    return after


def unbound(settings: OmgSettings) -> OmgSettings:
    """Settings as PNG info has them: bound to no kept layout."""
    return dataclasses.replace(settings, layout="", layout_only=False)


def values_of(panel: Panel) -> dict[str, Any]:
    return {name: component.value for name, component in panel.inputs.items()}


@given(panel_settings.settings)
def test_settings_survive_png_info(settings: OmgSettings) -> None:
    assert from_infotext(through_the_host(settings)) == unbound(settings)


@once_drawn
@given(panel_settings.settings)
def test_the_paste_button_restores_everything(panel: Panel, settings: OmgSettings) -> None:
    dirty = dict.fromkeys(NAMES, "left over") | {name: None for name in NAMES if name.endswith("picture")}
    after = paste(panel, through_the_host(settings), dirty)
    assert settings_from_args(list(after.values())) == unbound(settings)
    assert "left over" not in after.values()


@once_drawn
@given(panel_settings.settings)
def test_the_api_restores_everything(panel: Panel, settings: OmgSettings) -> None:
    after = by_api(panel, through_the_host(settings), values_of(panel))
    assert settings_from_args(list(after.values())) == unbound(settings)


def test_a_whole_number_as_the_users_default_cuts_nothing_off(panel: Panel) -> None:
    """ui-config.json may hold 1 for 1.0; the host then turns restored values into whole numbers."""
    for component in panel.components:
        if isinstance(component.value, float):
            component.value = int(component.value)
    concept = ConceptSettings(class_word="dog", loras=(LoraSettings("rex", 0.85),), start=0.6, cfg_scale=4.5)
    settings = OmgSettings(concepts=(concept,), crop_margin=0.35, feather_px=2.5)
    for restore in (paste, by_api):
        after = restore(panel, through_the_host(settings), values_of(panel))
        assert settings_from_args(list(after.values())) == settings


def test_a_text_without_omg_turns_it_off_and_leaves_the_rest_alone(panel: Panel) -> None:
    now = values_of(panel) | {"enabled": True, "concept1_class_word": "dog"}
    after = paste(panel, {"Steps": "20"}, now)
    assert after == now | {"enabled": False}


DAMAGED = [
    "{",
    "[]",
    "7",
    "null",
    "",
    '{"concepts":[]}',
    '{"concepts":7}',
    '{"concepts":[{"class_word":"a","halo":1}]}',
    '{"version":9,"concepts":[{"class_word":"a"}]}',
    '{"concepts":[{"class_word":"a","mask_source":"painted","mask":"bits:9x9:AAAA"}]}',
    '{"concepts":[{"class_word":"a","start":1e999}]}',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_or_newer_entry_turns_omg_off_with_a_warning(
    panel: Panel, webui: SimpleNamespace, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    now = values_of(panel) | {"enabled": True, "concept1_class_word": "dog"}
    with caplog.at_level(logging.WARNING):
        after = paste(panel, {INFOTEXT_KEY: text}, now)
    assert after == now | {"enabled": False}
    assert len(caplog.records) == len(webui.warnings) == 1
    assert "OMG is off" in webui.warnings[0]


@once_drawn
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_json_is_read_or_refused(data: Any) -> None:
    for text in (json.dumps(data), json.dumps({"concepts": data}), json.dumps({"concepts": [{"class_word": data}]})):
        with contextlib.suppress(SettingsError):
            from_infotext({INFOTEXT_KEY: text})


def test_a_lora_that_is_gone_is_named_and_kept(panel: Panel, webui: SimpleNamespace) -> None:
    loras = [(LoraSettings(name),) for name in ("rex", "lost", "ida-alias")]
    settings = OmgSettings(concepts=tuple(ConceptSettings(class_word="dog", loras=lora) for lora in loras))
    for restore in (paste, by_api):
        webui.warnings.clear()
        after = restore(panel, through_the_host(settings), values_of(panel))
        assert [after[f"concept{n}_lora"] for n in (1, 2, 3, 4)] == ["rex", "lost", "ida-alias", "None"]
        assert webui.warnings == ["OMG concept 2: the LoRA 'lost' of this picture isn't there; choose another."]
    fields = dict(zip(NAMES, infotext_fields(panel), strict=True))
    assert fields["concept2_lora"].function(through_the_host(settings))["choices"] == ["None", "Ida", "rex", "lost"]


def test_the_entry_is_compact_and_says_letters_as_they_are() -> None:
    text = to_infotext(OmgSettings(concepts=(ConceptSettings(class_word="é"),)))
    assert text.startswith('{"enabled":true,"concepts":[{"class_word":"é","prompt_mode":"alone",')


def test_the_entry_names_what_had_its_default() -> None:
    """A later version may have other defaults; a picture made today must come back as it was made."""
    written = json.loads(to_infotext(OmgSettings(concepts=(ConceptSettings(class_word="man"),))))
    (concept,) = written.pop("concepts")
    empty = {"loras", "prompt", "negative_prompt", "mask", "cfg_scale", "box", "instance"}
    assert set(concept) == {f.name for f in dataclasses.fields(ConceptSettings)} - empty
    assert set(written) == {f.name for f in dataclasses.fields(OmgSettings)} - {"concepts", "layout", "layout_only"}


def test_a_picture_from_before_others_were_hidden_comes_back_as_it_was_made() -> None:
    written = json.loads(to_infotext(OmgSettings(concepts=(ConceptSettings(class_word="man"),))))
    del written["hide_others"]
    read = from_infotext({INFOTEXT_KEY: json.dumps(written)})
    assert read is not None
    assert not read.hide_others


def test_a_picture_as_mask_comes_back_packed() -> None:
    packed = painted.pack(np.eye(3, dtype=np.float32))
    settings = OmgSettings(concepts=(ConceptSettings(class_word="a", mask_source=MaskSource.PAINTED, mask=packed),))
    assert from_infotext(through_the_host(settings)) == settings
