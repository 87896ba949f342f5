"""Finds individuals in pictures: class, score, box and mask, in the manner of Panoptic-DeepLab.

Cheng et al. 2020, https://arxiv.org/abs/1911.10194: a semantic head says what a pixel shows, a heatmap where the
middles of individuals are, and an offset at each pixel where the middle of its own is. A pixel belongs to the middle
nearest to where it points. The middle is that of the whole individual, hidden parts counted, so that someone whom
another parts in two stays one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from toyworld.identity import CLASSES
from toyworld.instruments.nets import WEIGHTS, Residual, load_weights, unit
from toyworld.masks import pixel_box
from toyworld.pixels import to_pixels

ENCODER_CHANNELS = (32, 64, 96, 112)
DECODER_CHANNELS = 40
STRIDE_PX = 16
"""Heights and widths must be multiples of it."""
OFFSET_PX = 16.0
"""What an offset of 1 in the network's output means."""
LEAST_HEAT = 0.3
MIDDLE_RADIUS_PX = 10
"""No two middles lie nearer than this in rows and columns; the world keeps individuals 27 px apart."""
LEAST_AREA_PX = 100
BATCH = 16


@dataclass(frozen=True)
class Detection:
    """One individual found.

    `score` is 0 to 1, `box` is (x0, y0, x1, y1) in pixels, ends excluded, `mask` bool (H, W).
    """

    class_word: str
    score: float
    box: tuple[int, int, int, int]
    mask: np.ndarray


@dataclass(frozen=True)
class Heads:
    """What the network says: `semantic` logits (B, 1 + classes, H, W), background first; `heat` logits (B, H, W);
    `offsets` (B, 2, H, W), rows then columns, from each pixel to the middle of its individual, in pixels."""

    semantic: torch.Tensor
    heat: torch.Tensor
    offsets: torch.Tensor


class DetectorNet(nn.Module):
    """Encoder to a sixteenth of the size, decoder back to the half, heads at full size by pixel shuffle."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, *ENCODER_CHANNELS)
        self.down = nn.ModuleList(
            nn.Sequential(unit(before, after, 2), Residual(after))
            for before, after in zip(channels, ENCODER_CHANNELS, strict=False)
        )
        self.side = nn.ModuleList(nn.Conv2d(width, DECODER_CHANNELS, 1) for width in ENCODER_CHANNELS)
        self.up = nn.ModuleList(unit(DECODER_CHANNELS, DECODER_CHANNELS) for _ in ENCODER_CHANNELS)
        self.heads = nn.Conv2d(DECODER_CHANNELS, 4 * (1 + len(CLASSES) + 3), 1)

    def forward(self, pixels: torch.Tensor) -> Heads:
        """Heads of pictures (B, 3, H, W) in [-1, 1]."""
        levels = []
        for down in self.down:
            pixels = down(pixels)
            levels.append(pixels)
        x: torch.Tensor | None = None
        for level, side, up in zip(reversed(levels), reversed(self.side), reversed(self.up), strict=True):
            merged = side(level)
            if x is not None:
                merged = merged + functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = up(merged)
        found = functional.pixel_shuffle(self.heads(x), 2).float()
        count = 1 + len(CLASSES)
        # Middles are rare: starting from a cold map spares the first steps
        return Heads(found[:, :count], found[:, count] - 3, found[:, count + 1 :] * OFFSET_PX)


class Detector:
    """The trained detector."""

    def __init__(self, net: DetectorNet) -> None:
        self.net = net

    @classmethod
    def load(cls, path: Path = WEIGHTS / "detector.safetensors") -> Detector:
        """The detector with the weights of a file."""
        net = DetectorNet()
        load_weights(net, path)
        return cls(net)

    @torch.no_grad()
    def detect(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Find the individuals of pictures.

        Args:
            images: uint8 RGB (H, W, 3), sizes may differ; H and W multiples of 16.

        Returns:
            For each picture what was found, from left to right.

        Raises:
            ValueError: a picture of another shape or type.
        """
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(f"expected uint8 (H, W, 3), found {image.dtype} {image.shape}")
            if image.shape[0] % STRIDE_PX or image.shape[1] % STRIDE_PX:
                raise ValueError(f"height and width must be multiples of {STRIDE_PX}, found {image.shape[:2]}")
        found: list[list[Detection]] = [[] for _ in images]
        for size in {image.shape for image in images}:
            chosen = [index for index, image in enumerate(images) if image.shape == size]
            for start in range(0, len(chosen), BATCH):
                batch = chosen[start : start + BATCH]
                heads = self.net(to_pixels([images[index] for index in batch]))
                semantic, heat = heads.semantic.softmax(1), heads.heat.sigmoid()
                for place, index in enumerate(batch):
                    found[index] = group(semantic[place], heat[place], heads.offsets[place])
        return found


def group(semantic: torch.Tensor, heat: torch.Tensor, offsets: torch.Tensor) -> list[Detection]:
    """Individuals of one picture: pixels that show someone go to the middle nearest to where they point.

    Args:
        semantic: probabilities (1 + classes, H, W), background first.
        heat: 0 to 1 (H, W), how likely a middle is.
        offsets: (2, H, W), rows then columns, in pixels.

    Returns:
        Individuals of `LEAST_AREA_PX` at least, by their middles from left to right.
    """
    middles = _middles(heat)  # (n, 2)
    rows, columns = (semantic.argmax(0) != 0).nonzero(as_tuple=True)
    if not len(middles) or not len(rows):
        return []
    targets = torch.stack([rows, columns], 1) + offsets[:, rows, columns].T  # (pixels, 2)
    owner = torch.cdist(targets, middles.to(targets)).argmin(1)
    shares = semantic[1:, rows, columns]  # (classes, pixels)
    found = []
    for index in middles[:, 1].argsort().tolist():
        own = owner == index
        if int(own.sum()) < LEAST_AREA_PX:
            continue
        votes = shares[:, own].mean(1)
        row, column = middles[index].tolist()
        mask = torch.zeros(heat.shape, dtype=torch.bool)
        mask[rows[own], columns[own]] = True
        score = float(heat[row, column] * votes.max())
        found.append(Detection(CLASSES[int(votes.argmax())], score, pixel_box(mask.numpy()), mask.numpy()))
    return found


def _middles(heat: torch.Tensor) -> torch.Tensor:
    """Rows and columns (n, 2) of the peaks of a heatmap (H, W)."""
    size, radius = 2 * MIDDLE_RADIUS_PX + 1, MIDDLE_RADIUS_PX
    highest = functional.max_pool2d(heat[None, None], (size, 1), 1, (radius, 0))
    highest = functional.max_pool2d(highest, (1, size), 1, (0, radius))[0, 0]
    return ((heat == highest) & (heat >= LEAST_HEAT)).nonzero()
