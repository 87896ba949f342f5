"""Where each concept goes, for the methods that are told regions: boxes, columns, and shares of every cell. Pure."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from lib_omg.core.masks import box_mask
from toyworld.masks import pixel_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in fractions of the picture."""
Found = tuple[str, "NDArray[np.bool_]"]
"""A class word and the mask (H, W) of one instance of it."""

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def assigned(class_words: Sequence[str], found: Sequence[Found]) -> list[NDArray[np.bool_]] | None:
    """The mask (H, W) of every concept: of several of one class, the earlier concept gets the one further left.

    Args:
        class_words: class of every concept, from left to right.
        found: what is in the picture, in any order.

    Returns:
        One mask for each concept; None when the classes found aren't just those asked for.
    """
    present = [(word, mask) for word, mask in found if mask.any()]
    if Counter(word for word, _ in present) != Counter(class_words):
        return None
    queue = sorted(present, key=lambda item: float(np.nonzero(item[1])[1].mean()))
    masks = []
    for wanted in class_words:
        place = next(index for index, (word, _) in enumerate(queue) if word == wanted)
        masks.append(queue.pop(place)[1])
    return masks


def box_of(mask: NDArray[np.bool_]) -> Box:
    """Box around a mask (H, W) that isn't empty."""
    height, width = mask.shape
    x0, y0, x1, y1 = pixel_box(mask)
    return x0 / width, y0 / height, x1 / width, y1 / height


def equal_columns(count: int) -> list[Box]:
    """The picture in `count` columns of one width."""
    return [(index / count, 0.0, (index + 1) / count, 1.0) for index in range(count)]


def columns_between(boxes: Sequence[Box]) -> list[Box]:
    """Whole columns, one around each box, that fill the picture: split midway between neighbours' facing sides.

    The split stays between the neighbours' centres, so that a box before a wider one keeps its column.
    """
    order = sorted(range(len(boxes)), key=lambda i: _centre(boxes[i]))
    splits = [0.0]
    for left, right in itertools.pairwise(order):
        middle = (boxes[left][2] + boxes[right][0]) / 2
        splits.append(min(max(middle, _centre(boxes[left])), _centre(boxes[right])))
    splits.append(1.0)
    columns: list[Box] = [WHOLE] * len(boxes)
    for place, index in enumerate(order):
        columns[index] = (splits[place], 0.0, splits[place + 1], 1.0)
    return columns


def _centre(box: Box) -> float:
    return (box[0] + box[2]) / 2


def shares(boxes: Sequence[Box], height: int, width: int, base_share: float = 0.0) -> torch.Tensor:
    """How much of every cell is the global prompt's and each region's.

    Where boxes overlap they share evenly, as in Mix-of-Show's code. A cell partly inside a box counts by its part:
    that code rounds boxes inwards to whole cells, which on maps as coarse as ours would leave people out.

    Args:
        boxes: of N regions. height, width: in cells.
        base_share: how much of the regions' own share the global prompt keeps.

    Returns:
        (1 + N, H, W), sums to 1 over the first dimension; the first is the global prompt's.
    """
    inside = torch.stack([box_mask(box, height, width) for box in boxes])
    # a total below 1 leaves the rest to the global prompt
    own = inside / inside.sum(0).clamp(min=1) * (1 - base_share)
    return torch.cat([(1 - own.sum(0, keepdim=True)).clamp(min=0), own])
