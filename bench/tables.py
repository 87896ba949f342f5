"""The six tables, made of the pictures' scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from bench import plans, statistics
from bench.cases import PairKind
from bench.measures import OCCLUDED
from bench.plans import LAYOUT, OURS, Draw, Plan, Variant, singles
from bench.scores import Metric, Score
from toyworld.identity import CAST
from toyworld.scene import LIGHTS

if TYPE_CHECKING:
    from bench.cases import Case
    from bench.statistics import Estimate


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    label: str
    cells: tuple[Estimate, ...]


@dataclass(frozen=True)
class Table:
    """A table; `number` is the issue's."""

    number: int
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""


@dataclass(frozen=True)
class Figures:
    """The scores at hand, and how tables ask for them."""

    scores: Mapping[Draw, Score]

    def by_case(self, variant: Variant, cases: Iterable[Case], metric: Metric) -> dict[Case, float]:
        """A metric of a variant's pictures; cases that were not drawn are left out."""
        drawn = {case: self.scores.get(Draw(variant, case)) for case in cases}
        return {case: metric.of(score) for case, score in drawn.items() if score is not None}

    def mean(self, variant: Variant, cases: Iterable[Case], metric: Metric) -> Estimate:
        """Mean of a metric."""
        return statistics.mean(list(self.by_case(variant, cases, metric).values()))

    def alone(self, variant: Variant, cases: Iterable[Case], metric: Metric) -> dict[Case, float]:
        """By case, mean of a metric over the pictures of its concepts alone; NaN when one was not drawn."""
        found = {}
        for case in cases:
            parts = self.by_case(variant, singles([case]), metric)
            found[case] = float(np.mean(list(parts.values()))) if len(parts) == len(case.names) else float("nan")
        return found

    def drop(self, variant: Variant, cases: Sequence[Case], metric: Metric) -> Estimate:
        """Single minus multi, paired by case."""
        return statistics.paired_difference(self.alone(variant, cases, metric), self.by_case(variant, cases, metric))

    def occluded(self, cases: Iterable[Case]) -> list[Case]:
        """The cases in whose layout picture somebody is hidden by more than `OCCLUDED`."""
        scores = {case: self.scores.get(Draw(LAYOUT, case)) for case in cases}
        return [case for case, score in scores.items() if score is not None and score.occlusion > OCCLUDED]


def identity_table(plan: Plan, figures: Figures) -> list[Table]:
    """Table 1: identity and detection rate, alone and in twos."""
    rows = []
    for variant in plan.measured:
        cells = []
        for metric in (Metric.IDENTITY, Metric.DETECTED):
            alone = figures.alone(variant, plan.single_base, metric)
            cells += [statistics.mean(list(alone.values())), figures.mean(variant, plan.single_base, metric),
                      figures.drop(variant, plan.single_base, metric)]  # fmt: skip
        rows.append(Row(variant.label, tuple(cells)))
    columns = ("single", "multi", "drop", "detected single", "detected multi", "drop of detection")
    return [Table(1, "Identity, single against multi (two concepts)", columns, tuple(rows))]


def pairs_table(plan: Plan, figures: Figures) -> list[Table]:
    """Table 2: identity and detection rate by kind of pair."""
    tables = []
    for metric in (Metric.IDENTITY, Metric.DETECTED):
        rows = []
        for variant in plan.measured:
            by_cell = {c: list(figures.by_case(variant, cases, metric).values()) for c, cases in plan.pairs.items()}
            same = statistics.ratio([by_cell[kind] for kind in plans.SAME_CLASS], [by_cell[PairKind.MAN_WOMAN]])
            means = [statistics.mean(values) for values in by_cell.values()]
            rows.append(Row(variant.label, (*means, statistics.mean_of_cells(list(by_cell.values())), same)))
        columns = (*(kind.value for kind in plan.pairs), "average", "same / mixed")
        tables.append(Table(2, f"Kinds of pairs: {metric.value}", columns, tuple(rows)))
    return tables


def crowds_table(plan: Plan, figures: Figures) -> list[Table]:
    """Table 3: one to five concepts; one is every member of the largest groups alone."""
    tables = []
    largest = plan.crowds[plan.largest]
    for metric in (Metric.IDENTITY, Metric.DETECTED, Metric.EXACT):
        rows = []
        for variant in plan.crowd_methods:
            alone = figures.mean(variant, singles(largest), metric)
            groups = [figures.mean(variant, cases, metric) for cases in plan.crowds.values()]
            rows.append(Row(variant.label, (alone, *groups, figures.drop(variant, largest, metric))))
        columns = ("1", *(str(size) for size in plan.crowds), f"drop, 1 to {plan.largest}")
        tables.append(Table(3, f"Number of concepts: {metric.value}", columns, tuple(rows)))
    return tables


ABLATION_METRICS = (
    Metric.IDENTITY,
    Metric.DETECTED,
    Metric.PRESENT,
    Metric.EXACT,
    Metric.AGREEMENT,
    Metric.TINT,
)


def ablations_table(plan: Plan, figures: Figures) -> list[Table]:
    """Table 4: variants of ours, and every method where people overlap."""
    columns = (*(metric.value for metric in ABLATION_METRICS), "identity - default's")
    tables = []
    for title, variants in plan.ablations.items():
        default = figures.by_case(OURS, plan.ablation_cases, Metric.IDENTITY)
        rows = []
        for variant in variants:
            cells = [figures.mean(variant, plan.ablation_cases, metric) for metric in ABLATION_METRICS]
            own = figures.by_case(variant, plan.ablation_cases, Metric.IDENTITY)
            rows.append(Row(variant.label, (*cells, statistics.paired_difference(own, default))))
        tables.append(Table(4, f"Ablation: {title}", columns, tuple(rows)))
    chosen = figures.occluded(plan.close_cases)
    rows = [
        Row(variant.label, tuple(figures.mean(variant, chosen, metric) for metric in ABLATION_METRICS))
        for variant in plan.methods
    ]
    share = f"{len(chosen)} of {len(plan.close_cases)} layouts"
    note = f"Three close together; in {share} the masks say that somebody is hidden by more than {OCCLUDED:.0%}."
    tables.append(Table(4, "Overlapping people only", columns[:-1], tuple(rows), note))
    return tables


def mixing_table(plan: Plan, figures: Figures) -> list[Table]:
    """Table 5: what of a concept's likeness is its own, its companion's and a stranger's, beyond the true ones'."""
    rows = []
    for variant in plan.measured:
        own: list[float] = []
        companion: list[float] = []
        stranger: list[float] = []
        for case in plan.pair_cases:
            score = figures.scores.get(Draw(variant, case))
            if score is None:
                continue
            parts = [_parts(score.likeness[n], n, case.names) for n in range(len(case.names))]
            for values, column in zip((own, companion, stranger), np.transpose(parts), strict=True):
                values.append(float(np.mean(column)))
        rows.append(Row(variant.label, tuple(statistics.mean(values) for values in (own, companion, stranger))))
    note = "Of instances that were found. The full matrices are in the JSON and in the picture."
    return [Table(5, "Mixing: likeness to references", ("own", "companion", "strangers"), tuple(rows), note)]


def _parts(likeness: np.ndarray, number: int, names: Sequence[str]) -> tuple[float, float, float]:
    """Likeness (R,) of concept `number` to itself, to the others of its picture, and to those who are not in it."""
    cast = list(CAST)
    own = cast.index(names[number])
    others = [cast.index(name) for name in names if name != names[number]]
    rest = [n for n in range(len(cast)) if n != own and n not in others]
    return float(likeness[own]), float(likeness[others].mean()), float(likeness[rest].mean())


def mixing_matrix(figures: Figures, variant: Variant, cases: Iterable[Case]) -> np.ndarray:
    """Mean likeness (R, R) of the instance that stands for concept i to reference j; NaN where nothing was drawn."""
    cast = list(CAST)
    seen: list[list[np.ndarray]] = [[] for _ in cast]
    for case in cases:
        score = figures.scores.get(Draw(variant, case))
        for name, row in zip(case.names, score.likeness if score else (), strict=False):
            if not np.isnan(row).any():
                seen[cast.index(name)].append(row)
    return np.array([np.mean(rows, axis=0) if rows else np.full(len(cast), np.nan) for rows in seen])


def lighting_table(plan: Plan, figures: Figures) -> list[Table]:
    """Table 6: tint error of people by light."""
    by_light = [[case for case in plan.people_cases if case.light == light] for light in LIGHTS]
    tables = []
    for metric in (Metric.TINT, Metric.TINT_OF_ALL):
        rows = [
            Row(variant.label, tuple(figures.mean(variant, cases, metric) for cases in by_light))
            for variant in plan.measured
        ]
        tables.append(Table(6, f"Lighting: {metric.value}", tuple(LIGHTS), tuple(rows), "0.1 is about 10 % off."))
    return tables


TABLES: Mapping[int, Callable[[Plan, Figures], list[Table]]] = MappingProxyType(
    {
        1: identity_table,
        2: pairs_table,
        3: crowds_table,
        4: ablations_table,
        5: mixing_table,
        6: lighting_table,
    }
)
