"""The row map, under every way in which the host splits a denoiser call."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_omg.core.errors import OmgError
from lib_omg.core.rows import Row, RowCursor, global_rows

MAP = global_rows([2, 1])  # two images, the first with AND
SPLITS = {
    "whole": ([5], [(0, 3)]),
    "cond, then uncond": ([3, 2], [(0, 3), (0, 0)]),
    "by two": ([2, 1, 2], [(0, 2), (0, 1), (0, 0)]),
    "one by one": ([1] * 5, [(0, 1)] * 3 + [(0, 0)] * 2),
    "uncond dropped": ([3], [(0, 3)]),
    "across the border": ([2, 3], [(0, 2), (0, 1)]),
}


def test_global_rows_are_cond_rows_by_image_then_uncond():
    assert (Row(0, True), Row(0, True), Row(1, True), Row(0, False), Row(1, False)) == MAP


@pytest.mark.parametrize("name", SPLITS)
def test_spans_of_every_split(name):
    counts, spans = SPLITS[name]
    cursor = RowCursor()
    found, seen = [], []
    with cursor.follow(MAP):
        for count in counts:
            cursor.advance(count)
            assert cursor.first == len(seen)
            seen += cursor.rows
            found.append(cursor.cond_span())
    assert found == spans
    assert tuple(seen) == MAP[: sum(counts)]


def test_too_many_rows_are_told_not_guessed():
    cursor = RowCursor()
    with cursor.follow(MAP):
        cursor.advance(3)
        with pytest.raises(OmgError, match=r"at most 5 rows.*found 6"):
            cursor.advance(3)


def test_each_call_begins_anew_and_the_total_goes_on():
    cursor = RowCursor()
    for _ in range(3):
        with cursor.follow(MAP):
            cursor.advance(5)
            assert cursor.first == 0
    assert cursor.total == 15


def test_outside_of_a_followed_call_nothing_is_known():
    cursor = RowCursor()
    cursor.advance(7)
    assert cursor.rows == ()
    assert cursor.total == 0
    assert cursor.cond_span() == (0, 0)


def test_an_exception_leaves_no_rows_behind():
    cursor = RowCursor()

    def fail() -> None:
        cursor.advance(2)
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"), cursor.follow(MAP):
        fail()
    assert cursor.rows == ()
    cursor.advance(99)
    assert cursor.concept_spans() == []


def spans_by_row(rows: tuple[Row, ...]) -> dict[int, list[int]]:
    by_concept: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        if row.concept >= 0:
            by_concept.setdefault(row.concept, []).append(index)
    return by_concept


@given(st.lists(st.builds(Row, st.integers(0, 1), st.booleans(), st.integers(-1, 2)), min_size=1, max_size=9))
def test_concept_spans_cover_each_concepts_rows_once(rows):
    cursor = RowCursor()
    with cursor.follow(tuple(rows)):
        cursor.advance(len(rows))
        spans = cursor.concept_spans()
    covered: dict[int, list[int]] = {}
    for concept, start, stop in spans:
        covered.setdefault(concept, []).extend(range(start, stop))
    assert covered == spans_by_row(tuple(rows))
    assert all(a[0] != b[0] or a[2] < b[1] for a, b in pairwise(spans)), "neighbours are one span"


def test_concept_rows_are_no_global_cond_rows():
    cursor = RowCursor()
    with cursor.follow((Row(0, True, 0), Row(0, False, 0), Row(0, True, 1))):
        cursor.advance(3)
        assert cursor.cond_span() == (0, 0)
        assert cursor.concept_spans() == [(0, 0, 2), (1, 2, 3)]
