"""Refined regions follow planted edges, stay disjoint, and stay as they were where there is nothing to follow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lib_omg.vision import refine
from lib_omg.vision.refine import guided_average, working_size

CELL = 8


def refined(picture: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """For pictures (H, W, 3)."""
    return refine.refined(torch.from_numpy(picture).permute(2, 0, 1), torch.from_numpy(regions)).numpy()


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A picture (96, 128, 3) of two discs on a noisy ground, and their true masks (2, 96, 128)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:96, :128]
    truth = np.stack([(rows - 48) ** 2 + (columns - x) ** 2 < 20**2 for x in (36, 92)])
    picture = np.full((96, 128, 3), (0.3, 0.6, 0.3))
    for mask, colour in zip(truth, ((0.9, 0.2, 0.1), (0.1, 0.2, 0.9)), strict=True):
        picture[mask] = colour
    return (picture + rng.normal(0, 0.02, picture.shape)).clip(0, 1), truth


def rough(truth: np.ndarray, shift: int = 1) -> np.ndarray:
    """Masks at latent size, moved by cells."""
    small = truth.reshape(len(truth), 96 // CELL, CELL, 128 // CELL, CELL).mean((2, 4)) > 0.5
    return np.roll(small, shift, axis=2).astype(np.float32)


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def test_regions_come_to_the_edges() -> None:
    picture, truth = scene()
    regions = rough(truth)
    before = regions.repeat(CELL, 1).repeat(CELL, 2) > 0.5
    made = refined(picture, regions)
    assert made.shape == truth.shape
    assert set(np.unique(made)) == {0.0, 1.0}
    assert made.sum(0).max() == 1
    for number in range(2):
        assert iou(before[number], truth[number]) < 0.7
        assert iou(made[number] > 0.5, truth[number]) > 0.95


def test_the_same_picture_gives_the_same_regions() -> None:
    picture, truth = scene()
    assert np.array_equal(refined(picture, rough(truth)), refined(picture, rough(truth)))


def test_large_pictures_are_looked_at_smaller() -> None:
    picture, truth = scene()
    made = refined(picture.repeat(8, 0).repeat(8, 1), rough(truth))
    assert made.shape[1:] == working_size(768, 1024) == (192, refine.LONGEST_PX)
    small = truth.repeat(2, 1).repeat(2, 2)
    assert all(iou(made[number] > 0.5, small[number]) > 0.9 for number in range(2))


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_nothing_to_part_leaves_regions_as_they_are(fill: float) -> None:
    picture, _ = scene()
    made = refined(picture, np.full((1, 12, 16), fill, np.float32))
    assert made.min() == made.max() == fill


def test_a_region_without_edges_of_its_own_is_not_lost() -> None:
    """Beside a disc that is found, a cell of the ground's own colour."""
    picture, truth = scene()
    regions = rough(truth, shift=0)
    regions[1] = 0
    regions[1, 1:3, 14:16] = 1
    made = refined(picture, regions)
    assert made[1].sum() >= 0.25 * 4 * CELL**2
    assert made.sum(0).max() == 1
    assert iou(made[0] > 0.5, truth[0]) > 0.9


def test_the_average_is_the_one_written_out() -> None:
    rng = torch.Generator().manual_seed(0)
    values, guide = torch.rand(2, 20, 30, generator=rng), 0.1 * torch.rand(3, 20, 30, generator=rng)
    made = guided_average(values, guide)
    reach = 20 * refine.REACH
    for row, column in ((10, 15), (0, 0), (19, 12)):
        total, weights = torch.zeros(2), 0.0
        for down in range(-refine.SAMPLES, refine.SAMPLES + 1):
            for right in range(-refine.SAMPLES, refine.SAMPLES + 1):
                y, x = min(max(row + down, 0), 19), min(max(column + right, 0), 29)
                colour = float((guide[:, y, x] - guide[:, row, column]).square().sum())
                weight = np.exp(-colour / refine.COLOUR**2 / 2 - (down**2 + right**2) / reach**2 / 2)
                total += weight * values[:, y, x]
                weights += weight
        assert torch.allclose(made[:, row, column], total / weights, atol=1e-5)
