"""Who is who: concepts to the instances found in a layout, by class, by rule, or as the user says."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lib_omg.core.settings import AssignBy, ConceptSettings

if TYPE_CHECKING:
    import torch

    from .found import Instance


@dataclass(frozen=True)
class Assignment:
    """Who is who.

    Attributes:
        owners: for each concept the number of its instance, or None.
        spare: instances of an asked for class that no concept has, by number.
        problems: for concepts that have none, by number, what is to be said of it.
    """

    owners: tuple[int | None, ...]
    spare: tuple[int, ...] = ()
    problems: dict[int, str] = field(default_factory=dict)


def class_of(word: str) -> str:
    """How class words are compared: case and spaces don't count."""
    return " ".join(word.lower().split())


def assign(
    concepts: Sequence[ConceptSettings],
    instances: Sequence[Instance],
    by: AssignBy,
    likeness: torch.Tensor | None = None,
    looked_for: Sequence[int] | None = None,
) -> Assignment:
    """Give every concept an instance of its class.

    What the user chose (`instance`) comes first, of whatever class. The others of a class get what is left of it in
    the rule's order, the first concept the first; by depth the concept of the smallest depth gets the one in front.

    Args:
        instances: from left to right.
        likeness: (N, I), how much each concept's own words are drawn to each instance; for `AssignBy.SIMILARITY`.
        looked_for: the concepts that need an instance; None: all.
    """
    wanted = list(range(len(concepts)) if looked_for is None else looked_for)
    owners, problems = _chosen(concepts, wanted, len(instances))
    by_class: dict[str, list[int]] = {}
    for number in wanted:
        if owners[number] is None and number not in problems:
            by_class.setdefault(class_of(concepts[number].class_word), []).append(number)
    for word, numbers in by_class.items():
        free = [i for i, one in enumerate(instances) if class_of(one.label) == word and i not in owners]
        pairs = _by_likeness(numbers, free, likeness) if by is AssignBy.SIMILARITY else {}
        pairs = pairs or _in_order(_ordered(numbers, concepts, by), _ranked(free, instances, by))
        for number in numbers:
            owners[number] = pairs.get(number)
            if owners[number] is None:
                problems[number] = _too_few(concepts[number].class_word, numbers, len(free))
    classes = {class_of(concepts[number].class_word) for number in wanted}
    spare = tuple(i for i, one in enumerate(instances) if i not in owners and class_of(one.label) in classes)
    return Assignment(tuple(owners), spare, problems)


def _chosen(
    concepts: Sequence[ConceptSettings], wanted: Sequence[int], found: int
) -> tuple[list[int | None], dict[int, str]]:
    """Who is who by the user's own choice, and what is wrong with it."""
    owners: list[int | None] = [None] * len(concepts)
    problems: dict[int, str] = {}
    for number in wanted:
        chosen = concepts[number].instance
        if chosen is None:
            continue
        if chosen >= found:
            problems[number] = f"it was given number {chosen + 1} of the layout, where {found} are found"
        elif chosen in owners:
            problems[number] = f"number {chosen + 1} of the layout was given to another concept as well"
        else:
            owners[number] = chosen
    return owners, problems


def _too_few(word: str, numbers: Sequence[int], found: int) -> str:
    if found == 0:
        return f"no {word!r} was found"
    return f"only {found} of {len(numbers)} {word!r} were found"


def _in_order(numbers: Sequence[int], free: Sequence[int]) -> dict[int, int]:
    return dict(zip(numbers, free, strict=False))


def _ordered(numbers: Sequence[int], concepts: Sequence[ConceptSettings], by: AssignBy) -> list[int]:
    return sorted(numbers, key=lambda n: concepts[n].depth) if by is AssignBy.DEPTH else list(numbers)


def _ranked(free: Sequence[int], instances: Sequence[Instance], by: AssignBy) -> list[int]:
    """Numbers of instances in the rule's order; equals from left to right."""
    if by is AssignBy.SIZE:
        return sorted(free, key=lambda i: -float(instances[i].mask.sum()))
    if by is AssignBy.DEPTH:
        # on the ground, who stands nearer stands lower in the picture
        return sorted(free, key=lambda i: -instances[i].box[3])
    return list(free)


def _by_likeness(numbers: Sequence[int], free: Sequence[int], likeness: torch.Tensor | None) -> dict[int, int]:
    """The pairs with the largest likeness in all; none where there is nothing to go by."""
    if likeness is None or not free:
        return {}
    few, many = (numbers, free) if len(numbers) <= len(free) else (free, numbers)
    best, pairs = float("-inf"), {}
    for chosen in itertools.permutations(many, len(few)):
        one = dict(zip(few, chosen, strict=True))
        if few is not numbers:
            one = {number: instance for instance, number in one.items()}
        total = sum(float(likeness[number, instance]) for number, instance in one.items())
        if total > best + 1e-9:  # equals stay from left to right
            best, pairs = total, one
    return pairs
