"""What stands in the others' place: what lies around them, and nothing of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_omg.core.others import hiding_shift, others_of, spread

SIZES = st.tuples(st.integers(1, 21), st.integers(1, 21))


def _random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(SIZES, st.integers(0, 2**31), st.floats(0.05, 0.95))
def test_known_values_stay_and_the_rest_lies_between_them(size, seed, share):
    values = _random(seed, 3, *size)
    known = (torch.rand(size, generator=torch.Generator().manual_seed(seed + 1)) < share).float()
    if not known.any():
        known[0, 0] = 1
    found = spread(values, known)
    inside = values[:, known == 1]
    torch.testing.assert_close(found[:, known == 1], inside, rtol=0, atol=0)
    low, high = inside.amin(1)[:, None, None], inside.amax(1)[:, None, None]
    assert ((found >= low - 1e-5) & (found <= high + 1e-5)).all()


def test_where_nothing_is_known_there_is_nothing():
    assert not spread(_random(0, 2, 5, 7), torch.zeros(5, 7)).any()


def test_the_nearer_counts_more():
    """A hole between two plains takes each one's value beside it and one between them in the middle."""
    values = torch.zeros(1, 16, 32)
    values[..., 16:] = 1.0
    known = torch.ones(16, 32)
    known[4:12, 8:24] = 0
    row = spread(values, known)[0, 8, 8:24]
    assert row[0] < 0.25
    assert row[-1] > 0.75
    assert (row.diff() > -1e-6).all()
    assert row[7:9].mean() == pytest.approx(0.5, abs=0.05)


def _masks() -> tuple[torch.Tensor, torch.Tensor]:
    own, others = torch.zeros(12, 20), torch.zeros(12, 20)
    own[3:10, 2:7], others[4:11, 11:16] = 1, 1
    others[4:11, 10] = 0.5
    return own, others


def _shown(x: torch.Tensor, x0: torch.Tensor, own: torch.Tensor, others: torch.Tensor, **fields: float) -> torch.Tensor:
    return x + hiding_shift(x, x0, own, others, **fields)


def test_nothing_of_the_others_is_seen_nor_their_noise():
    own, others = _masks()
    first, second = _random(1, 2, 4, 12, 20), _random(1, 2, 4, 12, 20)
    full = others == 1
    second[..., full] = 9.0
    torch.testing.assert_close(_shown(*first, own, others), _shown(*second, own, others), rtol=0, atol=2e-6)


def test_the_concept_itself_does_not_colour_what_is_around():
    own, others = _masks()
    x, first, second = _random(2, 4, 12, 20), _random(3, 4, 12, 20), _random(3, 4, 12, 20)
    second[:, own > 0] = 5.0
    torch.testing.assert_close(_shown(x, first, own, others), _shown(x, second, own, others), rtol=0, atol=0.05)


def test_elsewhere_the_picture_stays():
    own, others = _masks()
    assert not hiding_shift(_random(3, 4, 12, 20), _random(4, 4, 12, 20), own, others)[:, others == 0].any()


@pytest.mark.parametrize("signal", [1.0, 0.25])
def test_masks_that_cover_everything_leave_the_concept_to_be_spread(signal):
    """Two boxes side by side: there is nothing around, so nothing else is left."""
    own, others = torch.zeros(8, 8), torch.zeros(8, 8)
    own[:, :4], others[:, 4:] = 1, 1
    x0 = torch.full((2, 8, 8), 7.0)
    x0[:, :, :4] = 3.0
    shown = _shown(_random(5, 2, 8, 8), x0, own, others, signal=signal)
    torch.testing.assert_close(shown[:, :, 4:], torch.full((2, 8, 4), 3.0 * signal))


def test_who_owns_the_scene_is_not_hidden():
    """A concept for all that is left: without it the others would stand in nothing."""
    masks = torch.zeros(1, 3, 10, 10)
    masks[0, 0, :, :2], masks[0, 1, :, 2:4], masks[0, 2, :, 4:] = 1, 1, 1
    assert torch.equal(others_of(masks, 0), masks[:, 1])
    assert torch.equal(others_of(masks, 2), masks[:, 0] + masks[:, 1])


def test_somebody_large_in_the_foreground_is_hidden():
    masks = torch.zeros(2, 2, 10, 10)
    masks[:, 0, :, :2], masks[:, 1, :, 2:9] = 1, 1
    masks[1, 1, :, 9] = 1  # in the second image nothing lies around them
    assert torch.equal(others_of(masks, 0)[0], masks[0, 1])
    assert not others_of(masks, 0)[1].any()


def test_each_image_has_its_own_others():
    masks = torch.rand((2, 3, 6, 6), generator=torch.Generator().manual_seed(1)) / 3
    found = others_of(masks, 1)
    torch.testing.assert_close(found, masks[:, 0] + masks[:, 2])


def test_half_precision_is_kept():
    own, others = _masks()
    x, x0 = _random(6, 4, 12, 20), _random(7, 4, 12, 20)
    made = hiding_shift(x.half(), x0.half(), own, others)
    assert made.dtype is torch.float16
    torch.testing.assert_close(made.float(), hiding_shift(x, x0, own, others), rtol=0, atol=1e-2)
