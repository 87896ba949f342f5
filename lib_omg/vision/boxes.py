"""Boxes that a detector found for words: which of them are individuals, and their instances."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lib_omg.core.masks import box_mask
from lib_omg.vision.found import Instance

if TYPE_CHECKING:
    import torch

    from lib_omg.vision.found import Box

OVERLAP = 0.5
"""Boxes whose intersection over union is larger are of one individual."""

LEAST_SIDE = 1e-4
"""Share of the picture below which a box has no inside."""

MOST_CANDIDATES = 1000
"""Of a detector's boxes the surest so many are compared with each other."""

LONGEST_PX = 256
"""Long side of the masks that boxes become; they are outlines to be refined."""


@dataclass(frozen=True)
class Candidate:
    """A box that a detector gave for a word: `score` 0..1, `box` (left, top, right, bottom) in fractions."""

    label: str
    score: float
    box: Box


@dataclass(frozen=True)
class Thresholds:
    """From which score on boxes count.

    Attributes:
        wanted: of those the concepts ask for. more: of further individuals of a word.
    """

    wanted: float
    more: float

    def __post_init__(self) -> None:
        if not 0 <= self.wanted <= self.more <= 1:
            raise ValueError(f"thresholds: expected 0 <= wanted <= more <= 1, found {self.wanted} and {self.more}")


def checked_box(box: Any) -> Box:
    """The box if it is one.

    Raises:
        ValueError: not four finite numbers, empty, or not within 0..1.
    """
    values = tuple(box) if isinstance(box, Iterable) and not isinstance(box, str | bytes) else ()
    if len(values) != 4 or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        raise ValueError(f"box: expected (left, top, right, bottom) in fractions, found {str(box)[:80]}")
    left, top, right, bottom = (float(value) for value in values)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(f"box: expected 0 <= left < right <= 1 and 0 <= top < bottom <= 1, found {values}")
    return left, top, right, bottom


def clipped(box: Sequence[float]) -> Box | None:
    """A detector's box within the picture; None if nothing is left, or it is not finite."""
    if not all(math.isfinite(value) for value in box):
        return None
    left, top, right, bottom = (min(1.0, max(0.0, float(value))) for value in box)
    return (left, top, right, bottom) if min(right - left, bottom - top) >= LEAST_SIDE else None


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(0.0, width) * max(0.0, height)
    either = area(first) + area(second) - both
    return both / either if either > 0 else 0.0


def area(box: Box) -> float:
    """Share of the picture."""
    return (box[2] - box[0]) * (box[3] - box[1])


def suppressed(candidates: Iterable[Candidate], most_overlap: float = OVERLAP) -> list[Candidate]:
    """The surest box of every individual, surest first: nobody is a man and a woman at once, or the same man twice.

    Args:
        candidates: of all words.
    """
    kept: list[Candidate] = []
    for one in sorted(candidates, key=lambda one: -one.score)[:MOST_CANDIDATES]:
        if all(overlap(one.box, other.box) <= most_overlap for other in kept):
            kept.append(one)
    return kept


def individuals(
    candidates: Iterable[Candidate], wanted: Mapping[str, int], thresholds: Thresholds
) -> list[Candidate]:  # fmt: skip
    """Who is in the picture: of each word the surest so many as wanted, and more of which the detector is very sure.

    Args:
        wanted: how many of each word the concepts ask for; other words' boxes are left out.

    Returns:
        From left to right.
    """
    left = dict(wanted)
    kept = []
    for one in suppressed(one for one in candidates if one.label in left and one.score >= thresholds.wanted):
        if left[one.label] > 0 or one.score >= thresholds.more:
            left[one.label] -= 1
            kept.append(one)
    return sorted(kept, key=lambda one: one.box[0] + one.box[2])


def instances(candidates: Iterable[Candidate], height_px: int, width_px: int) -> list[Instance]:
    """Individuals whose mask is their box, to be outlined by SAM or refined by the picture's edges.

    Args:
        height_px, width_px: of the picture.
    """
    from lib_omg.vision.pixels import size_within

    size = size_within(height_px, width_px, LONGEST_PX)
    return [Instance(one.label, one.score, box_mask(one.box, *size), one.box) for one in candidates]


def box_of(mask: torch.Tensor) -> Box:
    """Box around what is over 0.5 in a mask (H, W), in fractions.

    Raises:
        ValueError: nothing is.
    """
    height, width = mask.shape
    rows, columns = (mask > 0.5).any(1).nonzero().flatten(), (mask > 0.5).any(0).nonzero().flatten()
    if not len(rows):
        raise ValueError("mask: expected values over 0.5, found none")
    return int(columns[0]) / width, int(rows[0]) / height, (int(columns[-1]) + 1) / width, (int(rows[-1]) + 1) / height
