"""Attention as a source: instances with labels, boxes and masks of a planted picture."""

from __future__ import annotations

import pytest
import torch

from lib_omg.vision.affinity import MOST_CELLS, Affinity
from lib_omg.vision.attention_source import WordHeat, attention_instances, bounds, coarse
from lib_omg.vision.refine import working_size

H, W, CELL = 16, 24, 8


def planted() -> tuple[torch.Tensor, torch.Tensor, Affinity]:
    """Two people: picture (3, H*8, W*8), bool masks (2, H*8, W*8), and what belongs together."""
    rows, columns = torch.meshgrid(torch.arange(H * CELL), torch.arange(W * CELL), indexing="ij")
    truth = torch.stack([((rows - 68) / 44) ** 2 + ((columns - x) / 22) ** 2 < 1 for x in (45, 140)])
    picture = torch.full((3, H * CELL, W * CELL), 0.4)
    for mask, colour in zip(truth, ((0.9, 0.1, 0.1), (0.1, 0.2, 0.9)), strict=True):
        picture[:, mask] = torch.tensor(colour)[:, None]
    small = torch.nn.functional.avg_pool2d(truth.float(), CELL) > 0.5
    owner = (small[0] + 2 * small[1].long()).flatten()
    same = (owner[:, None] == owner[None, :]).float() + 1e-3
    return picture, truth, Affinity(same / same.sum(1, keepdim=True), (H, W))


def heat(*columns: int) -> torch.Tensor:
    """Hot spots in the middle row."""
    made = 0.01 * torch.rand(H, W, generator=torch.Generator().manual_seed(0))
    for column in columns:
        made[7:10, column - 1 : column + 2] = 1
    return made


def iou(found: torch.Tensor, truth: torch.Tensor) -> float:
    return float(((found > 0) & truth).sum() / ((found > 0) | truth).sum())


@pytest.mark.parametrize("given", [False, True])
def test_two_classes_are_found_with_their_words_and_outlines(given: bool) -> None:
    picture, truth, affinity = planted()
    words = [WordHeat("woman", heat(17), 1), WordHeat("man", heat(5), 1)]
    made = attention_instances(words, picture, affinity=affinity, count_given=given)
    assert [one.label for one in made] == ["man", "woman"], "from left to right"
    for one, mask in zip(made, truth, strict=True):
        assert iou(one.mask, mask) > 0.9
        assert one.box == bounds(one.mask)
        assert 0 <= one.score <= 1
    assert float(torch.stack([one.mask for one in made]).sum(0).max()) == 1


@pytest.mark.parametrize(("wanted", "given", "found"), [(1, False, 2), (2, False, 2), (3, False, 2), (1, True, 1)])
def test_the_number_is_what_is_seen_unless_it_is_given(wanted: int, given: bool, found: int) -> None:
    picture, _, affinity = planted()
    words = [WordHeat("man", heat(5, 17), wanted)]
    made = attention_instances(words, picture, affinity=affinity, count_given=given)
    assert len(made) == found


def test_without_a_picture_masks_have_the_latents_size() -> None:
    _, truth, affinity = planted()
    made = attention_instances([WordHeat("man", heat(5, 17), 2)], None, affinity=affinity)
    small = torch.nn.functional.avg_pool2d(truth.float(), CELL) > 0.5
    for one, mask in zip(made, small, strict=True):
        assert one.mask.shape == (H, W)
        assert iou(one.mask, mask) > 0.6


def test_large_layouts_are_looked_at_coarser() -> None:
    picture, truth, _ = planted()
    large = torch.nn.functional.interpolate(truth.float()[None], scale_factor=0.5)[0]
    warm = [one + 0.01 * torch.rand(64, 96, generator=torch.Generator().manual_seed(1)) for one in large]
    words = [WordHeat("man", warm[0], 1), WordHeat("dog", warm[1], 1)]
    made = attention_instances(words, picture.repeat_interleave(4, 1).repeat_interleave(4, 2))
    assert [one.label for one in made] == ["man", "dog"]
    assert made[0].mask.shape == working_size(4 * H * CELL, 4 * W * CELL)
    without = attention_instances(words, None)
    assert without[0].mask.shape == (64, 96)
    assert coarse((64, 96)) == (32, 48)
    assert coarse((16, 24)) == (16, 24)
    height, width = coarse((201, 77))
    assert height * width <= MOST_CELLS


def test_nothing_hot_finds_nobody() -> None:
    picture, _, affinity = planted()
    assert attention_instances([], picture) == []
    assert attention_instances([WordHeat("man", torch.zeros(H, W), 2)], picture, affinity=affinity) == []


def test_bounds_are_the_masks() -> None:
    mask = torch.zeros(10, 20)
    mask[2:5, 4:9] = 1
    assert bounds(mask) == (0.2, 0.2, 0.45, 0.5)
