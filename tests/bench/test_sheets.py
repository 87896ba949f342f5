"""Sheets: every picture in its place, whole; numbers and colours of the matrix."""

from __future__ import annotations

import numpy as np
import pytest

from bench import sheets
from bench.sheets import GAP_PX, SCALE, TEXT_PX, SheetRow, Shown


def plain(colour: tuple[int, int, int], width: int = 32, height: int = 24) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def test_every_picture_is_where_it_belongs() -> None:
    """And a wide one is shown smaller, so that its column is no wider than the others."""
    rng = np.random.default_rng(0)
    small = [rng.integers(0, 255, (24, 32, 3), np.uint8) for _ in range(3)]
    wide = rng.integers(0, 255, (24, 64, 3), np.uint8)
    rows = [
        SheetRow("first", (Shown(small[0], "a"), Shown(small[1], "b"))),
        SheetRow("second", (Shown(wide, "c"), None)),
        SheetRow("third", (None, Shown(small[2]))),
    ]
    sheet = np.asarray(sheets.contact_sheet(("one", "two"), rows))
    second = GAP_PX + 32 * SCALE + GAP_PX
    tops = [TEXT_PX + TEXT_PX]
    tops.append(tops[-1] + 24 * SCALE + TEXT_PX + GAP_PX + TEXT_PX)
    tops.append(tops[-1] + 24 + TEXT_PX + GAP_PX + TEXT_PX)
    assert sheet.shape == (tops[-1] + 24 * SCALE + TEXT_PX + GAP_PX, second + 32 * SCALE + GAP_PX, 3)
    for row, left, image, scale in (
        (0, GAP_PX, small[0], SCALE),
        (0, second, small[1], SCALE),
        (1, GAP_PX, wide, 1),
        (2, second, small[2], SCALE),
    ):
        shown = sheet[tops[row] : tops[row] + image.shape[0] * scale, left : left + image.shape[1] * scale]
        np.testing.assert_array_equal(shown, image.repeat(scale, 0).repeat(scale, 1))
    assert (sheet[tops[1] : tops[1] + 24, second : second + 32 * SCALE] == sheets.BACKGROUND).all()


def test_captions_are_written_and_stay_in_their_field() -> None:
    """A caption far too long goes on in further lines, a word far too long is cut: neither reaches a neighbour."""
    for caption, lines in (("rex 0.91 " * 20, range(5, 41)), ("rex" * 40, [1])):
        images = (Shown(plain((9, 9, 9)), caption), Shown(plain((9, 9, 9))))
        sheet = np.asarray(sheets.contact_sheet(("column" * 20, ""), [SheetRow("", images)]))
        below = sheet[2 * TEXT_PX + 24 * SCALE : -GAP_PX]
        above = sheet[:TEXT_PX]
        end = GAP_PX + 32 * SCALE
        for band in (below, above):
            assert (band[:, end:] == sheets.BACKGROUND).all()
        assert (above[:, GAP_PX:end] != sheets.BACKGROUND).any()
        written = [(below[top : top + TEXT_PX] != sheets.BACKGROUND).any() for top in range(0, len(below), TEXT_PX)]
        assert all(written)
        assert len(written) in lines


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
