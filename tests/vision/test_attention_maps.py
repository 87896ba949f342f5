"""Word maps: a word planted at a known place is found there, and the average is the one written out."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from lib_omg.core.attention import AttentionLayer
from lib_omg.core.store import AttentionStore
from lib_omg.vision.affinity import Affinity, map_size
from lib_omg.vision.attention_maps import (
    MAX_CALLS,
    WordTokens,
    head_average,
    telling,
    telling_layers,
    word_maps,
)

HEADS, WIDTH, TOKENS = 2, 8, 9
SIZE = (32, 48)
DECODER, ENCODER = "output_blocks.4.attn2", "input_blocks.4.attn2"


def layer(name: str, is_cross: bool = True) -> AttentionLayer:
    return AttentionLayer(name, is_cross, SimpleNamespace(heads=HEADS))  # type: ignore[arg-type]


def gaussian(grid: tuple[int, int], row: float, column: float) -> torch.Tensor:
    """(cells,), a spot at (row, column) in fractions of the sides."""
    y = (torch.arange(grid[0]) + 0.5) / grid[0] - row
    x = (torch.arange(grid[1]) + 0.5) / grid[1] - column
    return torch.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / 0.01).flatten()


def plant(
    store: AttentionStore, name: str, grid: tuple[int, int], spots: list[tuple[int, float, float]], call: int = 0
):
    """One row for each spot (token, row, column): there, queries look at the token; elsewhere at none."""
    q, k = torch.zeros(len(spots), grid[0] * grid[1], HEADS, WIDTH // HEADS), torch.zeros(len(spots), TOKENS, WIDTH)
    for number, (token, row, column) in enumerate(spots):
        q[number, :, :, 0] = 12 * gaussian(grid, row, column)[:, None]
        k[number, token, 0] = k[number, token, WIDTH // HEADS] = 1
    store.add(call, f"{name}.to_q", q.flatten(2))
    store.add_context(call, f"{name}.to_k", 0, k, k)


def centre(heat: torch.Tensor) -> tuple[float, float]:
    weights = (heat - heat.min()).double()
    rows = (torch.arange(heat.shape[0]) + 0.5) / heat.shape[0]
    columns = (torch.arange(heat.shape[1]) + 0.5) / heat.shape[1]
    total = float(weights.sum())
    return float((weights.sum(1) * rows).sum()) / total, float((weights.sum(0) * columns).sum()) / total


def new_store() -> AttentionStore:
    return AttentionStore(0, 10**9)


def test_head_average_equals_loops():
    torch.manual_seed(0)
    q, k = torch.randn(2, 6, WIDTH), torch.randn(2, TOKENS, WIDTH)
    size = WIDTH // HEADS
    expected = torch.zeros(2, 6, TOKENS)
    for r in range(2):
        for head in range(HEADS):
            for a in range(6):
                part = slice(head * size, (head + 1) * size)
                scores = [math.exp(float(q[r, a, part] @ k[r, t, part]) / math.sqrt(size)) for t in range(TOKENS)]
                expected[r, a] += torch.tensor(scores) / sum(scores) / HEADS
    assert torch.allclose(head_average(q, k, HEADS), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("cells", "size", "expected"),
    [
        (64 * 96, (64, 96), (64, 96)),
        (16 * 24, (64, 96), (16, 24)),
        (24 * 16, (96, 64), (24, 16)),
        (17 * 25, (65, 97), (17, 25)),
        (100, (64, 96), None),
        (0, (64, 96), None),
    ],
)
def test_map_size(cells, size, expected):
    assert map_size(cells, size) == expected


def test_a_planted_word_is_found_where_it_is():
    store = new_store()
    plant(store, DECODER, (16, 24), [(3, 0.25, 0.75), (5, 0.7, 0.2)])
    words = [WordTokens(((3,), (3,))), WordTokens(((5,), (5,))), WordTokens(((), (5, 3)))]
    maps = word_maps(store, [layer(DECODER)], SIZE, words)
    assert maps.shape == (3, 2, *SIZE)
    assert centre(maps[0, 0]) == pytest.approx((0.25, 0.75), abs=0.03)
    assert centre(maps[1, 1]) == pytest.approx((0.7, 0.2), abs=0.03)
    assert float(maps[2, 0].abs().max()) == 0, "the first row lacks the third word"
    assert torch.allclose(maps[2, 1], (maps[0, 1] + maps[1, 1]) / 2, atol=1e-6), "sub-tokens are averaged"
    assert float(maps.max()) <= 1
    assert float(maps[1, 0].max()) < float(maps[0, 0].max()), "a word that isn't looked at stays cold"


def test_maps_are_averaged_over_layers_and_calls_by_what_they_tell():
    store = new_store()
    names = [DECODER, "output_blocks.7.attn2"]
    for number, (name, call) in enumerate((n, c) for c in (0, 1) for n in names):
        plant(store, name, (16, 24), [(3, 0.2 + 0.2 * number, 0.5)], call)
    words = [WordTokens(((3,),))]
    made = word_maps(store, [layer(name) for name in names], SIZE, words)
    parts = []
    for number in range(4):
        single = new_store()
        plant(single, DECODER, (16, 24), [(3, 0.2 + 0.2 * number, 0.5)])
        parts.append(word_maps(single, [layer(DECODER)], SIZE, words))
    weights = [float(((part - part.mean()) ** 2).mean()) ** 2 for part in parts]
    expected = sum(weight * part for weight, part in zip(weights, parts, strict=True)) / sum(weights)
    assert torch.allclose(made, expected, atol=1e-6)


def test_layers_that_tell_nothing_hardly_count():
    """One is hot in a thing, one is the same everywhere, one is hot in every second cell of a thing and beside it."""
    grid, cells = (4, 6), 24
    thing = torch.zeros(grid)
    thing[1:3, 1:5] = 1
    same = thing.flatten()[:, None] == thing.flatten()[None, :]
    together = [Affinity(same / same.sum(1, keepdim=True), grid)]
    hot = thing[None, None]
    texture = (torch.arange(cells) % 2).reshape(1, 1, *grid).float()
    assert telling(torch.full((1, 1, *grid), 0.4)) < 1e-20
    assert telling(texture) > telling(hot), "uneven alone"
    assert telling(texture, together) < 1e-3 * telling(hot, together)


def test_many_calls_are_thinned_evenly():
    store = new_store()
    for call in range(3 * MAX_CALLS):
        plant(store, DECODER, (8, 12), [(3, 0.1 if call % 3 else 0.8, 0.5)], call)
    heat = word_maps(store, [layer(DECODER)], SIZE, [WordTokens(((3,),))])[0, 0]
    assert centre(heat)[0] > 0.7, "every third call, from the first on"


def test_a_word_beyond_the_end_of_a_shorter_prompt_is_not_there():
    store = new_store()
    plant(store, DECODER, (16, 24), [(3, 0.5, 0.5)])
    maps = word_maps(store, [layer(DECODER)], SIZE, [WordTokens(((TOKENS + 60,),)), WordTokens(((3, TOKENS),))])
    assert float(maps[0].abs().max()) == 0
    assert float(maps[1].max()) > 0


def test_nothing_kept_gives_zeros():
    maps = word_maps(new_store(), [layer(DECODER)], SIZE, [WordTokens(((1,), ()))])
    assert maps.shape == (1, 2, *SIZE)
    assert float(maps.abs().max()) == 0
    assert len(word_maps(new_store(), [layer(DECODER)], SIZE, [])) == 0


def test_queries_without_their_keys_are_passed_over():
    store = new_store()
    plant(store, DECODER, (16, 24), [(3, 0.5, 0.5)])
    store.add(0, "output_blocks.9.attn2.to_q", torch.randn(1, 16 * 24, WIDTH))
    layers = [layer(DECODER), layer("output_blocks.9.attn2")]
    words = [WordTokens(((3,),))]
    assert torch.equal(word_maps(store, layers, SIZE, words), word_maps(store, layers[:1], SIZE, words))


def chosen(grids: dict[str, tuple[int, int]], size: tuple[int, int]) -> list[str]:
    store = new_store()
    for name, grid in grids.items():
        store.add(0, f"{name}.to_q", torch.zeros(1, grid[0] * grid[1], WIDTH))
    layers = [layer(name) for name in grids] + [layer("output_blocks.1.attn1", False)]
    return [used.name for used in telling_layers(store, layers, size)]


def test_decoder_layers_of_a_half_to_a_quarter_tell():
    grids = {
        ENCODER: (32, 48),
        "output_blocks.1.attn2": (8, 12),
        "output_blocks.2.attn2": (16, 24),
        "output_blocks.3.attn2": (32, 48),
        "output_blocks.4.attn2": (64, 96),
    }
    assert chosen(grids, (64, 96)) == ["output_blocks.2.attn2", "output_blocks.3.attn2"]


def test_sizes_that_are_halved_upwards_are_halves_too():
    grids = {"output_blocks.2.attn2": (17, 25), "output_blocks.3.attn2": (33, 49), "output_blocks.4.attn2": (65, 97)}
    assert chosen(grids, (65, 97)) == ["output_blocks.2.attn2", "output_blocks.3.attn2"]


def test_where_no_layer_tells_all_cross_attention_does():
    assert chosen({ENCODER: (16, 24), DECODER: (4, 6)}, (32, 48)) == [ENCODER, DECODER]
    assert chosen({ENCODER: (4, 6), DECODER: (4, 6)}, (8, 12)) == [ENCODER, DECODER], "too few cells"
