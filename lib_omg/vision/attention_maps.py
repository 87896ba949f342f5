"""Where a word is in the layout picture, as the layout pass's own cross-attention tells (DAAM, arXiv 2210.04885)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from lib_omg.core.attention import is_grouping

if TYPE_CHECKING:
    from lib_omg.core.attention import AttentionLayer
    from lib_omg.core.store import AttentionStore

MAX_CALLS = 16
"""Averaging over more calls than this changes maps little and costs time."""

FINEST_SHARE = 2
COARSEST_SHARE = 4
"""Maps of 1/4 to 1/2 of the latent's side tell where a word is; finer ones are texture, coarser ones blur."""

LEAST_CELLS = 8
"""... but no map with fewer cells than this on a side is used while there are others."""

DECODER = "output_blocks"
"""Where ldm's and sgm's UNets name the layers that draw; the others' maps say little of words."""


@dataclass(frozen=True)
class WordTokens:
    """Where one concept's class word stands in the cond rows' tokens.

    Attributes:
        positions: for every cond row (of all images, in order) the token positions; () where the row lacks it.
    """

    positions: tuple[tuple[int, ...], ...]


def word_maps(
    store: AttentionStore,
    layers: Sequence[AttentionLayer],
    size: tuple[int, int],
    words: Sequence[WordTokens],
    calls: Sequence[int] | None = None,
) -> torch.Tensor:
    """Soft heat maps of words: softmax(q k^T) averaged over heads, layers and calls.

    Args:
        store: the layout pass's kept queries and keys. layers: the UNet's attention layers.
        size: (height, width) of the latent in cells.
        words: N words' tokens.
        calls: the denoiser calls to read; None: all that are kept.

    Returns:
        (N, R, H, W) float32 in RAM for the R cond rows: the share of attention that each cell gives the word,
        0 where nothing was kept or the row lacks the word.
    """
    if not words:
        return torch.zeros(0, 0, *size)
    total = torch.zeros(len(words), len(words[0].positions), *size)
    count = 0
    calls = store.calls() if calls is None else calls
    used = telling_layers(store, layers, size)
    for call in calls[:: max(1, math.ceil(len(calls) / MAX_CALLS))]:
        for layer in used:
            made = _layer_map(store, layer, call, size, words)
            if made is not None:
                total += made
                count += 1
    return total / max(count, 1)


def grouped(
    maps: torch.Tensor, store: AttentionStore, layers: Sequence[AttentionLayer], calls: Sequence[int]
) -> torch.Tensor:
    """Maps sharpened by self-attention: every cell gets what the cells it looks at have (as in arXiv 2309.14303).

    Args:
        maps: (N, R, H, W), see `word_maps`. store: what the layout pass kept.
        layers: the UNet's attention layers. calls: those that keep the finest self-attention.

    Returns:
        (N, R, H, W); the maps themselves where no such self-attention was kept.
    """
    size = (maps.shape[-2], maps.shape[-1])
    total, count = torch.zeros_like(maps), 0
    for call in calls:
        for layer in finest_grouping(store, layers, call):
            q, k = store.get(call, f"{layer.name}.to_q"), store.get(call, f"{layer.name}.to_k")
            assert q is not None
            grid = map_size(q.shape[1], size)
            if grid is None or k is None or q.shape[0] != maps.shape[1]:
                continue
            small = functional.interpolate(maps, grid, mode="area") if grid != size else maps
            values = small.flatten(2).permute(1, 2, 0).to(q.device)  # (N, R, H, W) -> (R, Q, N)
            made = torch.stack([spread(q[r], k[r], values[r], int(layer.module.heads)) for r in range(len(q))])
            large = made.permute(2, 0, 1).reshape(*maps.shape[:2], *grid)  # (R, Q, N) -> (N, R, H, W)
            total += functional.interpolate(large, size, mode="bilinear", align_corners=False).cpu()
            count += 1
    return total / count if count else maps


def finest_grouping(store: AttentionStore, layers: Sequence[AttentionLayer], call: int) -> list[AttentionLayer]:
    """The layers that may group, of those kept at a call, that have the most cells."""
    kept = [
        (q.shape[1], layer)
        for layer in layers
        if is_grouping(layer) and (q := store.get(call, f"{layer.name}.to_q")) is not None
    ]
    most = max((cells for cells, _ in kept), default=0)
    return [layer for cells, layer in kept if cells == most]


def spread(q: torch.Tensor, k: torch.Tensor, values: torch.Tensor, heads: int, chunk: int = 1024) -> torch.Tensor:
    """softmax(q k^T / sqrt(d)) v averaged over heads: q, k (Q, C), values (Q, N) -> (Q, N), in chunks of queries."""
    q = q.float().unflatten(-1, (heads, -1)).transpose(0, 1)  # (Q, C) -> (heads, Q, d)
    k = k.to(q.device).float().unflatten(-1, (heads, -1)).permute(1, 2, 0)  # (Q, C) -> (heads, d, Q)
    scale = q.shape[-1] ** -0.5
    parts = [(part @ k * scale).softmax(-1).mean(0) @ values for part in q.split(chunk, 1)]
    return torch.cat(parts)


def telling_layers(
    store: AttentionStore, layers: Sequence[AttentionLayer], size: tuple[int, int]
) -> list[AttentionLayer]:
    """The cross-attention layers whose maps tell best where a word is; all of them when none is of that kind."""
    cross = [layer for layer in layers if layer.is_cross]
    chosen = []
    for layer in cross:
        cells = next(
            (q.shape[1] for call in store.calls() if (q := store.get(call, f"{layer.name}.to_q")) is not None), 0
        )
        grid = map_size(cells, size)
        if grid is None or not layer.name.startswith(DECODER):
            continue
        share = round(size[0] / grid[0])  # odd sizes are halved upwards
        if FINEST_SHARE <= share <= COARSEST_SHARE and min(grid) >= LEAST_CELLS:
            chosen.append(layer)
    return chosen or cross


def _layer_map(
    store: AttentionStore, layer: AttentionLayer, call: int, size: tuple[int, int], words: Sequence[WordTokens]
) -> torch.Tensor | None:
    q, k = store.get(call, f"{layer.name}.to_q"), store.context(call, f"{layer.name}.to_k")
    if q is None or k is None or q.shape[0] != k.shape[0]:
        return None
    grid = map_size(q.shape[1], size)
    if grid is None:
        return None
    attention = head_average(q.float(), k.to(q.device).float(), int(layer.module.heads))  # (R, Q, T)
    made = torch.zeros(len(words), q.shape[0], q.shape[1], device=q.device)
    for number, word in enumerate(words):
        for row, positions in enumerate(word.positions):
            known = [position for position in positions if position < attention.shape[-1]]
            if known:  # while another, shorter prompt was in force the word may have been beyond its end
                made[number, row] = attention[row][:, known].mean(-1)
    grids = functional.interpolate(made.reshape(-1, 1, *grid), size, mode="bilinear", align_corners=False)
    return grids.reshape(*made.shape[:2], *size).cpu()


def head_average(q: torch.Tensor, k: torch.Tensor, heads: int) -> torch.Tensor:
    """softmax(q k^T / sqrt(d)) averaged over heads: q (R, Q, C), k (R, T, C) -> (R, Q, T)."""
    q = q.unflatten(-1, (heads, -1)).transpose(1, 2)  # (R, Q, C) -> (R, heads, Q, d)
    k = k.unflatten(-1, (heads, -1)).transpose(1, 2)
    scale = q.shape[-1] ** -0.5
    return (q @ k.transpose(-1, -2) * scale).softmax(-1).mean(1)


def map_size(cells: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """(height, width) of a layer's map of `cells` query cells: the latent halved until it fits, or None."""
    height, width = size
    while height * width > cells and height > 1:
        height, width = -(-height // 2), -(-width // 2)
    return (height, width) if height * width == cells else None
