"""Regions brought to the layout picture's edges, by a colour-guided average (joint bilateral upsampling, Kopf 2007)."""

from __future__ import annotations

import torch
from torch.nn import functional

from lib_omg.core.masks import feather

LONGEST_PX = 256
"""The picture is looked at in this size: edges are found well enough, in less than a second."""

REACH = 0.125
"""Spread of the average in space, as a share of the picture's shorter side: about a head."""

COLOUR = 0.03
"""Spread of the average in colour, of 0..1. The toy world's best with `REACH` and `ROUNDS`."""

ROUNDS = 2
SAMPLES = 8
"""Neighbours looked at on each side of a pixel, up to twice the reach."""

LEAST_LEFT = 0.25
"""A region of which less than this is left has no edges, and stays as it was."""

SOFT_CELLS = 1.4
"""How far a found region's edge is doubted."""


def working_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) in which a picture of so many pixels is looked at."""
    scale = min(1.0, LONGEST_PX / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def refined(picture: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """Regions whose outline follows the picture: each pixel goes where most neighbours of its colour are.

    Args:
        picture: (3, H, W) in 0..1. regions: (N, h, w) in 0..1, disjoint, at latent size.

    Returns:
        (N, H', W') of 0 and 1 at the picture's `working_size`, disjoint.
    """
    size = working_size(*picture.shape[1:])
    guide = functional.interpolate(picture[None].float(), size, mode="area")[0]
    soft = functional.interpolate(feather(regions.float(), SOFT_CELLS)[None], size, mode="bilinear")[0]
    shares = torch.cat([1 - soft.sum(0, keepdim=True), soft])  # the first is nobody's
    for _ in range(ROUNDS):
        shares = guided_average(shares, guide)
    owner, rough = shares.argmax(0), soft > 0.5
    found = torch.stack([owner == number for number in range(1, len(shares))])
    for number in range(len(found)):
        if found[number].sum() < LEAST_LEFT * rough[number].sum():
            found[number] |= rough[number] & (owner == 0)
    return found.float()


def guided_average(values: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
    """Mean of neighbours, weighted by nearness in place and in colour.

    Args:
        values: (K, H, W). guide: (3, H, W) in 0..1.

    Returns:
        (K, H, W).
    """
    height, width = guide.shape[1:]
    reach = REACH * min(height, width)
    step = max(1, round(2 * reach / SAMPLES))
    far = step * SAMPLES
    padded = functional.pad(torch.cat([guide, values])[None], (far,) * 4, mode="replicate")[0]
    total, weights = torch.zeros_like(values), torch.zeros(height, width)
    for down in range(-far, far + 1, step):
        for right in range(-far, far + 1, step):
            there = padded[:, far + down : far + down + height, far + right : far + right + width]
            distance = (there[:3] - guide).square().sum(0) / COLOUR**2 + (down**2 + right**2) / reach**2
            weight = torch.exp(-distance / 2)
            total += weight * there[3:]
            weights += weight
    return total / weights  # every pixel is its own neighbour: never 0
