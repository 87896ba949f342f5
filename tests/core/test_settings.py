"""The settings: what is refused, how the refusal reads, and the way to the plain form and back."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_omg.core.errors import OmgError, SettingsError
from lib_omg.core.settings import (
    MAX_CONCEPTS,
    ConceptSettings,
    LoraSettings,
    MaskSource,
    OmgSettings,
    OnMissing,
    PromptMode,
    View,
)

MAN = {"class_word": "man"}


def build(**fields: object) -> OmgSettings:
    return OmgSettings.from_dict({"concepts": [MAN], **fields})


def concept(**fields: object) -> ConceptSettings:
    return build(concepts=[{**MAN, **fields}]).concepts[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strenght": 1}, r"^OMG settings: unknown field 'strenght'; expected one of enabled, concepts, "),
        ({"concepts": [MAN, {"word": "man"}]}, r"^OMG concepts\[1\]: unknown field 'word'; expected one of class_word"),
        ({"concepts": [{**MAN, "loras": [{"name": "a", "strength": 1}]}]}, r"^OMG concepts\[0\]\.loras\[0\]: unknown"),
        ({"concepts": [{**MAN, "loras": [{"weight": 1}]}]}, r"^OMG concepts\[0\]\.loras\[0\]: expected name, found"),
        ({"concepts": [{**MAN, "loras": [{"name": " "}]}]}, r"^OMG concepts\[0\]\.loras\[0\]: name: expected the name"),
        ({"concepts": [{**MAN, "loras": ["rex"]}]}, r"^OMG concepts\[0\]\.loras\[0\]: expected an object.*'rex'"),
        ({"concepts": [{**MAN, "start": True}]}, r"^OMG concepts\[0\]\.start: expected a number, found True"),
        (
            {"concepts": [{**MAN, "start": 1.5}]},
            r"^OMG concepts\[0\]: start: expected a number from 0 to 1, found 1\.5",
        ),
        ({"concepts": [{**MAN, "start": "0.3"}]}, r"^OMG concepts\[0\]\.start: expected a number, found '0\.3'"),
        ({"concepts": [{**MAN, "class_word": 7}]}, r"^OMG concepts\[0\]\.class_word: expected a text, found 7"),
        ({"concepts": [{**MAN, "depth": 1.5}]}, r"^OMG concepts\[0\]\.depth: expected a whole number, found 1\.5"),
        ({"concepts": [{**MAN, "depth": False}]}, r"^OMG concepts\[0\]\.depth: expected a whole number"),
        (
            {"concepts": [{**MAN, "prompt_mode": "both"}]},
            r"prompt_mode: expected one of scene, alone, own, found 'both'",
        ),
        ({"concepts": [{**MAN, "mask_source": ["box"]}]}, r"mask_source: expected one of attention, box, painted"),
        ({"concepts": [{**MAN, "box": [0, 0, 1]}]}, r"^OMG concepts\[0\]\.box: expected \[left, top, right, bottom\]"),
        ({"concepts": [{**MAN, "box": "0011"}]}, r"box: expected \[left"),
        ({"concepts": [{**MAN, "box": [0, 0, 1, True]}]}, r"box: expected \[left"),
        ({"concepts": [{**MAN, "box": [0.5, 0, 0.5, 1]}]}, r"box: expected left < right and top < bottom"),
        ({"concepts": [{**MAN, "box": [0, 0, 1, 1.1]}]}, r"box: expected four fractions"),
        ({"concepts": [{}]}, r"^OMG concepts\[0\]: class_word: expected a word of the main prompt"),
        ({"concepts": [{"mask_source": "box"}]}, r"class_word: expected the word of the main prompt that this concept"),
        ({"concepts": [{**MAN, "mask_source": "painted"}]}, r"^OMG concepts\[0\]: mask: expected a painted mask"),
        ({"concepts": [{**MAN, "prompt_mode": "own"}]}, r"^OMG concepts\[0\]: prompt: expected a prompt of its own"),
        ({"concepts": [MAN] * (MAX_CONCEPTS + 1)}, rf"concepts: expected at most {MAX_CONCEPTS}, found"),
        ({"concepts": []}, r"at least one concept, found none; fill in a concept or turn OMG off"),
        ({"concepts": "man"}, r"^OMG concepts: expected a list, found 'man'"),
        ({"concepts": {"0": MAN}}, r"^OMG concepts: expected a list"),
        ({"concepts": None}, r"^OMG concepts: expected a list, found None"),
        ({"enabled": 1}, r"^OMG enabled: expected true or false, found 1"),
        ({"feather_px": None}, r"^OMG feather_px: expected a number, found None"),
        ({"feather_px": -1}, r"^OMG feather_px: expected a number from 0 to 512"),
        ({"dilation_px": -513}, r"^OMG dilation_px: expected a number from -512 to 512"),
        ({"view": "CROP"}, r"^OMG view: expected one of centred, whole, crop, found 'CROP'"),
        ({"attention_strength": 10**400}, r"^OMG attention_strength: expected a number"),
    ],
)
def test_what_is_wrong_is_told_with_where_expected_and_found(fields, message):
    with pytest.raises(SettingsError, match=message):
        build(**fields)


NUMBERS = ["attention_strength", "self_attention_end", "crop_margin", "feather_px", "dilation_px"]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_is_endless(name, bad):
    with pytest.raises(SettingsError, match=name):
        build(**{name: bad})
    with pytest.raises(SettingsError, match=name):
        OmgSettings(concepts=(ConceptSettings("man"),), **{name: bad})


@pytest.mark.parametrize("fields", [{"start": math.nan}, {"cfg_scale": math.inf}, {"box": [0, math.nan, 1, 1]}])
def test_no_concepts_number_is_endless(fields):
    with pytest.raises(SettingsError, match=next(iter(fields))):
        concept(**fields)
    kept = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    with pytest.raises(SettingsError, match=next(iter(fields))):
        ConceptSettings("man", **kept)


@pytest.mark.parametrize("name", ["weight", "te_weight"])
def test_no_loras_number_is_endless(name):
    with pytest.raises(SettingsError, match=name):
        LoraSettings("rex", **{name: math.nan})


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_settings_are_an_object(data):
    with pytest.raises(SettingsError, match=r"^OMG settings: expected an object with fields, found"):
        OmgSettings.from_dict(data)


def test_a_refusal_is_a_value_error_that_the_api_answers_with_422():
    with pytest.raises(ValueError, match="unknown field") as caught:
        build(nonsense=0)
    assert isinstance(caught.value, OmgError)
    assert caught.value.status_code == 422


def test_the_ends_of_the_bounds_are_in():
    assert concept(start=0).start == 0
    assert concept(start=1).start == 1
    assert build(crop_margin=2, feather_px=0, dilation_px=-512).dilation_px == -512


def test_whole_numbers_become_what_the_field_is():
    one = concept(start=1, depth=3.0, box=(0, 0, 1, 1), cfg_scale=7)
    assert [type(v) for v in (one.start, one.depth, one.box[2], one.cfg_scale)] == [float, int, float, float]
    assert concept(cfg_scale=None).cfg_scale is None


def test_switched_off_needs_no_concept_but_is_checked_all_the_same():
    assert OmgSettings.from_dict({"enabled": False}).concepts == ()
    with pytest.raises(SettingsError, match="view"):
        OmgSettings.from_dict({"enabled": False, "view": 1})


def test_modes_that_need_no_class_word():
    own = {"prompt_mode": "own", "prompt": "rex alone", "mask_source": "box"}
    made = build(concepts=[own]).concepts[0]
    assert made.prompt_mode is PromptMode.OWN
    assert made.label == "rex alone"
    assert [mode.value for mode in PromptMode] == ["scene", "alone", "own"]


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"class_word": " man "}, "man"),
        ({"class_word": "", "loras": (LoraSettings("rex"),), "prompt": "p"}, "rex"),
        ({"class_word": "", "prompt": " p "}, "p"),
    ],
)
def test_label(fields, label):
    one = ConceptSettings(**{"prompt": "p", "mask_source": MaskSource.BOX, "prompt_mode": PromptMode.OWN, **fields})
    assert one.label == label


def test_the_plain_form_has_but_what_is_not_default():
    assert build().to_dict() == {"concepts": [MAN]}
    assert build(concepts=[{**MAN, "loras": [{"name": "rex", "weight": 1}]}], view="crop", feather_px=8).to_dict() == {
        "concepts": [{**MAN, "loras": [{"name": "rex"}]}],
        "view": "crop",
    }


def test_settings_cant_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        build().enabled = False


words = st.text(min_size=1, max_size=8).filter(str.strip)
finite = st.floats(allow_nan=False, allow_infinity=False)
loras = st.builds(LoraSettings, words, finite, st.none() | finite)
sides = st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True).map(sorted)
concepts = st.builds(
    ConceptSettings,
    class_word=words,
    loras=st.lists(loras, max_size=2).map(tuple),
    prompt=words,
    prompt_mode=st.sampled_from(PromptMode),
    negative_prompt=st.text(max_size=5),
    mask_source=st.sampled_from(MaskSource),
    box=st.tuples(sides, sides).map(lambda xy: (xy[0][0], xy[1][0], xy[0][1], xy[1][1])),
    mask=words,
    start=st.floats(0, 1),
    cfg_scale=st.none() | finite,
    depth=st.integers(-(10**20), 10**20),
)
everything = st.builds(
    OmgSettings,
    enabled=st.booleans(),
    concepts=st.lists(concepts, min_size=1, max_size=MAX_CONCEPTS).map(tuple),
    attention_strength=st.floats(0, 1),
    self_attention_end=st.floats(0, 1),
    view=st.sampled_from(View),
    crop_margin=st.floats(0, 2),
    feather_px=st.floats(0, 512),
    dilation_px=st.floats(-512, 512),
    on_missing=st.sampled_from(OnMissing),
    show_pictures=st.booleans(),
)


@given(everything)
def test_the_plain_form_gives_the_settings_back_through_json(settings):
    assert OmgSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3), st.lists, max_leaves=4))
def test_whatever_a_field_is_given_only_settings_errors_come_out(value):
    for name in (f.name for f in dataclasses.fields(ConceptSettings)):
        found = ""
        try:
            concept(**{name: value})
        except SettingsError as error:
            found = str(error)
        assert not found or found.startswith("OMG concepts[0]")
