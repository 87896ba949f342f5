"""Concept noise blending against the paper's formula, cell by cell."""

from __future__ import annotations

import pytest
import torch

from lib_omg.core.blend import Region, blend
from lib_omg.core.windows import Window, whole

B, C, H, W = 2, 3, 5, 8


def formula(prediction: torch.Tensor, regions: list[Region]) -> torch.Tensor:
    """e = e_global * (1 - union of M) + sum_i M_i e_i, written out for disjoint masks."""
    out = torch.zeros_like(prediction)
    for b in range(B):
        for y in range(H):
            for x in range(W):
                rest, value = 1.0, torch.zeros(C)
                for region in regions:
                    win = region.window
                    row, column = y - win.top, x - win.left
                    if region.image != b or not (0 <= row < win.height and 0 <= column < win.width):
                        continue
                    share = float(region.mask[row, column])
                    rest -= share
                    value = value + share * region.prediction[:, row, column]
                out[b, :, y, x] = rest * prediction[b, :, y, x] + value
    return out


def region(image: int, window: Window, mask: torch.Tensor) -> Region:
    return Region(image, window, torch.randn(C, window.height, window.width), mask)


def cells(window: Window, top: int, left: int, height: int, width: int) -> torch.Tensor:
    mask = torch.zeros(window.height, window.width)
    mask[top : top + height, left : left + width] = 1
    return mask


@pytest.fixture
def prediction() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(B, C, H, W)


def test_binary_disjoint_masks_give_the_papers_formula(prediction):
    full, crop = whole(H, W), Window(1, 4, 3, 4)
    regions = [
        region(0, full, cells(full, 0, 0, 4, 3)),
        region(0, crop, cells(crop, 1, 1, 2, 2)),
        region(1, full, cells(full, 2, 5, 3, 3)),
    ]
    blended = blend(prediction, regions)
    assert torch.allclose(blended, formula(prediction, regions), atol=1e-6)
    assert torch.allclose(blended[0, :, 0:4, 0:3], regions[0].prediction[:, 0:4, 0:3], atol=1e-6)
    assert torch.equal(blended[1, :, :2], prediction[1, :, :2]), "outside of all masks it is the global one"


def test_soft_masks_share(prediction):
    full, crop = whole(H, W), Window(0, 2, 5, 5)
    shares = torch.rand(2, H, W)
    shares = shares / shares.sum(0).clamp(min=1)
    regions = [region(1, full, shares[0]), region(1, crop, crop.cut(shares[1]))]
    assert torch.allclose(blend(prediction, regions), formula(prediction, regions), atol=1e-5)


def test_inputs_stay_as_they_are(prediction):
    one = region(0, whole(H, W), torch.rand(H, W))
    copies = [t.clone() for t in (prediction, one.prediction, one.mask)]
    blended = blend(prediction, [one])
    assert all(torch.equal(a, b) for a, b in zip(copies, (prediction, one.prediction, one.mask), strict=True))
    blended.zero_()
    assert torch.equal(prediction, copies[0]), "the result is a tensor of its own"


def test_without_regions_the_prediction_is_copied(prediction):
    blended = blend(prediction, [])
    assert torch.equal(blended, prediction)
    assert blended.data_ptr() != prediction.data_ptr()


def test_the_predictions_precision_is_kept(prediction):
    blended = blend(prediction.half(), [region(0, whole(H, W), torch.ones(H, W))])
    assert blended.dtype == torch.float16
