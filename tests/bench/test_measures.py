"""The measures against drawn truth: a detector that knows the scene, an embedder that counts the world's colours."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from bench import lighting, measures
from bench.measures import Instance
from toyworld.identity import CAST, COLOURS, HAIR, PEOPLE, SKIN
from toyworld.scene import LIGHTS, PLACES, Scene, draw_scene

NAMED = np.array([*COLOURS.values(), *HAIR.values(), *SKIN.values()], np.float64)
PEOPLE_NAMES = [name for name, member in CAST.items() if member.class_word in PEOPLE]
THRESHOLD = 0.85


@dataclass(frozen=True)
class Known:
    class_word: str
    score: float
    box: tuple[int, int, int, int]
    mask: np.ndarray


class TruthDetector:
    """Says of a scene's picture what the scene knows."""

    def __init__(self, *scenes: Scene) -> None:
        self.scenes = {scene.image.tobytes(): scene for scene in scenes}

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Known]]:
        return [
            [Known(i.identity.class_word, 1.0, i.box, i.visible) for i in self.scenes[image.tobytes()].instances]
            for image in images
        ]


class ColourEmbedder:
    """How many pixels have which of the world's named colours, in the light that suits them best."""

    def embed(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([self._one(image[mask].astype(np.float64)) for image, mask in zip(images, masks, strict=True)])

    def _one(self, pixels: np.ndarray) -> np.ndarray:
        distances = [np.abs((pixels / light)[:, None] - NAMED).sum(-1) for light in LIGHTS.values()]
        best = min(distances, key=lambda d: d.min(1).mean())
        counts = np.bincount(best.argmin(1), minlength=len(NAMED)).astype(np.float64)
        return counts / np.linalg.norm(counts)


@pytest.fixture(scope="module")
def known() -> dict[str, np.ndarray]:
    return measures.references(ColourEmbedder())


def scene_of(names: Sequence[str], seed: int = 0, light: str | None = None, place: str | None = None) -> Scene:
    return draw_scene(random.Random(f"{names} {seed}"), [CAST[name].identity for name in names], place, light)


def look(scene: Scene) -> tuple[Instance, ...]:
    return measures.observe([scene.image], TruthDetector(scene), ColourEmbedder())[0]


def test_references_are_unit_vectors_and_seeded(known: dict[str, np.ndarray]) -> None:
    assert list(known) == list(CAST)
    assert all(np.linalg.norm(vector) == pytest.approx(1) for vector in known.values())
    again = measures.references(ColourEmbedder(), [CAST["rex"]])
    other = measures.references(ColourEmbedder(), [CAST["rex"]], seed=1)
    np.testing.assert_array_equal(again["rex"], known["rex"])
    assert not np.array_equal(other["rex"], known["rex"])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_true_scenes_score_near_one(count: int, known: dict[str, np.ndarray]) -> None:
    rng = random.Random(count)
    cosines = []
    for seed in range(6):
        names = rng.sample(list(CAST), count)
        found = measures.align(look(scene_of(names, seed)), names, known)
        assert found.assigned == tuple(range(count))
        cosines.extend(found.cosines)
    assert np.mean(cosines) > 0.93
    assert np.mean(np.array(cosines) >= THRESHOLD) > 0.9


def test_the_order_of_the_concepts_does_not_matter(known: dict[str, np.ndarray]) -> None:
    scene = look(scene_of(["rex", "ida"]))
    straight, turned = (measures.align(scene, names, known) for names in (("rex", "ida"), ("ida", "rex")))
    assert turned.assigned == (1, 0)
    assert turned.cosines == straight.cosines[::-1]


def test_a_wrong_person_is_told_apart(known: dict[str, np.ndarray]) -> None:
    found = measures.align(look(scene_of(["bob", "ida"])), ["rex", "ida"], known)
    assert found.cosines[0] < 0.5
    assert found.cosines[1] > 0.9
    assert [cosine >= THRESHOLD for cosine in found.cosines] == [False, True]
    columns = list(known)
    assert columns[int(found.likeness[0].argmax())] == "bob"


def test_a_mixed_person_is_like_both(known: dict[str, np.ndarray]) -> None:
    """Rex above the belt, ida's bottom and skin: between the two references, and below the true rex."""
    rex, ida = CAST["rex"].identity, CAST["ida"].identity
    mixed = replace(rex, top=ida.top, pattern=ida.pattern, pattern_colour=ida.pattern_colour)
    scene = draw_scene(random.Random(1), [mixed], light="day")
    columns = list(known)
    row = measures.align(look(scene), ["rex"], known).likeness[0]
    true = measures.align(look(scene_of(["rex"], light="day")), ["rex"], known).likeness[0]
    assert row[columns.index("rex")] < true[columns.index("rex")] - 0.1
    assert row[columns.index("ida")] > true[columns.index("ida")] + 0.1


def test_a_removed_person_counts_zero_and_an_extra_one_nothing(known: dict[str, np.ndarray]) -> None:
    alone = look(scene_of(["rex"]))
    found = measures.align(alone, ["ida", "rex"], known)
    assert found.assigned == (None, 0)
    assert found.cosines[0] == 0.0
    assert np.isnan(found.likeness[0]).all()
    assert not np.isnan(found.likeness[1]).any()
    assert measures.presence(alone, ["woman", "man"]) == (0.5, False)
    crowd = look(scene_of(["bob", "rex", "ida"]))
    assert measures.align(crowd, ["ida", "rex"], known).assigned == (2, 1)
    assert measures.presence(crowd, ["woman", "man"]) == (1.0, False)
    assert measures.presence(crowd, ["man", "woman", "man"]) == (1.0, True)
    assert measures.presence(look(scene_of(["rex", "bob"])), ["man", "woman"]) == (0.5, False)


def test_an_empty_picture(known: dict[str, np.ndarray]) -> None:
    found = measures.align((), ["rex", "ida"], known)
    assert (found.assigned, found.cosines) == ((None, None), (0.0, 0.0))
    assert measures.presence((), ["man"]) == (0.0, False)
    assert measures.layout_agreement((), look(scene_of(["rex"]))) == 0.0
    assert np.isnan(measures.layout_agreement(look(scene_of(["rex"])), ()))


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (2, 2), (3, 2), (4, 1), (3, 5), (5, 5)])
def test_assignment_against_every_permutation(shape: tuple[int, int]) -> None:
    rows, columns = shape
    for seed in range(5):
        similarity = np.random.default_rng(seed).uniform(-1, 1, shape)
        found = measures.assign(similarity)
        taken = [c for c in found if c is not None]
        assert len(taken) == len(set(taken)) == min(shape)
        width = max(shape)
        padded = np.zeros((width, width))
        padded[:rows, :columns] = similarity
        oracle = max(sum(padded[r, p[r]] for r in range(width)) for p in itertools.permutations(range(width)))
        assert sum(similarity[r, c] for r, c in enumerate(found) if c is not None) == pytest.approx(oracle)


def test_pictures_of_several_widths() -> None:
    scenes = [scene_of(names, n) for n, names in enumerate([["rex"], ["rex", "ida", "bob", "mia"], ["eva"]])]
    seen = measures.observe([scene.image for scene in scenes], TruthDetector(*scenes), ColourEmbedder())
    assert [[i.class_word for i in one] for one in seen] == [["man"], ["man", "woman", "man", "woman"], ["woman"]]


def boxed(*boxes: tuple[int, int, int, int]) -> tuple[Instance, ...]:
    made = []
    for x0, y0, x1, y1 in boxes:
        mask = np.zeros((40, 60), bool)
        mask[y0:y1, x0:x1] = True
        made.append(Instance("man", mask, np.array([1.0])))
    return tuple(made)


def test_layout_agreement_is_counted_by_hand() -> None:
    layout = boxed((0, 0, 10, 20), (30, 0, 40, 20))
    assert measures.layout_agreement(layout, layout) == 1.0
    assert measures.layout_agreement(layout[::-1], layout) == 1.0
    assert measures.layout_agreement(layout[:1], layout) == 0.5
    nested = boxed((0, 0, 10, 20), (0, 0, 10, 10))
    assert measures.layout_agreement(nested[:1], nested) == 0.5  # one instance can't take two places
    moved = boxed((5, 0, 15, 20), (30, 0, 40, 20))  # 5 of 15 columns in common
    assert measures.layout_agreement(moved, layout) == pytest.approx((1 / 3 + 1) / 2)
    assert measures.layout_agreement((*layout, *boxed((50, 0, 60, 20))), layout) == 1.0


def test_occlusion_agrees_with_the_truth() -> None:
    rng = random.Random(3)
    true, told = [], []
    for seed in range(150):
        scene = scene_of(rng.sample(list(CAST), rng.choice((2, 2, 3))), seed)
        true.extend(instance.occlusion for instance in scene.instances)
        told.extend(
            measures.occlusions([Instance(i.identity.class_word, i.visible, np.array([1.0])) for i in scene.instances])
        )
    true, told = np.array(true), np.array(told)
    assert np.corrcoef(true, told)[0, 1] > 0.85
    assert np.mean((true > measures.OCCLUDED) == (told > measures.OCCLUDED)) > 0.92


def errors(image: np.ndarray, scene: Scene, names: Sequence[str]) -> list[float]:
    ground = lighting.scene_gain(image, [i.visible for i in scene.instances], scene.place)
    people = [lighting.person_gain(image, i.visible, n) for i, n in zip(scene.instances, names, strict=True)]
    return [lighting.tint_error(person, ground) for person in people]


@pytest.mark.parametrize("light", list(LIGHTS))
@pytest.mark.parametrize("place", list(PLACES))
def test_lights_are_found(light: str, place: str) -> None:
    """The gains found are the tint the scene was drawn with."""
    rng = random.Random(f"{light} {place}")
    for seed in range(3):
        names = rng.sample(list(CAST), rng.choice((1, 2, 3)))
        scene = scene_of(names, seed, light, place)
        ground = lighting.scene_gain(scene.image, [i.visible for i in scene.instances], place)
        np.testing.assert_allclose(ground, scene.tint, rtol=0.03)
        for instance, name in zip(scene.instances, names, strict=True):
            np.testing.assert_allclose(lighting.person_gain(scene.image, instance.visible, name), scene.tint, rtol=0.05)
        assert max(errors(scene.image, scene, names)) < 0.02


@pytest.mark.parametrize("name", PEOPLE_NAMES)
def test_a_person_in_the_wrong_light_stands_out_by_as_much_as_it_was_changed(name: str) -> None:
    other = "ida" if name != "ida" else "rex"
    for light in ("sunset", "night"):
        scene = scene_of([name, other], 4, light)
        mask = scene.instances[0].visible
        image = scene.image.astype(np.float64)
        image[mask] = (image[mask] / scene.tint).clip(0, 255)  # the daylight person, pasted in
        wrong, right = errors(image.round().astype(np.uint8), scene, [name, other])
        assert wrong == pytest.approx(float(np.abs(np.log(scene.tint)).mean()), rel=0.1)
        assert right < 0.02
        image[mask] *= np.array(scene.tint) * 1.1
        slight, _ = errors(image.round().clip(0, 255).astype(np.uint8), scene, [name, other])
        assert slight == pytest.approx(np.log(1.1), rel=0.25)


def test_lights_are_found_in_soft_noisy_pictures() -> None:
    """What an autoencoder does to a picture costs some hundredths, far less than a wrong light."""
    found = []
    for seed, light in enumerate([*LIGHTS] * 4):
        names = random.Random(seed).sample(PEOPLE_NAMES, 2)
        scene = scene_of(names, seed, light)
        soft = np.asarray(Image.fromarray(scene.image).filter(ImageFilter.GaussianBlur(1.2)), np.float64)
        noisy = soft + np.random.default_rng(seed).normal(0, 5, soft.shape)
        found.extend(errors(noisy.clip(0, 255).astype(np.uint8), scene, names))
    assert max(found) < 0.06


def test_too_few_pixels_tell_nothing() -> None:
    image, mask = np.full((20, 20, 3), 90, np.uint8), np.zeros((20, 20), bool)
    mask[:5, :5] = True
    assert lighting.person_gain(image, mask, "rex") is None
    assert lighting.scene_gain(image, [np.ones((20, 20), bool)], "park") is None
    assert np.isnan(lighting.tint_error(None, np.ones(3)))
