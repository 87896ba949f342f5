"""Cuts individuals out of pictures, for the embedder and its training; no torch, for the workers."""

from __future__ import annotations

import numpy as np
from PIL import Image

from toyworld.masks import pixel_box

CROP_SIZE = (80, 64)
"""Height and width of a crop, in pixels: people are taller than wide."""
MARGIN_FRACTION = 0.04
GREY = 127


def crop(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Cut out whoever a mask shows, on grey, so that neither size, position nor surroundings tell.

    Args:
        image: uint8 RGB (H, W, 3).
        mask: bool (H, W).

    Returns:
        uint8 (80, 64, 4): the masked pixels in the middle, as large as fits, on grey; then the mask.

    Raises:
        ValueError: the mask is empty or of another size.
    """
    if mask.shape != image.shape[:2] or not mask.any():
        raise ValueError(f"expected a mask of {image.shape[:2]} that shows something, found {mask.shape}")
    y0, y1, x0, x1 = _box(mask)
    height, width = y1 - y0, x1 - x0
    ratio = CROP_SIZE[1] / CROP_SIZE[0]
    frame_height = round(max(height, width / ratio) * (1 + 2 * MARGIN_FRACTION))
    frame_width = max(width, round(frame_height * ratio))
    top, left = (frame_height - height) // 2, (frame_width - width) // 2
    inside = mask[y0:y1, x0:x1]
    colours = np.full((frame_height, frame_width, 3), GREY, np.uint8)
    shown = np.zeros((frame_height, frame_width), np.uint8)
    colours[top : top + height, left : left + width][inside] = image[y0:y1, x0:x1][inside]
    shown[top : top + height, left : left + width][inside] = 255
    size = (CROP_SIZE[1], CROP_SIZE[0])
    # Apart: Pillow would weigh the colours of RGBA by their alpha
    parts = [Image.fromarray(part).resize(size, Image.Resampling.BILINEAR) for part in (colours, shown)]
    return np.dstack([np.asarray(part) for part in parts])


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(y0, y1, x0, x1) of a mask, ends excluded; stray pixels and hairlines do not widen it."""
    core = eroded(mask)
    grown = 1 if core.any() else 0
    x0, y0, x1, y1 = pixel_box(core if core.any() else mask)
    height, width = mask.shape
    return max(0, y0 - grown), min(height, y1 + grown), max(0, x0 - grown), min(width, x1 + grown)


def eroded(mask: np.ndarray) -> np.ndarray:
    """Mask bool (H, W) without the pixels that have a neighbour outside it; the picture's edge is no outside."""
    m = np.pad(mask, 1, mode="edge")
    return m[1:-1, 1:-1] & m[:-2, 1:-1] & m[2:, 1:-1] & m[1:-1, :-2] & m[1:-1, 2:]


def dilated(mask: np.ndarray) -> np.ndarray:
    """Mask bool (H, W) with the pixels that have a neighbour in it."""
    return ~eroded(~mask)
