"""What the small SAM learns from: scenes, their truth, and prompts as attention, detectors and people give them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from toyworld.instruments.crops import eroded
from toyworld.instruments.data import wear, wear_some
from toyworld.masks import pixel_box
from toyworld.scene import draw_scene

if TYPE_CHECKING:
    from toyworld.instruments.decoded import Pool
    from toyworld.scene import Scene

BATCH = 8
"""Pictures of a step; each is prompted for every individual, once with boxes and once without."""
DECODED_SHARE = 0.5
"""Of the pictures, how many come out of the autoencoder."""
MOST_POINTS = 4
WELL_INSIDE = 0.7
"""Of the points on an individual, how many lie away from its outline."""
STRAY = 0.05
"""Of the points, how many miss their individual by a little, as attention's do."""


@dataclass(frozen=True)
class Prompts:
    """Prompts for n individuals of a picture, in pixels of it.

    `boxes` float32 (n, 4) as (x0, y0, x1, y1), or None; `points` float32 (n, k, 2) as (x, y) and `labels` int64
    (n, k): 1 on it, 0 beside it, -1 no point; or None. `single`: each is told by one click alone.
    """

    boxes: np.ndarray | None
    points: np.ndarray | None
    labels: np.ndarray | None
    single: bool = False


@dataclass(frozen=True)
class Example:
    """A picture uint8 (H, W, 3), the masks bool (n, H, W) of who is in it, and two kinds of prompts for them."""

    image: np.ndarray
    masks: np.ndarray
    prompts: tuple[Prompts, Prompts]


def examples(seed: int, step: int, pool: Pool | None = None) -> list[Example]:
    """The pictures of a step."""
    rng = random.Random(f"sam {seed} {step}")
    return [_example(rng, pool) for _ in range(BATCH)]


def _example(rng: random.Random, pool: Pool | None) -> Example:
    if pool is not None and rng.random() < DECODED_SHARE:
        scene = pool.scene(rng.randrange(len(pool.pictures)))
        image = wear_some(rng, scene.image)
    else:
        scene = draw_scene(rng)
        image = wear(rng, scene.image)
    masks = true_masks(scene)
    if rng.random() < 0.5:
        image, masks = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(masks[:, :, ::-1])
    return Example(image, masks, (with_boxes(rng, masks), without_boxes(rng, masks)))


def true_masks(scene: Scene) -> np.ndarray:
    """Bool (n, H, W): what is seen of everybody, from left to right."""
    return np.stack([instance.visible for instance in scene.instances])


def with_boxes(rng: random.Random, masks: np.ndarray) -> Prompts:
    """Boxes, sharp as a detector's or rough as attention's, half of them with points."""
    spread = rng.choice((0.02, 0.06, 0.12))
    boxes = np.stack([jittered(rng, mask, spread) for mask in masks])
    if rng.random() < 0.5:
        return Prompts(boxes, None, None)
    return Prompts(boxes, *points_of(rng, masks, rng.randint(1, 3), rng.randint(0, 2)))


def without_boxes(rng: random.Random, masks: np.ndarray) -> Prompts:
    """Clicks: one on it, or several on it and beside it."""
    if rng.random() < 0.5:
        return Prompts(None, *points_of(rng, masks, 1, 0), single=True)
    return Prompts(None, *points_of(rng, masks, rng.randint(1, 3), rng.randint(1, 2)))


def jittered(rng: random.Random, mask: np.ndarray, spread: float) -> np.ndarray:
    """Box (4,) of a mask, its sides moved by `spread` of its size (standard deviation)."""
    x0, y0, x1, y1 = pixel_box(mask)
    width, height = x1 - x0, y1 - y0
    moved = [
        side + max(-0.3, min(0.3, rng.gauss(0, spread))) * size
        for side, size in zip((x0, y0, x1, y1), (width, height, width, height), strict=True)
    ]
    return np.clip(np.array(moved, np.float32), 0, np.tile(mask.shape[::-1], 2))


def points_of(rng: random.Random, masks: np.ndarray, on: int, beside: int) -> tuple[np.ndarray, np.ndarray]:
    """For everybody points on it, and points on the others or, alone, on the ground: (n, k, 2) and labels (n, k)."""
    points = np.zeros((len(masks), MOST_POINTS, 2), np.float32)
    labels = np.full((len(masks), MOST_POINTS), -1)
    anybody = masks.any(0)
    for number, mask in enumerate(masks):
        others = anybody & ~mask
        spots = [(_point(rng, mask), 1) for _ in range(on)]
        spots += [(_point(rng, others if others.any() and rng.random() < 0.8 else ~mask), 0) for _ in range(beside)]
        for place, (spot, label) in enumerate(spots[:MOST_POINTS]):
            points[number, place], labels[number, place] = spot, label
    return points, labels


def _point(rng: random.Random, mask: np.ndarray) -> tuple[float, float]:
    """A point (x, y) of a mask bool (H, W)."""
    inner = mask
    while rng.random() < WELL_INSIDE:
        smaller = eroded(inner)
        if not smaller.any():
            break
        inner = smaller
    rows, columns = np.nonzero(inner if inner.any() else ~inner)
    place = rng.randrange(len(rows))
    x, y = columns[place] + rng.random(), rows[place] + rng.random()
    if rng.random() < STRAY:
        x, y = x + rng.gauss(0, 3), y + rng.gauss(0, 3)
    height, width = mask.shape
    return min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)


def targets(masks: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Masks bool (n, H, W) at another size (h, w): float32, which share of each cell is theirs."""
    height, width = size
    scaled = [Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BOX) for mask in masks]
    return np.stack([np.asarray(one) for one in scaled]).clip(0, 1)
