"""Which boxes are individuals: a slow oracle for suppression, counts, and what is no box."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_omg.vision import boxes
from lib_omg.vision.boxes import Candidate, Thresholds, box_of, checked_box, clipped, individuals, overlap, suppressed

GRID = 40
LEFT, MIDDLE, RIGHT = (0.0, 0.1, 0.2, 0.9), (0.4, 0.1, 0.6, 0.9), (0.7, 0.1, 0.9, 0.9)


@st.composite
def grid_boxes(draw: st.DrawFn) -> boxes.Box:
    """Boxes whose corners lie on a grid, so that cells can be counted."""
    left, top = draw(st.integers(0, GRID - 1)), draw(st.integers(0, GRID - 1))
    right, bottom = draw(st.integers(left + 1, GRID)), draw(st.integers(top + 1, GRID))
    return left / GRID, top / GRID, right / GRID, bottom / GRID


def cells(box: boxes.Box) -> set[tuple[int, int]]:
    left, top, right, bottom = (round(value * GRID) for value in box)
    return {(row, column) for row in range(top, bottom) for column in range(left, right)}


@given(grid_boxes(), grid_boxes())
def test_overlap_is_that_of_the_cells(first: boxes.Box, second: boxes.Box) -> None:
    expected = len(cells(first) & cells(second)) / len(cells(first) | cells(second))
    assert overlap(first, second) == pytest.approx(expected, abs=1e-9)
    assert overlap(first, second) == overlap(second, first)


@given(st.lists(st.tuples(grid_boxes(), st.sampled_from("ab"), st.integers(1, 99)), max_size=8))
def test_suppression_keeps_the_surest_of_everybody(drawn: list[tuple[boxes.Box, str, int]]) -> None:
    given_ = [Candidate(label, score / 100, box) for box, label, score in drawn]
    kept = suppressed(given_)
    assert [one.score for one in kept] == sorted((one.score for one in kept), reverse=True)
    for one in kept:
        assert all(overlap(one.box, other.box) <= boxes.OVERLAP for other in kept if other is not one)
    for one in given_:  # whoever went has someone as sure in his place
        assert one in kept or any(o.score >= one.score and overlap(o.box, one.box) > boxes.OVERLAP for o in kept)


def test_one_individual_is_not_a_man_and_a_woman_at_once() -> None:
    near = (0.01, 0.12, 0.21, 0.9)
    found = [Candidate("man", 0.4, LEFT), Candidate("woman", 0.6, near), Candidate("man", 0.3, RIGHT)]
    kept = individuals(found, {"man": 1, "woman": 1}, Thresholds(0.1, 0.9))
    assert [(one.label, one.box) for one in kept] == [("woman", near), ("man", RIGHT)]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"man": 1}, [RIGHT]),
        ({"man": 2}, [LEFT, RIGHT]),
        ({"man": 3}, [LEFT, RIGHT]),  # the third is below the threshold
        ({"man": 0}, []),
        ({"dog": 2}, []),
    ],
)
def test_so_many_as_wanted(wanted: dict[str, int], expected: list[boxes.Box]) -> None:
    found = [Candidate("man", 0.3, LEFT), Candidate("man", 0.05, MIDDLE), Candidate("man", 0.5, RIGHT)]
    assert [one.box for one in individuals(found, wanted, Thresholds(0.1, 0.9))] == expected


def test_more_than_wanted_when_the_detector_is_very_sure() -> None:
    found = [Candidate("man", 0.8, LEFT), Candidate("man", 0.6, MIDDLE), Candidate("man", 0.4, RIGHT)]
    assert [one.box for one in individuals(found, {"man": 1}, Thresholds(0.1, 0.6))] == [LEFT, MIDDLE]


def test_masks_of_boxes_are_high_where_the_picture_is() -> None:
    (one,) = boxes.instances([Candidate("man", 0.5, (0.5, 0.0, 1.0, 0.25))], 100, 200)
    assert one.mask.shape == (100, 200)
    assert one.mask[:25, 100:].min() == 1
    assert one.mask.sum() == 25 * 100
    (small,) = boxes.instances([Candidate("man", 0.5, (0.5, 0.0, 1.0, 0.25))], 1000, 2000)
    assert small.mask.shape == (128, boxes.LONGEST_PX)


def test_the_box_around_a_mask() -> None:
    mask = torch.zeros(10, 40)
    mask[2:5, 10:30] = 0.9
    assert box_of(mask) == (0.25, 0.2, 0.75, 0.5)
    with pytest.raises(ValueError, match="found none"):
        box_of(mask * 0.5)


@pytest.mark.parametrize(
    "box",
    ["0,0,1,1", None, (0, 0, 1), (0, 0, 1, math.nan), (0, 0, 1, math.inf), (0.5, 0, 0.5, 1), (0.6, 0, 0.5, 1),
     (-0.1, 0, 1, 1), (0, 0, 1, 1.1), (0, 0, 1, "1"), [[0, 0, 1, 1]]],
)  # fmt: skip
def test_what_is_no_box(box: object) -> None:
    with pytest.raises(ValueError, match=r"box: expected .*found"):
        checked_box(box)


def test_boxes_end_at_the_picture_s_edge() -> None:
    assert checked_box([0, 0, 1, 0.5]) == (0, 0, 1, 0.5)
    assert clipped((-3, 0.2, 0.5, 7)) == (0, 0.2, 0.5, 1)
    assert clipped((1.2, 0, 1.5, 1)) is None
    assert clipped((0, 0, math.nan, 1)) is None


@pytest.mark.parametrize(("wanted", "more"), [(0.5, 0.4), (-0.1, 0.4), (0.1, 1.2), (math.nan, 0.5)])
def test_thresholds_are_checked(wanted: float, more: float) -> None:
    with pytest.raises(ValueError, match="thresholds: expected"):
        Thresholds(wanted, more)
