"""Tells individuals apart: a unit vector of whoever a mask shows, in ArcFace's role."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from toyworld.instruments.crops import CROP_SIZE, crop
from toyworld.instruments.nets import RESULTS_FILE, WEIGHTS, Residual, load_weights, unit
from toyworld.pixels import to_pixels

if TYPE_CHECKING:
    import numpy as np

CHANNELS = (24, 48, 96, 112)
REDUCED_CHANNELS = 32
FEATURES = 128
DIMENSIONS = 64
BATCH = 64


class EmbedderNet(nn.Module):
    """Four levels of convolutions; the last map is flattened, for hair is above and trousers are below."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth = CHANNELS
        self.body = nn.Sequential(
            unit(4, first, 2),
            unit(first, second, 2),
            Residual(second),
            unit(second, third, 2),
            Residual(third),
            unit(third, fourth, 2),
            Residual(fourth),
            nn.Conv2d(fourth, REDUCED_CHANNELS, 1),
        )
        cells = (CROP_SIZE[0] // 16) * (CROP_SIZE[1] // 16)
        self.gather = nn.Linear(REDUCED_CHANNELS * cells, FEATURES)
        self.out = nn.Linear(FEATURES, DIMENSIONS)

    def features(self, crops: torch.Tensor) -> torch.Tensor:
        """What the vector is made of, (n, 128), of crops (n, 4, 80, 64) in [-1, 1]."""
        return torch.relu(self.gather(self.body(crops).flatten(1)))

    def vectors(self, features: torch.Tensor) -> torch.Tensor:
        """Unit vectors (n, 64) of features (n, 128)."""
        return functional.normalize(self.out(features).float(), dim=1)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Unit vectors (n, 64) of crops (n, 4, 80, 64) in [-1, 1]."""
        return self.vectors(self.features(crops))


class Embedder:
    """The trained embedder.

    `threshold` is the cosine from which two vectors are taken for the same individual, `strict_threshold` that which
    best tells those apart who differ in one attribute only; None where the weights were not evaluated yet.
    """

    def __init__(self, net: EmbedderNet, threshold: float | None = None, strict_threshold: float | None = None) -> None:
        self.net = net
        self.threshold = threshold
        self.strict_threshold = strict_threshold

    @classmethod
    def load(cls, path: Path = WEIGHTS / "embedder.safetensors") -> Embedder:
        """The embedder with the weights of a file, and the thresholds of the results beside it."""
        net = EmbedderNet()
        load_weights(net, path)
        results = path.with_name(RESULTS_FILE)
        kept = json.loads(results.read_text(encoding="utf8")) if results.is_file() else {}
        found = kept.get("embedder", {})
        return cls(net, found.get("threshold"), found.get("strict_threshold"))

    @torch.no_grad()
    def embed(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> torch.Tensor:
        """Vectors of individuals.

        Args:
            images: uint8 RGB (H, W, 3), one for each mask; sizes may differ.
            masks: bool (H, W), what is visible of the individual.

        Returns:
            Unit vectors (n, 64).

        Raises:
            ValueError: a mask is empty or not of its picture's size, or the lengths differ.
        """
        if len(images) != len(masks):
            raise ValueError(f"expected a picture for each mask, found {len(images)} and {len(masks)}")
        crops = [crop(image, mask) for image, mask in zip(images, masks, strict=True)]
        batches = [self.net(to_pixels(crops[start : start + BATCH])) for start in range(0, len(crops), BATCH)]
        return torch.cat(batches) if batches else torch.empty(0, DIMENSIONS)

    @staticmethod
    def similarity(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Cosines (n, m) of unit vectors (n, 64) and (m, 64)."""
        return first @ second.T
