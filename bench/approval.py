"""Seeds a user would keep: those whose plain picture of the class words shows who was asked for.

The extension shows the layout before the second pass, for its user to take or to draw anew; a base model that forgets
somebody is no method's fault. So every case takes the first of a row of seeds whose layout is right, and all methods
draw from that seed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.cases import Case

MOST_SEEDS = 24
"""A case none of whose layouts is right keeps its first seed."""
Check = Callable[[Sequence[Case]], Sequence[bool]]
"""Whether the layouts of cases show just those who should be there."""


@dataclass(frozen=True)
class Approval:
    """Cases and their seeds.

    Attributes:
        chosen: cases as they were asked for, and each with the seed it took.
        layouts: how many were looked at, by the count of concepts.
        failed: cases none of whose layouts was right.
    """

    chosen: Mapping[Case, Case]
    layouts: Mapping[int, int]
    failed: tuple[Case, ...]

    def __str__(self) -> str:
        counts = {size: sum(len(case.names) == size for case in self.chosen) for size in sorted(self.layouts)}
        told = ", ".join(f"{size} concepts {self.layouts[size]} for {count} cases" for size, count in counts.items())
        failed = f"; {len(self.failed)} cases had no right one in {MOST_SEEDS}" if self.failed else ""
        return f"Layouts looked at until one was right: {told}{failed}."


def approve(cases: Collection[Case], check: Check, at_once: int = 1) -> Approval:
    """Choose every case's seed; a case's choice depends on no other case.

    Args:
        at_once: how many layouts are cheaper together than one by one: when fewer cases wait, each shows its next
            seeds as well. It changes nothing of what is chosen and counted.
    """
    chosen: dict[Case, Case] = {}
    layouts: dict[int, int] = {}
    waiting = list(dict.fromkeys(cases))
    attempt = 0
    while waiting and attempt < MOST_SEEDS:
        ahead = min(max(at_once // len(waiting), 1), MOST_SEEDS - attempt)
        tried = [case.again(attempt + step) for case in waiting for step in range(ahead)]
        right = check(tried)
        for number, case in enumerate(waiting):
            mine = slice(number * ahead, (number + 1) * ahead)
            first = next((place for place, good in enumerate(right[mine]) if good), None)
            layouts[len(case.names)] = layouts.get(len(case.names), 0) + (ahead if first is None else first + 1)
            if first is not None:
                chosen[case] = tried[mine][first]
        waiting = [case for case in waiting if case not in chosen]
        attempt += ahead
    return Approval({**chosen, **{case: case for case in waiting}}, layouts, tuple(waiting))
