"""Means with their uncertainty: bootstrap over pictures, paired where two methods drew the same ones."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95

Case = TypeVar("Case", bound=Hashable)


@dataclass(frozen=True)
class Estimate:
    """A figure, its `LEVEL` interval and how many pictures it rests on; NaN without any."""

    value: float
    low: float
    high: float
    count: int


def mean(values: Sequence[float], seed: int = 0) -> Estimate:
    """Mean of one value a picture.

    Args:
        values: NaN where a picture has none; those are left out.
        seed: of the resampling.

    Returns:
        The mean with its interval.
    """
    return mean_of_cells([values], seed)


def mean_of_cells(cells: Sequence[Sequence[float]], seed: int = 0) -> Estimate:
    """Mean of the cells' means; every cell weighs the same, however many pictures it has.

    Args:
        cells: values of each cell's pictures; NaN is left out.
        seed: of the resampling, which stays within cells.

    Returns:
        The mean with its interval; NaN when a cell is empty.
    """
    kept = [_measured(cell) for cell in cells]
    if not kept or any(not len(cell) for cell in kept):
        return _none()
    value, resampled = _resampled(kept, np.random.default_rng(seed))
    return _estimate(value, resampled, sum(map(len, kept)))


def ratio(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], seed: int = 0) -> Estimate:
    """Ratio of two means of cells that share no pictures.

    Args:
        first, second: values of each cell's pictures; NaN is left out.
        seed: of the resampling.

    Returns:
        Mean of first over mean of second with its interval; NaN when a cell is empty.
    """
    above, below = [_measured(cell) for cell in first], [_measured(cell) for cell in second]
    if not above or not below or any(not len(cell) for cell in (*above, *below)):
        return _none()
    rng = np.random.default_rng(seed)
    top, tops = _resampled(above, rng)
    bottom, bottoms = _resampled(below, rng)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _estimate(float(np.divide(top, bottom)), tops / bottoms, sum(map(len, (*above, *below))))


def paired_difference(
    first: Mapping[Case, float], second: Mapping[Case, float], seed: int = 0
) -> Estimate:  # fmt: skip
    """Mean of first - second over what both have: the same cases drawn by two methods, or single and multi of a case.

    Args:
        first, second: values by case; NaN is left out.
        seed: of the resampling.

    Returns:
        The mean difference with its interval.
    """
    return mean([first[key] - second[key] for key in first if key in second], seed)


def paired_ratio(
    first: Sequence[Mapping[Case, float]], second: Sequence[Mapping[Case, float]], seed: int = 0
) -> Estimate:
    """Ratio of two methods' means of cells, resampled by case within cells.

    Args:
        first, second: for every cell, values by case; only cases that both have count.
        seed: of the resampling.

    Returns:
        Mean of first over mean of second with its interval.
    """
    rng = np.random.default_rng(seed)
    above, below, values, count = [], [], [], 0
    for one, other in zip(first, second, strict=True):
        pairs = np.array([(one[k], other[k]) for k in one if k in other], np.float64).reshape(-1, 2)
        pairs = pairs[~np.isnan(pairs).any(1)]
        if not len(pairs):
            return _none()
        resampled = pairs[_draws(rng, len(pairs))].mean(1)
        above.append(resampled[:, 0])
        below.append(resampled[:, 1])
        values.append(pairs.mean(0))
        count += len(pairs)
    if not values:
        return _none()
    top, bottom = np.mean(values, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _estimate(float(np.divide(top, bottom)), np.mean(above, axis=0) / np.mean(below, axis=0), count)


def _measured(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, np.float64)
    return array[~np.isnan(array)]


def _resampled(cells: Sequence[np.ndarray], rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """Mean of the cells' means, and the same of every resample (resamples,)."""
    resampled = np.mean([cell[_draws(rng, len(cell))].mean(1) for cell in cells], axis=0)
    return float(np.mean([cell.mean() for cell in cells])), resampled


def _draws(rng: np.random.Generator, count: int) -> np.ndarray:
    """Indices (resamples, count) of resampled pictures."""
    return rng.integers(0, count, (RESAMPLES, count))


def _estimate(value: float, resampled: np.ndarray, count: int) -> Estimate:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], method="inverted_cdf")
    return Estimate(value, float(low), float(high), count)


def _none() -> Estimate:
    return Estimate(float("nan"), float("nan"), float("nan"), 0)
