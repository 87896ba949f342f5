"""Orthogonal finetuning, https://arxiv.org/abs/2306.07280: the weight rotated block by block."""

from __future__ import annotations

import torch
from network import ModuleType, Network, NetworkModule, NetworkWeights


class NetworkModuleOFT(NetworkModule):
    """kohya's OFT (`oft_blocks`, skew-symmetric after Cayley) and old LyCORIS (`oft_diag`, rotations themselves)."""

    def __init__(self, net: Network, weights: NetworkWeights) -> None:
        super().__init__(net, weights)
        self.scale = 1.0
        self.is_R = "oft_diag" in weights.w
        self.oft_blocks = weights.w["oft_diag"] if self.is_R else weights.w["oft_blocks"]
        if self.oft_blocks.dim() != 3:
            raise AssertionError(
                f"{self.network_key}: devhost knows OFT with 3 dimensions, found {self.oft_blocks.dim()}"
            )
        self.num_blocks, self.block_size = self.oft_blocks.shape[:2]
        self.dim = self.oft_blocks.shape[1 if self.is_R else 0]
        alpha = weights.w.get("alpha")
        self.constraint = None if self.is_R or alpha is None else alpha * self.shape[0]

    def _rotations(self) -> torch.Tensor:
        """Rotations (blocks, size, size)."""
        if self.is_R:
            return self.oft_blocks
        eye = torch.eye(self.block_size)
        skew = self.oft_blocks - self.oft_blocks.transpose(-1, -2)
        if self.constraint is not None and self.constraint != 0:
            norm = skew.flatten().norm()
            skew = skew * ((norm.clamp(max=self.constraint) + 1e-8) / (norm + 1e-8))
        return (eye + skew) @ (eye - skew).float().inverse()

    def calc_updown(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Difference to the weight."""
        blocks = target.unflatten(0, (self.num_blocks, self.block_size))
        rotated = torch.einsum("bnm,bn...->bm...", self._rotations().to(target.device), blocks).flatten(0, 1)
        return self.finalize_updown(rotated - target, target, target.shape)


class ModuleTypeOFT(ModuleType):
    """Chosen for either key."""

    def create_module(self, net: Network, weights: NetworkWeights) -> NetworkModule | None:
        """The adapter if the keys fit."""
        return NetworkModuleOFT(net, weights) if "oft_blocks" in weights.w or "oft_diag" in weights.w else None
