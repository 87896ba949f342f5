"""Instances: planted blobs go to the right concepts; the parts against slow oracles."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lib_omg.vision.instances import (
    assign,
    components,
    keep_main,
    otsu,
    regions,
    smooth,
    split,
    standardise,
    surroundings,
    tightened,
    two_thresholds,
)

H, W = 24, 40


def blob(row: float, column: float, height: float = 7, width: float = 4) -> torch.Tensor:
    """A warm ellipse (H, W) with soft edges."""
    y, x = torch.arange(H)[:, None] - row, torch.arange(W)[None, :] - column
    return torch.sigmoid(6 * (1 - (y / height) ** 2 - (x / width) ** 2))


def noise(seed: int, strength: float = 0.15) -> torch.Tensor:
    return strength * torch.rand(H, W, generator=torch.Generator().manual_seed(seed))


def overlap(region: torch.Tensor, planted: torch.Tensor) -> float:
    """Intersection over union with the planted blob."""
    inside = planted > 0.5
    both = ((region > 0) & inside).sum()
    return float(both / ((region > 0) | inside).sum())


LEFT, RIGHT, MIDDLE = blob(12, 8), blob(12, 32), blob(12, 20)
TOUCHING = blob(12, 15), blob(12, 24)


@pytest.mark.parametrize("seed", range(3))
def test_two_classes_get_their_own_blobs(seed):
    heat = torch.stack([RIGHT + 0.3 * LEFT + noise(seed), LEFT + 0.3 * RIGHT + noise(seed + 9)])
    made = regions(heat, [[0], [1]])
    assert set(made.unique().tolist()) == {0.0, 1.0}
    assert float(made.sum(0).max()) == 1
    assert overlap(made[0], RIGHT) > 0.6
    assert overlap(made[1], LEFT) > 0.6


def test_one_class_twice_gets_two_blobs_from_left_to_right():
    heat = (LEFT + RIGHT + noise(1)).expand(2, H, W)
    made = regions(heat, [[0, 1]])
    assert overlap(made[0], LEFT) > 0.6
    assert overlap(made[1], RIGHT) > 0.6


def test_two_of_a_class_between_them_one_of_another():
    pair, other = LEFT + RIGHT + 0.3 * MIDDLE + noise(1), MIDDLE + 0.3 * (LEFT + RIGHT) + noise(2)
    made = regions(torch.stack([pair, other, pair]), [[0, 2], [1]])
    assert [overlap(made[n], planted) > 0.6 for n, planted in enumerate((LEFT, MIDDLE, RIGHT))] == [True] * 3


@pytest.mark.parametrize("groups", [[[0, 1]], [[0], [1]]])
def test_touching_blobs_are_parted(groups):
    one, two = TOUCHING
    heat = torch.stack([one + two, one + two] if len(groups) == 1 else [one + 0.5 * two, two + 0.5 * one])
    made = regions(heat + noise(3, 0.05), groups)
    assert float(made.sum(0).max()) == 1
    assert overlap(made[0], one) > 0.6
    assert overlap(made[1], two) > 0.6


def test_the_foreground_of_one_concept_is_its_blob():
    made = regions((RIGHT + noise(4))[None], [[0]])
    assert overlap(made[0], RIGHT) > 0.7


def test_a_word_without_heat_gets_nothing_and_the_other_its_blob():
    made = regions(torch.stack([torch.zeros(H, W), LEFT + noise(5)]), [[0], [1]])
    assert float(made[0].sum()) == 0
    assert overlap(made[1], LEFT) > 0.6
    assert float(regions(torch.zeros(2, H, W), [[0], [1]]).sum()) == 0
    assert float(regions(torch.full((1, H, W), 0.3), [[0]]).sum()) == 0


def test_heat_stays_as_it_was():
    heat = torch.stack([LEFT, RIGHT])
    before = heat.clone()
    regions(heat, [[0], [1]])
    assert torch.equal(heat, before)


def test_standardised_maps_have_mean_zero_and_spread_one():
    made = standardise(torch.stack([LEFT * 50 + 3, noise(0)]))
    assert torch.allclose(made.mean((1, 2)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(made.std((1, 2)), torch.ones(2), atol=1e-5)
    assert float(standardise(torch.ones(1, H, W)).abs().max()) == 0


def test_smooth_is_the_mean_of_neighbours():
    heat = noise(6)
    made = smooth(heat)
    assert float(made[5, 7]) == pytest.approx(float(heat[4:7, 6:9].mean()))
    corner = (4 * heat[0, 0] + 2 * heat[0, 1] + 2 * heat[1, 0] + heat[1, 1]) / 9  # the border repeats
    assert float(made[0, 0]) == pytest.approx(float(corner))


def otsu_oracle(values: list[float], threshold: float) -> float:
    low, high = [v for v in values if v <= threshold], [v for v in values if v > threshold]
    if not low or not high:
        return 0.0
    return len(low) * len(high) * (sum(low) / len(low) - sum(high) / len(high)) ** 2


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=60).filter(lambda v: len(set(v)) > 1))
def test_otsus_threshold_parts_best_of_all(values):
    heat = torch.tensor(values, dtype=torch.float32).reshape(1, -1)
    best = max(otsu_oracle(values, v) for v in values)
    assert otsu_oracle(values, otsu(heat)) == pytest.approx(best, rel=1e-3)


def test_otsu_of_many_values_is_near_the_best():
    heat = LEFT + noise(7)
    values = heat.flatten().tolist()
    best = max(otsu_oracle(values, v) for v in values[::7])
    assert otsu_oracle(values, otsu(heat)) > 0.97 * best


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_split_pieces_are_the_foreground(count):
    inside = (LEFT + RIGHT + MIDDLE) > 0.5
    pieces = split(inside, torch.stack([LEFT, RIGHT]), count)
    assert torch.equal(pieces.sum(0), inside.float())
    assert all(float(piece.sum()) > 0 for piece in pieces)


def test_split_of_too_few_cells_is_nothing():
    inside = torch.zeros(H, W, dtype=torch.bool)
    inside[3, 4] = True
    assert float(split(inside, torch.zeros(1, H, W), 2).sum()) == 0
    assert torch.equal(split(inside, torch.zeros(1, H, W), 1)[0], inside.float())


@given(st.permutations(range(3)), st.permutations(range(3)))
def test_every_concept_gets_the_piece_where_it_is_hottest(pieces_order, hot_order):
    planted = [(LEFT > 0.5).float(), (MIDDLE > 0.5).float(), (RIGHT > 0.5).float()]
    pieces = torch.stack([planted[n] for n in pieces_order])
    heat = torch.stack([planted[n] * 2 - 1 for n in hot_order])
    assert torch.equal(assign(pieces, heat), torch.stack([planted[n] for n in hot_order]))


@given(st.integers(0, 500))
@settings(max_examples=25)
def test_the_assignment_has_the_most_heat_in_all(seed):
    generator = torch.Generator().manual_seed(seed)
    owner = torch.randint(0, 3, (6, 9), generator=generator)
    pieces = torch.stack([(owner == n).float() for n in range(3)])
    heat = torch.randn(3, 6, 9, generator=generator)

    def total(chosen: torch.Tensor) -> float:
        return sum(float(h[p > 0].mean()) for h, p in zip(heat, chosen, strict=True))

    best = max(total(pieces[list(order)]) for order in itertools.permutations(range(3)))
    assert total(assign(pieces, heat)) == pytest.approx(best, abs=1e-4)


def flood(inside: list[list[bool]]) -> set[frozenset[tuple[int, int]]]:
    left = {(r, c) for r, row in enumerate(inside) for c, on in enumerate(row) if on}
    parts = set()
    while left:
        edge, part = [left.pop()], set()
        while edge:
            r, c = edge.pop()
            part.add((r, c))
            near = {(r + dr, c + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)} & left
            left -= near
            edge += near
        parts.add(frozenset(part))
    return parts


GRIDS = arrays.arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 11)))


@given(GRIDS)
def test_components_equal_a_flood_fill(grid):
    labels = components(torch.from_numpy(grid))
    found: dict[int, set[tuple[int, int]]] = {}
    for r, row in enumerate(labels.tolist()):
        for c, label in enumerate(row):
            found.setdefault(label, set()).add((r, c))
    outside = found.pop(0, set())
    assert {frozenset(part) for part in found.values()} == flood(grid.tolist())
    assert len(outside) == int((~grid).sum())
    assert sorted(found) == list(range(1, len(found) + 1))


@given(GRIDS)
def test_the_main_parts_are_kept(grid):
    parts = flood(grid.tolist())
    largest = max((len(part) for part in parts), default=0)
    expected = torch.zeros(*grid.shape)
    for part in parts:
        if len(part) >= 0.25 * largest:
            for r, c in part:
                expected[r, c] = 1
    assert torch.equal(keep_main(torch.from_numpy(grid).float()), expected)


def test_ground_under_people_is_left_out():
    """Ground that is warmer than the sky belongs to nobody; a dim person beside a bright one keeps all of himself."""
    ground = torch.zeros(H, W)
    ground[14:] = 0.35
    heat = torch.maximum(torch.maximum(LEFT, 0.7 * RIGHT), ground) + noise(6, 0.05)
    made = regions(heat.expand(2, H, W), [[0, 1]])
    assert overlap(made[0], LEFT) > 0.8
    assert overlap(made[1], RIGHT) > 0.8


@pytest.mark.parametrize(("ground", "kept"), [(0.3, True), (0.45, True), (0.6, False)])
def test_a_head_is_kept_where_it_is_warmer_than_the_ground(ground, kept):
    """Also on ground that reaches the picture's sides, between a cold sky and a hot body."""
    heat = torch.zeros(H, W)
    heat[12:] = ground
    heat[2:6, 18:22], heat[6:16, 16:24] = 0.6, 1
    body = torch.zeros(H, W)
    body[6:16, 16:24] = 1
    made = tightened(heat + noise(3, 0.005), torch.ones(H, W, dtype=torch.bool))
    assert torch.equal(made, (body + (heat == 0.6) if kept else body).clamp(max=1))


def test_what_is_cut_off_by_the_lower_edge_is_whole():
    """Warm trousers under a hot head belong to their owner, although they touch the edge."""
    heat = torch.zeros(H, W)
    heat[4:12, 16:24], heat[12:, 16:24] = 1, 0.6
    made = tightened(heat, torch.ones(H, W, dtype=torch.bool))
    assert torch.equal(made, (heat > 0).float())


def test_surroundings_share_all_cells_and_go_to_the_nearest():
    pieces = torch.zeros(3, H, W)
    pieces[0, 3, 3] = pieces[1, 20, 30] = 1
    made = surroundings(pieces)
    assert torch.equal(made.sum(0), torch.ones(H, W, dtype=torch.long))
    assert not made[2].any()
    for row, column in ((0, 0), (23, 39), (10, 12), (5, 30)):
        distances = [(row - 3) ** 2 + (column - 3) ** 2, (row - 20) ** 2 + (column - 30) ** 2]
        assert bool(made[distances.index(min(distances)), row, column])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 47), min_size=3, max_size=30))
def test_two_thresholds_part_as_well_as_any(numbers):
    """Against all pairs of cuts, tried out."""
    values = torch.tensor(numbers, dtype=torch.float32)
    if len(set(numbers)) < 3:
        return

    def spread_within(low: float, high: float) -> float:
        parts = values[values <= low], values[(values > low) & (values <= high)], values[values > high]
        return sum(float((part - part.mean()).square().sum()) for part in parts if len(part))

    low, high = two_thresholds(values, bins=48 * 48)
    best = min(spread_within(a, b) for a, b in itertools.combinations(sorted(set(numbers)), 2))
    assert spread_within(low, high) == pytest.approx(best, rel=0.01, abs=0.01)
