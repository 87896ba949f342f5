"""Masks: boxes, growth, ownership and softness. Sizes are never square, so that (H, W) can't be mixed by luck."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_omg.core.masks import box_mask, dilate, feather, finish, is_empty, own, resize_mask

H, W = 9, 14
SIDES = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)


def scattered(count: int, seed: int, share: float = 0.06) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(count, H, W, generator=generator) < share).float()


def soft(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, H, W, generator=torch.Generator().manual_seed(seed))


@given(SIDES, SIDES)
def test_a_boxs_coverage_sums_to_its_area(columns, rows):
    mask = box_mask((columns[0], rows[0], columns[1], rows[1]), H, W)
    assert mask.shape == (H, W)
    assert float(mask.min()) >= 0
    assert float(mask.max()) <= 1
    area = (columns[1] - columns[0]) * W * (rows[1] - rows[0]) * H
    assert float(mask.sum()) == pytest.approx(area, abs=1e-3)


def test_a_box_lies_where_it_says():
    mask = box_mask((0.5, 0.0, 1.0, 1 / 3), H, W)
    expected = torch.zeros(H, W)
    expected[:3, 7:] = 1
    assert torch.allclose(mask, expected, atol=1e-5)
    assert box_mask((0.0, 0.0, 0.25, 1.0), 1, 2).tolist() == [[0.5, 0.0]]


@pytest.mark.parametrize(("height", "width"), [(3, 7), (18, 28), (9, 28), (18, 7), (4, 5)])
def test_resized_masks_keep_what_is_full_and_how_they_sum(height, width):
    masks = own(soft(3, 0), [0, 0, 0])
    made = resize_mask(masks, height, width)
    assert made.shape == (3, height, width)
    assert float(made.sum(0).max()) <= 1 + 1e-5
    assert torch.allclose(resize_mask(torch.ones(H, W), height, width), torch.ones(height, width))


def test_shrinking_averages_areas():
    mask = soft(1, 1)[0, :, :12]
    made = resize_mask(mask, 3, 4)
    expected = [[float(mask[3 * r : 3 * r + 3, 3 * c : 3 * c + 3].mean()) for c in range(4)] for r in range(3)]
    assert torch.allclose(made, torch.tensor(expected), atol=1e-6)


def disc_oracle(mask: torch.Tensor, radius: int) -> torch.Tensor:
    out = torch.zeros_like(mask)
    for n in range(mask.shape[0]):
        for y in range(H):
            for x in range(W):
                out[n, y, x] = max(
                    float(mask[n, v, u])
                    for v in range(H)
                    for u in range(W)
                    if (v - y) ** 2 + (u - x) ** 2 <= (radius + 0.5) ** 2
                )
    return out


@pytest.mark.parametrize("radius", [1, 2, 3, 5, 20])
def test_growth_is_by_a_disc(radius):
    masks = torch.cat([scattered(1, radius, 0.03), soft(1, radius) * 0.8])
    before = masks.clone()
    assert torch.equal(dilate(masks, radius), disc_oracle(masks, radius))
    assert torch.equal(masks, before)


def test_shrinking_is_growth_of_what_is_outside_and_the_border_holds():
    mask = 1 - scattered(1, 5, 0.03)
    assert torch.equal(dilate(mask, -2), 1 - disc_oracle(1 - mask, 2))
    assert torch.equal(dilate(torch.ones(1, H, W), -3), torch.ones(1, H, W))


def test_part_of_a_cell_is_between_whole_radii():
    mask = scattered(1, 2, 0.03)
    expected = 0.75 * disc_oracle(mask, 1) + 0.25 * disc_oracle(mask, 2)
    assert torch.allclose(dilate(mask, 1.25), expected, atol=1e-6)
    assert torch.equal(dilate(mask, 0), mask)


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=4), st.integers(0, 99))
@settings(max_examples=30)
def test_whoever_is_in_front_owns(depths, seed):
    masks = scattered(len(depths), seed, 0.5)
    owned = own(masks, depths)
    for y in range(H):
        for x in range(W):
            there = [n for n in range(len(depths)) if masks[n, y, x]]
            front = min(there, key=lambda n: (depths[n], n), default=None)
            assert owned[:, y, x].tolist() == [float(n == front) for n in range(len(depths))]


def test_soft_masks_share_a_cell_up_to_one():
    masks = torch.tensor([0.7, 0.6, 0.5])[:, None, None].expand(3, 2, 3)
    owned = own(masks, [2, 0, 1])
    assert torch.allclose(owned[:, 0, 0], torch.tensor([0.0, 0.6, 0.4]))


def test_as_many_depths_as_masks():
    with pytest.raises(ValueError, match="expected 2 depths, found 1"):
        own(torch.zeros(2, H, W), [0])


@pytest.mark.parametrize("cells", [0.3, 1.0, 2.5, 8.0])
def test_softened_masks_keep_their_sum_and_stay_full(cells):
    masks = own(scattered(3, 7, 0.5), [0, 1, 2])
    made = feather(masks, cells)
    assert made.shape == masks.shape
    assert float(made.sum(0).max()) <= 1 + 1e-5
    whole = torch.stack([masks[0], 1 - masks[0]])
    assert torch.allclose(feather(whole, cells).sum(0), torch.ones(H, W), atol=1e-5)
    assert torch.allclose(feather(torch.ones(1, H, W), cells), torch.ones(1, H, W), atol=1e-5)


def test_softness_is_the_same_everywhere_and_in_both_directions():
    mask = torch.zeros(2, 21, 33)
    mask[0, 8:11, 9:12] = 1
    mask[1, 10:13, 20:23] = 1  # the same, two down, eleven right
    made = feather(mask, 1.5)
    assert torch.allclose(made[0].roll((2, 11), (0, 1)), made[1], atol=1e-6)
    assert torch.allclose(made[0, 7:12, 8:13], made[0, 7:12, 8:13].T, atol=1e-6)
    assert float(made[0].sum()) == pytest.approx(9, abs=1e-4)
    assert 0 < float(made[0, 7, 10]) < float(made[0, 8, 10]) < float(made[0, 9, 10])


def test_no_softness_changes_nothing():
    mask = scattered(1, 0)
    assert torch.equal(feather(mask, 0), mask)


@given(st.integers(0, 99), st.floats(-2, 3), st.lists(st.booleans(), min_size=3, max_size=3))
@settings(max_examples=25)
def test_finished_masks_are_disjoint_and_growth_takes_nothing(seed, cells, grows):
    masks = soft(3, seed) * scattered(3, seed + 1, 0.6)
    owned = own(masks, [1, 0, 2])
    made = finish(masks, [1, 0, 2], cells, 0.0, grows)
    assert float(made.sum(0).max()) <= 1 + 1e-5
    for n, grow in enumerate(grows):
        if not grow:
            assert torch.allclose(made[n], owned[n], atol=1e-6)
        elif cells > 0:
            assert bool((made[n] >= owned[n] - 1e-6).all()), "never takes what another has"
        else:
            assert bool((made[n] <= owned[n] + 1e-6).all())
    assert float(finish(masks, [1, 0, 2], cells, 2.0, grows).sum(0).max()) <= 1 + 1e-5


def test_what_lies_between_two_goes_to_the_nearer():
    masks = torch.zeros(2, 1, 8)
    masks[0, 0, 1] = masks[1, 0, 5] = 1
    made = finish(masks, [1, 0], 3.0, 0.0, [True, True])
    assert made[:, 0].tolist() == [[1, 1, 1, 0.5, 0, 0, 0, 0], [0, 0, 0, 0.5, 1, 1, 1, 1]]


@given(st.integers(0, 99), st.floats(0, 4), st.permutations(range(3)))
@settings(max_examples=25, deadline=None)
def test_growth_asks_for_no_order(seed, cells, order):
    owned = own(soft(3, seed) * scattered(3, seed + 1, 0.6), [0, 0, 0])
    grows = [True, seed % 2 == 0, True]
    made = finish(owned, [0, 0, 0], cells, 1.0, grows)
    other = finish(owned[list(order)], [0, 1, 2], cells, 1.0, [grows[n] for n in order])
    assert torch.allclose(made[list(order)], other, atol=1e-5)


@pytest.mark.parametrize("cells", [1, 2, 3.5])
def test_growth_reaches_what_a_lone_mask_reaches(cells):
    owned = own(scattered(3, 5), [0, 1, 2])
    made = finish(owned, [0, 1, 2], cells, 0.0, [True] * 3)
    reached = dilate(owned.sum(0, keepdim=True), cells)[0]
    assert torch.allclose(made.sum(0), reached, atol=1e-5), "nothing is left over, nothing goes beyond"


def test_empty_is_less_than_half_a_cell():
    mask = torch.zeros(H, W)
    assert is_empty(mask)
    mask[0, 0] = 0.4
    assert is_empty(mask)
    mask[5, 5] = 0.2
    assert not is_empty(mask)
