"""What the bench asks of the instruments: whoever finds and tells apart so will do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np


class Found(Protocol):
    """What a detector says of one instance."""

    @property
    def class_word(self) -> str:
        """Its class."""

    @property
    def mask(self) -> np.ndarray:
        """Where it is seen, bool (H, W)."""


class Detector(Protocol):
    """Finds instances in pictures uint8 (H, W, 3)."""

    def detect(self, images: Sequence[np.ndarray]) -> Sequence[Sequence[Found]]:
        """The instances of every picture."""


class Embedder(Protocol):
    """Turns instances into unit vectors that are near for the same individual."""

    def embed(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> Any:
        """Vectors (n, D) of n instances, each given by its picture uint8 (H, W, 3) and mask bool (H, W)."""
