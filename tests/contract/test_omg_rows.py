"""The price: 2T UNet rows for the layout and 2(T - s)(1 + N) for the concept pass, an image."""

from __future__ import annotations

import harness
import pytest
from omg_tools import boxed, spy

STEPS = 5


def _side_by_side(count: int) -> dict[str, object]:
    words = ["man", "woman", "park", "a", "in"][:count]
    return {
        "concepts": [boxed(w, None, [i / count, 0, (i + 1) / count, 1]) for i, w in enumerate(words)],
        "view": "whole",
    }


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_unet_rows_are_exactly_what_the_paper_needs(count: int, batch_size: int) -> None:
    with spy() as seen, harness.unet_calls() as unet:
        harness.run(_side_by_side(count), steps=STEPS, batch_size=batch_size)
    start = seen.started_at
    layout, concepts = 2 * STEPS, 2 * (STEPS - start) * (1 + count)
    assert 0 < start < STEPS
    assert sum(unet.rows) == batch_size * (layout + concepts)


def test_a_skipped_uncond_counts_less() -> None:
    with spy() as seen, harness.unet_calls() as unet, harness.options(s_min_uncond_all=True):
        harness.run(_side_by_side(2), steps=STEPS, s_min_uncond=0.5)
    start = seen.started_at
    low = sum(1 for _, sigma in seen.layout if sigma < 0.5)
    assert 0 < low < STEPS - start
    assert sum(unet.rows) == (2 * STEPS - low) + (2 * (STEPS - start) - low) * 3


@pytest.mark.parametrize("option", [{"batch_cond_uncond": False}, {"skip_early_cond": 0.8}])
def test_a_host_that_splits_or_drops_rows_is_followed(option: dict[str, object]) -> None:
    with harness.options(**option), harness.unet_calls() as unet, spy() as seen:
        harness.run(_side_by_side(2), steps=STEPS)
    start = seen.started_at
    rows = 2 * STEPS + 6 * (STEPS - start)
    if "skip_early_cond" in option:
        dropped = [call for call in range(STEPS) if call / STEPS <= 0.8]
        rows -= len(dropped) + 3 * len([call for call in dropped if call >= start])
    else:
        assert set(unet.rows) == {1}
    assert sum(unet.rows) == rows


def test_the_row_limit_is_kept() -> None:
    with harness.options(omg_rows_per_batch=3), harness.unet_calls() as unet:
        harness.run(_side_by_side(5), steps=4)
    assert max(unet.rows) == 3


def test_by_default_no_batch_is_larger_than_plain_generations() -> None:
    with harness.unet_calls() as unet:
        harness.run(_side_by_side(5), steps=4)
    assert max(unet.rows) == 2
