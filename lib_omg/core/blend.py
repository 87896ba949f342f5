"""Concept noise blending: inside a concept's mask its prediction, elsewhere the global one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from .windows import Window


@dataclass(frozen=True)
class Region:
    """One concept's prediction for one image.

    Attributes:
        image: which image of the batch. window: where in the latent.
        prediction: (C, h, w) of the window's size. mask: (h, w) in 0..1.
    """

    image: int
    window: Window
    prediction: torch.Tensor
    mask: torch.Tensor


def blend(prediction: torch.Tensor, regions: Sequence[Region]) -> torch.Tensor:
    """Concept noise blending, with soft masks whose sum is at most 1: G + sum_i M_i (D_i - G).

    The paper blends noise; guidance and the step from noise to x0 are linear, so blending what the host's denoiser
    returns is the same. The paper's binary, disjoint masks give its formula back.

    Args:
        prediction: (B, C, H, W), the global one.

    Returns:
        (B, C, H, W), a new tensor.
    """
    out = prediction.clone()
    for region in regions:
        mask = region.mask.to(out.device, out.dtype)
        inside = region.window.cut(prediction[region.image])
        region.window.cut(out[region.image]).add_(mask * (region.prediction.to(out.dtype) - inside))
    return out
