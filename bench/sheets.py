"""Pictures that a person can judge: contact sheets and the mixing matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    import numpy as np

Colour = tuple[int, int, int]

SCALE = 2
BACKGROUND: Colour = (24, 24, 24)
INK: Colour = (235, 235, 235)
FAINT: Colour = (150, 150, 150)
GAP_PX = 6
TEXT_PX = 16
CELL_PX = 46
LABEL_PX = 60
COLD: Colour = (33, 44, 82)
WARM: Colour = (252, 196, 82)
_TEXT_DROP_PX = 2


@dataclass(frozen=True)
class Shown:
    """One picture of a sheet: uint8 (H, W, 3), and what stands below it."""

    image: np.ndarray
    caption: str = ""


@dataclass(frozen=True)
class SheetRow:
    """One row of a sheet: what stands above it, and a picture for each column, None for none."""

    title: str
    pictures: tuple[Shown | None, ...]


def contact_sheet(columns: Sequence[str], rows: Sequence[SheetRow]) -> Image.Image:
    """Rows of cases, columns of methods; `SCALE` times as large as drawn, wide pictures less, to fit the columns.

    Args:
        columns: what stands above each column.
        rows: with as many pictures each as there are columns.

    Returns:
        The sheet.

    Raises:
        ValueError: a row of another length, or nothing to show.
    """
    for row in rows:
        if len(row.pictures) != len(columns):
            raise ValueError(f"expected {len(columns)} pictures in the row {row.title!r}, found {len(row.pictures)}")
    widths = [picture.image.shape[1] for row in rows for picture in row.pictures if picture]
    if not widths:
        raise ValueError("expected pictures to show, found none")
    narrow = min(widths) * SCALE
    cells = [[_cell(picture, max(1, narrow // picture.image.shape[1])) if picture else None for picture in row.pictures]
             for row in rows]  # fmt: skip
    lefts = [GAP_PX]
    for column in zip(*cells, strict=True):
        lefts.append(lefts[-1] + max((cell.width for cell in column if cell), default=0) + GAP_PX)
    tops = [TEXT_PX]
    for line in cells:
        tops.append(tops[-1] + TEXT_PX + max((cell.height for cell in line if cell), default=0) + GAP_PX)
    sheet = Image.new("RGB", (lefts[-1], tops[-1]), BACKGROUND)
    for n, title in enumerate(columns):
        _write(sheet, (lefts[n], 0), title, lefts[n + 1] - GAP_PX - lefts[n])
    for row, line, top in zip(rows, cells, tops, strict=False):
        _write(sheet, (lefts[0], top), row.title, sheet.width - lefts[0], FAINT)
        for left, cell in zip(lefts, line, strict=False):
            if cell:
                sheet.paste(cell, (left, top + TEXT_PX))
    return sheet


def _cell(picture: Shown, scale: int) -> Image.Image:
    """A picture and its caption below it, in as many lines as that needs."""
    width, height = picture.image.shape[1] * scale, picture.image.shape[0] * scale
    lines = _lines(picture.caption, width)
    cell = Image.new("RGB", (width, height + TEXT_PX * max(len(lines), 1)), BACKGROUND)
    # Nearest: what the model drew, no pixel smoothed.
    cell.paste(Image.fromarray(picture.image).resize((width, height), Image.Resampling.NEAREST))
    for n, line in enumerate(lines):
        _write(cell, (0, height + n * TEXT_PX), line, width)
    return cell


def _lines(text: str, width: int) -> list[str]:
    """Text broken between words into lines of at most so many pixels; a word too long has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _font().getlength(longer) <= width - 1:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def join(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures side by side, their tops on one line."""
    width = sum(picture.width for picture in pictures) + GAP_PX * (len(pictures) - 1)
    joined = Image.new("RGB", (width, max(picture.height for picture in pictures)), BACKGROUND)
    left = 0
    for picture in pictures:
        joined.paste(picture, (left, 0))
        left += picture.width + GAP_PX
    return joined


def matrix_picture(matrix: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str) -> Image.Image:
    """A matrix of cosines as coloured cells with their numbers; NaN stays empty.

    Args:
        matrix: (rows, columns); -1..1, shown from 0 to 1.
        rows, columns: their names.
        title: what stands above.

    Returns:
        The picture.
    """
    if matrix.shape != (len(rows), len(columns)):
        raise ValueError(f"expected a matrix of {len(rows)} x {len(columns)}, found {matrix.shape}")
    top = 2 * TEXT_PX
    size = (LABEL_PX + CELL_PX * len(columns) + GAP_PX, top + CELL_PX * len(rows) + GAP_PX)
    picture = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(picture)
    _write(picture, (GAP_PX, 0), title, size[0] - GAP_PX)
    for column, name in enumerate(columns):
        _write(picture, (LABEL_PX + column * CELL_PX, TEXT_PX), name, CELL_PX, FAINT)
    for row, name in enumerate(rows):
        _write(picture, (GAP_PX, top + row * CELL_PX + CELL_PX // 3), name, LABEL_PX - GAP_PX, FAINT)
        for column in range(len(columns)):
            value = float(matrix[row, column])
            if not math.isnan(value):
                corner = (LABEL_PX + column * CELL_PX, top + row * CELL_PX)
                colour = heat(value)
                draw.rectangle([*corner, corner[0] + CELL_PX - 2, corner[1] + CELL_PX - 2], fill=colour)
                ink = BACKGROUND if sum(colour) > 380 else INK
                draw.text((corner[0] + 9, corner[1] + CELL_PX // 3), f"{value:.2f}", fill=ink, font=_font())
    return picture


def heat(value: float) -> Colour:
    """Colour of a cosine, from `COLD` at 0 to `WARM` at 1."""
    share = min(max(value, 0.0), 1.0)
    red, green, blue = (round(cold + (warm - cold) * share) for cold, warm in zip(COLD, WARM, strict=True))
    return red, green, blue


def _write(sheet: Image.Image, corner: tuple[int, int], text: str, width: int, ink: Colour = INK) -> None:
    """Write a line into its field; what is too long is cut, so that it never runs into a neighbour."""
    if text and width > 0:
        field = Image.new("RGB", (width, TEXT_PX), BACKGROUND)
        ImageDraw.Draw(field).text((1, _TEXT_DROP_PX), text, fill=ink, font=_font())
        sheet.paste(field, corner)


def _font() -> ImageFont.ImageFont:
    return ImageFont.load_default()
