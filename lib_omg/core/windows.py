"""What a concept's rows see of the latent: all of it, a window with the concept in its middle, or a crop around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

MIN_SHARE = 0.5
"""A crop is at least this share of the picture's shorter side, so that the model sees a picture, not a scrap."""

FEWEST_STEPS = 4
"""A picture's shorter side is at least this many of the steps that a crop's sides grow in. So in small pictures a step
is half of the UNet's stride or less; the host makes up for the UNet's rounding, as in any picture of such a size."""


@dataclass(frozen=True)
class Window:
    """A rectangle of latent cells.

    Attributes:
        turn: columns by which rows see its cells to the right of where they are; those that leave on one side come
            in on the other.
    """

    top: int
    left: int
    height: int
    width: int
    turn: int = 0

    def cut(self, x: torch.Tensor) -> torch.Tensor:
        """The window's part of x (..., H, W), as a view."""
        return x[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def show(self, x: torch.Tensor) -> torch.Tensor:
        """What rows see of x (..., H, W): the window's part, turned."""
        return torch.roll(self.cut(x), self.turn, -1)

    def put_back(self, seen: torch.Tensor) -> torch.Tensor:
        """What rows made (..., h, w) of what they saw, turned back to where the window's cells are."""
        return torch.roll(seen, -self.turn, -1)


def whole(height: int, width: int) -> Window:
    """The window that is the whole latent."""
    return Window(0, 0, height, width)


def centred(mask: torch.Tensor, stride: int) -> Window:
    """A window as wide as the picture is high, with the concept in its middle, where its LoRA's pictures had it.

    Somebody at the side is drawn nearer to the middle than the layout has them, and is cut off by the edge of their
    mask where another concept begins. Heights tell near from far, so nobody moves up or down.

    Args:
        mask: (H, W) in 0..1, 0 outside of the concept; an empty mask gives the whole latent.
        stride: the UNet's downscale factor; the window's width is a multiple of it, or the latent's.

    Returns:
        A window that holds the mask; wider, up to the latent's width, where the concept needs it. Where the picture
        ends too near to the concept, what is on the other side of the window comes in (see `Window.turn`).
    """
    height, width = mask.shape
    columns = mask.cpu().double().sum(0)  # exactly: a hair wider would be a stride wider
    taken = torch.nonzero(columns).flatten()
    if len(taken) == 0:
        return whole(height, width)
    middle = float((columns * (torch.arange(width) + 0.5)).sum() / columns.sum())
    reach = 2 * max(middle - int(taken[0]), int(taken[-1]) + 1 - middle)
    left, wide = _fit(middle, middle, width, stride, max(height, reach))
    return Window(0, left, height, wide, round(left + wide / 2 - middle))


def crop_window(mask: torch.Tensor, margin: float, stride: int) -> Window:
    """Window around a mask with a margin; its sides are multiples of the UNet's stride (see `FEWEST_STEPS`).

    Args:
        mask: (H, W), 0 outside of the concept; an empty mask gives the whole latent.
        margin: on every side, as a fraction of the mask's longer side.
        stride: the UNet's downscale factor, a power of 2.
    """
    height, width = mask.shape
    rows = torch.nonzero(mask.amax(1) > 0).flatten()
    columns = torch.nonzero(mask.amax(0) > 0).flatten()
    if len(rows) == 0:
        return whole(height, width)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    step = min(stride, 2 ** int(math.log2(max(1, min(height, width) // FEWEST_STEPS))))
    extra = margin * max(bottom - top, right - left)
    least = MIN_SHARE * min(height, width)
    top, tall = _fit(top - extra, bottom + extra, height, step, least)
    left, wide = _fit(left - extra, right + extra, width, step, least)
    return Window(top, left, tall, wide)


def _fit(start: float, stop: float, cells: int, step: int, least: float) -> tuple[int, int]:
    """(first, length) of a span of whole steps that holds [start, stop) within `cells`."""
    start, stop = max(0.0, start), min(float(cells), stop)
    length = math.ceil(max(stop - start, least) / step) * step
    if length >= cells:
        return 0, cells
    first = round((start + stop) / 2 - length / 2)
    return min(max(first, 0), cells - length), length
