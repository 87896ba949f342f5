"""Who is who: by class, by rule, by the user's word; nobody twice, and what doesn't work out is said."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_omg.core.settings import AssignBy, ConceptSettings
from lib_omg.vision.assignment import assign
from lib_omg.vision.found import Instance


def instance(label: str, left: float, size: float = 0.1, bottom: float = 1.0) -> Instance:
    return Instance(label, 1.0, torch.full((4, 4), size), (left, bottom - 0.5, left + 0.1, bottom))


def concepts(*words: str, **fields: list[object]) -> list[ConceptSettings]:
    made = []
    for number, word in enumerate(words):
        made.append(ConceptSettings(class_word=word, **{name: values[number] for name, values in fields.items()}))
    return made


PEOPLE = [
    instance("woman", 0.1, size=0.2, bottom=0.8),
    instance("man", 0.3),
    instance("woman", 0.5, size=0.9, bottom=0.9),
    instance("woman", 0.7, size=0.5, bottom=1.0),
]


@pytest.mark.parametrize(
    ("by", "owners"),
    [(AssignBy.LEFT_TO_RIGHT, (0, 1, 2)), (AssignBy.SIZE, (2, 1, 3)), (AssignBy.DEPTH, (3, 1, 2))],
)
def test_each_class_in_the_rules_order(by: AssignBy, owners: tuple[int, ...]) -> None:
    made = assign(concepts("woman", "man", "Woman "), PEOPLE, by)
    assert made.owners == owners
    assert made.problems == {}
    assert set(made.spare) == {0, 1, 2, 3} - set(owners)


def test_by_depth_the_concepts_own_depth_says_who_is_in_front() -> None:
    made = assign(concepts("woman", "woman", depth=[5, -1]), PEOPLE, AssignBy.DEPTH)
    assert made.owners == (2, 3)


def test_the_users_choice_comes_first_of_whatever_class() -> None:
    made = assign(concepts("woman", "woman", "woman", instance=[None, 1, 0]), PEOPLE, AssignBy.LEFT_TO_RIGHT)
    assert made.owners == (2, 1, 0)
    assert made.spare == (3,)


def test_a_choice_that_cannot_be_is_said_and_nobody_else_is_put_in_its_place() -> None:
    made = assign(concepts("woman", "man", "woman", instance=[7, 2, 2]), PEOPLE, AssignBy.LEFT_TO_RIGHT)
    assert made.owners == (None, 2, None)
    assert "number 8 of the layout, where 4 are found" in made.problems[0]
    assert "to another concept as well" in made.problems[2]


def test_too_few_are_said() -> None:
    made = assign(concepts("man", "man", "dog"), PEOPLE, AssignBy.LEFT_TO_RIGHT)
    assert made.owners == (1, None, None)
    assert "only 1 of 2 'man'" in made.problems[1]
    assert "no 'dog'" in made.problems[2]
    assert made.spare == ()


def test_only_those_that_need_one_get_one() -> None:
    made = assign(concepts("woman", "woman"), PEOPLE, AssignBy.LEFT_TO_RIGHT, None, [1])
    assert made.owners == (None, 0)
    assert made.problems == {}


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=2, max_size=4))
def test_likeness_gives_the_largest_sum(rows: list[list[float]]) -> None:
    likeness = torch.zeros(len(rows), 4)
    for column, person in enumerate((0, 2, 3)):
        likeness[:, person] = torch.tensor([row[column] for row in rows])
    made = assign(concepts(*["woman"] * len(rows)), PEOPLE, AssignBy.SIMILARITY, likeness)
    got = sum(float(likeness[n, i]) for n, i in enumerate(made.owners) if i is not None)
    number = min(len(rows), 3)
    best = max(
        sum(float(likeness[n, i]) for n, i in zip(some, order, strict=True))
        for some in itertools.combinations(range(len(rows)), number)
        for order in itertools.permutations((0, 2, 3), number)
    )
    assert got == pytest.approx(best, abs=1e-5)


def test_without_likeness_and_where_all_are_alike_it_is_left_to_right() -> None:
    for likeness in (None, torch.ones(2, 4)):
        assert assign(concepts("woman", "woman"), PEOPLE, AssignBy.SIMILARITY, likeness).owners == (0, 2)


people = st.lists(st.tuples(st.sampled_from(["man", "woman", "dog"]), st.floats(0, 0.9)), max_size=6)
wishes = st.lists(
    st.tuples(st.sampled_from(["man", "woman", "dog"]), st.none() | st.integers(0, 6), st.integers(-2, 2)), max_size=5
)


@given(people, wishes, st.sampled_from(AssignBy))
def test_nobody_is_two_concepts_and_everyone_is_accounted_for(
    found: list[tuple[str, float]], asked: list[tuple[str, int | None, int]], by: AssignBy
) -> None:
    instances = [instance(label, left) for label, left in sorted(found, key=lambda one: one[1])]
    wanted = [ConceptSettings(class_word=w, instance=i, depth=d) for w, i, d in asked]
    made = assign(wanted, instances, by)
    owned = [owner for owner in made.owners if owner is not None]
    assert len(owned) == len(set(owned))
    assert {n for n, owner in enumerate(made.owners) if owner is None} == set(made.problems)
    assert not set(owned) & set(made.spare)
    for number, owner in enumerate(made.owners):
        if owner is not None and wanted[number].instance is None:
            assert instances[owner].label == wanted[number].class_word
