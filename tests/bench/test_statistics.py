"""Intervals against what is known exactly."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from bench import statistics

NAN = float("nan")


def test_mean_of_a_large_sample_has_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, 400)
    found = statistics.mean(list(values))
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.count == 400
    assert found.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_interval_of_a_tiny_sample_is_that_of_all_resamples() -> None:
    """All 5^5 equally likely resamples, enumerated."""
    values = [0.0, 0.1, 0.4, 0.7, 1.0]
    every = np.sort([sum(draw) / 5 for draw in itertools.product(values, repeat=5)])
    found = statistics.mean(values)
    assert found.low == pytest.approx(every[int(0.025 * len(every))], abs=0.03)
    assert found.high == pytest.approx(every[int(0.975 * len(every))], abs=0.03)
    assert statistics.mean([0.0, 1.0]) == statistics.Estimate(0.5, 0.0, 1.0, 2)


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(200):
        found = statistics.mean(list(rng.uniform(0, 1, 40)))
        hits += found.low <= 0.5 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_seeded_and_without_nan() -> None:
    values = [0.1, NAN, 0.9, 0.4, 0.2]
    assert statistics.mean(values, seed=3) == statistics.mean(values, seed=3)
    assert statistics.mean(values, seed=3) != statistics.mean(values, seed=4)
    assert statistics.mean(values).value == pytest.approx(0.4)
    assert statistics.mean(values).count == 4
    for nothing in ([], [NAN]):
        found = statistics.mean(nothing)
        assert math.isnan(found.value)
        assert found.count == 0


def test_one_picture_has_no_spread() -> None:
    assert statistics.mean([0.3]) == statistics.Estimate(0.3, pytest.approx(0.3), pytest.approx(0.3), 1)


def test_cells_weigh_the_same() -> None:
    cells = [[0.0] * 10, [1.0] * 2]
    found = statistics.mean_of_cells(cells)
    assert (found.value, found.low, found.high, found.count) == (0.5, 0.5, 0.5, 12)
    assert math.isnan(statistics.mean_of_cells([[1.0], []]).value)


def test_pairing_takes_the_spread_of_the_cases_away() -> None:
    rng = np.random.default_rng(2)
    base = rng.uniform(0, 1, 60)
    single = {n: float(v) for n, v in enumerate(base)}
    multi = {n: float(v - 0.01 + rng.normal(0, 0.001)) for n, v in enumerate(base)}
    multi[999] = 0.0  # has no partner
    found = statistics.paired_difference(single, multi)
    assert found.value == pytest.approx(0.01, abs=0.001)
    assert found.count == 60
    assert 0.009 < found.low < found.high < 0.011
    unpaired = statistics.mean(list(single.values()))
    assert unpaired.high - unpaired.low > 50 * (found.high - found.low)
    backwards = statistics.paired_difference(multi, single)
    assert backwards.value == pytest.approx(-found.value)


def test_ratio_of_two_methods() -> None:
    ours = [{1: 0.6, 2: 0.8}, {3: 0.5, 4: NAN, 5: 0.7}]
    theirs = [{1: 0.3, 2: 0.4}, {3: 0.25, 4: 0.1, 5: 0.35, 6: 9.0}]
    found = statistics.paired_ratio(ours, theirs)
    assert (found.value, found.low, found.high) == (pytest.approx(2), pytest.approx(2), pytest.approx(2))
    assert found.count == 4
    assert math.isnan(statistics.paired_ratio([{1: 1.0}], [{2: 1.0}]).value)


def test_ratio_of_unlike_cells() -> None:
    """Two pictures against one: (0.2 or 0.4 or 0.3) / 0.5, whose tails are the extremes."""
    found = statistics.ratio([[0.2, 0.4]], [[0.5, NAN]])
    assert found == statistics.Estimate(pytest.approx(0.6), pytest.approx(0.4), pytest.approx(0.8), 3)
    assert statistics.ratio([[1.0], [0.0, 0.0]], [[0.25]]).value == pytest.approx(2)
    assert math.isnan(statistics.ratio([[]], [[1.0]]).value)
