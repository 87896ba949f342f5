"""What SAM is told about an individual that was found roughly, and what users may tell it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_omg.core.masks import box_mask
from lib_omg.vision.boxes import box_of
from lib_omg.vision.found import Instance
from lib_omg.vision.sam_prompts import MOST_POINTS, checked_prompt, depth_of, inside_points, rough_prompts


def instance(mask: torch.Tensor) -> Instance:
    return Instance("man", 0.5, mask, box_of(mask))


def disc(height: int, width: int, middle: tuple[int, int], radius: float) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 <= radius**2).float()


def at(mask: torch.Tensor, point: tuple[float, float]) -> float:
    """The mask's value under a point (x, y) in fractions."""
    height, width = mask.shape
    return float(mask[int(point[1] * height), int(point[0] * width)])


@given(st.integers(0, 2**32 - 1), st.integers(3, 14), st.integers(3, 20))
def test_depth_is_the_distance_to_the_nearest_cell_outside(seed: int, height: int, width: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.85
    outside = np.argwhere(~mask)
    expected = np.zeros((height, width))
    for row, column in np.argwhere(mask):
        steps = np.abs(outside - (row, column)).max(1)
        expected[row, column] = steps.min() if len(outside) else 64
    assert np.array_equal(depth_of(torch.from_numpy(mask).float()).numpy(), expected)


@given(st.integers(0, 2**32 - 1))
def test_points_lie_inside_whatever_the_form(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = torch.from_numpy((rng.random((24, 40)) < rng.random()).astype(np.float32))
    if not mask.any():
        return
    for point in inside_points(depth_of(mask), 3):
        assert at(mask, point) == 1


def test_points_lie_well_inside_and_apart() -> None:
    mask = torch.zeros(40, 120)
    mask[10:31, 10:111] = 1  # 21 high, 101 wide
    first, second = inside_points(depth_of(mask))
    assert first == pytest.approx((0.5, 0.5), abs=0.03)
    assert all(at(mask, point) == 1 for point in (first, second))
    assert abs(first[0] - second[0]) > 0.25
    rows = [point[1] * 40 for point in (first, second)]
    assert all(15 <= row <= 26 for row in rows)


def test_someone_cut_off_by_the_edge_is_deep_there() -> None:
    mask = torch.zeros(30, 60)
    mask[:, :10] = 1
    (x, y), *_ = inside_points(depth_of(mask))
    assert x < 0.05
    assert 0.3 < y < 0.7


def test_touching_people_tell_each_other_apart() -> None:
    left, right = disc(60, 100, (30, 35), 20), disc(60, 100, (30, 62), 20)
    right = right * (1 - left)
    far = disc(60, 100, (8, 92), 6)
    made = rough_prompts([instance(left), instance(right), instance(far)])
    for prompt, mine, other in ((made[0], left, right), (made[1], right, left)):
        assert prompt is not None
        assert prompt.box == box_of(mine)
        for x, y, label in prompt.points:
            assert at(mine, (x, y)) == label
            assert at(other, (x, y)) == 1 - label
        assert {label for _, _, label in prompt.points} <= {0, 1}
    assert made[2] is not None
    assert all(label == 1 for _, _, label in made[2].points)  # nobody reaches into the far one's box


def test_whose_middle_lies_in_my_box_is_told_as_not_me() -> None:
    ring = disc(60, 100, (30, 50), 25) * (1 - disc(60, 100, (30, 50), 12))
    inner = disc(60, 100, (30, 50), 10)
    outer_prompt, inner_prompt = rough_prompts([instance(ring), instance(inner)])
    assert outer_prompt is not None
    assert inner_prompt is not None
    ((x, y),) = [(x, y) for x, y, label in outer_prompt.points if label == 0]
    assert at(inner, (x, y)) == 1
    assert not [label for _, _, label in inner_prompt.points if label == 0]


def test_a_detector_s_box_is_told_as_a_box_alone() -> None:
    box = (0.21, 0.13, 0.63, 0.88)
    (prompt,) = rough_prompts([Instance("man", 0.5, box_mask(box, 50, 80), box)])
    assert prompt is not None
    assert prompt.points == ()
    assert prompt.box == pytest.approx(box, abs=0.02)


def test_nothing_is_told_about_nothing() -> None:
    (prompt,) = rough_prompts([Instance("man", 0.5, torch.zeros(10, 20), (0, 0, 0.1, 0.1))])
    assert prompt is None
    assert rough_prompts([]) == []


def test_a_line_is_not_lost() -> None:
    mask = torch.zeros(300, 500)
    mask[:, 250] = 1
    (prompt,) = rough_prompts([instance(mask)])
    assert prompt is not None
    assert prompt.box == (0.5, 0, 0.502, 1)


def test_a_user_s_clicks() -> None:
    prompt = checked_prompt([[0.25, 1, 1], (0.5, 0, 0)], [0, 0, 1, 0.5])
    assert prompt.points == ((0.25, 1.0, 1), (0.5, 0.0, 0))
    assert prompt.box == (0, 0, 1, 0.5)
    assert checked_prompt([[0.5, 0.5, 1]]).is_click
    assert not checked_prompt([[0.5, 0.5, 1]], [0, 0, 1, 1]).is_click
    assert checked_prompt([], [0, 0, 1, 1]).points == ()
    assert checked_prompt([[0.5, 0.5, 0]], [0, 0, 1, 1]).points == ((0.5, 0.5, 0),)


@pytest.mark.parametrize(
    ("points", "box", "said"),
    [
        ([[0.5, 0.5, 1]] * 10_000, None, f"at most {MOST_POINTS}, found 10000"),
        ([], None, "found 0 beside it"),
        ([[0.5, 0.5, 0]], None, "one on the thing, or a box"),
        ([[0.5, 1.5, 1]], None, r"0 to 1, found \[0\.5, 1\.5, 1\]"),
        ([[-0.1, 0.5, 1]], None, "0 to 1"),
        ([[math.nan, 0.5, 1]], None, "finite"),
        ([[0.5, math.inf, 1]], None, "finite"),
        ([[0.5, 0.5, 2]], None, r"1 \(on the thing\) or 0"),
        ([[0.5, 0.5]], None, r"\[x, y, 1 or 0\]"),
        ([["0.5", 0.5, 1]], None, "finite numbers"),
        (["abc"], None, r"\[x, y, 1 or 0\]"),
        ("abc", None, "found str"),
        (None, None, "found NoneType"),
        ({"x": 1}, None, "found dict"),
        ([[0.5, 0.5, 1]], [0, 0, 0, 1], "box: expected"),
        ([[0.5, 0.5, 1]], "box", "box: expected"),
    ],
)  # fmt: skip
def test_what_a_user_can_t_tell(points: object, box: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked_prompt(points, box)
