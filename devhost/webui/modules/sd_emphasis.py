"""How (word:1.2) changes the text encoder's output."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Emphasis:
    """Applies `multipliers` (B, T) to `z` (B, T, C)."""

    name = "Base"
    tokens: list[list[int]]
    multipliers: torch.Tensor
    z: torch.Tensor

    def after_transformers(self) -> None:
        """Change `z`; the base leaves it."""


class EmphasisNone(Emphasis):
    """Brackets are plain text."""

    name = "None"


class EmphasisIgnore(Emphasis):
    """Brackets are read and ignored."""

    name = "Ignore"


class EmphasisOriginalNoNorm(Emphasis):
    """Scale each token."""

    name = "No norm"

    def after_transformers(self) -> None:
        """Scale each token."""
        self.z = self.z * self.multipliers[..., None]


class EmphasisOriginal(Emphasis):
    """Scale each token, then restore the mean of the whole batch."""

    name = "Original"

    def after_transformers(self) -> None:
        """Scale each token, keep the mean."""
        mean = self.z.mean()
        scaled = self.z * self.multipliers[..., None]
        self.z = scaled * (mean / scaled.mean())


options = [EmphasisNone, EmphasisIgnore, EmphasisOriginal, EmphasisOriginalNoNorm]


def get_current_option(emphasis_option_name: str) -> type[Emphasis]:
    """The class of a setting's value; the original one if unknown."""
    return next((cls for cls in options if cls.name == emphasis_option_name), EmphasisOriginal)
