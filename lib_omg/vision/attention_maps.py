"""Where a word is in the layout picture, as the layout pass's own cross-attention tells (DAAM, arXiv 2210.04885)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from .affinity import map_size

if TYPE_CHECKING:
    from lib_omg.core.attention import AttentionLayer
    from lib_omg.core.store import AttentionStore

    from .affinity import Affinity

MAX_CALLS = 16
"""Averaging over more calls than this changes maps little and costs time."""

FINEST_SHARE = 2
COARSEST_SHARE = 4
"""Maps of 1/4 to 1/2 of the latent's side tell where a word is; finer ones are texture, coarser ones blur."""

LEAST_TOLD = 1e-30
"""So much every layer counts: where none tells anything, all do alike."""

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
    together: Sequence[Affinity] = (),
) -> torch.Tensor:
    """Soft heat maps of words: softmax(q k^T) averaged over heads, layers and calls, each by what it tells.

    Args:
        store: the layout pass's kept queries and keys. layers: the UNet's attention layers.
        size: (height, width) of the latent in cells.
        words: N words' tokens.
        calls: the denoiser calls to read; None: all that are kept.
        together: what belongs together, for every cond row; layers tell more by it, see `telling`.

    Returns:
        (N, R, H, W) float32 in RAM for the R cond rows: the share of attention that each cell gives the word,
        0 where nothing was kept or the row lacks the word.
    """
    if not words:
        return torch.zeros(0, 0, *size)
    total = torch.zeros(len(words), len(words[0].positions), *size)
    weights = torch.zeros(len(words[0].positions))
    calls = store.calls() if calls is None else calls
    used = telling_layers(store, layers, size)
    for call in calls[:: max(1, math.ceil(len(calls) / MAX_CALLS))]:
        for layer in used:
            made = _layer_map(store, layer, call, size, words)
            if made is not None:
                weight = telling(made, together).clamp(min=LEAST_TOLD)
                total += weight[None, :, None, None] * made
                weights += weight
    return total / weights.clamp(min=LEAST_TOLD)[None, :, None, None]


def telling(maps: torch.Tensor, together: Sequence[Affinity] = ()) -> torch.Tensor:
    """How much a layer's maps (N, R, H, W) tell of where words are: (R,), the square of their variance over cells.

    Each cond row is told for itself: what is found in an image depends on no other image. Attention that is much the
    same everywhere tells nothing; nor does what is gone when every cell gets what the cells it belongs to have, for
    that is neither here nor there.
    """
    if len(together) == maps.shape[1]:
        maps = torch.stack([row.spread(maps[:, number]) for number, row in enumerate(together)], 1)
    return maps.flatten(-2).var(-1, unbiased=False).mean(0) ** 2


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
