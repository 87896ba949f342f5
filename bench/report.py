"""The tables as text for people and as JSON for machines."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

from bench.scores import Metric
from toyworld.identity import CAST

if TYPE_CHECKING:
    import numpy as np

    from bench.bars import Bar
    from bench.plans import Draw
    from bench.scores import Score
    from bench.statistics import Estimate
    from bench.tables import Table

VERSIONED = ("torch", "numpy", "pillow", "k-diffusion")
NOT_MEASURED = "-"
_VERDICTS = {True: "holds", False: "MISSED", None: "not measured"}


@dataclass(frozen=True)
class Report:
    """All that a run found; `command` and `seconds` tell how, `matrices` are those of mixing by method."""

    command: str
    seconds: float
    tables: Sequence[Table]
    bars: Sequence[Bar]
    matrices: Mapping[str, np.ndarray] = field(default_factory=dict)
    scores: Mapping[Draw, Score] = field(default_factory=dict)
    notes: Sequence[str] = ()


def estimate_text(estimate: Estimate) -> str:
    """ "0.512 ±0.021": half the width of the 95 % interval after the value."""
    if math.isnan(estimate.value):
        return NOT_MEASURED
    return f"{estimate.value:.3f} ±{(estimate.high - estimate.low) / 2:.3f}"


def table_text(table: Table) -> str:
    """A table in markdown, its columns lined up; the last column is the number of pictures behind the row."""
    head = ["", *table.columns, "pictures"]
    lines = [
        [row.label, *(estimate_text(cell) for cell in row.cells), str(max((c.count for c in row.cells), default=0))]
        for row in table.rows
    ]
    widths = [max(len(line[n]) for line in [head, *lines]) for n in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    text = [f"### Table {table.number}. {table.title}", ""]
    for line in (head, rule, *lines):
        cells = [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join([*text, "", *([table.note, ""] if table.note else [])])


def bars_text(bars: Sequence[Bar]) -> str:
    """The bars as a list, each with its verdict."""
    lines = [
        f"- {_VERDICTS[bar.holds]}: {bar.name}: {estimate_text(bar.found)}, "
        f"expected {'more than' if bar.strict else 'at least' if bar.at_least else 'at most'} {bar.limit:g}"
        for bar in bars
    ]
    return "\n".join(["### Bars", "", *lines, ""])


def as_text(report: Report) -> str:
    """The whole report in markdown."""
    head = [f"`{report.command}`, {report.seconds / 60:.1f} min. Values with their 95 % intervals.", *report.notes, ""]
    return "\n".join([*head, bars_text(report.bars), *(table_text(table) for table in report.tables)])


def as_json(report: Report) -> str:
    """The whole report in JSON; what was not measured is null."""
    data = {
        "command": report.command,
        "seconds": round(report.seconds, 1),
        "versions": versions(),
        "notes": list(report.notes),
        "bars": [
            {"name": bar.name, "holds": bar.holds, "limit": bar.limit, "at_least": bar.at_least, **_plain(bar.found)}
            for bar in report.bars
        ],
        "tables": [_table(table) for table in report.tables],
        "mixing": {
            "references": list(CAST),
            "matrices": {name: _numbers(matrix) for name, matrix in report.matrices.items()},
        },
        "pictures": [_picture(draw, score) for draw, score in report.scores.items()],
    }
    return json.dumps(data, indent=1, allow_nan=False)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that figures may hang on."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _table(table: Table) -> dict[str, Any]:
    rows = [
        {"label": row.label, "cells": dict(zip(table.columns, map(_plain, row.cells), strict=True))}
        for row in table.rows
    ]
    return {"number": table.number, "title": table.title, "note": table.note, "rows": rows}


def _plain(estimate: Estimate) -> dict[str, float | int | None]:
    return {
        "value": _number(estimate.value),
        "low": _number(estimate.low),
        "high": _number(estimate.high),
        "count": estimate.count,
    }


def _picture(draw: Draw, score: Score) -> dict[str, Any]:
    case, variant = draw.case, draw.variant
    return {
        "method": variant.method,
        "options": dict(variant.options),
        "names": list(case.names),
        "place": case.place,
        "light": case.light,
        "seed": case.seed,
        "cosines": [_number(cosine) for cosine in score.cosines],
        **{metric.value: _number(metric.of(score)) for metric in Metric},
    }


def _numbers(matrix: np.ndarray) -> list[list[float | None]]:
    return [[_number(float(value)) for value in row] for row in matrix]


def _number(value: float) -> float | None:
    return None if math.isnan(value) or math.isinf(value) else round(value, 5)
