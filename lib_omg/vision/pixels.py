"""The border between our pictures, (3, H, W) tensors in 0..1, and what SAM and detectors look at: uint8 (H, W, 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_PX = 8
"""A shorter side shows nobody; after a large picture was made smaller, too."""

SLACK = 0.01
"""How far values may leave 0..1, as rounding makes them."""


def checked(picture: Any) -> torch.Tensor:
    """The picture if it is one.

    Args:
        picture: (3, H, W) in 0..1.

    Raises:
        ValueError: it is of another type or shape, tiny, not finite, or of another range.
    """
    if not isinstance(picture, torch.Tensor) or picture.ndim != 3 or picture.shape[0] != 3:
        found = tuple(picture.shape) if hasattr(picture, "shape") else type(picture).__name__
        raise ValueError(f"picture: expected a tensor (3, height, width), found {found}")
    height, width = picture.shape[1:]
    if min(height, width) < LEAST_PX:
        raise ValueError(f"picture: expected sides of {LEAST_PX} px or more, found height {height}, width {width}")
    if not picture.is_floating_point():
        raise ValueError(f"picture: expected floating point values in 0..1, found {picture.dtype}")
    low, high = (float(value) for value in picture.float().aminmax())  # NaN if there is any
    if not (low >= -SLACK and high <= 1 + SLACK):
        raise ValueError(f"picture: expected values in 0..1, found {low:g} to {high:g}")
    return picture


def size_within(height: int, width: int, longest_px: int) -> tuple[int, int]:
    """(height, width) of a picture made small enough; a small one keeps its size."""
    scale = min(1.0, longest_px / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def to_bytes(picture: torch.Tensor, longest_px: int) -> NDArray[np.uint8]:
    """A picture as uint8 (h, w, 3), no side longer than `longest_px`.

    Args:
        picture: (3, H, W) in 0..1.

    Raises:
        ValueError: not a picture (see `checked`), or so narrow that nothing is left of its short side.
    """
    height, width = checked(picture).shape[1:]
    size = size_within(height, width, longest_px)
    if min(size) < LEAST_PX:
        raise ValueError(f"picture: expected sides less unequal than height {height} and width {width}")
    pixels = picture.detach().float()
    if size != (height, width):
        pixels = functional.interpolate(pixels[None], size, mode="area")[0]
    made = (pixels.clamp(0, 1) * 255).round().byte()
    array: NDArray[np.uint8] = made.permute(1, 2, 0).contiguous().cpu().numpy()  # (3, H, W) -> (H, W, 3)
    return array
