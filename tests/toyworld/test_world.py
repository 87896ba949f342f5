"""The drawn world: its truth agrees with its pictures."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest

from toyworld.identity import (
    ACCESSORIES,
    CAST,
    CLASSES,
    COLOURS,
    HAIR,
    PATTERNS,
    SKIN,
    STYLES,
    Identity,
    random_identity,
)
from toyworld.scene import (
    COUNTS,
    HEIGHT_PX,
    LEAST_VISIBLE,
    LIGHT_SPREAD,
    LIGHTS,
    PLACES,
    WIDTHS_PX,
    Scene,
    caption,
    draw_scene,
    random_identities,
)


def scene(seed: int, count: int | None = None, **given: str) -> Scene:
    rng = random.Random(seed)
    return draw_scene(rng, random_identities(rng, count), **given)


def surrounded(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask whose eight neighbours all belong to it."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    shifts = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.logical_and.reduce(shifts)


def test_the_same_seed_draws_the_same_scene() -> None:
    first, again, other = scene(1), scene(1), scene(2)

    assert np.array_equal(first.image, again.image)
    assert [i.identity for i in first.instances] == [i.identity for i in again.instances]
    assert all(np.array_equal(a.visible, b.visible) for a, b in zip(first.instances, again.instances, strict=True))
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_what_is_visible_is_what_nobody_nearer_covers(count: int) -> None:
    for seed in range(8):
        instances = scene(seed, count).instances
        assert sorted(instance.depth for instance in instances) == list(range(count))
        for instance in instances:
            covered = np.zeros_like(instance.whole)
            for other in instances:
                if other.depth > instance.depth:
                    covered |= other.whole
            assert np.array_equal(instance.visible, instance.whole & ~covered)
        assert sum(instance.visible.astype(int) for instance in instances).max() == 1


def test_people_really_hide_each_other_but_never_quite() -> None:
    occlusions = [instance.occlusion for seed in range(40) for instance in scene(seed, 2).instances]

    assert max(occlusions) <= 1 - LEAST_VISIBLE
    assert sum(occlusion > 0.2 for occlusion in occlusions) >= 3


def test_the_picture_shows_the_nearer_one_where_masks_meet() -> None:
    """Lamps of one colour each: every pixel within a visible mask has its owner's colour in the scene's light."""
    colours = ("red", "green", "blue")
    lamps = [Identity("lamp", "globe", top=colour, bottom=colour) for colour in colours]
    hidden = 0.0
    for seed in range(12):
        drawn = draw_scene(random.Random(seed), lamps, light="sunset", width_px=HEIGHT_PX)
        for instance in drawn.instances:
            expected = np.round(np.multiply(COLOURS[instance.identity.top], drawn.tint)).clip(0, 255)
            seen = drawn.image[surrounded(instance.visible)].astype(int)
            assert len(seen) > 50
            assert np.abs(seen - expected).max() <= 1
            hidden = max(hidden, instance.occlusion)
    assert hidden > 0.05


@pytest.mark.parametrize("light", ["sunset", "night"])
def test_light_tints_everything_alike(light: str) -> None:
    for place in PLACES:
        day, tinted = (scene(3, 2, place=place, light=name) for name in ("day", light))
        assert [i.visible.sum() for i in day.instances] == [i.visible.sum() for i in tinted.instances]
        exact = (day.image > 0) & (day.image < 255)
        expected = day.image * np.float64(LIGHTS[light])
        error = np.abs(tinted.image - expected)[exact]
        # Half a level of rounding in each of the two pictures
        assert error.max() <= 1.0
        assert exact.mean() > 0.5


def test_a_light_strays_little_from_its_own_colour() -> None:
    for seed in range(20):
        drawn = scene(seed)
        ratio = np.divide(drawn.tint, LIGHTS[drawn.light])
        assert np.abs(ratio - 1).max() <= LIGHT_SPREAD + 1e-9


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_as_many_as_asked_for_stand_from_left_to_right(count: int) -> None:
    for seed in range(6):
        rng = random.Random(seed)
        people = [random_identity(rng, "man") for _ in range(count)]
        drawn = draw_scene(rng, people)
        assert [instance.identity for instance in drawn.instances] == people
        middles = [np.nonzero(instance.whole)[1].mean() for instance in drawn.instances]
        assert middles == sorted(middles)
        height, width, channels = drawn.image.shape
        assert (height, channels) == (HEIGHT_PX, 3)
        assert width in WIDTHS_PX[count]
        assert drawn.image.dtype == np.uint8


@pytest.mark.parametrize("count", [0, 6])
def test_other_numbers_are_refused(count: int) -> None:
    rng = random.Random(0)
    with pytest.raises(ValueError, match=f"found {count}"):
        draw_scene(rng, [random_identity(rng, "dog") for _ in range(count)])


def test_the_box_holds_just_what_is_visible() -> None:
    for seed in range(10):
        for instance in scene(seed).instances:
            x0, y0, x1, y1 = instance.box
            inside = instance.visible[y0:y1, x0:x1]
            assert inside.sum() == instance.visible.sum()
            assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()  # noqa: PT018


@pytest.mark.parametrize(
    ("class_words", "place", "light", "words", "expected"),
    [
        (["man"], "park", "day", None, "a man in the park"),
        (["man", "dog", "man"], "park", "night", None, "two men and a dog in the park at night"),
        (["dog", "woman", "vase"], "snow", "day", None, "a dog, a woman and a vase in the snow"),
        (["woman"] * 5, "city", "sunset", None, "five women in the city at sunset"),
        (["man", "woman"], "beach", "day", {0: "rex man", 1: "ida woman"}, "a rex man and an ida woman in the beach"),
        (["man", "man"], "city", "day", {1: "rex man"}, "a man and a rex man in the city"),
    ],
)
def test_captions(class_words: list[str], place: str, light: str, words: dict[int, str] | None, expected: str) -> None:
    assert caption(class_words, place, light, words) == expected


def test_a_scenes_caption_counts_everybody() -> None:
    numbers = {"a": 1, **{word: count for count, word in COUNTS.items()}}
    plural = {"men": "man", "women": "woman"}
    for seed in range(40):
        drawn = scene(seed)
        who, _, rest = drawn.caption.partition(" in the ")
        named: Counter[str] = Counter()
        for part in who.replace(" and ", ", ").split(", "):
            number, noun = part.split(" ")
            named[plural.get(noun, noun.removesuffix("s"))] += numbers[number]
        assert named == Counter(instance.identity.class_word for instance in drawn.instances)
        assert rest == drawn.place + ("" if drawn.light == "day" else f" at {drawn.light}")


def test_an_unknown_class_or_style_is_refused() -> None:
    with pytest.raises(ValueError, match="'cat'"):
        Identity("cat", "pointed")
    with pytest.raises(ValueError, match="'long'"):
        Identity("man", "long")


@pytest.mark.parametrize("class_word", CLASSES)
def test_random_identities_are_valid_and_reach_every_value(class_word: str) -> None:
    rng = random.Random(0)
    drawn = [random_identity(rng, class_word) for _ in range(400)]
    allowed = {
        "class_word": {class_word},
        "style": set(STYLES[class_word]),
        "hair": set(HAIR),
        "skin": set(SKIN),
        "top": set(COLOURS),
        "bottom": set(COLOURS),
        "pattern": set(PATTERNS),
        "pattern_colour": set(COLOURS),
        "accessory": set(ACCESSORIES[class_word]),
    }
    assert {f.name for f in fields(Identity)} == set(allowed)
    for name, values in allowed.items():
        assert {getattr(identity, name) for identity in drawn} == values
    assert all(identity.top != identity.pattern_colour for identity in drawn)


def test_the_cast_is_nine_who_can_be_told_apart() -> None:
    assert Counter(member.class_word for member in CAST.values()) == {
        "man": 3,
        "woman": 3,
        "dog": 1,
        "vase": 1,
        "lamp": 1,
    }
    assert all(name == member.name for name, member in CAST.items())
    tables = {"hair": HAIR, "skin": SKIN, "top": COLOURS, "bottom": COLOURS, "pattern": PATTERNS}
    for member in CAST.values():
        assert all(getattr(member.identity, name) in values for name, values in tables.items())
        assert member.identity.accessory in ACCESSORIES[member.class_word]
    # Nobody is another with one or two things changed
    people = [member.identity for member in CAST.values()]
    for first in people:
        for second in people:
            differing = [f.name for f in fields(Identity) if getattr(first, f.name) != getattr(second, f.name)]
            assert first is second or len(differing) >= 4


def test_company_changes_nothing_but_what_it_hides() -> None:
    """Whoever stands in front: the one behind looks the same where it is still seen."""
    rng = random.Random(5)
    behind = random_identity(rng, "woman")
    men = [replace(random_identity(rng, "man"), style="bald", accessory="none", pattern="plain", top=top)
           for top in ("red", "blue")]  # fmt: skip
    first, second = (draw_scene(random.Random(9), [behind, man], "park", "day", HEIGHT_PX) for man in men)

    clothes = np.any(first.image != second.image, axis=2)

    assert clothes.any()
    assert not (clothes & surrounded(first.instances[0].visible)).any()
    assert not (clothes & ~first.instances[1].whole & ~surrounded_by(first.instances[1].whole)).any()


def surrounded_by(mask: np.ndarray) -> np.ndarray:
    """A mask and the pixels next to it: the drawing is antialiased."""
    return ~surrounded(~mask) | mask
