"""Sheets of pictures; draws that of the world's page: `python -m toyworld.sheet`, whose last row is the cast."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from toyworld.identity import CAST
from toyworld.scene import HEIGHT_PX, draw_scene

WIDTH_PX = HEIGHT_PX * len(CAST)
ROWS = 4
PICTURE = Path(__file__).resolve().parent / "pictures" / "world.png"


def main() -> int:
    """Write the picture."""
    rng = random.Random(0)
    rows = [_random_row(rng) for _ in range(ROWS)]
    rows.append(np.concatenate([draw_scene(rng, [m.identity], width_px=HEIGHT_PX).image for m in CAST.values()], 1))
    Image.fromarray(np.concatenate(rows)).save(PICTURE)
    return 0


def save_sheet(images: Sequence[np.ndarray], path: Path, columns: int = 8) -> None:
    """Write pictures uint8 (H, W, 3) of one size in rows, all full."""
    rows = [np.concatenate(images[i : i + columns], 1) for i in range(0, len(images), columns)]
    Image.fromarray(np.concatenate(rows)).save(path)


def _random_row(rng: random.Random) -> np.ndarray:
    """Scenes side by side; the last that doesn't fit is drawn again."""
    images: list[np.ndarray] = []
    left = WIDTH_PX
    while left:
        image = draw_scene(rng).image
        if image.shape[1] <= left and left - image.shape[1] not in range(1, HEIGHT_PX):
            images.append(image)
            left -= image.shape[1]
    return np.concatenate(images, 1)


if __name__ == "__main__":
    sys.exit(main())
