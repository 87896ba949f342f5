"""Who looks for the concepts in a layout, and who draws their outlines: every source falls back to the next."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from modules import devices

from lib_omg.core.masks import box_mask, resize_mask
from lib_omg.core.settings import Finder, Outline
from lib_omg.vision.assignment import class_of
from lib_omg.vision.attention_source import bounds
from lib_omg.vision.found import Instance, Search, SourceUnavailable
from lib_omg.vision.refine import refined, working_size

if TYPE_CHECKING:
    from lib_omg.core.settings import OmgSettings
    from lib_omg.vision.found import Source

logger = logging.getLogger(__name__)

Tell = Callable[[str], None]
"""Takes what the user is to read beside the picture."""


@dataclass(frozen=True)
class Look:
    """One look at one layout.

    Attributes:
        search: what is looked for. by_attention: finds by the layout's own attention. tell: see `Tell`.
    """

    search: Search
    by_attention: Callable[[], list[Instance]]
    tell: Tell


def look(settings: OmgSettings, at: Look) -> list[Instance]:
    """The instances of one layout, from left to right, by the first source that finds enough; outlined as chosen.

    Returns:
        Disjoint instances whose masks have the picture's `working_size`.
    """
    found, is_outlined = _first_enough(settings.find_by, at)
    if settings.outline_by is Outline.SAM and found:
        outlined = _by_sam(found, at)
        if outlined is not None:
            return _disjoint(outlined)
    return _disjoint(found if is_outlined else _edged(found, at.search))


def _first_enough(order: Sequence[Finder], at: Look) -> tuple[list[Instance], bool]:
    """The first source's instances that are enough, else the most; and whether they have outlines, not just boxes."""
    best: tuple[list[Instance], bool] = ([], True)
    for finder in _with_fallback(order):
        by_attention = finder is Finder.ATTENTION
        try:
            found = at.by_attention() if by_attention else detector(finder).find(at.search)
        except (SourceUnavailable, ValueError) as error:
            at.tell(f"OMG: {error} The next way of finding was used.")
            continue
        if _count(found, at.search.wanted) > _count(best[0], at.search.wanted) or not best[0]:
            best = found, by_attention
        if _count(found, at.search.wanted) == sum(at.search.wanted.values()):
            break
    return best


def _with_fallback(order: Sequence[Finder]) -> Iterable[Finder]:
    """Attention comes last where it wasn't chosen: it can always look."""
    return dict.fromkeys((*order, Finder.ATTENTION))


def _count(found: Sequence[Instance], wanted: Mapping[str, int]) -> int:
    """How many of those wanted are found."""
    labels = [class_of(one.label) for one in found]
    return sum(min(number, labels.count(class_of(word))) for word, number in wanted.items())


def _edged(found: Sequence[Instance], search: Search) -> list[Instance]:
    """A detector's boxes, brought to the picture's edges."""
    if not found:
        return []
    boxes = torch.stack([box_mask(one.box, *working_size(*search.picture.shape[1:])) for one in found])
    masks = refined(search.picture, _front_first(boxes))
    return [
        replace(one, mask=mask, box=bounds(mask)) if bool(mask.any()) else replace(one, mask=box)
        for one, mask, box in zip(found, masks, boxes, strict=True)
    ]


def detector(finder: Finder) -> Source:
    """The detector that the user has files for.

    Raises:
        SourceUnavailable: there are none; says which file to put where.
    """
    from . import model_files

    if finder is Finder.OWLVIT:
        from lib_omg.vision.owlvit import OwlVitSource

        return OwlVitSource(model_files.owlvit_folder(), devices.device, torch.float32)
    from lib_omg.vision.yolo import YoloSource

    return YoloSource(model_files.yolo_file(), devices.device)


def _by_sam(found: list[Instance], at: Look) -> list[Instance] | None:
    """Outlined by Segment Anything; None where it can't."""
    from lib_omg.vision.sam import SamSource

    from . import model_files

    try:
        source = SamSource(model_files.sam_file(), devices.device, torch.float32)
        return source.find(replace(at.search, rough=tuple(found)))
    except (SourceUnavailable, ValueError) as error:
        at.tell(f"OMG: {error} The picture's own edges were used.")
        return None


def _disjoint(found: Sequence[Instance]) -> list[Instance]:
    """Where outlines overlap, the smaller one is in front, as far as a picture tells."""
    if not found:
        return []
    size = found[0].mask.shape[-2:]
    masks = _front_first(torch.stack([resize_mask(one.mask.float(), *size) for one in found]))
    made = [
        replace(one, mask=mask, box=bounds(mask)) for one, mask in zip(found, masks, strict=True) if bool(mask.any())
    ]
    return sorted(made, key=lambda one: one.box[0] + one.box[2])


def _front_first(masks: torch.Tensor) -> torch.Tensor:
    """Masks (N, H, W) made disjoint: each cell goes to the smallest that has it."""
    order = masks.flatten(1).sum(1).argsort().tolist()
    free = torch.ones_like(masks[0])
    out = torch.zeros_like(masks)
    for number in order:
        out[number] = torch.minimum(masks[number], free)
        free = free - out[number]
    return out
