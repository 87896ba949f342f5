"""What the instruments learn from: scenes and their truth, worn or decoded by the autoencoder.

No torch, for this runs in forked processes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from toyworld.drawing import Stand, draw_identity
from toyworld.identity import (
    ACCESSORIES,
    CLASSES,
    COLOURS,
    HAIR,
    PATTERNS,
    PEOPLE,
    SKIN,
    STYLES,
    Identity,
    random_identity,
)
from toyworld.instruments.crops import crop, dilated, eroded
from toyworld.scene import HEIGHT_PX, WIDTHS_PX, Scene, draw_scene, random_identities

if TYPE_CHECKING:
    from toyworld.instruments.decoded import Pool

DETECTOR_PIXELS = 16 * 128 * 128
"""Pixels of a detector's batch: 16 pictures of 128x128, fewer of wider ones."""
HEAT_RADIUS_PX = 5.0
FAMILIES, VIEWS = 16, 4
DECODED_SHARE = 0.5
"""Of the detector's pictures, how many come out of the autoencoder."""
DECODED_FAMILIES, SHOWINGS = 12, 2
"""Of the embedder's families, so many are seen decoded, in so many of their views; drawn in the others."""
WORN_SHARE = 0.5
"""Of decoded pictures, how many are worn besides."""
TELLING_PX = 40
"""Two individuals look different when that many pixels of a portrait differ in a channel by `TELLING_LEVEL`."""
TELLING_LEVEL = 40
ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "style": tuple(style for styles in STYLES.values() for style in styles),
        "hair": tuple(HAIR),
        "skin": tuple(SKIN),
        "top": tuple(COLOURS),
        "bottom": tuple(COLOURS),
        "pattern": PATTERNS,
        "pattern_colour": tuple(COLOURS),
        "accessory": tuple(dict.fromkeys(a for accessories in ACCESSORIES.values() for a in accessories)),
    }
)
"""Every attribute and the values it may have in some class."""
UNSEEN = -100
"""Stands for an attribute's value where it does not show; cross-entropy's `ignore_index`."""


@dataclass(frozen=True)
class SceneBatch:
    """Scenes and their truth: `images` uint8 (B, H, W, 3); `semantic` uint8 (B, H, W), 0 background, then `CLASSES`;
    `heat` float32 (B, H, W), 1 at the middles; `offsets` float32 (B, 2, H, W), pixels to the middle, rows first."""

    images: np.ndarray
    semantic: np.ndarray
    heat: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class ViewBatch:
    """Views of some identities: `crops` uint8 (n, 80, 64, 4), `who` int64 (n,), `attributes` int64 (n, 8)."""

    crops: np.ndarray
    who: np.ndarray
    attributes: np.ndarray


def scene_batch(seed: int, step: int, pool: Pool | None = None) -> SceneBatch:
    """The detector's batch of a step; all pictures are of one width, `DECODED_SHARE` of them from the pool."""
    rng = random.Random(f"detector {seed} {step}")
    width = rng.choice(WIDTHS_PX[len(random_identities(rng))])
    kept = [] if pool is None else pool.of_width(width)
    images: list[np.ndarray] = []
    truths: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    while len(images) < DETECTOR_PIXELS // (HEIGHT_PX * width):
        if pool is not None and kept and rng.random() < DECODED_SHARE:
            scene = pool.scene(rng.choice(kept))
            images.append(wear_some(rng, scene.image))
        else:
            scene = _scene_of_width(rng, width)
            images.append(wear(rng, scene.image))
        truths.append(scene_truth(scene))
    semantic, heat, offsets = (np.stack([truth[part] for truth in truths]) for part in range(3))
    return SceneBatch(np.stack(images), semantic, heat, offsets)


def _scene_of_width(rng: random.Random, width_px: int) -> Scene:
    while True:
        identities = random_identities(rng)
        if width_px in WIDTHS_PX[len(identities)]:
            return draw_scene(rng, identities, width_px=width_px)


def scene_truth(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Semantic classes (H, W), heat (H, W) and offsets (2, H, W) of a scene, as in `SceneBatch`."""
    shape = scene.image.shape[:2]
    grid = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    semantic, heat, offsets = np.zeros(shape, np.uint8), np.zeros(shape, np.float32), np.zeros_like(grid)
    for instance in scene.instances:
        middle = np.argwhere(instance.whole).mean(0).astype(np.float32)
        away = middle[:, None, None] - grid
        # Peak at a pixel's centre: the highest value is the same wherever the middle falls
        near = np.exp(-np.square(np.round(middle)[:, None, None] - grid).sum(0) / (2 * HEAT_RADIUS_PX**2))
        heat = np.maximum(heat, near)
        semantic[instance.visible] = 1 + CLASSES.index(instance.identity.class_word)
        offsets[:, instance.visible] = away[:, instance.visible]
    return semantic, heat, offsets


def view_batch(seed: int, step: int, pool: Pool | None = None) -> ViewBatch:
    """The embedder's batch of a step: families of two who differ in one attribute, each seen in `VIEWS` scenes.

    Those who come from the pool are seen decoded `SHOWINGS` times and drawn for the rest: drawn and generated
    pictures of one individual are to be alike.
    """
    rng = random.Random(f"embedder {seed} {step}")
    identities, crops, who = ([], [], []) if pool is None else _decoded_views(rng, pool)
    decoded = len(identities)
    while len(identities) < 2 * FAMILIES:
        first = random_identity(rng, rng.choices(CLASSES, (4, 4, 2, 2, 2))[0])
        identities += [first, sibling(rng, first)]
    for turn in range(VIEWS):
        present = range(decoded if turn < SHOWINGS else 0, len(identities))
        left = rng.sample(present, len(present))
        while left:
            chosen, left = left[: (size := rng.choice((1, 2, 2, 3)))], left[size:]
            scene = draw_scene(rng, [identities[index] for index in chosen], width_px=HEIGHT_PX)
            image = wear(rng, scene.image)
            crops += [crop(image, wear_mask(rng, instance.visible)) for instance in scene.instances]
            who += chosen
    values = [attribute_values(identity) for identity in identities]
    return ViewBatch(np.stack(crops), np.array(who), np.array([values[index] for index in who]))


def _decoded_views(rng: random.Random, pool: Pool) -> tuple[list[Identity], list[np.ndarray], list[int]]:
    """Up to `DECODED_FAMILIES` families of the pool, crops of their `SHOWINGS` views, and whom each shows."""
    identities: list[Identity] = []
    crops: list[np.ndarray] = []
    who: list[int] = []
    for number in rng.sample(range(pool.troupes), min(pool.troupes, DECODED_FAMILIES)):
        before = len(identities)
        members, scenes = pool.shows(number)
        identities += members[: 2 * DECODED_FAMILIES - before]
        for cast, scene in scenes:
            image = wear_some(rng, scene.image)
            for member, instance in zip(cast, scene.instances, strict=True):
                if before + member < len(identities):
                    crops.append(crop(image, wear_mask(rng, instance.visible)))
                    who.append(before + member)
        if len(identities) == 2 * DECODED_FAMILIES:
            break
    return identities, crops, who


def wear_some(rng: random.Random, image: np.ndarray) -> np.ndarray:
    """Wear a decoded picture uint8 (H, W, 3), or leave it: it has lost detail already."""
    return wear(rng, image) if rng.random() < WORN_SHARE else image


def wear(rng: random.Random, image: np.ndarray) -> np.ndarray:
    """Wear a picture uint8 (H, W, 3) as generated ones are worn: blur, lost detail, slightly wrong colours, noise."""
    picture = Image.fromarray(image)
    chance = rng.random()
    if chance < 0.4:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.4)))
    elif chance < 0.7:
        scale = rng.uniform(0.5, 0.95)
        small = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR)
        picture = small.resize(picture.size, Image.Resampling.BICUBIC)
    gain = np.array([rng.uniform(0.93, 1.07) for _ in range(3)], np.float32)
    pixels = np.asarray(picture, np.float32) * gain + np.float32(rng.uniform(-6, 6))
    if rng.random() < 0.5:
        grain = rng.choice((1, 2, 4))
        shape = (image.shape[0] // grain, image.shape[1] // grain, 3)
        noise = np.random.default_rng(rng.getrandbits(64)).standard_normal(shape, np.float32)
        pixels += noise.repeat(grain, 0).repeat(grain, 1) * np.float32(rng.uniform(2, 10))
    return pixels.clip(0, 255).round().astype(np.uint8)


def wear_mask(rng: random.Random, mask: np.ndarray) -> np.ndarray:
    """Make a bool mask (H, W) a little larger or smaller, as detectors do."""
    growth = rng.choice((0, 0, -1, 1, 2))
    worn = eroded(mask) if growth < 0 else mask
    for _ in range(growth):
        worn = dilated(worn)
    return worn if worn.any() else mask


def sibling(rng: random.Random, identity: Identity) -> Identity:
    """An individual that differs from another in one attribute only, and visibly so."""
    while True:
        attribute = rng.choice(sorted(shown_attributes(identity)))
        other = replace(identity, **{attribute: rng.choice(_values(identity.class_word, attribute))})
        if other.top != other.pattern_colour and difference_px(identity, other) >= TELLING_PX:
            return other


def attribute_values(identity: Identity) -> list[int]:
    """Index of each attribute's value in `ATTRIBUTES`; `UNSEEN` where it does not show."""
    shown = shown_attributes(identity)
    return [
        values.index(getattr(identity, attribute)) if attribute in shown else UNSEEN
        for attribute, values in ATTRIBUTES.items()
    ]


def shown_attributes(identity: Identity) -> frozenset[str]:
    """Attributes whose change would show: not the trousers of a dog, nor the colour of a bald man's hair."""
    return _shown(identity.class_word, identity.style, identity.pattern, identity.accessory)


@cache
def _shown(class_word: str, style: str, pattern: str, accessory: str) -> frozenset[str]:
    probe = Identity(class_word, style, hair="grey", pattern=pattern, accessory=accessory)
    return frozenset(
        attribute
        for attribute in ATTRIBUTES
        if any(
            difference_px(probe, replace(probe, **{attribute: value})) >= TELLING_PX
            for value in _values(class_word, attribute)
        )
    )


def _values(class_word: str, attribute: str) -> tuple[str, ...]:
    """Values an attribute may have in a class."""
    own = {"style": STYLES, "accessory": ACCESSORIES}
    return own[attribute][class_word] if attribute in own else ATTRIBUTES[attribute]


def difference_px(first: Identity, second: Identity) -> int:
    """Pixels in which the portraits of two individuals of one class differ clearly."""
    a, b = _portrait(first), _portrait(second)
    far = np.maximum(a, b) - np.minimum(a, b) >= TELLING_LEVEL
    return int((far[..., 0] | far[..., 1] | far[..., 2] | far[..., 3]).sum())


def _portrait(identity: Identity) -> np.ndarray:
    layer = Image.new("RGBA", (HEIGHT_PX, HEIGHT_PX))
    height = 0.75 if identity.class_word in PEOPLE else 0.42
    draw_identity(layer, identity, Stand(HEIGHT_PX / 2, HEIGHT_PX * 0.92, HEIGHT_PX * height))
    return np.asarray(layer)
