"""What the panel asks for: every input's name, in order, its default, and the texts of its choices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from lib_omg.core.settings import (
    MAX_CONCEPTS,
    AssignBy,
    ConceptSettings,
    Finder,
    MaskSource,
    OmgSettings,
    OnMissing,
    Outline,
    PromptMode,
    View,
)

NO_LORA = "None"
"""What the LoRA list shows when none is chosen."""

PROMPT_MODES = {
    "scene words": PromptMode.SCENE,
    "scene alone": PromptMode.ALONE,
    "whole prompt": PromptMode.OWN,
}
MASK_SOURCES = {source.value: source for source in MaskSource}
VIEWS = {
    "the concept in the middle": View.CENTRED,
    "whole picture": View.WHOLE,
    "crop around the concept": View.CROP,
}
ON_MISSING = {"stop": OnMissing.STOP, "go on without it": OnMissing.SKIP}
FINDERS = {"attention": Finder.ATTENTION, "OWL-ViT": Finder.OWLVIT, "YOLO-World": Finder.YOLO}
OUTLINES = {"the picture's edges": Outline.EDGES, "Segment Anything": Outline.SAM}
ASSIGNMENTS = {
    "left to right": AssignBy.LEFT_TO_RIGHT,
    "largest first": AssignBy.SIZE,
    "front first": AssignBy.DEPTH,
    "likest first": AssignBy.SIMILARITY,
}


def choice(members: Mapping[str, Enum], member: Enum) -> str:
    """What a radio shows for a member."""
    return next(text for text, one in members.items() if one is member)


CONCEPT_DEFAULTS: dict[str, Any] = {
    "class_word": "",
    "lora": NO_LORA,
    "weight": 1.0,
    "prompt": "",
    "prompt_mode": choice(PROMPT_MODES, ConceptSettings.prompt_mode),
    "negative_prompt": "",
    "mask_source": choice(MASK_SOURCES, ConceptSettings.mask_source),
    "box": "",
    "mask_picture": None,
    "mask": "",
    "start": ConceptSettings.start,
    "cfg_scale": 0.0,
    "depth": ConceptSettings.depth,
    "instance": "",
}
"""A concept's inputs, with the values of an empty concept."""

PICTURE_DEFAULTS: dict[str, Any] = {
    "show_pictures": OmgSettings.show_pictures,
    "view": choice(VIEWS, OmgSettings.view),
    "crop_margin": OmgSettings.crop_margin,
    "hide_others": OmgSettings.hide_others,
    "attention_strength": OmgSettings.attention_strength,
    "self_attention_end": OmgSettings.self_attention_end,
    "feather_px": OmgSettings.feather_px,
    "dilation_px": OmgSettings.dilation_px,
    "on_missing": choice(ON_MISSING, OmgSettings.on_missing),
    "layout_only": OmgSettings.layout_only,
    "find_by": [choice(FINDERS, one) for one in OmgSettings.find_by],
    "outline_by": choice(OUTLINES, OmgSettings.outline_by),
    "assign_by": choice(ASSIGNMENTS, OmgSettings.assign_by),
    "layout": OmgSettings.layout,
}
"""The inputs for the whole picture, with their defaults."""


def key(number: int, name: str) -> str:
    """The name of concept `number`'s (1 is the first) input."""
    return f"concept{number}_{name}"


def _of_concepts(names: Iterable[str]) -> tuple[str, ...]:
    each = list(names)
    return tuple(key(number, name) for number in range(1, MAX_CONCEPTS + 1) for name in each)


ADDED = ("layout_only", "find_by", "outline_by", "assign_by", "layout", *_of_concepts(["instance"]), "hide_others")
"""Inputs of later versions, in the order they came in. They stand at the end, so that the place of all others stays."""

NAMES: tuple[str, ...] = (
    "enabled",
    *(name for name in (*_of_concepts(CONCEPT_DEFAULTS), *PICTURE_DEFAULTS) if name not in ADDED),
    *ADDED,
)
"""Every input in the order in which the host hands their values over: a contract with API callers."""
