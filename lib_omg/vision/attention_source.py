"""The individuals of a layout picture, found by the layout pass's own attention: the source that needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from .affinity import MOST_CELLS, at_grid
from .found import Instance
from .individuals import individuals
from .instances import standardise
from .refine import refined

if TYPE_CHECKING:
    from .affinity import Affinity
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
    words: Sequence[WordHeat],
    picture: torch.Tensor | None,
    *,
    affinity: Affinity | None = None,
    count_given: bool = False,
) -> list[Instance]:
    """The individuals that class words stand for.

    Args:
        words: each word once, all heat of one size. picture: the decoded layout, (3, H*8, W*8) in 0..1; None leaves
            outlines as coarse as the latent.
        affinity: what belongs together in this picture, see `affinity.mean_affinity`; None: outlines are coarser, and
            there are as many as wanted.
        count_given: there are just as many of each word as wanted; else that is only what to expect.

    Returns:
        From left to right, with disjoint masks of 0 and 1 at the picture's `refine.working_size`, or at latent size.
    """
    if not words:
        return []
    heat = torch.stack([word.heat for word in words]).float()
    size = (heat.shape[-2], heat.shape[-1])
    telling = sharp = at_grid(heat, affinity.grid if affinity else coarse(size))
    if affinity:
        telling = affinity.spread(telling)
        sharp = affinity.spread(telling)  # twice: whole people are warm then, but all words' maps are more alike
    pieces = individuals(telling, sharp, [word.wanted for word in words], None if count_given else affinity)
    if not pieces.words:
        return []
    masks = _at_size(pieces.masks, size) if picture is None else refined(picture, pieces.masks)
    share = torch.sigmoid(standardise(telling))
    made = [
        Instance(words[word].label, _score(share[word], mask), mask, bounds(mask))
        for word, mask in zip(pieces.words, masks, strict=True)
        if bool(mask.any())
    ]
    return sorted(made, key=lambda one: one.box[0] + one.box[2])


def coarse(size: tuple[int, int]) -> tuple[int, int]:
    """A size (height, width) halved until it has at most `affinity.MOST_CELLS`; finer outlines are the picture's."""
    height, width = size
    while height * width > MOST_CELLS:
        height, width = -(-height // 2), -(-width // 2)
    return height, width


def bounds(mask: torch.Tensor) -> Box:
    """(left, top, right, bottom) of a mask (H, W) that isn't empty, in fractions."""
    height, width = mask.shape
    rows, columns = (mask > 0).any(1).nonzero().flatten(), (mask > 0).any(0).nonzero().flatten()
    left, top = int(columns[0]) / width, int(rows[0]) / height
    return left, top, (int(columns[-1]) + 1) / width, (int(rows[-1]) + 1) / height


def _at_size(masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Masks (N, h, w) of 0 and 1 at another size."""
    return masks if masks.shape[1:] == size else functional.interpolate(masks[None], size, mode="nearest-exact")[0]


def _score(share: torch.Tensor, mask: torch.Tensor) -> float:
    """Mean of a map (h, w) over a mask (H, W)."""
    large = functional.interpolate(share[None, None], mask.shape, mode="bilinear")[0, 0]
    return float((large * mask).sum() / mask.sum())
