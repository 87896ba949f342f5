"""Masks at latent size: boxes, growth, disjoint ownership by depth, feather.

A mask is a float tensor (H, W) in 0..1; a stack of N concepts' masks is (N, H, W).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional

EMPTY_CELLS = 0.5
"""A mask that owns less than this many cells in all is empty."""
_TINY = 1e-9


def box_mask(box: Sequence[float], height: int, width: int) -> torch.Tensor:
    """Mask of a box; cells partly inside count by their share.

    Args:
        box: (left, top, right, bottom) in fractions.
        height, width: in cells.

    Returns:
        (H, W) float32.
    """
    left, top, right, bottom = box
    rows = _coverage(top * height, bottom * height, height)
    columns = _coverage(left * width, right * width, width)
    return rows[:, None] * columns[None, :]


def _coverage(start: float, stop: float, cells: int) -> torch.Tensor:
    low = torch.arange(cells, dtype=torch.float32)
    return (torch.clamp(low + 1, max=stop) - torch.clamp(low, min=start)).clamp(0, 1)


def resize_mask(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A mask (..., H, W) at another size, by area when shrinking, bilinear when growing."""
    if mask.shape[-2:] == (height, width):
        return mask
    flat = mask.reshape(-1, 1, *mask.shape[-2:])
    shrinks = height <= mask.shape[-2] and width <= mask.shape[-1]
    if shrinks:
        flat = functional.interpolate(flat, (height, width), mode="area")
    else:
        flat = functional.interpolate(flat, (height, width), mode="bilinear", align_corners=False)
    return flat.reshape(*mask.shape[:-2], height, width)


def dilate(mask: torch.Tensor, cells: float) -> torch.Tensor:
    """Grow (or, negative, shrink) masks (N, H, W) by a disc of `cells` radius; fractions blend the two whole radii."""
    if cells == 0:
        return mask
    if cells < 0:
        return 1 - dilate(1 - mask, -cells)
    low = int(cells)
    part = cells - low
    small = _dilate_whole(mask, low)
    return small if part == 0 else torch.lerp(small, _dilate_whole(mask, low + 1), part)


def _dilate_whole(mask: torch.Tensor, radius: int) -> torch.Tensor:
    if radius == 0:
        return mask
    height = mask.shape[-2]
    out = mask.clone()
    for down in range(min(radius, height - 1) + 1):
        # the disc row by row: whole discs at once would take (2r+1)^2 times the mask's memory
        half = math.isqrt(int((radius + 0.5) ** 2 - down**2))
        wide = functional.max_pool2d(mask[:, None], (1, 2 * half + 1), 1, (0, half))[:, 0]
        out[:, down:] = torch.maximum(out[:, down:], wide[:, : height - down])
        out[:, : height - down] = torch.maximum(out[:, : height - down], wide[:, down:])
    return out


def own(masks: torch.Tensor, depths: Sequence[int]) -> torch.Tensor:
    """Disjoint ownership: where masks overlap, the one in front owns.

    Args:
        masks: (N, H, W) in 0..1. depths: N numbers, the smallest is in front; of equals the earlier one is.

    Returns:
        (N, H, W) whose sum is at most 1 everywhere.
    """
    if len(depths) != masks.shape[0]:
        raise ValueError(f"expected {masks.shape[0]} depths, found {len(depths)}")
    owned = torch.zeros_like(masks)
    left = torch.ones_like(masks[0])
    for index in sorted(range(len(depths)), key=lambda i: (depths[i], i)):
        owned[index] = torch.minimum(masks[index], left)
        left = left - owned[index]
    return owned


def grow(owned: torch.Tensor, cells: float, grows: Sequence[bool]) -> torch.Tensor:
    """Grow disjoint masks into what nobody has; what lies between two goes to the nearer one.

    All grow side by side, a cell at a time. What several reach at once they share, so that no order counts.

    Args:
        owned: (N, H, W) in 0..1 whose sum is at most 1. cells: how far. grows: for every mask whether it does.

    Returns:
        (N, H, W) whose sum is at most 1 everywhere.
    """
    chosen = torch.tensor(list(grows), device=owned.device)[:, None, None]
    grown = owned
    for step in range(math.ceil(cells)):
        reach = torch.where(chosen, dilate(owned, min(step + 1, cells)), owned)
        wanted = (reach - grown).clamp(min=0)
        free = (1 - grown.sum(0)).clamp(min=0)
        grown = grown + wanted * (free / wanted.sum(0).clamp(min=_TINY)).clamp(max=1)
    return grown


def feather(masks: torch.Tensor, cells: float) -> torch.Tensor:
    """Soften the edges of masks (N, H, W) over about `cells` cells; their sum stays at most 1, full stays full.

    A Gaussian is an average, so it keeps sums; the picture's border repeats, so a mask that touches it stays whole.
    """
    if cells <= 0:
        return masks
    sigma = cells / 2
    radius = max(1, round(2 * cells))
    axis = torch.arange(-radius, radius + 1, dtype=masks.dtype, device=masks.device)
    kernel = torch.exp(-0.5 * (axis / sigma) ** 2)
    kernel = kernel / kernel.sum()
    out = masks[:, None]  # (N, H, W) -> (N, 1, H, W)
    out = functional.conv2d(functional.pad(out, (radius, radius, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    out = functional.conv2d(functional.pad(out, (0, 0, radius, radius), mode="replicate"), kernel.view(1, 1, -1, 1))
    return out[:, 0].clamp(0, 1)


def finish(
    masks: torch.Tensor, depths: Sequence[int], dilation_cells: float, feather_cells: float, grows: Sequence[bool]
) -> torch.Tensor:
    """Grow, make disjoint and soften the masks (N, H, W) of one image; growth never takes what another mask has.

    Args:
        grows: for every mask whether `dilation_cells` is for it.
    """
    owned = own(masks, depths)
    if dilation_cells > 0:
        return feather(grow(owned, dilation_cells, grows), feather_cells)
    chosen = torch.tensor(list(grows), device=masks.device)[:, None, None]
    return feather(torch.where(chosen, dilate(owned, dilation_cells), owned), feather_cells)


def is_empty(mask: torch.Tensor) -> bool:
    """Whether a mask (H, W) owns next to nothing."""
    return bool(mask.sum() < EMPTY_CELLS)
