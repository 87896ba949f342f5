"""Pictures to tensors and back; torch alone, for what does without the WebUI's ldm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def to_pixels(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Pictures uint8 (H, W, C) of one size to a contiguous tensor (B, C, H, W) in [-1, 1]."""
    # (B, H, W, C) -> (B, C, H, W); contiguous: channels_last makes the backward pass 2.5 times slower on a CPU
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return stacked.float().div_(127.5).sub_(1)


def to_images(pixels: torch.Tensor) -> list[np.ndarray]:
    """Tensor (B, 3, H, W) in [-1, 1] to pictures uint8 (H, W, 3)."""
    scaled = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte()
    return [image.permute(1, 2, 0).contiguous().numpy() for image in scaled]  # (3, H, W) -> (H, W, 3)
