"""Layout and mask pictures for the gallery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from lib_omg.vision.overlay import masks_over, to_image

if TYPE_CHECKING:
    from lib_omg.core.settings import OmgSettings


def layout_pictures(
    pictures: Sequence[torch.Tensor], masks: Sequence[torch.Tensor], settings: OmgSettings
) -> list[Any]:  # fmt: skip
    """For every image of the batch its layout, and its masks over the layout.

    Args:
        pictures: the layout's, (3, H, W) in 0..1 each. masks: for every concept (B, H, W).
    """
    labels = [concept.label for concept in settings.concepts]
    out = []
    for image, picture in enumerate(pictures):
        pixels = picture.permute(1, 2, 0).numpy()  # (3, H, W) -> (H, W, 3)
        of_image = torch.stack([mask[image] for mask in masks]).cpu().numpy()
        out += [to_image(pixels), masks_over(pixels, of_image, labels)]
    return out
