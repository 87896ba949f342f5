"""Scenes with exact truth: who is where, who hides whom, in which place and light."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw

from toyworld.drawing import Stand, draw_identity
from toyworld.identity import CLASSES, PEOPLE, PLURALS, Colour, Identity, random_identity
from toyworld.masks import pixel_box

HEIGHT_PX = 128
WIDTHS_PX: Mapping[int, tuple[int, ...]] = MappingProxyType(
    {1: (128,), 2: (128, 128, 192), 3: (128, 192, 192), 4: (192, 256), 5: (256,)}
)
"""Widths in use, by the number of individuals."""
PLACES: Mapping[str, tuple[Colour, Colour]] = MappingProxyType(
    {
        "park": ((140, 200, 245), (90, 175, 80)),
        "beach": ((150, 215, 250), (238, 218, 152)),
        "city": ((185, 190, 200), (112, 112, 118)),
        "desert": ((250, 210, 150), (222, 165, 90)),
        "snow": ((195, 215, 235), (238, 243, 250)),
    }
)
"""Sky and ground of every place by daylight."""
LIGHTS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {"day": (1.0, 1.0, 1.0), "sunset": (1.0, 0.72, 0.55), "night": (0.36, 0.42, 0.68)}
)
"""What a light multiplies the colours with; a scene's own light strays from it by up to `LIGHT_SPREAD`."""
LIGHT_SPREAD = 0.06
SUPERSAMPLING = 2
COUNTS: Mapping[int, str] = MappingProxyType({2: "two", 3: "three", 4: "four", 5: "five"})
LEAST_VISIBLE = 0.4
_GAP_PX, _MARGIN_PX = 27, 25


@dataclass(frozen=True)
class Instance:
    """One individual of a scene and its truth.

    `visible` and `whole` are bool masks (H, W): what of it is seen, and what would be without the others. `depth`
    counts from 0, the farthest.
    """

    identity: Identity
    visible: np.ndarray
    whole: np.ndarray
    depth: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Box of what is visible, (x0, y0, x1, y1) in pixels, ends excluded."""
        return pixel_box(self.visible)

    @property
    def occlusion(self) -> float:
        """Share of it that others hide, 0 to 1."""
        return 1 - float(self.visible.sum()) / float(self.whole.sum())


@dataclass(frozen=True)
class Scene:
    """A drawn picture and its truth: `image` is uint8 RGB (H, W, 3), `instances` stand from left to right."""

    image: np.ndarray
    instances: tuple[Instance, ...]
    place: str
    light: str
    tint: tuple[float, float, float]

    @property
    def caption(self) -> str:
        """The prompt it answers, in class words."""
        return caption([instance.identity.class_word for instance in self.instances], self.place, self.light)


def caption(class_words: Sequence[str], place: str, light: str, words: Mapping[int, str] | None = None) -> str:
    """A prompt: "two men and a dog in the park at night".

    Args:
        class_words: classes from left to right; several of one class are counted together.
        place: one of `PLACES`.
        light: one of `LIGHTS`; daylight is not named.
        words: by index into `class_words`, words to call that one by ("rex man"), who is then named alone.

    Returns:
        The prompt.
    """
    words = words or {}
    groups: dict[str, int] = {}
    for index, class_word in enumerate(class_words):
        name = words.get(index, class_word)
        groups[name] = groups.get(name, 0) + 1
    plural = {name: PLURALS.get(name, f"{name}s") for name in groups}
    article = {name: "an" if name[0] in "aeiou" else "a" for name in groups}
    parts = [f"{article[n]} {n}" if count == 1 else f"{COUNTS[count]} {plural[n]}" for n, count in groups.items()]
    who = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"{who} in the {place}" + ("" if light == "day" else f" at {light}")


def place_and_light(index: int) -> tuple[str, str]:
    """Place and light of a series' picture: all places in one light, then all in the next, and round again."""
    return list(PLACES)[index % len(PLACES)], list(LIGHTS)[index // len(PLACES) % len(LIGHTS)]


def random_identities(rng: random.Random, count: int | None = None) -> list[Identity]:
    """Individuals for a scene: one to five, people most often.

    Args:
        rng: source of randomness.
        count: how many; None for 1 to 5, twos most often.

    Returns:
        Identities from left to right.
    """
    if count is None:
        count = rng.choices((1, 2, 3, 4, 5), (20, 40, 20, 10, 10))[0]
    classes = rng.choices(CLASSES, (4, 4, 2, 1.5, 1.5), k=count)
    if count > 1 and rng.random() < 0.25:
        classes = [classes[0]] * count
    return [random_identity(rng, class_word) for class_word in classes]


def draw_scene(
    rng: random.Random,
    identities: Sequence[Identity] | None = None,
    place: str | None = None,
    light: str | None = None,
    width_px: int | None = None,
) -> Scene:
    """Draw a scene; what is not given is drawn at random.

    Args:
        rng: source of randomness: the same state gives the same scene.
        identities: individuals from left to right, 1 to 5; None for `random_identities`.
        place: one of `PLACES`.
        light: one of `LIGHTS`.
        width_px: width of the picture; None for one of `WIDTHS_PX`. The height is `HEIGHT_PX`.

    Returns:
        The scene; everybody is visible by `LEAST_VISIBLE` at least.

    Raises:
        ValueError: more individuals than the world knows widths for.
    """
    identities = random_identities(rng) if identities is None else list(identities)
    if len(identities) not in WIDTHS_PX:
        raise ValueError(f"a scene has 1 to {max(WIDTHS_PX)} individuals, found {len(identities)}")
    place = place or rng.choice(list(PLACES))
    light = light or rng.choices(list(LIGHTS), (2, 1, 1))[0]
    width_px = width_px or rng.choice(WIDTHS_PX[len(identities)])
    while True:
        stands = _stands(rng, identities, width_px)
        instances, colours, alpha = _draw_instances(identities, stands, width_px)
        if all(1 - instance.occlusion >= LEAST_VISIBLE for instance in instances):
            break
    red, green, blue = (v * rng.uniform(1 - LIGHT_SPREAD, 1 + LIGHT_SPREAD) for v in LIGHTS[light])
    image = _background(rng, place, width_px)
    image.paste(colours, (0, 0), alpha)
    pixels = np.asarray(image.resize((width_px, HEIGHT_PX), Image.Resampling.BOX), np.float32) * np.array(
        (red, green, blue), np.float32
    )
    return Scene(pixels.clip(0, 255).round().astype(np.uint8), tuple(instances), place, light, (red, green, blue))


def _stands(rng: random.Random, identities: Sequence[Identity], width_px: int) -> list[Stand]:
    """Places to stand, in pixels of the picture."""
    count = len(identities)
    if count == 1:
        centres = [width_px * rng.uniform(0.33, 0.67)]
    else:
        most = min(64.0, (width_px - 2 * _MARGIN_PX) / (count - 1))
        gaps = [rng.uniform(min(_GAP_PX, most), most) for _ in range(count - 1)]
        slack = width_px - 2 * _MARGIN_PX - sum(gaps)
        centres = [_MARGIN_PX + rng.uniform(0.25, 0.75) * max(slack, 0.0)]
        for gap in gaps:
            centres.append(centres[-1] + gap)
    stands = []
    for identity, x in zip(identities, centres, strict=True):
        tall = identity.class_word in PEOPLE
        base = rng.uniform(0.86, 0.97) if tall else rng.uniform(0.9, 0.985)
        height = rng.uniform(0.66, 0.8) if tall else rng.uniform(0.38, 0.46)
        stands.append(Stand(x, base * HEIGHT_PX, height * HEIGHT_PX))
    return stands


def _draw_instances(
    identities: Sequence[Identity], stands: Sequence[Stand], width_px: int
) -> tuple[list[Instance], Image.Image, Image.Image]:
    """Draw everybody, the nearer (lower) over the farther.

    Returns:
        The instances, their colours and their joint alpha; the last two supersampled.
    """
    size = (width_px * SUPERSAMPLING, HEIGHT_PX * SUPERSAMPLING)
    colours, alpha = Image.new("RGB", size), Image.new("L", size)
    owner = np.full((HEIGHT_PX, width_px), -1)
    whole: dict[int, np.ndarray] = {}
    order = sorted(range(len(identities)), key=lambda i: stands[i].base)
    for index in order:
        layer = Image.new("RGBA", size)
        stand = stands[index]
        draw_identity(layer, identities[index],
                      Stand(*(v * SUPERSAMPLING for v in (stand.x, stand.base, stand.height))))  # fmt: skip
        colours.paste(layer, (0, 0), layer)
        alpha.paste(255, (0, 0), layer.getchannel("A"))
        opaque = layer.getchannel("A").resize((width_px, HEIGHT_PX), Image.Resampling.BOX)
        whole[index] = np.asarray(opaque) > 127
        owner[whole[index]] = index
    instances = [
        Instance(identity, owner == index, whole[index], order.index(index))
        for index, identity in enumerate(identities)
    ]
    return instances, colours, alpha


def _background(rng: random.Random, place: str, width_px: int) -> Image.Image:
    """Sky, ground and what stands there, by daylight, supersampled."""
    sky, ground = PLACES[place]
    s = SUPERSAMPLING
    width, height = width_px * s, HEIGHT_PX * s
    image = Image.new("RGB", (width, height), sky)
    d = ImageDraw.Draw(image)
    horizon = height * rng.uniform(0.52, 0.64)
    for _ in range(round(width_px / 64)):
        x = rng.uniform(0, width)
        if place == "park":
            d.rectangle([x - 3 * s, horizon - 22 * s, x + 3 * s, horizon], fill=(112, 76, 46))
            d.ellipse([x - 14 * s, horizon - 46 * s, x + 14 * s, horizon - 14 * s], fill=(52, 132, 62))
        if place == "city":
            half, top = rng.uniform(8, 14) * s, horizon - rng.uniform(20, 60) * s
            d.rectangle([x - half, top, x + half, horizon], fill=(132, 137, 152))
        if place == "desert":
            d.rectangle([x - 3 * s, horizon - 20 * s, x + 3 * s, horizon], fill=(95, 140, 75))
        if place == "snow":
            d.polygon([(x - 26 * s, horizon), (x, horizon - 34 * s), (x + 26 * s, horizon)], fill=(165, 180, 205))
    d.rectangle([0, horizon, width, height], fill=ground)
    if place == "beach":
        d.rectangle([0, horizon - 12 * s, width, horizon], fill=(62, 132, 202))
    return image
