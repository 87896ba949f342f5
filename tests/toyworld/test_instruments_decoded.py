"""The instruments' decoded pictures: where they come from, whose truth they carry, what share of a batch they are."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from toyworld.instruments import data
from toyworld.instruments.ahead import Ahead
from toyworld.instruments.data import (
    DECODED_FAMILIES,
    DETECTOR_PIXELS,
    FAMILIES,
    SHOWINGS,
    VIEWS,
    SceneBatch,
    attribute_values,
    scene_batch,
    scene_truth,
    view_batch,
)
from toyworld.instruments.decoded import (
    MOST_STRAIN,
    POOL_FILE,
    TROUPE_SCENES,
    VAE_FILE,
    Pool,
    decoded_pool,
    drawn_scene,
    troupe_of,
)
from toyworld.instruments.evaluate import halved, judged_apart
from toyworld.instruments.measures import accuracy_at, verification
from toyworld.scene import WIDTHS_PX
from toyworld.train import unet

GREEN = (0, 255, 0)
"""Nobody and no place is of it, however worn."""


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Green pictures, to be told from drawn ones."""
    pictures = [np.zeros_like(drawn_scene(number).image) for number in range(20 * TROUPE_SCENES)]
    for picture in pictures:
        picture[:] = GREEN
    return Pool(pictures)


def is_green(pixels: np.ndarray) -> bool:
    red, green, blue = pixels.reshape(-1, 3).mean(0)
    return bool(red < 20 and green > 220 and blue < 20)


def test_everyone_of_a_troupe_plays_as_often_and_never_beside_its_sibling() -> None:
    for number in range(40):
        troupe = troupe_of(number)
        assert len(troupe.casts) == TROUPE_SCENES
        assert Counter(member for cast in troupe.casts for member in cast) == dict.fromkeys(
            range(len(troupe.identities)), SHOWINGS
        )
        for cast in troupe.casts:
            assert sorted(member // 2 for member in cast) == list(range(len(troupe.identities) // 2))
        for first, second in zip(troupe.identities[::2], troupe.identities[1::2], strict=True):
            assert first.class_word == second.class_word
            assert first != second


def test_scenes_carry_the_truth_of_their_cast_and_the_pools_picture(pool: Pool) -> None:
    for number in range(5):
        identities, scenes = pool.shows(number)
        for place, (cast, scene) in enumerate(scenes):
            drawn = drawn_scene(TROUPE_SCENES * number + place)
            assert [instance.identity for instance in scene.instances] == [identities[member] for member in cast]
            assert np.array_equal(scene.instances[0].visible, drawn.instances[0].visible)
            assert scene.image is pool.pictures[TROUPE_SCENES * number + place]
            assert scene.image.shape == drawn.image.shape
    widths = {width for choice in WIDTHS_PX.values() for width in choice}
    assert sorted(number for width in widths for number in pool.of_width(width)) == list(range(len(pool.pictures)))


def test_half_of_the_detectors_pictures_are_decoded_with_their_truth(pool: Pool) -> None:
    green, total = 0, 0
    for step in range(12):
        batch = scene_batch(0, step, pool)
        width = batch.images.shape[2]
        truths = [scene_truth(pool.scene(number)) for number in pool.of_width(width)]
        assert len(batch.images) == DETECTOR_PIXELS // (128 * width)
        for image, semantic, offsets in zip(batch.images, batch.semantic, batch.offsets, strict=True):
            total += 1
            found = [t for t in truths if np.array_equal(t[0], semantic) and np.array_equal(t[2], offsets)]
            assert bool(found) == is_green(image)
            green += bool(found)
    assert 0.35 < green / total < 0.65


def test_a_pool_without_a_width_leaves_its_scenes_drawn() -> None:
    alone = scene_batch(0, 3)
    assert np.array_equal(scene_batch(0, 3, Pool([])).images, alone.images)
    assert len(view_batch(0, 3, Pool([])).crops) == 2 * FAMILIES * VIEWS


def test_the_embedder_sees_the_same_individuals_drawn_and_decoded(pool: Pool) -> None:
    batch, again = view_batch(0, 5, pool), view_batch(0, 5, pool)
    assert np.array_equal(batch.crops, again.crops)
    assert Counter(batch.who.tolist()) == dict.fromkeys(range(2 * FAMILIES), VIEWS)

    decoded = [is_green(crop[crop[..., 3] == 255][:, :3]) for crop in batch.crops]

    times = Counter(int(who) for who, green in zip(batch.who, decoded, strict=True) if green)
    assert times == dict.fromkeys(range(2 * DECODED_FAMILIES), SHOWINGS)
    known = {tuple(attribute_values(member)) for n in range(pool.troupes) for member in troupe_of(n).identities}
    for who, values in zip(batch.who, batch.attributes.tolist(), strict=True):
        assert who >= 2 * DECODED_FAMILIES or tuple(values) in known


def test_a_decoded_view_is_cut_out_by_its_own_mask(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With drawn pictures in the pool and no wear, every decoded view is that of whom it is said to be."""
    kept = Pool([drawn_scene(number).image for number in range(len(pool.pictures))])
    monkeypatch.setattr(data, "wear", lambda _rng, image: image)
    monkeypatch.setattr(data, "wear_mask", lambda _rng, mask: mask)
    crops = {}
    for number in range(kept.troupes):
        identities, scenes = kept.shows(number)
        for cast, scene in scenes:
            for member, instance in zip(cast, scene.instances, strict=True):
                view = data.crop(scene.image, instance.visible)
                crops[view.tobytes()] = tuple(attribute_values(identities[member]))

    batch = view_batch(0, 5, kept)

    found = [
        crops.get(crop.tobytes()) == tuple(values)
        for crop, who, values in zip(batch.crops, batch.who, batch.attributes.tolist(), strict=True)
        if who < 2 * DECODED_FAMILIES
    ]
    assert sum(found) == 2 * DECODED_FAMILIES * SHOWINGS


class Unsendable:
    """Refuses to be pickled, as too large a pool should."""

    def __reduce__(self) -> str:
        raise AssertionError("sent instead of shared")

    def count(self, step: int) -> int:
        return 10 * step


def shared(held: Unsendable, step: int) -> int:
    return held.count(step)


def test_what_makes_batches_is_shared_with_the_workers_not_sent() -> None:
    with Ahead(partial(shared, Unsendable()), steps=3, workers=1) as batches:
        assert [batches(step) for step in range(3)] == [0, 10, 20]


class Glass(torch.nn.Module):
    """An autoencoder's stand-in that changes nothing."""

    def encode(self, pixels: torch.Tensor) -> Glass:
        self.pixels = pixels
        return self

    def mode(self) -> torch.Tensor:
        return self.pixels

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        return latent


def test_the_pool_is_made_once_for_an_autoencoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def read_vae(folder: Path) -> Glass:
        made.append(folder)
        return Glass()

    monkeypatch.setattr(unet, "read_vae", read_vae)
    with pytest.raises(FileNotFoundError, match=r"python -m toyworld\.train\.vae"):
        decoded_pool(tmp_path, 10)
    (tmp_path / VAE_FILE).write_bytes(b"one")

    first, second = decoded_pool(tmp_path, 10), decoded_pool(tmp_path, 10)

    assert len(made) == 1
    assert {path.name for path in tmp_path.iterdir()} == {VAE_FILE, POOL_FILE}
    for number, (picture, kept) in enumerate(zip(first.pictures, second.pictures, strict=True)):
        image = drawn_scene(number).image
        assert picture.dtype == kept.dtype == np.uint8
        assert np.array_equal(picture, kept)
        assert picture.shape == image.shape
        # The latents' spread is below 1, so the strain is below 0.15 of 127.5
        assert 0 < np.abs(picture.astype(float) - image).mean() < MOST_STRAIN * 127.5
    assert len(decoded_pool(tmp_path, 9).pictures) == 9
    (tmp_path / VAE_FILE).write_bytes(b"two")
    decoded_pool(tmp_path, 9)
    assert len(made) == 3


def test_a_threshold_is_judged_on_identities_it_was_not_chosen_on() -> None:
    rng = np.random.default_rng(0)
    same, other = rng.normal(0.7, 0.2, 41), rng.normal(0.3, 0.2, 41)
    counted = rng.random(41) < 0.8
    chosen = [index for index in range(0, 41, 2) if counted[index]]
    judged = [index for index in range(1, 41, 2) if counted[index]]
    threshold = verification(same[chosen], other[chosen]).threshold

    found = judged_apart(halved(same, other, counted))

    assert found.threshold == threshold
    assert found.accuracy == accuracy_at(threshold, same[judged], other[judged])
    assert found.equal_error_rate == verification(same[judged], other[judged]).equal_error_rate
    assert judged_apart(halved(same, other)) == judged_apart(halved(same, other, np.ones(41, bool)))


def test_batches_depend_on_seed_step_and_pool_only(pool: Pool) -> None:
    def pictures(batch: SceneBatch) -> bytes:
        return batch.images.tobytes()

    assert pictures(scene_batch(0, 7, pool)) == pictures(scene_batch(0, 7, pool))
    assert pictures(scene_batch(0, 7, pool)) != pictures(scene_batch(1, 7, pool))
    assert pictures(scene_batch(0, 7, pool)) != pictures(scene_batch(0, 7))
