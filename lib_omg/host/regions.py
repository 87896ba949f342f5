"""Where each concept is, for every image of a batch: boxes, painted masks, or the layout's attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from modules import prompt_parser, shared

from lib_omg.core.errors import OmgError
from lib_omg.core.masks import box_mask, finish, is_empty, resize_mask
from lib_omg.core.prompts import find_tokens, occurrences
from lib_omg.core.settings import ConceptSettings, MaskSource, OmgSettings
from lib_omg.vision.attention_maps import WordTokens, grouped, word_maps
from lib_omg.vision.instances import regions
from lib_omg.vision.painted import unpack
from lib_omg.vision.refine import refined, working_size

from .conds import CELL_PX, PromptFrame

if TYPE_CHECKING:
    from lib_omg.core.attention import AttentionLayer
    from lib_omg.core.trace import LayoutTrace


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

    @property
    def mask_size(self) -> tuple[int, int]:
        """(height, width) in which regions are found: the latent's, or where they are refined that of the pictures."""
        return working_size(*self.pictures[0].shape[1:]) if self.pictures else self.size


def find_regions(concepts: Sequence[ConceptSettings], layout: Layout | None, frame: PromptFrame) -> list[torch.Tensor]:
    """Every concept's raw region.

    Args:
        layout: None when no concept needs one.

    Returns:
        For every image (N, H, W) in 0..1, as found: they may overlap, and be empty. Boxes and painted masks are at
        the size of the others.
    """
    size = (64, 64) if layout is None else layout.mask_size
    images = len(frame.prompts)
    found = [torch.zeros(len(concepts), *size) for _ in range(images)]
    by_attention = [n for n, c in enumerate(concepts) if c.mask_source is MaskSource.ATTENTION]
    if by_attention:
        if layout is None:
            raise OmgError("OMG finds a region by attention only in a layout pass; use a box or a painted mask here.")
        heats = _heats([concepts[n] for n in by_attention], layout, frame)
        groups = _groups([concepts[n] for n in by_attention])
        for image, heat in enumerate(heats):
            rough = regions(heat, groups)
            found[image][by_attention] = refined(layout.pictures[image], rough) if layout.pictures else rough
    for number, concept in enumerate(concepts):
        if concept.mask_source is MaskSource.BOX:
            given = box_mask(concept.box, *size)
        elif concept.mask_source is MaskSource.PAINTED:
            given = resize_mask(torch.from_numpy(unpack(concept.mask)).float(), *size)
        else:
            continue
        for masks in found:
            masks[number] = given
    return found


def finished_masks(found: torch.Tensor, settings: OmgSettings, size: tuple[int, int]) -> torch.Tensor:
    """The masks of one image as they are blended: grown, disjoint and soft, at a latent's size.

    Only regions found by attention grow: a box or a painted mask is meant as it is.

    Args:
        found: (N, h, w), see `find_regions`. size: (height, width) in cells.
    """
    masks = resize_mask(found, *size)
    depths = [concept.depth for concept in settings.concepts]
    grown = [concept.mask_source is MaskSource.ATTENTION for concept in settings.concepts]
    return finish(masks, depths, settings.dilation_px / CELL_PX, settings.feather_px / CELL_PX, grown)


def empty_concepts(masks: torch.Tensor) -> list[int]:
    """Which of the concepts (N, H, W) own nothing."""
    return [number for number, mask in enumerate(masks) if is_empty(mask)]


def _groups(concepts: Sequence[ConceptSettings]) -> list[list[int]]:
    by_class: dict[str, list[int]] = {}
    for number, concept in enumerate(concepts):
        by_class.setdefault(" ".join(concept.class_word.lower().split()), []).append(number)
    return list(by_class.values())


def _heats(concepts: Sequence[ConceptSettings], layout: Layout, frame: PromptFrame) -> list[torch.Tensor]:
    """For every image (N, H, W): each concept's heat, averaged over the image's cond rows that have its word."""
    turns = occurrences([concept.class_word for concept in concepts])
    texts = [row_texts(prompt, frame.steps) for prompt in frame.prompts]
    tokens = [[_chunks(text) for text in parts] for parts in texts]
    words = []
    for concept, turn in zip(concepts, turns, strict=True):
        wanted = _word_tokens(concept.class_word)
        rows = [_positions(chunks, wanted, turn) for parts in tokens for chunks in parts]
        words.append(WordTokens(tuple(rows)))
    store = layout.trace.attention
    maps = word_maps(store, layout.layers, layout.size, words, layout.telling_calls)
    maps = grouped(maps, store, layout.layers, layout.grouping_calls)
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


def _positions(chunks: list[list[int]], wanted: list[int], turn: int) -> tuple[int, ...]:
    """Positions of the word's `turn`-th place in the encoded prompt (beyond the last place: of all its places)."""
    places: list[tuple[int, ...]] = []
    offset = 0
    for chunk in chunks:
        places += [tuple(offset + position for position in place) for place in find_tokens(chunk, wanted)]
        offset += len(chunk)
    if not places:
        return ()
    return places[turn] if turn < len(places) else tuple(position for place in places for position in place)
