"""What SAM is told: a user's clicks, or the box and some points of an individual that another source found roughly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from lib_omg.vision.boxes import box_of, checked_box

if TYPE_CHECKING:
    from lib_omg.vision.found import Box, Instance

Point = tuple[float, float, int]
"""(x, y) in fractions of the picture, and 1 on the thing or 0 beside it."""

MOST_POINTS = 64
"""More points tell SAM nothing new."""

POINTS_ON = 2
MOST_BESIDE = 3

DEEP = 0.6
"""Further points on an individual lie at least at this share of its depth."""

BOX_LIKE = 0.98
"""A mask that fills its box so far is a detector's box: it does not tell where in it the individual is."""

DEPTH_CELLS = 64
"""Depth inside a mask is measured in this size."""


@dataclass(frozen=True)
class Prompt:
    """Points and perhaps a box around the thing, all in fractions of the picture."""

    points: tuple[Point, ...] = ()
    box: Box | None = None

    @property
    def is_click(self) -> bool:
        """One point on the thing and nothing else: it may mean a button, a shirt or the whole man."""
        return self.box is None and len(self.points) == 1


def checked_prompt(points: Any, box: Any = None) -> Prompt:
    """A prompt of what a user gives.

    Args:
        points: of (x, y, 1 or 0), x and y in fractions. box: (left, top, right, bottom) in fractions, or None.

    Raises:
        ValueError: too many points, one outside the picture or of another form; nothing that tells where the thing is.
    """
    if not isinstance(points, Sequence) or isinstance(points, str | bytes):
        raise ValueError(f"points: expected a list of [x, y, 1 or 0], found {type(points).__name__}")
    if len(points) > MOST_POINTS:
        raise ValueError(f"points: expected at most {MOST_POINTS}, found {len(points)}")
    made = tuple(_checked_point(point) for point in points)
    around = None if box is None else checked_box(box)
    if around is None and not any(label for _, _, label in made):
        raise ValueError(f"points: expected one on the thing, or a box around it, found {len(made)} beside it")
    return Prompt(made, around)


def _checked_point(point: Any) -> Point:
    found = f"found {str(point)[:60]}"
    if not isinstance(point, Sequence) or isinstance(point, str | bytes) or len(point) != 3:
        raise ValueError(f"points: expected [x, y, 1 or 0], {found}")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in point):
        raise ValueError(f"points: expected finite numbers, {found}")
    x, y, label = point
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f"points: expected x and y in fractions of the picture, 0 to 1, {found}")
    if label not in (0, 1):
        raise ValueError(f"points: expected 1 (on the thing) or 0 (beside it) as third, {found}")
    return float(x), float(y), int(label)


def rough_prompts(rough: Sequence[Instance]) -> list[Prompt | None]:
    """For every individual its box, points well inside it, and points on those that reach into its box.

    A detector's box is told as it is; None for a mask without anything in it.
    """
    depths = [depth_of(one.mask) for one in rough]
    boxes = [box_of(one.mask) if bool((one.mask > 0.5).any()) else None for one in rough]
    made: list[Prompt | None] = []
    for number, (one, box) in enumerate(zip(rough, boxes, strict=True)):
        if box is None:
            made.append(None)
            continue
        if is_box(one.mask, box):
            made.append(Prompt(box=box))
            continue
        beside = [_peak(depth) for place, depth in enumerate(depths) if place != number and bool(depth.any())]
        near = [point for point in beside if box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]]
        points = [(*point, 1) for point in inside_points(depths[number])] + [
            (*point, 0) for point in near[:MOST_BESIDE]
        ]
        made.append(Prompt(tuple(points), box))
    return made


def is_box(mask: torch.Tensor, box: Box) -> bool:
    """Whether a mask (H, W) is all of its box."""
    height, width = mask.shape
    cells = round((box[2] - box[0]) * width) * round((box[3] - box[1]) * height)
    return int((mask > 0.5).sum()) >= BOX_LIKE * cells


def depth_of(mask: torch.Tensor) -> torch.Tensor:
    """How far inside a mask (H, W) each cell lies, in steps that also go across corners: (h, w), 0 outside.

    The picture's edges are no outline: who is cut off by them is deepest there.
    """
    scale = min(1.0, DEPTH_CELLS / max(mask.shape))
    size = [max(1, round(side * scale)) for side in mask.shape]
    inside = functional.interpolate(mask[None, None].float(), size, mode="area") > 0.5
    if not bool(inside.any()):  # too thin for this size
        inside = functional.adaptive_max_pool2d(mask[None, None].float(), size) > 0.5
    depth = torch.zeros(1, 1, *size)
    while bool(inside.any()) and float(depth.max()) < DEPTH_CELLS:
        depth += inside
        inside = -functional.max_pool2d(-inside.float(), 3, 1, 1) > 0.5
    return depth[0, 0]


def _peak(depth: torch.Tensor) -> tuple[float, float]:
    """Middle of the deepest cells (h, w) that is itself one of them: (x, y) in fractions."""
    cells = (depth == depth.max()).nonzero().float()  # rows, columns
    middle = cells[int((cells - cells.mean(0)).square().sum(1).argmin())]
    return _fractions(middle, depth)


def _fractions(cell: torch.Tensor, depth: torch.Tensor) -> tuple[float, float]:
    row, column = cell.tolist()
    height, width = depth.shape
    return (column + 0.5) / width, (row + 0.5) / height


def inside_points(depth: torch.Tensor, count: int = POINTS_ON) -> list[tuple[float, float]]:
    """Points (x, y) in fractions: the deepest, then those far from the ones before among the deep."""
    found = [_peak(depth)]
    height, width = depth.shape
    deep = (depth >= max(1.0, DEEP * float(depth.max()))).nonzero().float()
    while len(found) < count:
        taken = torch.tensor([[y * height - 0.5, x * width - 0.5] for x, y in found])
        far = torch.cdist(deep, taken).amin(1)
        if float(far.max()) < 1:
            break
        found.append(_fractions(deep[int(far.argmax())], depth))
    return found
