"""What the tables should show: the bars, and whether they hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import plans, statistics
from bench.cases import PairKind
from bench.plans import OURS, OURS_TRUE_MASKS, Plan, Variant
from bench.scores import Metric

if TYPE_CHECKING:
    from bench.statistics import Estimate
    from bench.tables import Figures

DROP_OF_TWO = 0.004
"""The paper's."""
DROP_OF_FIVE = 0.02
LEAST_LEAD = 1.25
LEAST_SAME_CLASS = 0.95


@dataclass(frozen=True)
class Bar:
    """A claim, the figure found and its limit; `strict`: the limit itself does not meet it."""

    name: str
    found: Estimate
    limit: float
    at_least: bool
    strict: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the figure itself (not its interval) meets the limit; None when it was not measured."""
        if math.isnan(self.found.value):
            return None
        if self.strict and self.found.value == self.limit:
            return False
        return self.found.value >= self.limit if self.at_least else self.found.value <= self.limit


def bars(plan: Plan, figures: Figures) -> list[Bar]:
    """All bars, those first that speak of one method only."""
    identity = Metric.IDENTITY
    found = [Bar("identity drop, one to two concepts", figures.drop(OURS, plan.single_base, identity), DROP_OF_TWO,
                 at_least=False)]  # fmt: skip
    largest = plan.crowds[plan.largest]
    drop = figures.drop(OURS, largest, identity)
    found.append(Bar(f"identity drop, one to {plan.largest} concepts", drop, DROP_OF_FIVE, at_least=False))
    cells = {kind: figures.by_case(OURS, cases, identity) for kind, cases in plan.pairs.items()}
    ratio = statistics.ratio(
        [list(cells[kind].values()) for kind in plans.SAME_CLASS], [list(cells[PairKind.MAN_WOMAN].values())]
    )
    found.append(Bar("same-class pairs / man+woman", ratio, LEAST_SAME_CLASS, at_least=True))
    others = [variant for variant in plan.methods if variant not in (OURS, OURS_TRUE_MASKS)]
    return found + (_against(plan, figures, others) if others else [])


def _against(plan: Plan, figures: Figures, others: list[Variant]) -> list[Bar]:
    found = []
    for kind, cases in plan.pairs.items():
        mine = figures.by_case(OURS, cases, Metric.IDENTITY)
        best = max(others, key=lambda variant: _rank(figures.mean(variant, cases, Metric.IDENTITY)))
        lead = statistics.paired_difference(mine, figures.by_case(best, cases, Metric.IDENTITY))
        found.append(Bar(f"{kind.value}: ours - best other ({best.label})", lead, 0.0, at_least=True, strict=True))
    cells = {
        variant: [figures.by_case(variant, cases, Metric.IDENTITY) for cases in plan.pairs.values()]
        for variant in (OURS, *others)
    }
    averages = {
        variant: statistics.mean_of_cells([list(cell.values()) for cell in cells[variant]]) for variant in others
    }
    best = max(others, key=lambda variant: _rank(averages[variant]))
    ratio = statistics.paired_ratio(cells[OURS], cells[best])
    return [*found, Bar(f"average of pairs: ours / best other ({best.label})", ratio, LEAST_LEAD, at_least=True)]


def _rank(estimate: Estimate) -> float:
    return -math.inf if math.isnan(estimate.value) else estimate.value
