"""The picture for people: as large as the layout, tinted where the masks are. Never square."""

from __future__ import annotations

import numpy as np
import pytest

from lib_omg.vision.overlay import COLOURS, masks_over, to_image

HEIGHT, WIDTH = 96, 160


def half_grey() -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)


def test_to_image_keeps_rows_and_columns_and_clips():
    picture = np.zeros((2, 3, 3), np.float32)
    picture[0, 2] = (2.0, -1.0, 0.5)
    image = to_image(picture)
    assert image.size == (3, 2)
    assert image.getpixel((2, 0)) == pytest.approx((255, 0, 127.5), abs=1)
    assert image.getpixel((0, 1)) == (0, 0, 0)


def test_masks_tint_their_own_place():
    masks = np.zeros((2, HEIGHT // 8, WIDTH // 8), np.float32)
    masks[0, :, :6] = 1
    masks[1, :, 14:] = 1
    picture = half_grey()
    image = masks_over(picture, masks, ["", ""])
    assert image.size == (WIDTH, HEIGHT)
    assert np.array_equal(picture, half_grey())
    for place, colour in (((20, 10), COLOURS[0]), ((140, 10), COLOURS[1])):
        expected = [0.55 * 0.5 * 0.75 * 255 + 0.45 * part for part in colour]
        assert image.getpixel(place) == pytest.approx(expected, abs=2)
    assert image.getpixel((80, 10)) == pytest.approx((96, 96, 96), abs=1)


def test_edges_are_drawn_and_names_written_in_the_middle():
    masks = np.zeros((1, 12, 20), np.float32)
    masks[0, 3:9, 4:16] = 1
    image = masks_over(half_grey(), masks, ["man"])
    pixels = np.asarray(image).astype(int)
    edge = (np.abs(pixels - np.array(COLOURS[0])).max(2) <= 1).nonzero()
    assert abs(int(edge[0].min()) - 24) <= 2
    assert abs(int(edge[0].max()) - 71) <= 2
    assert abs(int(edge[1].min()) - 32) <= 2
    assert abs(int(edge[1].max()) - 127) <= 2
    white = (pixels.min(2) == 255).nonzero()
    assert len(white[0]) > 10
    assert float(white[0].mean()) == pytest.approx(HEIGHT / 2, abs=6)
    assert float(white[1].mean()) == pytest.approx(WIDTH / 2, abs=6)


def test_an_empty_mask_leaves_the_picture_bare():
    image = masks_over(half_grey(), np.zeros((1, 12, 20), np.float32), ["man"])
    assert np.unique(np.asarray(image)).tolist() in ([95], [96])


def test_there_are_colours_for_many_concepts():
    count = len(COLOURS) + 2
    masks = np.zeros((count, 12, 20), np.float32)
    for number in range(count):
        masks[number, :, 2 * number] = 1
    assert masks_over(half_grey(), masks, [str(n) for n in range(count)]).size == (WIDTH, HEIGHT)


def test_as_many_names_as_masks():
    with pytest.raises(ValueError, match="zip"):
        masks_over(half_grey(), np.ones((2, 12, 20), np.float32), ["man"])
