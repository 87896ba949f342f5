"""The panel's values, in their order, to settings and back. Knows no gradio."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lib_omg.core.errors import SettingsError
from lib_omg.core.settings import (
    MAX_CONCEPTS,
    ConceptSettings,
    LoraSettings,
    MaskSource,
    OmgSettings,
    PromptMode,
)
from lib_omg.ui.inputs import (
    ASSIGNMENTS,
    CONCEPT_DEFAULTS,
    FINDERS,
    MASK_SOURCES,
    NAMES,
    NO_LORA,
    ON_MISSING,
    OUTLINES,
    PICTURE_DEFAULTS,
    PROMPT_MODES,
    VIEWS,
    choice,
    key,
)
from lib_omg.vision import painted

_PICTURE_CHOICES: dict[str, Mapping[str, Any]] = {
    "view": VIEWS,
    "on_missing": ON_MISSING,
    "outline_by": OUTLINES,
    "assign_by": ASSIGNMENTS,
}


def settings_from_args(args: Sequence[Any]) -> OmgSettings | None:
    """Build the settings from what the host hands to a script.

    Args:
        args: an API caller's settings as one dict (what follows it is ignored: the host fills it with defaults), or
            the panel's values in the order of `NAMES`.

    Returns:
        The settings with painted masks in the packed form; None if OMG is off.

    Raises:
        SettingsError: a value is wrong; names the concept and what to do.
    """
    first = args[0] if args else False
    if isinstance(first, Mapping):
        settings = pack_masks(OmgSettings.from_dict(first))
        return settings if settings.enabled else None
    if not first:
        return None
    if first is not True:
        raise SettingsError(f"OMG: expected true, false or an object with settings as the first value, found {first!r}")
    if len(args) != len(NAMES):
        raise SettingsError(f"OMG: expected one object with settings or {len(NAMES)} values, found {len(args)} values")
    return _from_panel(dict(zip(NAMES, args, strict=True)))


def values_from_settings(settings: OmgSettings) -> dict[str, Any]:
    """The panel's values by the names of `NAMES`; concepts that aren't used get the values of an empty one.

    Raises:
        SettingsError: a painted mask is damaged.
    """
    values: dict[str, Any] = {"enabled": settings.enabled}
    texts: dict[str, Any]
    for number in range(1, MAX_CONCEPTS + 1):
        used = number <= len(settings.concepts)
        concept = _concept_values(settings.concepts[number - 1]) if used else CONCEPT_DEFAULTS
        values.update({key(number, name): concept[name] for name in CONCEPT_DEFAULTS})
    texts = {name: choice(members, getattr(settings, name)) for name, members in _PICTURE_CHOICES.items()}
    texts["find_by"] = [choice(FINDERS, one) for one in settings.find_by]
    values.update({name: texts.get(name, getattr(settings, name)) for name in PICTURE_DEFAULTS})
    return values


def pack_masks(settings: OmgSettings) -> OmgSettings:
    """The same settings, every painted mask in the packed form and checked.

    Raises:
        SettingsError: a painted mask can't be read or is empty; names the concept.
    """
    concepts = []
    for number, concept in enumerate(settings.concepts, 1):
        if concept.mask:
            with _naming(number):
                concept = dataclasses.replace(concept, mask=_packed(concept.mask))  # noqa: PLW2901
        concepts.append(concept)
    return dataclasses.replace(settings, concepts=tuple(concepts))


@contextlib.contextmanager
def _naming(number: int) -> Iterator[None]:
    """Put the concept's number in front of an error's text."""
    try:
        yield
    except SettingsError as error:
        text = str(error).replace("OMG concepts[0]", "", 1).lstrip(":. ")
        raise SettingsError(f"OMG concept {number}: {text}") from error


def _from_panel(values: Mapping[str, Any]) -> OmgSettings:
    concepts = []
    for number in range(1, MAX_CONCEPTS + 1):
        inputs = {name: values[key(number, name)] for name in CONCEPT_DEFAULTS}
        if not _filled_in(inputs):
            continue
        with _naming(number):
            data = _concept_data(inputs)
            OmgSettings.from_dict({"concepts": [data]})
        concepts.append(data)
    if not concepts:
        raise SettingsError(
            "OMG is on, but no concept is filled in: choose a LoRA or write a class word, or turn OMG off"
        )
    picture = {name: default if values[name] is None else values[name] for name, default in PICTURE_DEFAULTS.items()}
    for name, members in _PICTURE_CHOICES.items():
        picture[name] = _member(members, picture[name], name)
    picture["find_by"] = _finders(picture["find_by"])
    picture["layout"] = str(picture["layout"]).strip()
    return OmgSettings.from_dict({"concepts": concepts, **picture})


def _filled_in(inputs: Mapping[str, Any]) -> bool:
    return bool(_words(inputs, "class_word") or _words(inputs, "prompt") or _lora(inputs))


def _words(inputs: Mapping[str, Any], name: str) -> str:
    return str(inputs[name] or "").strip()


def _lora(inputs: Mapping[str, Any]) -> str:
    name = _words(inputs, "lora")
    return "" if name == NO_LORA else name


def _number(inputs: Mapping[str, Any], name: str) -> Any:
    return CONCEPT_DEFAULTS[name] if inputs[name] is None else inputs[name]


def _concept_data(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The plain form of one concept; what the panel hides (box, painted mask) doesn't count."""
    mode = _member(PROMPT_MODES, inputs["prompt_mode"], "prompt_mode")
    source = _member(MASK_SOURCES, inputs["mask_source"], "mask_source")
    word = _words(inputs, "class_word")
    if not word and mode != PromptMode.OWN.value:
        raise SettingsError(
            "the class word is empty: write the word of the main prompt that this concept replaces, "
            "or choose 'whole prompt' and write a prompt"
        )
    if not word and source == MaskSource.ATTENTION.value:
        raise SettingsError(
            "the class word is empty: write the word to find the region by, or choose a box or a painted mask"
        )
    if not _words(inputs, "prompt") and mode == PromptMode.OWN.value:
        raise SettingsError("the prompt is empty: write the whole prompt, or choose 'scene words'")
    data: dict[str, Any] = {
        "class_word": word,
        "prompt": _words(inputs, "prompt"),
        "prompt_mode": mode,
        "negative_prompt": _words(inputs, "negative_prompt"),
        "mask_source": source,
        "start": _number(inputs, "start"),
        "cfg_scale": _number(inputs, "cfg_scale") or None,
        "depth": _number(inputs, "depth"),
        "instance": _instance(_words(inputs, "instance")),
    }
    if _lora(inputs):
        data["loras"] = [{"name": _lora(inputs), "weight": _number(inputs, "weight")}]
    if source == MaskSource.BOX.value:
        data["box"] = _box(_words(inputs, "box"))
    if source == MaskSource.PAINTED.value:
        data["mask"] = _painted_mask(inputs["mask_picture"], _words(inputs, "mask"))
    return data


def _member(members: Mapping[str, Any], text: object, name: str) -> str:
    """The plain value of what a radio shows; the plain value itself will do too."""
    plain = [member.value for member in members.values()]
    if isinstance(text, str) and text in members:
        return str(members[text].value)
    if text in plain:
        return str(text)
    raise SettingsError(f"{name}: expected one of {', '.join(members)}, found {text!r}")


def _finders(texts: object) -> list[str]:
    """Who is to look, in the order of their choice; the default where none is chosen."""
    chosen = texts if isinstance(texts, (list, tuple)) else [texts] if texts else []
    return [_member(FINDERS, text, "find_by") for text in chosen or PICTURE_DEFAULTS["find_by"]]


def _instance(text: str) -> int | None:
    if text and not text.isdecimal():
        raise SettingsError(f"instance: expected the number of somebody in the layout, from 0, found {text!r}")
    return int(text) if text else None


def _box(text: str) -> list[float]:
    parts = text.replace(";", ",").strip("[]() ").split(",")
    try:
        sides = [float(part) for part in parts]
    except ValueError:
        sides = []
    if len(sides) != 4 or not all(math.isfinite(side) for side in sides):
        raise SettingsError(
            f"box: expected left, top, right, bottom in fractions of the picture, e.g. 0, 0.2, 0.5, 1; found {text!r}"
        )
    return sides


def _painted_mask(canvas: object, text: str) -> str:
    """What is painted on the canvas; strokes over the canvas that `text` was drawn on add to `text`."""
    if canvas is None:
        if not text:
            raise SettingsError("no mask is painted: paint the concept's region, or choose attention or a box")
        return _packed(text)
    array = painted.to_array(canvas)
    if text:
        shown = painted.to_array(painted.picture(text))
        below = painted.to_array(canvas["image"]) if isinstance(canvas, Mapping) else array
        if np.array_equal(below, shown):
            return _packed(text) if np.array_equal(array, shown) else _packed(np.maximum(array, shown))
    return _packed(array)


def _packed(value: object) -> str:
    packed = painted.pack(painted.to_array(value))
    if not painted.unpack(packed).any():
        raise SettingsError("the painted mask is empty: paint the concept's region in white, with a broad brush")
    return packed


def _concept_values(concept: ConceptSettings) -> dict[str, Any]:
    boxed = concept.mask_source is MaskSource.BOX
    mask = concept.mask if concept.mask_source is MaskSource.PAINTED else ""
    first, tags = _lora_inputs(concept.loras)
    return {
        "class_word": concept.class_word,
        "lora": first.name if first else NO_LORA,
        "weight": first.weight if first else CONCEPT_DEFAULTS["weight"],
        "prompt": " ".join([*([concept.prompt] if concept.prompt else []), *tags]),
        "prompt_mode": choice(PROMPT_MODES, concept.prompt_mode),
        "negative_prompt": concept.negative_prompt,
        "mask_source": choice(MASK_SOURCES, concept.mask_source),
        "box": ", ".join(repr(side) for side in concept.box) if boxed else "",
        "mask_picture": None,
        "mask": mask,
        "start": concept.start,
        "cfg_scale": concept.cfg_scale or 0.0,
        "depth": concept.depth,
        "instance": "" if concept.instance is None else str(concept.instance),
    }


def _lora_inputs(loras: tuple[LoraSettings, ...]) -> tuple[LoraSettings | None, list[str]]:
    """The LoRA for the list, and the rest, for which the panel has no inputs, in the prompt's syntax."""
    first = loras[0] if loras and loras[0].te_weight is None else None
    return first, list(_tags(loras[1:] if first else loras))


def _tags(loras: tuple[LoraSettings, ...]) -> Iterator[str]:
    for lora in loras:
        encoder = lora.weight if lora.te_weight is None else lora.te_weight
        weights = [lora.weight] if encoder == lora.weight else [encoder, lora.weight]
        yield f"<lora:{lora.name}:{':'.join(format(weight, '.12g') for weight in weights)}>"
