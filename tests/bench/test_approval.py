"""Seeds by approval, with made-up layouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from bench import plans
from bench.approval import MOST_SEEDS, approve
from bench.cases import Case, pairs
from bench.measures import Instance
from bench.runs import Run

CASES = pairs("man+woman", 6)


def luck(case: Case) -> bool:
    return case.seed % 3 == 0


def check(cases: Sequence[Case]) -> list[bool]:
    return [luck(case) for case in cases]


@pytest.mark.parametrize("at_once", [1, 2, 15, 1000])
def test_every_case_takes_its_first_good_seed(at_once: int) -> None:
    found = approve(CASES, check, at_once)
    looked_at = 0
    for case in CASES:
        rows = [case.again(attempt) for attempt in range(MOST_SEEDS)]
        first = next(row for row in rows if luck(row))
        assert found.chosen[case] == first
        looked_at += rows.index(first) + 1
    assert found.layouts == {2: looked_at}
    assert found.failed == ()
    assert case.again(0) == case


def test_a_case_chooses_for_itself() -> None:
    alone = [approve([case], check).chosen[case] for case in CASES]
    assert alone == [approve(CASES, check).chosen[case] for case in CASES]


def test_no_process_waits_while_seeds_are_left() -> None:
    asked: list[int] = []

    def never(cases: Sequence[Case]) -> list[bool]:
        asked.append(len(cases))
        return [False] * len(cases)

    approve(CASES[:2], never, at_once=5)
    assert asked == [4] * (MOST_SEEDS // 2)
    asked.clear()
    approve(CASES[:1], never, at_once=5)
    assert asked == [5, 5, 5, 5, 4]
    assert MOST_SEEDS == 24


def test_a_case_without_a_right_layout_keeps_its_seed_and_is_told() -> None:
    never = CASES[2]
    found = approve(
        CASES, lambda cases: [(c.names, c.place, c.light) != (never.names, never.place, never.light) for c in cases]
    )
    assert found.failed == (never,)
    assert found.chosen[never] == never
    assert found.layouts == {2: len(CASES) - 1 + MOST_SEEDS}
    assert "1 cases had no right one" in str(found)


def test_nothing_to_approve() -> None:
    assert approve([], check).chosen == {}


def test_a_plan_takes_new_seeds_everywhere() -> None:
    plan = plans.full(count=4)
    changed = plan.with_cases({case: case.again(1) for case in plan.groups})
    seeds = {case.seed for case in changed.groups}
    assert seeds.isdisjoint(case.seed for case in plan.groups)
    drawn = {draw.case.seed for draw in changed.draws(plans.TABLES)}
    assert drawn == seeds  # those alone too
    assert len(changed.draws(plans.TABLES)) == len(plan.draws(plans.TABLES))


def test_only_a_layout_in_which_somebody_is_hidden_is_right_for_those_close_together() -> None:
    apart, hidden = np.zeros((2, 40, 60), bool), np.zeros((2, 40, 60), bool)
    apart[0, 5:35, 5:25] = apart[1, 5:38, 35:55] = True
    hidden[1, 5:38, 20:40] = True
    hidden[0, 5:35, 10:20] = True  # its other half is behind
    hidden[0, 5:10, 20:30] = True  # but for its head
    hidden[1] &= ~hidden[0]
    case = Case(("rex", "bob"), "park", "day", 1)
    for masks, when_close in ((apart, False), (hidden, True)):
        seen = tuple(Instance("man", mask, np.ones(1)) for mask in masks)
        assert Run._is_right(case, seen)
        assert Run._is_right(replace(case, close=True), seen) is when_close
        assert not Run._is_right(case, seen[:1])
