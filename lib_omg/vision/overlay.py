"""Pictures for people: masks drawn over the layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

COLOURS = ((230, 60, 60), (60, 130, 240), (60, 190, 90), (240, 180, 40), (170, 90, 220))
"""One for each concept, in order."""


def to_image(picture: NDArray[np.floating[Any]]) -> Image.Image:
    """A PIL picture of floats (H, W, 3) in 0..1."""
    from PIL import Image

    return Image.fromarray((picture.clip(0, 1) * 255).astype(np.uint8))


def masks_over(picture: NDArray[Any], masks: NDArray[Any], labels: Sequence[str]) -> Image.Image:
    """The layout with every concept's mask tinted, its edge drawn and its name written.

    Args:
        picture: (H, W, 3) in 0..1. masks: (N, h, w) in 0..1 at latent size. labels: N names.
    """
    from PIL import Image, ImageDraw

    height, width = picture.shape[:2]
    out: NDArray[Any] = picture.astype(np.float32) * 0.75
    names = []
    for number, (mask, label) in enumerate(zip(masks, labels, strict=True)):
        colour = np.array(COLOURS[number % len(COLOURS)], np.float32) / 255
        scaled = Image.fromarray((mask * 255).astype(np.uint8)).resize((width, height), Image.BILINEAR)
        soft = np.asarray(scaled, np.float32)[..., None] / 255
        out = out * (1 - 0.45 * soft) + colour * 0.45 * soft
        inside = soft[..., 0] > 0.5
        out[inside ^ _shrunk(inside)] = colour
        if inside.any():
            names.append((np.argwhere(inside).mean(0), colour, f"{number + 1} {label}"))
    image = to_image(out)
    draw = ImageDraw.Draw(image)
    for (row, column), colour, text in names:
        left, top, right, bottom = draw.textbbox((0, 0), text)
        at = (column - (right - left) / 2, row - (bottom - top) / 2)
        box = (at[0] - 2, at[1] - 1, at[0] + right - left + 2, at[1] + bottom + 1)
        draw.rectangle(box, fill=tuple(int(c * 160) for c in colour))
        draw.text(at, text, fill=(255, 255, 255))
    return image


def _shrunk(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(inside, 1, mode="edge")
    return inside & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
