"""What rows see: a crop holds its mask, in whole steps, inside the latent; a centred concept is in the middle."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from lib_omg.core.windows import Window, centred, crop_window, whole

STRIDE = 8


@st.composite
def boxes(draw):
    """(latent's height, width, box's top, bottom, left, right), all sides in cells."""
    height, width = draw(st.integers(3, 12)) * STRIDE, draw(st.integers(3, 12)) * STRIDE
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return height, width, top, draw(st.integers(top + 1, height)), left, draw(st.integers(left + 1, width))


def mask_of(height: int, width: int, top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    mask = torch.zeros(height, width)
    mask[top:bottom, left:right] = 0.01
    return mask


@given(boxes(), st.floats(0, 2))
def test_the_window_holds_the_mask_with_its_margin(box, margin):
    height, width, top, bottom, left, right = box
    window = crop_window(mask_of(*box), margin, STRIDE)
    assert 0 <= window.top <= top
    assert bottom <= window.top + window.height <= height
    assert 0 <= window.left <= left
    assert right <= window.left + window.width <= width
    step = STRIDE if min(height, width) >= 4 * STRIDE else STRIDE // 2
    assert window.height % step == window.width % step == 0
    assert min(window.height, window.width) >= min(height, width) / 2
    extra = margin * max(bottom - top, right - left) - 0.5  # a whole cell is nearer than half a cell
    assert window.top <= max(0, top - extra)
    assert window.left <= max(0, left - extra)
    assert window.top + window.height >= min(height, bottom + extra)
    assert window.left + window.width >= min(width, right + extra)


@given(boxes())
def test_the_window_is_no_larger_than_it_must_be(box):
    height, width, top, bottom, left, right = box
    window = crop_window(mask_of(*box), 0.0, STRIDE)
    least = min(height, width) / 2
    assert window.height < max(bottom - top, least) + STRIDE
    assert window.width < max(right - left, least) + STRIDE


@pytest.mark.parametrize(("side", "step"), [(64, 8), (32, 8), (24, 4), (16, 4), (8, 2)])
def test_in_small_pictures_a_crop_is_still_a_crop(side, step):
    mask = mask_of(side, side, 0, side, 0, side // 2 + 1)
    assert crop_window(mask, 0.0, STRIDE) == Window(0, 0, side, side // 2 + step)


def test_rows_and_columns_are_not_mixed():
    mask = mask_of(32, 96, 4, 12, 70, 80)
    assert crop_window(mask, 0.0, STRIDE) == Window(0, 67, 16, 16)


@pytest.mark.parametrize(("height", "width"), [(13, 27), (27, 13)])
def test_a_latent_of_no_whole_strides_gives_its_own_sides(height, width):
    assert crop_window(torch.ones(height, width), 0.15, STRIDE) == whole(height, width)


def test_an_empty_mask_sees_everything():
    assert crop_window(torch.zeros(24, 40), 0.15, STRIDE) == Window(0, 0, 24, 40)


def test_cut_is_a_view_of_the_last_two_dimensions():
    x = torch.arange(2 * 6 * 9).reshape(2, 6, 9)
    part = Window(1, 3, 2, 5).cut(x)
    assert part.tolist() == [[[int(x[n, r, c]) for c in range(3, 8)] for r in (1, 2)] for n in (0, 1)]
    part.zero_()
    assert int(x[1, 2, 7]) == 0


@given(boxes())
def test_a_centred_concept_is_seen_whole_and_in_the_middle(box):
    height, width, top, bottom, left, right = box
    window = centred(mask_of(*box), STRIDE)
    shown = window.show(mask_of(*box))
    first, last = (int(i) for i in torch.nonzero(shown.amax(0))[[0, -1], 0])
    assert last + 1 - first == right - left, "it was torn in two, or cut off"
    assert abs((first + last + 1) / 2 - shown.shape[1] / 2) <= 0.5
    assert [bool(row) for row in shown.amax(1)] == [top <= row < bottom for row in range(height)], "it moved up or down"
    assert 0 <= window.left <= window.left + window.width <= width


@given(boxes())
@example((24, 40, 0, 1, 0, 32))
def test_a_centred_window_is_a_square_unless_the_picture_is_narrower_or_the_concept_wider(box):
    height, width, *_, left, right = box
    window = centred(mask_of(*box), STRIDE)
    assert (window.top, window.height) == (0, height)
    assert window.width == min(width, height if right - left <= height else -(-(right - left) // STRIDE) * STRIDE)


def test_inside_of_the_picture_nothing_is_turned():
    assert centred(mask_of(16, 64, 0, 16, 30, 36), STRIDE) == Window(0, 25, 16, 16)
    assert centred(mask_of(16, 64, 0, 16, 60, 62), STRIDE) == Window(0, 48, 16, 16, -5)


@given(st.integers(-20, 20), st.integers(0, 3), st.integers(1, 6))
def test_what_is_shown_can_be_put_back(turn, left, wide):
    x = torch.arange(2 * 6 * 9).reshape(2, 6, 9)
    window = Window(1, left, 4, wide, turn)
    assert torch.equal(window.put_back(window.show(x)), window.cut(x))
    assert torch.equal(window.show(x)[..., turn % wide], window.cut(x)[..., 0])


def test_nobody_is_in_the_middle_already():
    assert centred(torch.zeros(24, 40), STRIDE) == whole(24, 40)
