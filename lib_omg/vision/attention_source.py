"""The individuals of a layout picture, found by the layout pass's own attention: the source that needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .found import Instance
from .instances import regions, standardise
from .refine import refined

if TYPE_CHECKING:
    from .found import Box


@dataclass(frozen=True)
class WordHeat:
    """What attention tells of one class word.

    Attributes:
        label: the class word. heat: (H, W) at latent size, see `attention_maps.word_maps`; zeros: not found.
        wanted: how many concepts are called by it.
    """

    label: str
    heat: torch.Tensor
    wanted: int


def attention_instances(
    words: Sequence[WordHeat], picture: torch.Tensor | None, *, count_given: bool = False
) -> list[Instance]:
    """The individuals that class words stand for.

    Args:
        words: each word once. picture: the decoded layout, (3, H*8, W*8) in 0..1; None leaves outlines as coarse as
            the latent.
        count_given: there are just as many of each word as wanted; else that is only what to expect.

    Returns:
        From left to right, with disjoint masks of 0 and 1 at the picture's `refine.working_size`, or at latent size.
    """
    if not words:
        return []
    del count_given  # so many as wanted are found
    labels = [word.label for word in words for _ in range(word.wanted)]
    heats = torch.stack([word.heat for word in words for _ in range(word.wanted)]).float()
    groups, first = [], 0
    for word in words:
        groups.append(list(range(first, first + word.wanted)))
        first += word.wanted
    found = regions(heats, groups)
    if picture is not None:
        found = refined(picture, found)
    shares = torch.sigmoid(standardise(heats))
    made = []
    for label, share, mask in zip(labels, shares, found, strict=True):
        if bool(mask.any()):
            made.append(Instance(label, _score(share, mask), mask, bounds(mask)))
    return sorted(made, key=lambda one: one.box[0] + one.box[2])


def bounds(mask: torch.Tensor) -> Box:
    """(left, top, right, bottom) of a mask (H, W) that isn't empty, in fractions."""
    height, width = mask.shape
    rows, columns = (mask > 0).any(1).nonzero().flatten(), (mask > 0).any(0).nonzero().flatten()
    left, top = int(columns[0]) / width, int(rows[0]) / height
    return left, top, (int(columns[-1]) + 1) / width, (int(rows[-1]) + 1) / height


def _score(share: torch.Tensor, mask: torch.Tensor) -> float:
    """Mean of a map (h, w) over a mask (H, W)."""
    large = torch.nn.functional.interpolate(share[None, None], mask.shape, mode="bilinear")[0, 0]
    return float((large * mask).sum() / mask.sum())
