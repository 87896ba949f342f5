"""What masks have to say for themselves."""

from __future__ import annotations

import numpy as np


def pixel_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Box around a bool mask (H, W) that isn't empty: (x0, y0, x1, y1) in pixels, ends excluded."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
