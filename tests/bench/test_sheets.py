"""Sheets: every picture in its place, whole; numbers and colours of the matrix."""

from __future__ import annotations

import numpy as np
import pytest

from bench import sheets
from bench.sheets import GAP_PX, SCALE, TEXT_PX, SheetRow, Shown


def plain(colour: tuple[int, int, int], width: int = 32, height: int = 24) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def test_every_picture_is_where_it_belongs() -> None:
    rng = np.random.default_rng(0)
    small = [rng.integers(0, 255, (24, 32, 3), np.uint8) for _ in range(3)]
    wide = rng.integers(0, 255, (24, 64, 3), np.uint8)
    rows = [
        SheetRow("first", (Shown(small[0], "a"), Shown(small[1], "b"))),
        SheetRow("second", (Shown(wide, "c"), None)),
        SheetRow("third", (None, Shown(small[2]))),
    ]
    sheet = np.asarray(sheets.contact_sheet(("one", "two"), rows))
    second = GAP_PX + 64 * SCALE + GAP_PX  # as wide as the widest of its column
    row_height = 2 * TEXT_PX + 24 * SCALE + GAP_PX
    assert sheet.shape == (TEXT_PX + 3 * row_height, second + 32 * SCALE + GAP_PX, 3)
    for row, left, image in ((0, GAP_PX, small[0]), (0, second, small[1]), (1, GAP_PX, wide), (2, second, small[2])):
        top = TEXT_PX + row * row_height + TEXT_PX
        shown = sheet[top : top + image.shape[0] * SCALE, left : left + image.shape[1] * SCALE]
        np.testing.assert_array_equal(shown[::SCALE, ::SCALE], image)
        np.testing.assert_array_equal(shown[1::SCALE, 1::SCALE], image)
    top = TEXT_PX + row_height + TEXT_PX
    assert (sheet[top : top + 24 * SCALE, second : second + 32 * SCALE] == sheets.BACKGROUND).all()


def test_captions_are_written_and_stay_in_their_field() -> None:
    """A caption far too long neither vanishes nor reaches its neighbour."""
    images = (Shown(plain((9, 9, 9)), "rex 0.91 " * 20), Shown(plain((9, 9, 9))))
    sheet = np.asarray(sheets.contact_sheet(("column " * 20, ""), [SheetRow("", images)]))
    below = sheet[2 * TEXT_PX + 24 * SCALE : 3 * TEXT_PX + 24 * SCALE]
    above = sheet[:TEXT_PX]
    end = GAP_PX + 32 * SCALE
    for band in (below, above):
        assert (band[:, GAP_PX:end] != sheets.BACKGROUND).any()
        assert (band[:, end:] == sheets.BACKGROUND).all()


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 2 pictures"):
        sheets.contact_sheet(("one", "two"), [SheetRow("row", (Shown(plain((0, 0, 0))),))])
    with pytest.raises(ValueError, match="found none"):
        sheets.contact_sheet(("one",), [SheetRow("row", (None,))])
    with pytest.raises(ValueError, match="2 x 3"):
        sheets.matrix_picture(np.zeros((3, 2)), ("a", "b"), ("a", "b", "c"), "title")


def test_the_matrix_shows_each_number_in_its_cell() -> None:
    matrix = np.array([[1.0, 0.25], [float("nan"), -0.5], [0.6, 0.0]])
    picture = np.asarray(sheets.matrix_picture(matrix, ("rex", "ida", "bob"), ("rex", "ida"), "mixing"))
    for row in range(3):
        for column in range(2):
            left, top = sheets.LABEL_PX + column * sheets.CELL_PX, 2 * TEXT_PX + row * sheets.CELL_PX
            cell = picture[top : top + sheets.CELL_PX - 2, left : left + sheets.CELL_PX - 2]
            if np.isnan(matrix[row, column]):
                assert (cell == sheets.BACKGROUND).all()
            else:
                assert tuple(cell[1, 1]) == sheets.heat(float(matrix[row, column]))
                assert (cell[4:-4] != sheets.heat(float(matrix[row, column]))).any()


def test_heat_grows_with_the_value_and_stops_at_the_ends() -> None:
    reds = [sheets.heat(value)[0] for value in (0.0, 0.3, 0.6, 1.0)]
    assert reds == sorted(set(reds))
    assert sheets.heat(-0.4) == sheets.heat(0.0) == sheets.COLD
    assert sheets.heat(1.0) == sheets.WARM


def test_joined_pictures_keep_their_pixels() -> None:
    from PIL import Image

    parts = [Image.fromarray(plain((200, 0, 0), 10, 8)), Image.fromarray(plain((0, 200, 0), 6, 12))]
    joined = np.asarray(sheets.join(parts))
    assert joined.shape == (12, 10 + GAP_PX + 6, 3)
    assert (joined[:8, :10] == (200, 0, 0)).all()
    assert (joined[:, 10 + GAP_PX :] == (0, 200, 0)).all()
