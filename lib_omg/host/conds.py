"""Concept prompts: made from the main prompt, encoded with the concept's LoRAs in the text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modules import devices, prompt_parser, shared

from lib_omg.core.errors import OmgError
from lib_omg.core.prompts import (
    alone_prompt,
    default_words,
    find_word,
    occurrences,
    one_of_several,
    scene_prompt,
    sharing,
    singular,
    stands_for_several,
)
from lib_omg.core.settings import ConceptSettings, PromptMode

from . import loras

if TYPE_CHECKING:
    from lib_omg.core.windows import Window

CELL_PX = 8
"""Pixels of the picture in one latent cell."""


@dataclass(frozen=True)
class PromptFrame:
    """What prompts are encoded for.

    Attributes:
        prompts, negatives: the main ones, one for each image, without extra networks.
        steps, hires_steps: what the host's prompt schedules count by.
    """

    prompts: Sequence[str]
    negatives: Sequence[str]
    steps: int
    hires_steps: int | None = None


@dataclass(frozen=True)
class ConceptWords:
    """A concept's prompts, one for each image, and the LoRAs they and its settings ask for."""

    prompts: tuple[str, ...]
    negatives: tuple[str, ...]
    requests: tuple[loras.LoraRequest, ...]


@dataclass(frozen=True)
class ConceptText:
    """A concept's encoded prompts: the host's schedules, one for each image."""

    cond: Any
    uncond: list[Any]
    cfg_scale: float | None


def concept_words(concepts: Sequence[ConceptSettings], number: int, frame: PromptFrame) -> ConceptWords:
    """The prompts and LoRAs of one concept.

    Args:
        concepts: all of them. number: which one.

    Raises:
        OmgError: the class word isn't in the main prompt.
    """
    settings = concepts[number]
    words, asked = loras.requests_from_prompt(settings.prompt, settings.label)
    negative, _ = loras.requests_from_prompt(settings.negative_prompt, settings.label)
    own = [
        loras.LoraRequest(lora.name, lora.weight, lora.weight if lora.te_weight is None else lora.te_weight)
        for lora in settings.loras
    ]
    requests = (*own, *asked)
    if settings.prompt_mode is PromptMode.OWN:
        prompts = tuple(words for _ in frame.prompts)
    else:
        triggers = [loras.trigger_words(request.name) for request in requests]
        prompts = tuple(_scene(prompt, concepts, number, words.strip(), triggers) for prompt in frame.prompts)
    negatives = tuple(negative.strip() or main for main in frame.negatives)
    return ConceptWords(prompts, negatives, requests)


def _scene(prompt: str, concepts: Sequence[ConceptSettings], number: int, words: str, triggers: Sequence[str]) -> str:
    """A concept's prompt, made from a main prompt; without words of its own those of its LoRAs."""
    settings = concepts[number]
    class_words = [concept.class_word for concept in concepts]
    if not find_word(prompt, settings.class_word):
        raise OmgError(missing_word(settings, prompt))
    turns = occurrences(class_words)
    word = settings.class_word.strip()
    several = stands_for_several(prompt, word, sharing(class_words, number))
    words = words or default_words(singular(word) if several else word, triggers)
    text = scene_prompt(prompt, word, words, turns[number])
    if settings.prompt_mode is PromptMode.ALONE:
        others = [(c.class_word, turn) for n, (c, turn) in enumerate(zip(concepts, turns, strict=True)) if n != number]
        text = alone_prompt(text, words, others)
        text = one_of_several(text, words) if several else text
    return text


def missing_word(settings: ConceptSettings, prompt: str) -> str:
    """The message for a class word that the main prompt lacks."""
    return (
        f"OMG, concept {settings.label!r}: the class word {settings.class_word!r} is not in the prompt {prompt!r}. "
        "Write it into the prompt just so, or change the concept's class word."
    )


def encode(
    words: ConceptWords, nets: Sequence[Any], windows: Sequence[Window], frame: PromptFrame, cfg_scale: float | None
) -> ConceptText:
    """Encode a concept's prompts with its networks in the text encoder.

    SDXL's size conditioning is told the window's size, as if the window were the picture.
    """
    sizes = [(w.height * CELL_PX, w.width * CELL_PX) for w in windows]
    if not getattr(shared.sd_model, "is_sdxl", False):
        sizes = [sizes[0]] * len(sizes)
    cond: list[Any] = [None] * len(sizes)
    uncond: list[Any] = [None] * len(sizes)
    with loras.loaded_for_text(nets), devices.autocast():
        for size in dict.fromkeys(sizes):
            images = [index for index, other in enumerate(sizes) if other == size]
            made, unmade = _encode_images(words, images, size, frame)
            for index, one, other in zip(images, made.batch, unmade, strict=True):
                cond[index], uncond[index] = one, other
    multicond = prompt_parser.MulticondLearnedConditioning(shape=(len(cond),), batch=cond)
    return ConceptText(multicond, uncond, cfg_scale)


def _encode_images(words: ConceptWords, images: Sequence[int], size: tuple[int, int], frame: PromptFrame) -> Any:
    height_px, width_px = size
    model, old = shared.sd_model, shared.opts.use_old_scheduling
    prompts = prompt_parser.SdConditioning([words.prompts[i] for i in images], width=width_px, height=height_px)
    negatives = prompt_parser.SdConditioning(
        [words.negatives[i] for i in images], width=width_px, height=height_px, is_negative_prompt=True
    )
    cond = prompt_parser.get_multicond_learned_conditioning(model, prompts, frame.steps, frame.hires_steps, old)
    uncond = prompt_parser.get_learned_conditioning(model, negatives, frame.steps, frame.hires_steps, old)
    return cond, uncond
