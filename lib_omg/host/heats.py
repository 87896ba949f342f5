"""What the layout's attention says of the prompt's words: which words they are, and where they are hot."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from modules import prompt_parser, shared

from lib_omg.core.prompts import find_tokens, occurrences, surrounding_words
from lib_omg.vision.affinity import affinities, mean_affinity
from lib_omg.vision.attention_maps import WordTokens, word_maps
from lib_omg.vision.refine import working_size

if TYPE_CHECKING:
    from lib_omg.core.attention import AttentionLayer
    from lib_omg.core.settings import ConceptSettings
    from lib_omg.core.trace import LayoutTrace
    from lib_omg.vision.affinity import Affinity

    from .conds import PromptFrame


@dataclass(frozen=True)
class Layout:
    """What regions are found in.

    Attributes:
        cond_counts: cond rows of every image. size: (height, width) of the latent in cells.
        telling_calls: the layout's calls whose attention is read. grouping_calls: those that keep the self-attention
            which tells what belongs together.
        pictures: of every image (3, H*8, W*8) in 0..1, what regions are refined by; () leaves them as found.
    """

    trace: LayoutTrace
    layers: Sequence[AttentionLayer]
    cond_counts: Sequence[int]
    size: tuple[int, int]
    telling_calls: Sequence[int]
    grouping_calls: Sequence[int] = ()
    pictures: Sequence[torch.Tensor] = ()

    @cached_property
    def together(self) -> list[Affinity]:
        """What belongs together, for every cond row of all images; empty where that wasn't kept."""
        return affinities(self.trace.attention, self.layers, self.size, self.grouping_calls)

    @property
    def mask_size(self) -> tuple[int, int]:
        """(height, width) in which regions are found: the latent's, or where they are refined that of the pictures."""
        return working_size(*self.pictures[0].shape[1:]) if self.pictures else self.size


def class_heats(words: Sequence[str], layout: Layout, frame: PromptFrame) -> list[torch.Tensor]:
    """For every image (K, H, W): each class word's heat, wherever it stands in the prompt."""
    wanted = [_word_tokens(word) for word in words]
    rows = [[_positions(chunks, one) for chunks in _rows(frame)] for one in wanted]
    return _heats(rows, layout)


def image_affinities(layout: Layout) -> list[Affinity | None]:
    """What belongs together in every image; None where no self-attention that tells it was kept."""
    rows = layout.together
    if len(rows) != sum(layout.cond_counts):
        return [None] * len(layout.cond_counts)
    ends = list(itertools.accumulate(layout.cond_counts))
    return [mean_affinity(rows[end - count : end]) for end, count in zip(ends, layout.cond_counts, strict=True)]


def own_heats(concepts: Sequence[ConceptSettings], layout: Layout, frame: PromptFrame) -> list[torch.Tensor]:
    """For every image (N, H, W): the heat of the words around each concept's own class word ("in a red coat")."""
    turns = occurrences([concept.class_word for concept in concepts])
    rows = []
    for concept, turn in zip(concepts, turns, strict=True):
        around = [
            [_word_tokens(word) for word in surrounding_words(text, concept.class_word, turn)]
            for prompt in frame.prompts
            for text in row_texts(prompt, frame.steps)
        ]
        rows.append(
            [
                tuple(place for word in words for place in _positions(chunks, word))
                for chunks, words in zip(_rows(frame), around, strict=True)
            ]
        )
    return _heats(rows, layout)


def likeness(heat: torch.Tensor, masks: Sequence[torch.Tensor]) -> torch.Tensor:
    """How much each concept's words are drawn to each instance: (N, I), each concept's share of its heat in the masks.

    Args:
        heat: (N, h, w). masks: I of (H, W).
    """
    if not masks:
        return torch.zeros(len(heat), 0)
    stack = torch.stack(list(masks)).to(heat)
    large = torch.nn.functional.interpolate(heat[None], stack.shape[-2:], mode="bilinear", align_corners=False)[0]
    inside = torch.einsum("nhw,ihw->ni", large, stack) / stack.sum((1, 2)).clamp(min=1e-6)
    return inside / inside.sum(1, keepdim=True).clamp(min=1e-12)


def _rows(frame: PromptFrame) -> list[list[list[int]]]:
    """The token chunks of every cond row of all images."""
    return [_chunks(text) for prompt in frame.prompts for text in row_texts(prompt, frame.steps)]


def _heats(rows: Sequence[Sequence[tuple[int, ...]]], layout: Layout) -> list[torch.Tensor]:
    """For every image (N, H, W) of words given by their token positions in every cond row, averaged over the rows of
    the image that have them."""
    words = [WordTokens(tuple(positions)) for positions in rows]
    store = layout.trace.attention
    maps = word_maps(store, layout.layers, layout.size, words, layout.telling_calls, layout.together)
    out, first = [], 0
    for count in layout.cond_counts:
        span = slice(first, first + count)
        has = torch.tensor([[bool(p) for p in word.positions[span]] for word in words]).float()
        weighted = (maps[:, span] * has[..., None, None]).sum(1)
        out.append(weighted / has.sum(1).clamp(min=1)[:, None, None])
        first += count
    return out


def row_texts(prompt: str, steps: int) -> list[str]:
    """The text of every cond row of a prompt: its AND parts, each as it is when most steps are done."""
    indexes, flat, _ = prompt_parser.get_multicond_prompt_list(prompt_parser.SdConditioning([prompt]))
    parts = [flat[index] for index, _ in indexes[0]]
    schedules = prompt_parser.get_learned_conditioning_prompt_schedules(parts, steps)
    return [schedule[-1][1] for schedule in schedules]


def _tokenizer() -> Any:
    stage = shared.sd_model.cond_stage_model
    if hasattr(stage, "tokenize_line"):
        return stage
    return next(embedder for embedder in stage.embedders if hasattr(embedder, "tokenize_line"))


def _chunks(text: str) -> list[list[int]]:
    chunks, _ = _tokenizer().tokenize_line(text)
    return [list(chunk.tokens) for chunk in chunks]


def _word_tokens(word: str) -> list[int]:
    return list(_tokenizer().tokenize([" ".join(word.split())])[0])


def _positions(chunks: list[list[int]], wanted: list[int]) -> tuple[int, ...]:
    """Positions of all places of a word in the encoded prompt."""
    places: list[tuple[int, ...]] = []
    offset = 0
    for chunk in chunks:
        places += [tuple(offset + position for position in place) for place in find_tokens(chunk, wanted)]
        offset += len(chunk)
    if not places:
        return ()
    return tuple(position for place in places for position in place)
