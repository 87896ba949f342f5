"""Settings that the panel can show, for hypothesis."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

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
from lib_omg.vision import painted

# No control and surrogate letters: neither the prompt box nor a PNG holds them.
_letters = st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from(list('",:\\\n{}[]<>()'))
texts = st.text(_letters, max_size=20).map(str.strip)
words = texts.filter(bool)
fractions = st.floats(0, 1)


def _box(sides: list[float]) -> tuple[float, float, float, float]:
    left, right = sorted(sides[:2])
    top, bottom = sorted(sides[2:])
    return left, top, right, bottom


boxes = st.lists(fractions, min_size=4, max_size=4).map(_box).filter(lambda box: box[0] < box[2] and box[1] < box[3])
masks = st.tuples(st.integers(1, 64), st.integers(1, 64), st.integers(0, 999)).map(
    lambda t: painted.pack(np.maximum(np.random.default_rng(t[2]).random(t[:2]) > 0.5, np.eye(*t[:2])))
)
loras = st.builds(LoraSettings, name=words.filter(lambda name: name != "None"), weight=st.floats(-2, 2))


@st.composite
def concepts(draw: st.DrawFn) -> ConceptSettings:
    """One concept, valid, with one LoRA at most and nothing set that the panel would hide."""
    mode = draw(st.sampled_from(PromptMode))
    source = draw(st.sampled_from(MaskSource))
    need_word = mode is not PromptMode.OWN or source is MaskSource.ATTENTION
    return ConceptSettings(
        class_word=draw(words if need_word else texts),
        loras=tuple(draw(st.lists(loras, max_size=1))),
        prompt=draw(words if mode is PromptMode.OWN else texts),
        prompt_mode=mode,
        negative_prompt=draw(texts),
        mask_source=source,
        box=draw(boxes) if source is MaskSource.BOX else (0.0, 0.0, 1.0, 1.0),
        mask=draw(masks) if source is MaskSource.PAINTED else "",
        start=draw(fractions),
        cfg_scale=draw(st.none() | st.floats(0.5, 30)),
        depth=draw(st.integers(-9, 9)),
        instance=draw(st.none() | st.integers(0, 9)),
    )


settings = st.builds(
    OmgSettings,
    concepts=st.lists(concepts(), min_size=1, max_size=5).map(tuple),
    attention_strength=fractions,
    self_attention_end=fractions,
    view=st.sampled_from(View),
    crop_margin=st.floats(0, 2),
    hide_others=st.booleans(),
    feather_px=st.floats(0, 512),
    dilation_px=st.floats(-512, 512),
    on_missing=st.sampled_from(OnMissing),
    show_pictures=st.booleans(),
    find_by=st.lists(st.sampled_from(Finder), min_size=1, unique=True).map(tuple),
    outline_by=st.sampled_from(Outline),
    assign_by=st.sampled_from(AssignBy),
    layout=words,
    layout_only=st.booleans(),
)
