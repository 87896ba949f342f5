"""Concepts' prompts, made from the main one, with the LoRAs' own words."""

from __future__ import annotations

import pytest
from omg_tools import concept

pytestmark = pytest.mark.contract


@pytest.mark.parametrize(
    ("mode", "prompts"),
    [
        ("alone", ["an ida woman in the park", "a mia woman in the park"]),
        ("scene", ["two ida woman in the park", "two mia woman in the park"]),
    ],
)
def test_each_of_two_women_is_one_woman(mode: str, prompts: list[str]) -> None:
    """Asked for "two mia woman women" her LoRA drew her twice in her place."""
    from lib_omg.core.settings import OmgSettings
    from lib_omg.host.conds import PromptFrame, concept_words

    women = [concept("women", lora, prompt_mode=mode) for lora in ("ida", "mia")]
    concepts = OmgSettings.from_dict({"concepts": women}).concepts
    frame = PromptFrame(["two women in the park"], [""], steps=10)
    assert [concept_words(concepts, number, frame).prompts[0] for number in (0, 1)] == prompts
