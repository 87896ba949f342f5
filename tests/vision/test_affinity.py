"""Affinity: attention written out, groups planted in it, and grids that are too fine."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import pytest
import torch

from lib_omg.core.attention import AttentionLayer
from lib_omg.core.store import AttentionStore
from lib_omg.vision import affinity
from lib_omg.vision.affinity import Affinity, affinities, at_grid, mean_affinity, pooled, shares

HEADS, WIDTH = 2, 8
SIZE = (32, 48)
FINE = "output_blocks.5.1.transformer_blocks.0.attn1"
COARSE = "output_blocks.3.1.transformer_blocks.0.attn1"


def layer(name: str) -> AttentionLayer:
    return AttentionLayer(name, False, SimpleNamespace(heads=HEADS))  # type: ignore[arg-type]


def new_store() -> AttentionStore:
    return AttentionStore(0, 10**9)


def plant(store: AttentionStore, name: str, groups: list[torch.Tensor], call: int = 0) -> None:
    """Rows in which every cell of `groups` (Q,) looks only at the cells of its own group."""
    marks = [torch.nn.functional.one_hot(one, WIDTH // HEADS).float().repeat(1, HEADS) * 20 for one in groups]
    for part in ("to_q", "to_k"):
        store.add(call, f"{name}.{part}", torch.stack(marks))


def thing(grid: tuple[int, int] = (16, 24)) -> torch.Tensor:
    """1 in a rectangle, 0 around it."""
    made = torch.zeros(grid, dtype=torch.long)
    made[grid[0] // 4 : 3 * grid[0] // 4, grid[1] // 8 : 3 * grid[1] // 8] = 1
    return made


def test_shares_are_attention_written_out() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(5, WIDTH), torch.randn(5, WIDTH)
    size = WIDTH // HEADS
    expected = torch.zeros(5, 5)
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        for a in range(5):
            scores = [math.exp(float(q[a, part] @ k[b, part]) / math.sqrt(size)) for b in range(5)]
            expected[a] += torch.tensor(scores) / sum(scores) / HEADS
    assert torch.allclose(shares(q, k, HEADS), expected, atol=1e-5)


def test_what_belongs_together_gets_the_same_heat() -> None:
    """A word that is hot in a corner of a thing is hot in the whole of it, and nowhere else."""
    store, planted = new_store(), thing()
    plant(store, FINE, [planted.flatten()], call=7)
    (found,) = affinities(store, [layer(FINE)], SIZE, [7])
    heat = torch.zeros(2, *planted.shape)
    heat[:, 4:6, 3:5] = torch.tensor([1.0, 3.0])[:, None, None]
    made = found.spread(heat)
    inside = planted == 1
    assert float(made[0][inside].std()) < 1e-4
    assert float(made[0][inside].mean()) == pytest.approx(4 / int(inside.sum()), rel=1e-3)
    assert float(made[0][~inside].abs().max()) < 1e-4
    assert torch.allclose(made[1], 3 * made[0], atol=1e-6)
    large = found.spread(heat.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert large.shape == (2, *SIZE)
    assert float(large[0, 12:20, 8:16].mean()) == pytest.approx(float(made[0][inside].mean()), rel=1e-3)


def test_rows_layers_and_calls() -> None:
    """Each cond row has its own; layers and calls are averaged; coarser layers don't count."""
    store, planted = new_store(), thing().flatten()
    other = "output_blocks.4.1.transformer_blocks.0.attn1"
    plant(store, FINE, [planted, planted * 0], call=1)
    plant(store, other, [planted * 0, planted * 0], call=1)
    plant(store, COARSE, [torch.arange(96) % 2] * 2, call=1)
    first, second = affinities(store, [layer(COARSE), layer(FINE), layer(other)], SIZE, [1, 2])
    assert first.grid == (16, 24)
    cells = len(planted)
    apart = (planted[:, None] == planted[None, :]).float()
    expected = (apart / apart.sum(1, keepdim=True) + 1 / cells) / 2
    assert torch.allclose(first.weights, expected, atol=1e-5)
    assert torch.allclose(second.weights, torch.full((cells, cells), 1 / cells), atol=1e-5)
    both = mean_affinity([first, second])
    assert both is not None
    assert torch.allclose(both.weights, (first.weights + second.weights) / 2)


def test_nothing_kept_gives_nothing() -> None:
    assert affinities(new_store(), [layer(FINE)], SIZE, [0]) == []
    assert mean_affinity([]) is None
    store = new_store()
    store.add(0, f"{FINE}.to_q", torch.zeros(1, 100, WIDTH))
    assert affinities(store, [layer(FINE)], SIZE, [0]) == [], "neither its keys nor a grid of the latent's"


def test_bonds() -> None:
    planted = thing()
    store = new_store()
    plant(store, FINE, [planted.flatten()])
    (found,) = affinities(store, [layer(FINE)], SIZE, [0])
    left, right, ground = torch.zeros(3, 16, 24)
    left[4:12, 3:6], right[4:12, 6:9], ground[:, 12:] = 1, 1, 1
    assert found.bond(left, right) == pytest.approx(1, abs=1e-3)
    assert found.bond(left, ground) == pytest.approx(0, abs=1e-3)
    assert found.bond(left, right) == pytest.approx(found.bond(right, left))


@pytest.mark.parametrize("grid", [(4, 9), (8, 8), (9, 6)])
def test_the_bond_is_what_near_cells_pay_each_other(grid: tuple[int, int]) -> None:
    cells = list(itertools.product(range(grid[0]), range(grid[1])))
    weights = torch.rand(len(cells), len(cells), generator=torch.Generator().manual_seed(1))
    regions = torch.zeros(2, *grid)
    regions[0, :, :3], regions[1, 1:, 3:5] = 1, 1
    one, other = ([n for n, (row, column) in enumerate(cells) if region[row, column]] for region in regions)
    reach = {4: 1, 8: 2, 6: 2}[min(grid)]

    def paid(givers: list[int], takers: list[int]) -> float:
        near = [
            float(weights[a, b])
            for a, b in itertools.product(givers, takers)
            if a != b and max(abs(cells[a][0] - cells[b][0]), abs(cells[a][1] - cells[b][1])) <= reach
        ]
        return sum(near) / len(near)

    expected = (paid(one, other) + paid(other, one)) / 2 / (paid(one, one) * paid(other, other)) ** 0.5
    assert Affinity(weights, grid).bond(*regions) == pytest.approx(expected, rel=1e-4)


def test_who_is_nowhere_near_has_no_bond() -> None:
    regions = torch.zeros(3, 8, 16)
    regions[0, :, :4], regions[1, :, 8:], regions[2, 4, 4] = 1, 1, 1
    found = Affinity(torch.full((128, 128), 1 / 128), (8, 16))
    assert found.bond(regions[0], regions[1]) == 0
    assert found.bond(regions[0], regions[2]) == 0, "a single cell"


@pytest.mark.parametrize("grid", [(8, 12), (7, 9)])
def test_fine_grids_are_looked_at_in_parts_of_their_size(
    monkeypatch: pytest.MonkeyPatch, grid: tuple[int, int]
) -> None:
    monkeypatch.setattr(affinity, "MOST_CELLS", grid[0] * grid[1] // 3)
    store, planted = new_store(), torch.zeros(grid, dtype=torch.long)
    planted[2:6, 2:6] = 1
    plant(store, FINE, [planted.flatten()])
    (found,) = affinities(store, [layer(FINE)], grid, [0])
    assert found.grid == (-(-grid[0] // 2), -(-grid[1] // 2))
    assert torch.allclose(found.weights.sum(1), torch.ones(len(found.weights)), atol=1e-5)
    heat = torch.zeros(found.grid)
    heat[1, 1] = 1
    made = found.spread(heat)
    assert made.shape == found.grid
    assert torch.allclose(made[1:3, 1:3], torch.full((2, 2), 0.25), atol=1e-3)
    assert float(made[0, 0]) < 1e-3


def test_pooling_averages_cells() -> None:
    rows = torch.arange(12.0).reshape(1, 12, 1)
    assert pooled(rows, (3, 4), 2).flatten().tolist() == [2.5, 4.5, 8.5, 10.5]
    assert pooled(rows, (3, 4), 1) is rows
    maps = torch.arange(16.0).reshape(4, 4)
    assert at_grid(maps, (2, 2)).tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_spreading_keeps_an_even_map() -> None:
    weights = torch.rand(6, 6, generator=torch.Generator().manual_seed(0))
    found = Affinity(weights / weights.sum(1, keepdim=True), (2, 3))
    assert torch.allclose(found.spread(torch.full((4, 5, 2, 3), 0.7)), torch.full((4, 5, 2, 3), 0.7))
