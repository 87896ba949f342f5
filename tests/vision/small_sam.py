"""SAMs of random weights, small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lib_omg.vision.sam_model import SamSizes, built

SIZES = SamSizes(
    image_px=64,
    patch_px=8,
    width=24,
    depth=3,
    heads=3,
    mlp_width=48,
    window=3,
    global_blocks=(1,),
    embedding=32,
    mask_channels=8,
    decoder_mlp=40,
    iou_depth=2,
    iou_width=20,
)


def small_sam(seed: int = 0, sizes: SamSizes = SIZES) -> Any:
    """A SAM whose weights are all random: nothing is zero as in a fresh one."""
    torch.manual_seed(seed)
    model = built(sizes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


def saved(folder: Path, model: Any, name: str = "small.pth") -> Path:
    """The file of a model, as Meta's are saved."""
    path = folder / name
    torch.save(model.state_dict(), path)
    return path
