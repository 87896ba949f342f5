"""What belongs together in a layout picture, as its own self-attention tells (as in arXiv 2309.14303)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from lib_omg.core.attention import is_grouping

if TYPE_CHECKING:
    from lib_omg.core.attention import AttentionLayer
    from lib_omg.core.store import AttentionStore

MOST_CELLS = 2048
"""Maps with more cells are looked at in halves of their size: the cost is the square of it."""

NEAR = 0.25
"""Cells are near each other in rows and columns up to this share of the map's shorter side."""


@dataclass(frozen=True)
class Affinity:
    """How much the cells of a layout look at each other.

    Attributes:
        weights: (Q, Q) float32 in RAM; every row is a cell's shares of attention, with sum 1.
        grid: (h, w) of its cells, h * w = Q.
    """

    weights: torch.Tensor
    grid: tuple[int, int]

    def spread(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps (..., H, W) in which every cell has what the cells it looks at had."""
        size = (maps.shape[-2], maps.shape[-1])
        flat = at_grid(maps, self.grid).flatten(-2).reshape(-1, self.grid[0] * self.grid[1])
        made = (flat.to(self.weights) @ self.weights.T).reshape(-1, 1, *self.grid)
        if self.grid != size:
            made = functional.interpolate(made, size, mode="bilinear", align_corners=False)
        return made.reshape(maps.shape).to(maps)

    def bond(self, one: torch.Tensor, other: torch.Tensor) -> float:
        """How much two regions look at each other where they are near, as against at themselves there: 0 not at all, 1
        as if they were one, 0 as well where they are nowhere near or one is a single cell. Two who look alike also look
        at each other from afar, so only near cells tell.

        Args:
            one, other: (h, w) of 0 and 1, disjoint.
        """
        a, b = one.flatten().to(self.weights), other.flatten().to(self.weights)
        within = math.sqrt(self._look(a, a) * self._look(b, b))
        return (self._look(a, b) + self._look(b, a)) / 2 / within if within > 0 else 0.0

    def _look(self, one: torch.Tensor, other: torch.Tensor) -> float:
        """The share of its attention that a cell of one region (Q,) pays to a cell of another near it, on average."""
        return float(one @ self._near_weights @ other) / max(float(one @ self._near @ other), 1.0)

    @cached_property
    def _near(self) -> torch.Tensor:
        """(Q, Q): 1 where two cells are near each other, 0 of a cell and itself."""
        reach = max(1, round(NEAR * min(self.grid)))
        rows, columns = (torch.arange(length) for length in self.grid)
        row, column = torch.meshgrid(rows, columns, indexing="ij")
        row, column = row.flatten(), column.flatten()
        near = ((row[:, None] - row).abs() <= reach) & ((column[:, None] - column).abs() <= reach)
        return near.fill_diagonal_(False).to(self.weights)

    @cached_property
    def _near_weights(self) -> torch.Tensor:
        return self.weights * self._near


def affinities(
    store: AttentionStore, layers: Sequence[AttentionLayer], size: tuple[int, int], calls: Sequence[int]
) -> list[Affinity]:
    """The self-attention of every cond row, averaged over heads, the finest kept layers that may group, and calls.

    Args:
        store: what the layout pass kept. layers: the UNet's attention layers. size: (height, width) of the latent in
            cells. calls: those that keep the finest self-attention.

    Returns:
        One for every cond row of all images, in order; [] where no such self-attention was kept.
    """
    total: list[torch.Tensor] = []
    count, grid = 0, (0, 0)
    for call in calls:
        for layer in finest_grouping(store, layers, call):
            q, k = store.get(call, f"{layer.name}.to_q"), store.get(call, f"{layer.name}.to_k")
            assert q is not None
            full = map_size(q.shape[1], size)
            if full is None or k is None or q.shape != k.shape:
                continue
            factor = math.ceil(math.sqrt(q.shape[1] / MOST_CELLS))
            q, k = pooled(q.float(), full, factor), pooled(k.to(q.device).float(), full, factor)
            found = (-(-full[0] // factor), -(-full[1] // factor))
            if count and (found != grid or len(total) != len(q)):
                continue
            heads = int(layer.module.heads)
            made = [shares(q[row], k[row], heads).cpu() for row in range(len(q))]
            total = [a + b for a, b in zip(total, made, strict=True)] if count else made
            count, grid = count + 1, found
    return [Affinity(weights / count, grid) for weights in total]


def mean_affinity(rows: Sequence[Affinity]) -> Affinity | None:
    """The affinity of an image from those of its cond rows; None without any."""
    if not rows:
        return None
    return Affinity(torch.stack([row.weights for row in rows]).mean(0), rows[0].grid)


def finest_grouping(store: AttentionStore, layers: Sequence[AttentionLayer], call: int) -> list[AttentionLayer]:
    """The layers that may group, of those kept at a call, that have the most cells."""
    kept = [
        (q.shape[1], layer)
        for layer in layers
        if is_grouping(layer) and (q := store.get(call, f"{layer.name}.to_q")) is not None
    ]
    most = max((cells for cells, _ in kept), default=0)
    return [layer for cells, layer in kept if cells == most]


def shares(q: torch.Tensor, k: torch.Tensor, heads: int) -> torch.Tensor:
    """softmax(q k^T / sqrt(d)) averaged over heads: q, k (Q, C) -> (Q, Q), head by head."""
    total = torch.zeros(len(q), len(k), device=q.device)
    for one, other in zip(q.unflatten(-1, (heads, -1)).unbind(1), k.unflatten(-1, (heads, -1)).unbind(1), strict=True):
        total += (one @ other.T * one.shape[-1] ** -0.5).softmax(-1)
    return total / heads


def pooled(rows: torch.Tensor, grid: tuple[int, int], factor: int) -> torch.Tensor:
    """Queries or keys (R, Q, C) of a grid, averaged over factor x factor cells."""
    if factor == 1:
        return rows
    maps = rows.transpose(1, 2).reshape(len(rows), -1, *grid)  # (R, Q, C) -> (R, C, h, w)
    small = functional.avg_pool2d(maps, factor, ceil_mode=True)
    return small.flatten(2).transpose(1, 2)


def at_grid(maps: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Maps (..., H, W) at a coarser size, by area."""
    if maps.shape[-2:] == grid:
        return maps
    flat = functional.interpolate(maps.reshape(-1, 1, *maps.shape[-2:]), grid, mode="area")
    return flat.reshape(*maps.shape[:-2], *grid)


def map_size(cells: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """(height, width) of a layer's map of `cells` query cells: the latent halved until it fits, or None."""
    height, width = size
    while height * width > cells and height > 1:
        height, width = -(-height // 2), -(-width // 2)
    return (height, width) if height * width == cells else None
