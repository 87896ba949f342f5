"""Where each concept is, for every image of a batch: boxes, painted masks, or somebody found in the layout."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from lib_omg.core.errors import OmgError
from lib_omg.core.masks import box_mask, finish, is_empty, resize_mask
from lib_omg.core.settings import AssignBy, ConceptSettings, MaskSource, OmgSettings
from lib_omg.vision.assignment import assign, class_of
from lib_omg.vision.attention_source import WordHeat, attention_instances
from lib_omg.vision.found import Instance, Search
from lib_omg.vision.painted import unpack

from .conds import CELL_PX
from .finding import Look, Tell, look
from .heats import Layout, class_heats, image_affinities, likeness, own_heats

if TYPE_CHECKING:
    from .conds import PromptFrame

DEFAULT_SIZE = (64, 64)
"""Cells of regions that no layout has given a size."""


@dataclass(frozen=True)
class Seen:
    """What was seen in one image's layout.

    Attributes:
        instances: who is there, from left to right. owners: for each concept the number of its instance, or None.
        regions: (N, H, W) in 0..1, each concept's region as it was found or given; they may overlap, and be empty.
        problems: what is to be said of concepts that should have an instance and have none. spare: see `Assignment`.
        likeness: (N, I), see `heats.likeness`; None where it wasn't asked for.
    """

    regions: torch.Tensor
    instances: tuple[Instance, ...] = ()
    owners: tuple[int | None, ...] = ()
    problems: Mapping[int, str] = field(default_factory=dict)
    spare: tuple[int, ...] = ()
    likeness: torch.Tensor | None = None


def is_found(concept: ConceptSettings) -> bool:
    """Whether a concept's region is somebody in the layout."""
    return concept.mask_source is MaskSource.ATTENTION


def see(settings: OmgSettings, layout: Layout | None, frame: PromptFrame, tell: Tell) -> list[Seen]:
    """Look at every image's layout.

    Args:
        layout: None when no concept needs one. tell: takes what the user is to read.
    """
    concepts = settings.concepts
    images = len(frame.prompts)
    if not any(is_found(concept) for concept in concepts):
        size = DEFAULT_SIZE if layout is None else layout.mask_size
        return [see_again(settings, (), size, None)] * images
    if layout is None:
        raise OmgError("OMG finds a region by attention only in a layout pass; use a box or a painted mask here.")
    wanted: dict[str, int] = {}
    for concept in concepts:
        if is_found(concept):
            wanted[class_of(concept.class_word)] = wanted.get(class_of(concept.class_word), 0) + 1
    heats = class_heats(list(wanted), layout, frame)
    together = image_affinities(layout)
    likest = settings.assign_by is AssignBy.SIMILARITY
    own = own_heats(concepts, layout, frame) if likest else [None] * images
    made = []
    for image, heat in enumerate(heats):
        picture = layout.pictures[image]
        words = [WordHeat(word, one, wanted[word]) for word, one in zip(wanted, heat, strict=True)]
        by_attention = functools.partial(attention_instances, words, picture, affinity=together[image])
        instances = look(settings, Look(Search(picture, wanted), by_attention, tell))
        mine = own[image]
        drawn_to = None if mine is None else likeness(mine, [one.mask for one in instances])
        made.append(see_again(settings, instances, layout.mask_size, drawn_to))
    return made


def see_again(
    settings: OmgSettings, instances: Sequence[Instance], size: tuple[int, int], drawn_to: torch.Tensor | None
) -> Seen:
    """Who is who among instances that are known already, and every concept's region at a size (height, width)."""
    concepts = settings.concepts
    looked_for = [number for number, concept in enumerate(concepts) if is_found(concept)]
    who = assign(concepts, instances, settings.assign_by, drawn_to, looked_for)
    regions = torch.zeros(len(concepts), *size)
    for number, concept in enumerate(concepts):
        owner = who.owners[number]
        if owner is not None:
            regions[number] = resize_mask(instances[owner].mask.float(), *size)
        elif concept.mask_source is MaskSource.BOX:
            regions[number] = box_mask(concept.box, *size)
        elif concept.mask_source is MaskSource.PAINTED:
            regions[number] = _as_painted(torch.from_numpy(unpack(concept.mask)).float(), size)
    return Seen(regions, tuple(instances), who.owners, who.problems, who.spare, drawn_to)


def _as_painted(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A painted mask (h, w) at another size, its edges as sharp as they were painted."""
    if mask.shape[0] >= size[0] and mask.shape[1] >= size[1]:
        return resize_mask(mask, *size)
    return torch.nn.functional.interpolate(mask[None, None], size, mode="nearest-exact")[0, 0]


def finished_masks(found: torch.Tensor, settings: OmgSettings, size: tuple[int, int]) -> torch.Tensor:
    """The masks of one image as they are blended: grown, disjoint and soft, at a latent's size.

    Only regions found in the layout grow: a box or a painted mask is meant as it is.

    Args:
        found: (N, h, w), see `Seen.regions`. size: (height, width) in cells.
    """
    masks = resize_mask(found, *size)
    depths = [concept.depth for concept in settings.concepts]
    grown = [is_found(concept) for concept in settings.concepts]
    return finish(masks, depths, settings.dilation_px / CELL_PX, settings.feather_px / CELL_PX, grown)


def empty_concepts(masks: torch.Tensor) -> list[int]:
    """Which of the concepts (N, H, W) own nothing."""
    return [number for number, mask in enumerate(masks) if is_empty(mask)]
