"""What a concept's rows see in the place of the other concepts: what lies around them.

A LoRA of one character takes whoever stands there for that character: it dresses the one beside it, or, seeing that
"the woman" is there already, leaves its own place empty. So each concept is shown the picture without the others, and
without noise in their places: noise could still become somebody. The paper's rows see everybody.
"""

from __future__ import annotations

import torch
from torch.nn import functional

_MOST_OF_PICTURE, _ENOUGH_AROUND = 0.5, 0.05
"""Who owns more than the first of the picture, where less than the second is nobody's, is what the others stand in."""
_SOMEBODY = 0.05
"""A cell of which the masks own more than this is not taken for what lies around."""
_LEAST = 1e-4
"""How much a cell inside of masks counts for what lies around: as good as nothing while there is anything else."""


def others_of(masks: torch.Tensor, number: int) -> torch.Tensor:
    """What is hidden from a concept: all that others own, but for one who owns the scene.

    Somebody in the foreground may own most of the picture too, and is hidden: something still lies around.

    Args:
        masks: (B, N, H, W) in 0..1, those of all N concepts.
        number: the concept.

    Returns:
        (B, H, W) in 0..1.
    """
    around = (masks.sum(1, keepdim=True) <= _SOMEBODY).float().mean((2, 3), keepdim=True)
    is_scene = (masks.mean((2, 3), keepdim=True) > _MOST_OF_PICTURE) & (around < _ENOUGH_AROUND)
    hidden = masks * ~is_scene
    return (hidden.sum(1) - hidden[:, number]).clamp(0, 1)


def hiding_shift(
    x: torch.Tensor, x0: torch.Tensor, own: torch.Tensor, others: torch.Tensor, signal: torch.Tensor | float = 1.0
) -> torch.Tensor:
    """What has to be added to a noisy latent, so that the others are gone from it.

    Args:
        x: (C, H, W), signal * clean latent + noise.
        x0: (C, H, W), the clean latent as it is predicted now.
        own: (H, W) in 0..1, the concept's mask.
        others: (H, W) in 0..1, what all other concepts own.
        signal: how much of the clean latent is in x.

    Returns:
        (C, H, W); 0 outside of `others`.
    """
    around = ((own + others) <= _SOMEBODY).float()
    known = around + _LEAST * (1 - around) * (1 - others.float())
    return (others * (signal * spread(x0.float(), known) - x.float())).to(x.dtype)


def spread(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Fill what isn't known smoothly from what is, near and far: averages over ever larger blocks, coarse to fine
    (the pull-push of Gortler et al. 1996, "The Lumigraph", section 3.6).

    Args:
        values: (C, H, W).
        known: (H, W) weights in 0..1.

    Returns:
        (C, H, W); where `known` is 1 the values themselves. Where nothing is known at all, 0.
    """
    height, width = known.shape
    weight = known[None]
    if height == 1 and width == 1:
        return values * (weight > 0)
    padding = (0, width % 2, 0, height % 2)
    total = functional.avg_pool2d(functional.pad(values * weight, padding)[None], 2)[0] * 4
    count = functional.avg_pool2d(functional.pad(weight, padding)[None], 2)[0] * 4
    coarse = spread(total / count.clamp(min=torch.finfo(values.dtype).tiny), count[0].clamp(max=1))
    finer = functional.interpolate(coarse[None], scale_factor=2, mode="bilinear", align_corners=False)[0]
    return torch.lerp(finer[:, :height, :width], values, weight)
